/* lengths.h - the lengths of a batch's rows: copies them from the caller's object, then checks them. */
#ifndef QRNN_LENGTHS_H
#define QRNN_LENGTHS_H

#include "shapes.h"

struct lengths {
    size_t *values; /* NULL: all rows have the length of the input */
    Py_ssize_t count;
};

/* Copies the lengths from an array, a list or another iterable; may run Python code. The caller frees `values` with
 * PyMem_Free, also after a failure. */
int lengths_take(PyObject *object, struct lengths *lengths);
/* Checks the lengths against an input that has been checked. A length of 0 is allowed if each row has its own scale
 * (`per_row`), so that no row depends on others. */
int lengths_check(const struct lengths *lengths, const struct extent *extent, int per_row);

#endif
