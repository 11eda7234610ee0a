/* arrays.h - NumPy arrays in and out. */
#ifndef QRNN_ARRAYS_H
#define QRNN_ARRAYS_H

#include "module_state.h"

/* Whether `object` is exactly an ndarray of this type, C-contiguous, aligned and in native byte order. */
static inline int array_is_plain(PyObject *object, int type)
{
    enum { LAYOUT = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED };
    if (!PyArray_CheckExact(object)) return 0;
    PyArrayObject *const array = (PyArrayObject *)object;
    return PyArray_TYPE(array) == type && (PyArray_FLAGS(array) & LAYOUT) == LAYOUT && PyArray_ISNOTSWAPPED(array);
}

/* A new reference to `object` if it is a plain float32 array, else to the array that qrnn._arrays.to_float32 makes of
 * it. May run Python code. */
PyArrayObject *array_from(struct module_state *state, PyObject *object, const char *name);
/* `result` converted to the type of container of `object`, which is not exactly an ndarray. Takes over `result`. */
PyObject *array_like(struct module_state *state, PyObject *result, PyObject *object);
PyArrayObject *array_new(int type, int ndim, const npy_intp *dims);
/* Checks that `out` can take a result of this type and shape; errors call it `name`. Returns 0, or -1 with an exception
 * set. */
int array_check_out(PyObject *out, const char *name, int type, int ndim, const npy_intp *dims);
/* Whether two C-contiguous arrays share memory; NULL shares none. */
int array_overlap(PyArrayObject *a, PyArrayObject *b);
/* The elements; NULL if `array` is NULL. */
static inline void *array_data(PyArrayObject *array)
{
    return array ? PyArray_DATA(array) : NULL;
}

#endif
