/* shapes.h - checks the shapes of a call's arguments, in PyTorch's order and with its error texts. */
#ifndef QRNN_SHAPES_H
#define QRNN_SHAPES_H

#include "module_object.h"

/* The shape of an argument; `ndim` is NOT_GIVEN if the argument was left out. */
enum { NOT_GIVEN = -1 };

struct shape {
    int ndim;
    const npy_intp *dims;
};

static inline struct shape shape_of(PyArrayObject *array)
{
    return array ? (struct shape){PyArray_NDIM(array), PyArray_DIMS(array)} : (struct shape){NOT_GIVEN, NULL};
}

/* The shape of a result, and how many rows of a batch it has. */
struct result_shape {
    int ndim;
    npy_intp dims[MAX_DIMS];
    size_t batch;
};

/* Each check returns 0 and the shape of the result (for a cell, of the next h), or -1 with an exception set. */
int shapes_check_linear(const struct callee *callee, struct shape x, struct result_shape *result);
int shapes_check_cell(const struct callee *callee, struct shape x, struct shape h, struct shape c,
                      struct result_shape *result);

/* The sizes of a call for a sequence: the module's, and the input's. */
struct extent {
    npy_intp layers, directions;
    int batched;
    npy_intp steps, batch;
};

/* Fills in the sizes of the input. */
int shapes_check_sequence(const struct callee *callee, struct shape x, struct shape h, struct shape c,
                          struct extent *extent);
/* The shape of a state of `size` columns; returns its rank. */
int shapes_of_state(const struct extent *extent, npy_intp size, npy_intp *dims);

#endif
