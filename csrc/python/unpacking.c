/* unpacking.c - Module._unpack, which turns packed weights into arrays, and _take_packed, which shares them with
 * another module. */
#include "packing.h"
#include "arrays.h"
#include "module_object.h"

#include <string.h>

static PyArrayObject *unpack_weight(const qrnn_module *packed, size_t matrix)
{
    const npy_intp dims[2] = {(npy_intp)qrnn_module_rows(packed, matrix), (npy_intp)qrnn_module_cols(packed, matrix)};
    const int quantized = qrnn_module_is_coded(packed, matrix);
    PyArrayObject *array = array_new(quantized ? NPY_INT8 : NPY_FLOAT32, 2, dims);
    if (!array) return NULL;
    qrnn_module_unpack(packed, matrix, quantized ? NULL : PyArray_DATA(array), quantized ? PyArray_DATA(array) : NULL,
                       NULL, NULL);
    return array;
}

static PyArrayObject *unpack_scale(const qrnn_module *packed, size_t matrix, int ndim)
{
    const npy_intp dims[1] = {(npy_intp)qrnn_module_n_scale(packed, matrix)};
    PyArrayObject *array = array_new(NPY_FLOAT32, ndim, dims);
    if (array) qrnn_module_unpack(packed, matrix, NULL, NULL, PyArray_DATA(array), NULL);
    return array;
}

static PyArrayObject *unpack_bias(const qrnn_module *packed, size_t matrix)
{
    const npy_intp dims[1] = {(npy_intp)qrnn_module_rows(packed, matrix)};
    PyArrayObject *array = array_new(NPY_FLOAT32, 1, dims);
    if (array) qrnn_module_unpack(packed, matrix, NULL, NULL, NULL, PyArray_DATA(array));
    return array;
}

static PyObject *unpack(const qrnn_module *packed, size_t matrix, const char *what, int scale_ndim)
{
    if (strcmp(what, "weight") == 0) return (PyObject *)unpack_weight(packed, matrix);
    if (strcmp(what, "scale") == 0) {
        if (!qrnn_module_is_coded(packed, matrix)) Py_RETURN_NONE;
        return (PyObject *)unpack_scale(packed, matrix, scale_ndim);
    }
    if (strcmp(what, "bias") == 0) {
        if (!qrnn_module_has_bias(packed, matrix)) Py_RETURN_NONE;
        return (PyObject *)unpack_bias(packed, matrix);
    }
    if (strcmp(what, "activations") == 0) return PyUnicode_FromString(qrnn_module_activations(packed, matrix));
    PyErr_Format(PyExc_ValueError, "what: expected weight, scale, bias or activations, got '%s'", what);
    return NULL;
}

PyObject *module_unpack(PyObject *self, PyObject *args)
{
    PyObject *place, *scale_ndim, *array = NULL;
    const char *what;
    struct callee callee;
    if (!PyArg_ParseTuple(args, "Os:_unpack", &place, &what)) return NULL;
    const Py_ssize_t index = PyNumber_AsSsize_t(place, NULL); /* an int that is too large becomes the largest
                                                                 Py_ssize_t */
    if (index == -1 && PyErr_Occurred()) return NULL;
    if (callee_hold_scales((struct module_object *)self, &callee, &scale_ndim) < 0) return NULL;
    const Py_ssize_t count = PyBytes_GET_SIZE(scale_ndim);
    if (index >= 0 && index < count)
        array = unpack(callee.packed, (size_t)index, what, PyBytes_AS_STRING(scale_ndim)[index]);
    else
        PyErr_Format(PyExc_ValueError, "index: expected 0 to %zd, got %R", count - 1, place);
    callee_release(&callee);
    Py_DECREF(scale_ndim);
    return array;
}

PyObject *module_take_packed(PyObject *self, PyTypeObject *definer, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames)
{
    struct callee callee;
    PyObject *scale_ndim;
    struct module_state *const state = PyType_GetModuleState(definer);
    if (nargs != 1 || (kwnames && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_SetString(PyExc_TypeError, "_take_packed() takes exactly one positional argument");
        return NULL;
    }
    if (!PyObject_TypeCheck(args[0], state->module_type)) {
        PyErr_Format(PyExc_TypeError, "other: expected a Module, got %s", Py_TYPE(args[0])->tp_name);
        return NULL;
    }
    if (callee_hold_scales((struct module_object *)args[0], &callee, &scale_ndim) < 0) return NULL;
    module_swap((struct module_object *)self, state, callee.packed, callee.flags, scale_ndim);
    Py_RETURN_NONE;
}
