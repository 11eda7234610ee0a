/* call_sequence.c - a call of a module for whole sequences. An input of two dimensions is one sequence without a batch,
 * as in PyTorch. */
#include "calls.h"
#include "arrays.h"
#include "lengths.h"
#include "results.h"
#include "signals.h"
#include "states.h"

/* The arguments of a call, as new references. */
struct sequence {
    const struct callee *callee;
    struct extent extent;
    PyArrayObject *x, *h, *c; /* h and c: NULL for zeros */
    struct lengths lengths;
    PyObject *output, *h_out, *c_out; /* where the caller wants results, or NULL */
    int wants_inside; /* 1: the call also returns what happens inside the layers: */
    PyArrayObject *below, *inner; /* outputs of the layers below the last; what is multiplied inside a step, or NULL */
    PyArrayObject *slopes; /* the mean squared slopes of each step */
};

/* Whether the state is a pair (h, c). */
static int has_c(const struct sequence *s)
{
    return s->callee->kind->states == 2;
}

/* --- results --- */

/* The results before they reach the caller: output, h_n, c_n. */
struct results {
    struct result output, h, c;
};

/* The shape of the output; returns its rank. */
static int output_dims(const struct sequence *s, npy_intp *dims)
{
    const int batch_first = s->callee->flags & MODULE_BATCH_FIRST;
    int ndim = 0;
    if (s->extent.batched && batch_first) dims[ndim++] = s->extent.batch;
    dims[ndim++] = s->extent.steps;
    if (s->extent.batched && !batch_first) dims[ndim++] = s->extent.batch;
    dims[ndim++] = s->extent.directions * s->callee->state;
    return ndim;
}

static int check_outs(const struct sequence *s)
{
    npy_intp dims[3];
    PyArrayObject *const output = (PyArrayObject *)s->output, *const h = (PyArrayObject *)s->h_out;
    PyArrayObject *const c = (PyArrayObject *)s->c_out;
    if (!output) return 0;
    int ndim = output_dims(s, dims);
    if (array_check_out(s->output, h ? "out[0]" : "out", NPY_FLOAT32, ndim, dims) < 0) return -1;
    if (!h) return 0;
    ndim = shapes_of_state(&s->extent, s->callee->state, dims);
    if (array_check_out(s->h_out, c ? "out[1][0]" : "out[1]", NPY_FLOAT32, ndim, dims) < 0) return -1;
    ndim = shapes_of_state(&s->extent, s->callee->hidden, dims);
    if (c && array_check_out(s->c_out, "out[1][1]", NPY_FLOAT32, ndim, dims) < 0) return -1;
    if (!array_overlap(output, h) && !array_overlap(output, c) && !array_overlap(h, c)) return 0;
    PyErr_SetString(PyExc_ValueError, "out: expected arrays that share no memory, got some that do");
    return -1;
}

/* Whether the core may write to the caller's output while it computes. It may not if the output overlaps an argument,
 * or if the call may still fail, as with one scale for the batch, which a later step may be unable to choose. Final
 * states are written only at the end, so the caller's state survives Ctrl-C. */
static int output_is_clear(const struct sequence *s)
{
    PyArrayObject *const output = (PyArrayObject *)s->output;
    if (qrnn_module_shares_scale(s->callee->packed)) return 0;
    return !array_overlap(output, s->x) && !array_overlap(output, s->h) && !array_overlap(output, s->c);
}

static int open_results(const struct sequence *s, struct results *r)
{
    npy_intp dims[3];
    int ndim = output_dims(s, dims);
    if (result_open(&r->output, s->output, output_is_clear(s), ndim, dims) < 0) return -1;
    ndim = shapes_of_state(&s->extent, s->callee->state, dims);
    if (result_open(&r->h, s->h_out, 0, ndim, dims) < 0) return -1;
    if (!has_c(s)) return 0;
    ndim = shapes_of_state(&s->extent, s->callee->hidden, dims);
    return result_open(&r->c, s->c_out, 0, ndim, dims);
}

static int open_inside(struct sequence *s)
{
    npy_intp dims[4] = {s->extent.layers - 1};
    const int ndim = 1 + output_dims(s, dims + 1);
    if (!s->wants_inside) return 0;
    s->below = array_new(NPY_FLOAT32, ndim, dims);
    if (!s->below) return -1;
    dims[0] = s->extent.layers * s->extent.directions;
    dims[ndim - 1] = s->callee->hidden;
    s->slopes = array_new(NPY_FLOAT32, ndim - 1, dims);
    if (!s->slopes) return -1;
    if (!s->callee->kind->resets_before && qrnn_module_proj_size(s->callee->packed) == 0) return 0;
    s->inner = array_new(NPY_FLOAT32, ndim, dims);
    return s->inner ? 0 : -1;
}

/* (output, h_n) or (output, (h_n, c_n)); takes over the references. */
static PyObject *finish_results(const struct sequence *s, struct results *r)
{
    result_finish(&r->output);
    result_finish(&r->h);
    if (has_c(s)) result_finish(&r->c);
    PyObject *states = (PyObject *)r->h.array;
    if (has_c(s)) states = pair_of(states, (PyObject *)r->c.array);
    return pair_of((PyObject *)r->output.array, states);
}

/* --- computing --- */

/* Multiply-adds of one row in one step, over all layers and directions. */
static double work_of(const struct sequence *s)
{
    const struct callee *const callee = s->callee;
    const double rows = (double)callee->kind->gates * (double)callee->hidden;
    const double above = (double)(s->extent.layers - 1) * (double)(s->extent.directions * callee->state);
    const double state = (double)s->extent.layers * (double)callee->state;
    return rows * (double)s->extent.directions * ((double)callee->columns + above + state);
}

static int compute(const struct sequence *s, const struct results *r)
{
    struct module_state *const state = s->callee->self->state;
    qrnn_status status;
    size_t step = 0;
    struct watch watch;
    qrnn_run run = {
        .steps = (size_t)s->extent.steps,
        .batch = (size_t)s->extent.batch,
        .batch_first = s->extent.batched && s->callee->flags & MODULE_BATCH_FIRST,
        .x = PyArray_DATA(s->x),
        .h = array_data(s->h),
        .c = array_data(s->c),
        .lengths = s->lengths.values,
        .out = PyArray_DATA(r->output.array),
        .h_out = PyArray_DATA(r->h.array),
        .c_out = array_data(r->c.array),
        .below = array_data(s->below),
        .inner = array_data(s->inner),
        .slopes = array_data(s->slopes),
        .threads = module_threads(s->callee),
    };
    if (work_of(s) * (double)s->extent.steps * (double)s->extent.batch < THREADS_THRESHOLD) {
        status = qrnn_sequence(s->callee->packed, &run, &step);
    } else {
        run.stop = signals_ask;
        run.context = &watch;
        signals_watch(&watch, state);
        status = qrnn_sequence(s->callee->packed, &run, &step);
        PyEval_RestoreThread(watch.thread);
    }
    return status == QRNN_OK ? 0 : call_raise(s->callee, status, &step);
}

static int check(struct sequence *s)
{
    if (shapes_check_sequence(s->callee, shape_of(s->x), shape_of(s->h), shape_of(s->c), &s->extent) < 0) return -1;
    const int per_row = !qrnn_module_shares_scale(s->callee->packed);
    if (s->lengths.values && lengths_check(&s->lengths, &s->extent, per_row) < 0) return -1;
    return check_outs(s);
}

static PyObject *call_converted(struct sequence *s)
{
    struct results r = {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}};
    if (check(s) < 0) return NULL;
    if (open_results(s, &r) < 0 || open_inside(s) < 0 || compute(s, &r) < 0) {
        Py_XDECREF(r.output.array);
        Py_XDECREF(r.h.array);
        Py_XDECREF(r.c.array);
        return NULL;
    }
    return finish_results(s, &r);
}

/* --- arguments --- */

/* `out`: the output's array, or a tuple shaped like the result. */
static int take_out(struct sequence *s, PyObject *out)
{
    PyObject *states;
    const char *const what = has_c(s) ? "output, (h_n, c_n)" : "output, h_n";
    if (PyArray_Check(out)) {
        s->output = Py_NewRef(out);
        return 0;
    }
    if (!PyTuple_Check(out) && !PyList_Check(out)) {
        PyErr_Format(PyExc_TypeError, "out: expected a float32 array or a tuple (%s), got %s", what,
                     Py_TYPE(out)->tp_name);
        return -1;
    }
    if (pair_split(out, "out", what, &s->output, &states) < 0) return -1;
    if (!has_c(s)) {
        s->h_out = states;
        return 0;
    }
    const int status = pair_split(states, "out[1]", "h_n, c_n", &s->h_out, &s->c_out);
    Py_DECREF(states);
    return status;
}

/* (result, below, inner or None, slopes). */
static PyObject *with_inside(const struct sequence *s, PyObject *result)
{
    PyObject *const inner = s->inner ? (PyObject *)s->inner : Py_None;
    return PyTuple_Pack(4, result, (PyObject *)s->below, inner, (PyObject *)s->slopes);
}

static PyObject *convert_and_call(const struct callee *callee, PyObject *const *values, int wants_inside)
{
    enum { INPUT, HX, LENGTHS, OUT };
    struct module_state *const state = callee->self->state;
    PyObject *result = NULL, *held[4];
    struct sequence s = {.callee = callee,
                         .wants_inside = wants_inside,
                         .extent = {.layers = (npy_intp)qrnn_module_layers(callee->packed),
                                    .directions = (npy_intp)qrnn_module_directions(callee->packed)}};
    callee_keep(callee);
    for (int i = 0; i < 4; i++) held[i] = Py_XNewRef(values[i]);
    s.x = array_from(state, held[INPUT], "input");
    if (!s.x) goto exit;
    if (held[HX] && states_take(state, callee->kind, held[HX], &s.h, &s.c) < 0) goto exit;
    if (held[LENGTHS] && lengths_take(held[LENGTHS], &s.lengths) < 0) goto exit;
    if (held[OUT] && take_out(&s, held[OUT]) < 0) goto exit;
    result = call_converted(&s);
    if (result && !held[OUT] && !PyArray_CheckExact(held[INPUT])) result = array_like(state, result, held[INPUT]);
    if (result && wants_inside) Py_SETREF(result, with_inside(&s, result));

exit:
    Py_XDECREF(s.x);
    Py_XDECREF(s.h);
    Py_XDECREF(s.c);
    Py_XDECREF(s.output);
    Py_XDECREF(s.h_out);
    Py_XDECREF(s.c_out);
    Py_XDECREF(s.below);
    Py_XDECREF(s.inner);
    Py_XDECREF(s.slopes);
    PyMem_Free(s.lengths.values);
    for (int i = 0; i < 4; i++) Py_XDECREF(held[i]);
    callee_release(callee);
    return result;
}

PyObject *call_sequence(const struct callee *callee, PyObject *const *values)
{
    return convert_and_call(callee, values, 0);
}

PyObject *call_sequence_layers(const struct callee *callee, PyObject *const *values)
{
    return convert_and_call(callee, values, 1);
}
