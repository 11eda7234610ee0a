/* dispatch.h - a call of a module: binds the arguments and selects the function that computes it. */
#ifndef QRNN_DISPATCH_H
#define QRNN_DISPATCH_H

#include "numpy_api.h"

PyObject *module_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames);
PyObject *module_tp_call(PyObject *self, PyObject *args, PyObject *kwargs);
/* Methods: Module.forward, Module._forward_layers. */
PyObject *module_forward(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);
PyObject *module_forward_layers(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames);

#endif
