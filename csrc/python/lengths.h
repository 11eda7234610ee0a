/* lengths.h - the lengths of a batch's rows: copied from the caller's object, then checked. */
#ifndef QRNN_LENGTHS_H
#define QRNN_LENGTHS_H

#include "shapes.h"

struct lengths {
    size_t *values; /* NULL: all rows are as long as the input */
    Py_ssize_t count;
};

/* Copies the lengths from an array, a list, anything that can be iterated; may run Python code. The caller frees
 * `values` by PyMem_Free, also after a failure. */
int lengths_take(PyObject *object, struct lengths *lengths);
/* Against an input that was checked; 0 is a length where each row has its scale, so that none depends on the others. */
int lengths_check(const struct lengths *lengths, const struct extent *extent, int per_row);

#endif
