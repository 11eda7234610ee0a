/* extras.c - functions of _core that no layer needs: element-wise functions, and the number of threads. */
#include "functions.h"
#include "arguments.h"
#include "arrays.h"
#include "errors.h"

#include <string.h>

/* The elements from which it releases the GIL: 5 to 10 microseconds of work, as for calls (calls.h). */
enum { APPLY_THREADS_THRESHOLD = 16384 };

/* --- apply --- */

static int find_function(PyObject *name, qrnn_function *function)
{
    static const char *const names[QRNN_FUNCTIONS] = {"tanh", "tanh_exact", "sigmoid", "relu"};
    const char *const text = arguments_text(name, "name");
    if (!text) return -1;
    for (int i = 0; i < QRNN_FUNCTIONS; i++)
        if (strcmp(text, names[i]) == 0) {
            *function = (qrnn_function)i;
            return 0;
        }
    PyErr_Format(PyExc_ValueError, "name: expected tanh, tanh_exact, sigmoid or relu, got %R", name);
    return -1;
}

static int apply_to(qrnn_function function, const char *isa, PyArrayObject *x, PyArrayObject *y)
{
    qrnn_status status;
    const size_t n = (size_t)PyArray_SIZE(x);
    const float *const from = PyArray_DATA(x);
    float *const to = PyArray_DATA(y);
    if (n < APPLY_THREADS_THRESHOLD) {
        status = qrnn_apply(function, isa, n, from, to);
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = qrnn_apply(function, isa, n, from, to);
        Py_END_ALLOW_THREADS
    }
    if (status == QRNN_OK) return 0;
    error_from_status(status, &(struct error_context){.isa = isa, .weight = "x"});
    return -1;
}

/* Writes f(x) to `out`, or to a new array. It writes to `out` directly if that is x itself or does not overlap x. */
static PyObject *apply_plain(qrnn_function function, const char *isa, PyArrayObject *x, PyObject *out)
{
    PyArrayObject *y = NULL, *const given = (PyArrayObject *)out;
    if (out && array_check_out(out, "out", NPY_FLOAT32, PyArray_NDIM(x), PyArray_DIMS(x)) < 0) return NULL;
    if (out && (PyArray_DATA(given) == PyArray_DATA(x) || !array_overlap(given, x)))
        y = (PyArrayObject *)Py_NewRef(out);
    else
        y = array_new(NPY_FLOAT32, PyArray_NDIM(x), PyArray_DIMS(x));
    if (!y) return NULL;
    if (apply_to(function, isa, x, y) < 0) {
        Py_DECREF(y);
        return NULL;
    }
    if (out && y != given) {
        memcpy(PyArray_DATA(given), PyArray_DATA(y), (size_t)PyArray_NBYTES(y));
        Py_SETREF(y, (PyArrayObject *)Py_NewRef(out));
    }
    return (PyObject *)y;
}

static PyObject *apply(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    enum { NAME, X, ISA, OUT };
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    qrnn_function function;
    struct module_state *const state = PyModule_GetState(module);
    if (arguments_bind(&state->apply, NULL, args, nargs, kwnames, values) < 0) return NULL;
    if (find_function(values[NAME], &function) < 0) return NULL;
    const char *const isa = values[ISA] ? arguments_text(values[ISA], "isa") : NULL;
    if (values[ISA] && !isa) return NULL;
    PyArrayObject *x = array_from(state, values[X], "x");
    if (!x) return NULL;
    result = apply_plain(function, isa, x, values[OUT]);
    if (result && !values[OUT] && !PyArray_CheckExact(values[X])) result = array_like(state, result, values[X]);
    Py_DECREF(x);
    return result;
}

/* --- threads --- */

static PyObject *set_num_threads(PyObject *module, PyObject *n)
{
    struct module_state *const state = PyModule_GetState(module);
    if (!PyIndex_Check(n) || PyBool_Check(n)) {
        PyErr_Format(PyExc_TypeError, "n: expected an int, got %s", Py_TYPE(n)->tp_name);
        return NULL;
    }
    const Py_ssize_t value = PyNumber_AsSsize_t(n, NULL);
    if (value == -1 && PyErr_Occurred()) return NULL;
    if (value < 1 || value == PY_SSIZE_T_MAX) {
        PyErr_Format(PyExc_ValueError, "n: expected %s, got %R", value < 1 ? "at least 1 thread" : "fewer threads", n);
        return NULL;
    }
    atomic_store_explicit(&state->threads, (size_t)value, memory_order_relaxed);
    Py_RETURN_NONE;
}

static PyObject *get_num_threads(PyObject *module, PyObject *Py_UNUSED(args))
{
    struct module_state *const state = PyModule_GetState(module);
    return PyLong_FromSize_t(atomic_load_explicit(&state->threads, memory_order_relaxed));
}

/* --- the table --- */

PyDoc_STRVAR(apply_doc, "apply($module, /, name, x, isa=None, out=None)\n--\n\n"
                        "Apply a function to each element, in float32.\n\n"
                        "Parameters\n----------\n"
                        "name : 'tanh', 'tanh_exact' (correctly rounded), 'sigmoid' or 'relu'\n"
                        "x : array_like, any shape\n"
                        "isa : str, optional\n"
                        "    The instruction set; None: the best.\n"
                        "out : ndarray, optional\n"
                        "    Takes the result: float32, C-contiguous, writeable, of the shape of `x`; may be `x`.\n\n"
                        "Returns\n-------\n"
                        "ndarray of float32, or a tensor if `x` is one; `out` if given");

PyDoc_STRVAR(set_num_threads_doc, "set_num_threads($module, n, /)\n--\n\n"
                                  "Let a call compute with up to `n` threads if it is long enough for them.\n\n"
                                  "The number changes no bit of a result. The default is 1.");

PyDoc_STRVAR(get_num_threads_doc, "get_num_threads($module, /)\n--\n\n"
                                  "How many threads a call may compute with.");

PyMethodDef extra_functions[] = {
    {"apply", FAST(apply), METH_FASTCALL | METH_KEYWORDS, apply_doc},
    {"set_num_threads", set_num_threads, METH_O, set_num_threads_doc},
    {"get_num_threads", get_num_threads, METH_NOARGS, get_num_threads_doc},
    {NULL, NULL, 0, NULL},
};
