/* shapes.c - checks the shapes of a call's arguments, in PyTorch's order and with its error texts. */
#include "shapes.h"

static const char *class_name(const struct callee *callee)
{
    if (callee->self) return module_class_name(callee->self);
    return callee->flags & MODULE_SEQUENCE ? callee->kind->family : callee->kind->cell;
}

/* "<class>: Expected <what> to be <expected>, got <got>D instead" */
static int raise_rank(const struct callee *callee, const char *what, const char *expected, int got)
{
    PyErr_Format(PyExc_ValueError, "%s: Expected %s to be %s, got %dD instead", class_name(callee), what, expected,
                 got);
    return -1;
}

static int raise_input_size(npy_intp got, npy_intp expected)
{
    PyErr_Format(PyExc_RuntimeError, "input has inconsistent input_size: got %zd, expected %zd", got, expected);
    return -1;
}

/* --- a linear --- */

int shapes_check_linear(const struct callee *callee, struct shape x, struct result_shape *result)
{
    const int last = x.ndim - 1;
    if (last < 0 || last >= MAX_DIMS) return raise_rank(callee, "input", "at least 1D", x.ndim);
    if (x.dims[last] != callee->columns) return raise_input_size(x.dims[last], callee->columns);
    result->ndim = x.ndim;
    result->batch = 1;
    for (int i = 0; i < last; i++) {
        result->dims[i] = x.dims[i];
        result->batch *= (size_t)x.dims[i];
    }
    result->dims[last] = callee->hidden;
    return 0;
}

/* --- a cell --- */

/* The names of a state in error texts, about its rank and about its sizes. */
struct label {
    const char *rank, *sizes;
};

static const struct label single_label = {"hidden", "hidden"};
static const struct label pair_labels[2] = {{"hx[0]", "hidden[0]"}, {"hx[1]", "hidden[1]"}};

static int check_cell_rank(const struct callee *callee, struct shape h, const struct label *label)
{
    return h.ndim == 0 || h.ndim > 2 ? raise_rank(callee, label->rank, "1D or 2D", h.ndim) : 0;
}

/* Checks a state of `size` columns against an x that has been checked. PyTorch compares the batch first, whatever the
 * rank of h is. So for a state without a batch, given with a batch of rows, the error is about its batch. */
static int check_cell_state(const struct callee *callee, struct shape h, npy_intp size,
                            const struct result_shape *result, const struct label *label)
{
    const npy_intp batch = result->dims[0];
    if (h.ndim > result->ndim) return raise_rank(callee, label->rank, "1D for an input that is 1D", h.ndim);
    if (result->ndim == 2 && h.dims[0] != batch) {
        PyErr_Format(PyExc_RuntimeError, "Input batch size %zd doesn't match %s batch size %zd", batch, label->sizes,
                     h.dims[0]);
        return -1;
    }
    if (h.ndim < result->ndim) return raise_rank(callee, label->rank, "2D for an input that is 2D", h.ndim);
    if (h.dims[h.ndim - 1] != size) {
        PyErr_Format(PyExc_RuntimeError, "%s has inconsistent hidden_size: got %zd, expected %zd", label->sizes,
                     h.dims[h.ndim - 1], size);
        return -1;
    }
    return 0;
}

int shapes_check_cell(const struct callee *callee, struct shape x, struct shape h, struct shape c,
                      struct result_shape *result)
{
    const struct label *const label = callee->kind->states == 2 ? &pair_labels[0] : &single_label;
    if (x.ndim < 1 || x.ndim > 2) return raise_rank(callee, "input", "1D or 2D", x.ndim);
    if (check_cell_rank(callee, h, label) < 0 || check_cell_rank(callee, c, &pair_labels[1]) < 0) return -1;
    if (x.dims[x.ndim - 1] != callee->columns) return raise_input_size(x.dims[x.ndim - 1], callee->columns);
    result->ndim = x.ndim;
    result->dims[0] = x.dims[0];
    result->batch = x.ndim == 1 ? 1 : (size_t)x.dims[0];
    result->dims[x.ndim - 1] = callee->state;
    if (h.ndim != NOT_GIVEN && check_cell_state(callee, h, callee->state, result, label) < 0) return -1;
    return c.ndim != NOT_GIVEN ? check_cell_state(callee, c, callee->hidden, result, &pair_labels[1]) : 0;
}

/* --- a sequence --- */

static int check_input_rank(const struct callee *callee, struct shape x)
{
    if (x.ndim == 2 || x.ndim == 3) return 0;
    /* Only PyTorch's nn.RNN says "tensor" here. */
    PyErr_Format(PyExc_ValueError, "%s: Expected input to be 2D or 3D, got %dD%s instead", class_name(callee), x.ndim,
                 callee->kind->gates == 1 ? " tensor" : "");
    return -1;
}

static int check_state_rank(struct shape h, struct shape c, int batched)
{
    const int rank = batched ? 3 : 2;
    const char *const what = batched ? "batched" : "unbatched";
    if (h.ndim == NOT_GIVEN || (h.ndim == rank && (c.ndim == NOT_GIVEN || c.ndim == rank))) return 0;
    if (c.ndim != NOT_GIVEN)
        PyErr_Format(PyExc_RuntimeError,
                     "For %s %d-D input, hx and cx should also be %d-D but got (%d-D, %d-D) tensors", what, rank, rank,
                     h.ndim, c.ndim);
    else
        PyErr_Format(PyExc_RuntimeError, "For %s %d-D input, hx should also be %d-D but got %d-D tensor", what, rank,
                     rank, h.ndim);
    return -1;
}

int shapes_of_state(const struct extent *extent, npy_intp size, npy_intp *dims)
{
    int ndim = 0;
    dims[ndim++] = extent->layers * extent->directions;
    if (extent->batched) dims[ndim++] = extent->batch;
    dims[ndim++] = size;
    return ndim;
}

/* Checks a state of the right rank against an x that has been checked. */
static int check_state(const struct extent *extent, struct shape h, npy_intp size, const char *label)
{
    npy_intp dims[3];
    const int ndim = shapes_of_state(extent, size, dims);
    if (h.ndim == NOT_GIVEN || PyArray_CompareLists(h.dims, dims, ndim)) return 0;
    PyErr_Format(PyExc_RuntimeError, "Expected %s size (%zd, %zd, %zd), got [%zd, %zd, %zd]", label, dims[0],
                 extent->batch, size, h.dims[0], extent->batched ? h.dims[1] : 1, h.dims[ndim - 1]);
    return -1;
}

int shapes_check_sequence(const struct callee *callee, struct shape x, struct shape h, struct shape c,
                          struct extent *extent)
{
    const int batch_first = callee->flags & MODULE_BATCH_FIRST, pair = callee->kind->states == 2;
    if (check_input_rank(callee, x) < 0) return -1;
    extent->batched = x.ndim == 3;
    if (check_state_rank(h, c, extent->batched) < 0) return -1;
    if (x.dims[x.ndim - 1] != callee->columns) {
        PyErr_Format(PyExc_RuntimeError, "input.size(-1) must be equal to input_size. Expected %zd, got %zd",
                     callee->columns, x.dims[x.ndim - 1]);
        return -1;
    }
    extent->steps = x.dims[extent->batched && batch_first];
    extent->batch = extent->batched ? x.dims[!batch_first] : 1;
    if (check_state(extent, h, callee->state, pair ? "hidden[0]" : "hidden") < 0) return -1;
    if (check_state(extent, c, callee->hidden, "hidden[1]") < 0) return -1;
    if (extent->steps > 0) return 0;
    PyErr_SetString(PyExc_RuntimeError, "Expected sequence length to be larger than 0 in RNN");
    return -1;
}
