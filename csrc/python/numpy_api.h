/* numpy_api.h - includes Python, NumPy and the core in the same way for every file of this folder. */
#ifndef QRNN_NUMPY_API_H
#define QRNN_NUMPY_API_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

/* The headers of NumPy >= 2, restricted to what the oldest supported NumPy has at run time. */
#define NPY_NO_DEPRECATED_API NPY_1_25_API_VERSION
#define NPY_TARGET_VERSION NPY_1_25_API_VERSION
#define PY_ARRAY_UNIQUE_SYMBOL qrnn_numpy_api
#ifndef QRNN_DEFINES_NUMPY_API
#define NO_IMPORT_ARRAY
#endif
#include <numpy/arrayobject.h>
#if NPY_ABI_VERSION < 0x02000000
#error "building needs the headers of NumPy 2 or later"
#endif

#include "qrnn.h"

#if PY_VERSION_HEX < 0x030D0000
#define Py_BEGIN_CRITICAL_SECTION(object) {
#define Py_END_CRITICAL_SECTION() }
#endif

/* Casts a function of another signature to PyCFunction, for a table of methods. */
#define FAST(function) (PyCFunction)(void (*)(void))(function)

/* Call it once, before any other function of NumPy. Returns -1 with an exception set on failure. */
int numpy_api_import(void);

enum { MAX_DIMS = 64 /* the most dimensions of an array in any NumPy; NPY_MAXDIMS is 32 before NumPy 2 */ };

#endif
