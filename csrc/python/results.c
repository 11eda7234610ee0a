/* results.c - makes room for the result of a call, and hands the result to the caller. */
#include "results.h"
#include "arrays.h"

#include <string.h>

int result_open(struct result *r, PyObject *out, int direct, int ndim, const npy_intp *dims)
{
    r->out = (PyArrayObject *)out;
    r->array = out && direct ? (PyArrayObject *)Py_NewRef(out) : array_new(NPY_FLOAT32, ndim, dims);
    return r->array ? 0 : -1;
}

void result_finish(struct result *r)
{
    if (!r->out || r->array == r->out) return;
    memcpy(PyArray_DATA(r->out), PyArray_DATA(r->array), (size_t)PyArray_NBYTES(r->array));
    Py_SETREF(r->array, (PyArrayObject *)Py_NewRef((PyObject *)r->out));
}
