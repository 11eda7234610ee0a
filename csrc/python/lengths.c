/* lengths.c - the lengths of a batch's rows: copies them from the caller's object, then checks them. */
#include "lengths.h"
#include "arrays.h"

/* The elements of an array of intp; NULL if `object` is something else. */
static const npy_intp *plain_lengths(PyObject *object, Py_ssize_t *count)
{
    if (!array_is_plain(object, NPY_INTP) || PyArray_NDIM((PyArrayObject *)object) != 1) return NULL;
    *count = PyArray_DIM((PyArrayObject *)object, 0);
    return PyArray_DATA((PyArrayObject *)object);
}

/* Converts an int to a length. An int beyond Py_ssize_t becomes its least or largest value; neither is a valid
 * length. */
static int take_length(PyObject *item, size_t *length)
{
    const Py_ssize_t value = PyNumber_AsSsize_t(item, NULL);
    *length = (size_t)value;
    if (value != -1 || !PyErr_Occurred()) return 0;
    if (PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_TypeError, "lengths: expected integers, got %s", Py_TYPE(item)->tp_name);
    return -1;
}

static int raise_lengths(PyObject *object)
{
    PyErr_Format(PyExc_TypeError, "lengths: expected a sequence of integers, one for each batch row, got %s",
                 Py_TYPE(object)->tp_name);
    return -1;
}

int lengths_take(PyObject *object, struct lengths *lengths)
{
    const npy_intp *const plain = plain_lengths(object, &lengths->count);
    PyObject *items = NULL;
    if (!plain) {
        if (PyAnySet_Check(object) || PyDict_Check(object)) return raise_lengths(object);
        items = PySequence_Tuple(object);
        if (!items) return PyErr_ExceptionMatches(PyExc_TypeError) ? raise_lengths(object) : -1;
        lengths->count = PyTuple_GET_SIZE(items);
    }
    int status = 0;
    lengths->values = PyMem_New(size_t, (size_t)lengths->count + 1);
    if (!lengths->values) {
        PyErr_NoMemory();
        status = -1;
    }
    for (Py_ssize_t i = 0; i < lengths->count && status == 0; i++)
        if (plain)
            lengths->values[i] = (size_t)plain[i];
        else
            status = take_length(PyTuple_GET_ITEM(items, i), &lengths->values[i]);
    Py_XDECREF(items);
    return status;
}

int lengths_check(const struct lengths *lengths, const struct extent *extent, int per_row)
{
    const size_t least = per_row ? 0 : 1;
    if (lengths->count != extent->batch) {
        PyErr_Format(PyExc_ValueError, "lengths: expected %zd, one for each batch row, got %zd", extent->batch,
                     lengths->count);
        return -1;
    }
    for (Py_ssize_t i = 0; i < lengths->count; i++)
        if (lengths->values[i] < least || lengths->values[i] > (size_t)extent->steps) {
            PyErr_Format(PyExc_ValueError, "lengths: expected %zu to %zd, got %zd for batch row %zd", least,
                         extent->steps, (Py_ssize_t)lengths->values[i], i);
            return -1;
        }
    return 0;
}
