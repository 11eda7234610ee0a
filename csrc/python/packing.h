/* packing.h - packs arrays into weights, and unpacks them. */
#ifndef QRNN_PACKING_H
#define QRNN_PACKING_H

#include "numpy_api.h"

/* Methods: Module._pack, Module._unpack, Module._take_packed. */
PyObject *module_pack(PyObject *self, PyTypeObject *definer, PyObject *const *args, Py_ssize_t nargs,
                      PyObject *kwnames);
PyObject *module_unpack(PyObject *self, PyObject *args);
PyObject *module_take_packed(PyObject *self, PyTypeObject *definer, PyObject *const *args, Py_ssize_t nargs,
                             PyObject *kwnames);

#endif
