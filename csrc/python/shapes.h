/* shapes.h - checks of the shapes of a call's arguments, in PyTorch's order and with its texts. */
#ifndef QRNN_SHAPES_H
#define QRNN_SHAPES_H

#include "module_object.h"

/* The shape of an argument; `ndim` is NOT_GIVEN of one that was left out. */
enum { NOT_GIVEN = -1 };

struct shape {
    int ndim;
    const npy_intp *dims;
};

static inline struct shape shape_of(PyArrayObject *array)
{
    return array ? (struct shape){PyArray_NDIM(array), PyArray_DIMS(array)} : (struct shape){NOT_GIVEN, NULL};
}

/* The shape of a result, and the rows of the batch in it. */
struct result_shape {
    int ndim;
    npy_intp dims[MAX_DIMS];
    size_t batch;
};

/* Each check returns 0 and the shape of the result (of a cell, the next h), or -1 with an exception set. */
int shapes_check_linear(const struct callee *callee, struct shape x, struct result_shape *result);
int shapes_check_cell(const struct callee *callee, struct shape x, struct shape h, struct shape c,
                      struct result_shape *result);

/* Sizes of a call of a sequence: those of the module, and those that the input has. */
struct extent {
    npy_intp layers, directions;
    int batched;
    npy_intp steps, batch;
};

/* Fills in what the input says. */
int shapes_check_sequence(const struct callee *callee, struct shape x, struct shape h, struct shape c,
                          struct extent *extent);
/* The shape of a state of `size` columns; returns its rank. */
int shapes_of_state(const struct extent *extent, npy_intp size, npy_intp *dims);

#endif
