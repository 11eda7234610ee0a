/* states.c - the states of a call: one array, or the pair (h, c) of an LSTM. */
#include "states.h"
#include "arrays.h"

PyObject *pair_of(PyObject *first, PyObject *second)
{
    PyObject *pair = first && second ? PyTuple_New(2) : NULL;
    if (pair) {
        PyTuple_SET_ITEM(pair, 0, first);
        PyTuple_SET_ITEM(pair, 1, second);
    } else {
        Py_XDECREF(first);
        Py_XDECREF(second);
    }
    return pair;
}

int pair_split(PyObject *pair, const char *name, const char *what, PyObject **first, PyObject **second)
{
    *first = *second = NULL;
    if (!PyTuple_Check(pair) && !PyList_Check(pair)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a pair (%s), got %s", name, what, Py_TYPE(pair)->tp_name);
        return -1;
    }
    const Py_ssize_t count = PySequence_Size(pair);
    if (count != 2) {
        if (count >= 0) PyErr_Format(PyExc_ValueError, "%s: expected a pair (%s), got %zd items", name, what, count);
        return -1;
    }
    *first = PySequence_GetItem(pair, 0);
    *second = *first ? PySequence_GetItem(pair, 1) : NULL;
    if (*second) return 0;
    Py_CLEAR(*first);
    return -1;
}

int states_split(const qrnn_kind_info *kind, PyObject *hx, PyObject **h, PyObject **c)
{
    if (kind->states == 2) return pair_split(hx, "hx", "h, c", h, c);
    *h = Py_NewRef(hx);
    *c = NULL;
    return 0;
}

int states_take(struct module_state *state, const qrnn_kind_info *kind, PyObject *hx, PyArrayObject **h,
                PyArrayObject **c)
{
    PyObject *first, *second;
    if (states_split(kind, hx, &first, &second) < 0) return -1;
    *h = array_from(state, first, second ? "hx[0]" : "hx");
    if (*h && second) *c = array_from(state, second, "hx[1]");
    const int status = *h && (!second || *c) ? 0 : -1;
    Py_DECREF(first);
    Py_XDECREF(second);
    return status;
}
