/* numpy_api.c - the table of NumPy's functions, through which every file of this folder calls NumPy. */
#define QRNN_DEFINES_NUMPY_API
#include "numpy_api.h"

int numpy_api_import(void)
{
    return PyArray_ImportNumPyAPI();
}
