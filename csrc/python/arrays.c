/* arrays.c - NumPy arrays in and out. */
#include "arrays.h"

/* A function of qrnn._arrays, imported at its first use; a borrowed reference. If threads race to import it, one wins,
 * and its reference stays in the module's state. */
static PyObject *helper(_Atomic(PyObject *) *cache, const char *name)
{
    PyObject *found = atomic_load_explicit(cache, memory_order_acquire);
    if (found) return found;
    PyObject *module = PyImport_ImportModule("qrnn._arrays");
    if (!module) return NULL;
    PyObject *function = PyObject_GetAttrString(module, name);
    Py_DECREF(module);
    if (!function) return NULL;
    if (atomic_compare_exchange_strong(cache, &found, function)) return function;
    Py_DECREF(function);
    return found;
}

PyArrayObject *array_from(struct module_state *state, PyObject *object, const char *name)
{
    if (array_is_plain(object, NPY_FLOAT32)) return (PyArrayObject *)Py_NewRef(object);
    PyObject *to_float32 = helper(&state->to_float32, "to_float32");
    if (!to_float32) return NULL;
    PyObject *array = PyObject_CallFunction(to_float32, "Os", object, name);
    if (!array || array_is_plain(array, NPY_FLOAT32)) return (PyArrayObject *)array;
    PyErr_Format(PyExc_SystemError, "%s: qrnn._arrays.to_float32 gave no plain float32 array", name);
    Py_DECREF(array);
    return NULL;
}

PyObject *array_like(struct module_state *state, PyObject *result, PyObject *object)
{
    PyObject *converted = NULL;
    PyObject *like = helper(&state->like, "like");
    if (like) converted = PyObject_CallFunctionObjArgs(like, result, object, NULL);
    Py_DECREF(result);
    return converted;
}

PyArrayObject *array_new(int type, int ndim, const npy_intp *dims)
{
    /* The shortest way to make an array. It takes over the reference to the descriptor. */
    return (PyArrayObject *)PyArray_NewFromDescr(&PyArray_Type, PyArray_DescrFromType(type), ndim, dims, NULL, NULL, 0,
                                                 NULL);
}

static int same_shape(PyArrayObject *array, int ndim, const npy_intp *dims)
{
    if (PyArray_NDIM(array) != ndim) return 0;
    for (int i = 0; i < ndim; i++)
        if (PyArray_DIM(array, i) != dims[i]) return 0;
    return 1;
}

static void raise_out_shape(PyArrayObject *array, const char *name, int ndim, const npy_intp *dims)
{
    PyObject *got = PyArray_IntTupleFromIntp(PyArray_NDIM(array), PyArray_DIMS(array));
    PyObject *expected = PyArray_IntTupleFromIntp(ndim, dims);
    if (got && expected) PyErr_Format(PyExc_ValueError, "%s: expected shape %S, got %S", name, expected, got);
    Py_XDECREF(got);
    Py_XDECREF(expected);
}

static void raise_out(PyArrayObject *array, const char *name)
{
    const int flags = PyArray_FLAGS(array);
    if (!(flags & NPY_ARRAY_C_CONTIGUOUS))
        PyErr_Format(PyExc_ValueError, "%s: expected a C-contiguous array, got one that is not", name);
    else if (!(flags & NPY_ARRAY_WRITEABLE))
        PyErr_Format(PyExc_ValueError, "%s: expected a writeable array, got a read-only one", name);
    else
        PyErr_Format(PyExc_ValueError, "%s: expected an aligned array, got a misaligned one", name);
}

/* Raises that `out`, an array or something else, does not hold numbers of this type. */
static void raise_out_type(PyObject *out, const char *name, int type)
{
    PyArray_Descr *const expected = PyArray_DescrFromType(type);
    if (!expected) return;
    if (PyArray_Check(out))
        PyErr_Format(PyExc_ValueError, "%s: expected dtype %S, got %S", name, expected,
                     PyArray_DESCR((PyArrayObject *)out));
    else
        PyErr_Format(PyExc_TypeError, "%s: expected %s %S array, got %s", name, type == NPY_INT64 ? "an" : "a",
                     expected, Py_TYPE(out)->tp_name);
    Py_DECREF(expected);
}

/* Whether an array of a subclass may be written. A masked array may not: its mask would hide what is written. */
static int check_subclass(PyObject *out, const char *name)
{
    PyObject *module = PyImport_ImportModule("qrnn._arrays");
    PyObject *none = module ? PyObject_CallMethod(module, "expect_no_mask", "Os", out, name) : NULL;
    Py_XDECREF(module);
    Py_XDECREF(none);
    return none ? 0 : -1;
}

int array_check_out(PyObject *out, const char *name, int type, int ndim, const npy_intp *dims)
{
    enum { LAYOUT = NPY_ARRAY_C_CONTIGUOUS | NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE };
    if (!PyArray_CheckExact(out) && check_subclass(out, name) < 0) return -1;
    PyArrayObject *const array = (PyArrayObject *)out;
    if (!PyArray_Check(out) || PyArray_TYPE(array) != type || !PyArray_ISNOTSWAPPED(array))
        raise_out_type(out, name, type);
    else if (!same_shape(array, ndim, dims))
        raise_out_shape(array, name, ndim, dims);
    else if ((PyArray_FLAGS(array) & LAYOUT) != LAYOUT)
        raise_out(array, name);
    else
        return 0;
    return -1;
}

int array_overlap(PyArrayObject *a, PyArrayObject *b)
{
    if (!a || !b) return 0;
    const char *const a_data = PyArray_BYTES(a), *const b_data = PyArray_BYTES(b);
    return a_data < b_data + PyArray_NBYTES(b) && b_data < a_data + PyArray_NBYTES(a);
}
