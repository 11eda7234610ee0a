/* arrays.h - NumPy arrays in and out. */
#ifndef QRNN_ARRAYS_H
#define QRNN_ARRAYS_H

#include "module_state.h"

/* Whether an exact ndarray of this type, C-contiguous, aligned and in native byte order. */
static inline int array_is_plain(PyObject *object, int type)
{
    enum { LAYOUT = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED };
    if (!PyArray_CheckExact(object)) return 0;
    PyArrayObject *const array = (PyArrayObject *)object;
    return PyArray_TYPE(array) == type && (PyArray_FLAGS(array) & LAYOUT) == LAYOUT && PyArray_ISNOTSWAPPED(array);
}

/* A new reference to `object` if it is a plain float32 array, else to what qrnn._arrays.to_float32
 * makes of it. May run Python code. */
PyArrayObject *array_from(struct module_state *state, PyObject *object, const char *name);
/* `result` in the kind of container that `object`, no exact ndarray, is. Takes over `result`. */
PyObject *array_like(struct module_state *state, PyObject *result, PyObject *object);
PyArrayObject *array_new(int type, int ndim, const npy_intp *dims);
/* Checks `out`, by that name, for a result of this type and shape. Returns 0, or -1 with an exception set. */
int array_check_out(PyObject *out, const char *name, int type, int ndim, const npy_intp *dims);
/* Whether two C-contiguous arrays share memory; nothing (NULL) shares none. */
int array_overlap(PyArrayObject *a, PyArrayObject *b);
/* The elements, or NULL of no array. */
static inline void *array_data(PyArrayObject *array)
{
    return array ? PyArray_DATA(array) : NULL;
}

#endif
