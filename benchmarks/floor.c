/* What a Python call on two arrays costs that computes nothing: both are checked, the result is made.
 * one(x, h) returns a new array like h; two(x, h) a pair of them, as an LSTM does. */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#define NPY_NO_DEPRECATED_API NPY_1_20_API_VERSION
#include <numpy/arrayobject.h>

static PyArrayObject *checked(PyObject *value)
{
    if (!PyArray_CheckExact(value)) return NULL;
    PyArrayObject *const array = (PyArrayObject *)value;
    const int fits = PyArray_TYPE(array) == NPY_FLOAT32 && PyArray_NDIM(array) == 2;
    return fits && PyArray_ISCARRAY_RO(array) ? array : NULL;
}

static PyObject *like_second(PyObject *const *arguments, Py_ssize_t count)
{
    PyArrayObject *const x = count == 2 ? checked(arguments[0]) : NULL;
    PyArrayObject *const h = x ? checked(arguments[1]) : NULL;
    if (!h || PyArray_DIM(x, 0) != PyArray_DIM(h, 0)) {
        PyErr_SetString(PyExc_TypeError, "expected two float32 arrays of as many rows");
        return NULL;
    }
    return PyArray_SimpleNew(2, PyArray_DIMS(h), NPY_FLOAT32);
}

static PyObject *one(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    return like_second(arguments, count);
}

static PyObject *two(PyObject *self, PyObject *const *arguments, Py_ssize_t count)
{
    (void)self;
    PyObject *const h = like_second(arguments, count), *const c = h ? like_second(arguments, count) : NULL;
    PyObject *const pair = c ? PyTuple_Pack(2, h, c) : NULL;
    Py_XDECREF(h);
    Py_XDECREF(c);
    return pair;
}

static PyMethodDef functions[] = {
    {"one", (PyCFunction)(void (*)(void))one, METH_FASTCALL, NULL},
    {"two", (PyCFunction)(void (*)(void))two, METH_FASTCALL, NULL},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "floor_of_a_call", NULL, -1, functions, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit_floor_of_a_call(void)
{
    import_array();
    return PyModule_Create(&definition);
}
