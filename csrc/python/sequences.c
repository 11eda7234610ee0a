/* sequences.c - a call of a module for whole sequences: check, allocate, compute; Ctrl-C meanwhile.
 *
 * Shapes are PyTorch's: an input of two dimensions is one sequence without a batch.
 */
#include "binding.h"

#include <string.h>
#include <time.h>
#include <unistd.h>

/* A call's arguments, as references of its own. */
struct sequence {
    const struct callee *callee;
    npy_intp layers, directions;
    PyArrayObject *x, *h, *c;        /* h and c: NULL for zeros */
    size_t *lengths;                 /* NULL: all rows are as long as the input */
    Py_ssize_t n_lengths;
    PyObject *output, *h_out, *c_out; /* where the caller wants results, or NULL */
    int wants_below;                  /* outputs of the layers below the last too: */
    PyArrayObject *below;
    /* Of x, once it is checked: */
    int batched;
    npy_intp steps, batch;
};

static int is_lstm(const struct sequence *s)
{
    return s->callee->kind == QRNN_LSTM;
}

/* --- lengths --- */

/* The elements of an array of intp, or NULL if `object` is none. */
static const npy_intp *plain_lengths(PyObject *object, Py_ssize_t *n)
{
    if (!array_is_plain(object, NPY_INTP) || PyArray_NDIM((PyArrayObject *)object) != 1) return NULL;
    *n = PyArray_DIM((PyArrayObject *)object, 0);
    return PyArray_DATA((PyArrayObject *)object);
}

/* An int as a length: those out of range of Py_ssize_t become its ends, which no length is. */
static int take_length(PyObject *item, size_t *length)
{
    const Py_ssize_t value = PyNumber_AsSsize_t(item, NULL);
    *length = (size_t)value;
    if (value != -1 || !PyErr_Occurred()) return 0;
    if (PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Format(PyExc_TypeError, "lengths: expected integers, got %s", Py_TYPE(item)->tp_name);
    return -1;
}

static int raise_lengths(PyObject *object)
{
    PyErr_Format(PyExc_TypeError, "lengths: expected a sequence of integers, one a batch row, got %s",
                 Py_TYPE(object)->tp_name);
    return -1;
}

/* Copies the lengths from an array, a list, anything that can be iterated. May run Python code. */
static int take_lengths(struct sequence *s, PyObject *object)
{
    const npy_intp *const plain = plain_lengths(object, &s->n_lengths);
    PyObject *items = NULL;
    if (!plain) {
        if (PyAnySet_Check(object) || PyDict_Check(object)) return raise_lengths(object);
        items = PySequence_Tuple(object);
        if (!items) return PyErr_ExceptionMatches(PyExc_TypeError) ? raise_lengths(object) : -1;
        s->n_lengths = PyTuple_GET_SIZE(items);
    }
    int status = 0;
    s->lengths = PyMem_New(size_t, (size_t)s->n_lengths + 1);
    if (!s->lengths) {
        PyErr_NoMemory();
        status = -1;
    }
    for (Py_ssize_t i = 0; i < s->n_lengths && status == 0; i++)
        if (plain)
            s->lengths[i] = (size_t)plain[i];
        else
            status = take_length(PyTuple_GET_ITEM(items, i), &s->lengths[i]);
    Py_XDECREF(items);
    return status;
}

static int check_lengths(const struct sequence *s)
{
    if (s->n_lengths != s->batch) {
        PyErr_Format(PyExc_ValueError, "lengths: expected %zd, one a batch row, got %zd", s->batch, s->n_lengths);
        return -1;
    }
    for (Py_ssize_t i = 0; i < s->n_lengths; i++)
        if (s->lengths[i] < 1 || s->lengths[i] > (size_t)s->steps) {
            PyErr_Format(PyExc_ValueError, "lengths: expected 1 to %zd, got %zd for batch row %zd", s->steps,
                         (Py_ssize_t)s->lengths[i], i);
            return -1;
        }
    return 0;
}

/* --- checks --- */

static int check_input_rank(PyObject *self, struct sequence *s)
{
    const int ndim = PyArray_NDIM(s->x);
    const qrnn_kind kind = s->callee->kind;
    const int rnn = kind == QRNN_RNN_TANH || kind == QRNN_RNN_RELU;
    s->batched = ndim == 3;
    if (ndim == 2 || ndim == 3) return 0;
    PyErr_Format(PyExc_ValueError, "%s: Expected input to be 2D or 3D, got %dD%s instead", module_class_name(self),
                 ndim, rnn ? " tensor" : "");
    return -1;
}

static int check_state_rank(const struct sequence *s)
{
    const int rank = s->batched ? 3 : 2;
    const char *const batched = s->batched ? "batched" : "unbatched";
    if (!s->h || (PyArray_NDIM(s->h) == rank && (!s->c || PyArray_NDIM(s->c) == rank))) return 0;
    if (s->c)
        PyErr_Format(PyExc_RuntimeError,
                     "For %s %d-D input, hx and cx should also be %d-D but got (%d-D, %d-D) tensors", batched, rank,
                     rank, PyArray_NDIM(s->h), PyArray_NDIM(s->c));
    else
        PyErr_Format(PyExc_RuntimeError, "For %s %d-D input, hx should also be %d-D but got %d-D tensor", batched, rank,
                     rank, PyArray_NDIM(s->h));
    return -1;
}

/* The shape of a state of `size` columns; returns its rank. */
static int state_dims(const struct sequence *s, npy_intp size, npy_intp *dims)
{
    int ndim = 0;
    dims[ndim++] = s->layers * s->directions;
    if (s->batched) dims[ndim++] = s->batch;
    dims[ndim++] = size;
    return ndim;
}

/* A state, of the right rank, against a checked x. */
static int check_state(const struct sequence *s, PyArrayObject *h, npy_intp size, const char *label)
{
    npy_intp dims[3];
    const int ndim = state_dims(s, size, dims);
    if (!h || PyArray_CompareLists(PyArray_DIMS(h), dims, ndim)) return 0;
    PyErr_Format(PyExc_RuntimeError, "Expected %s size (%zd, %zd, %zd), got [%zd, %zd, %zd]", label, dims[0], s->batch,
                 size, PyArray_DIM(h, 0), s->batched ? PyArray_DIM(h, 1) : 1, PyArray_DIM(h, ndim - 1));
    return -1;
}

/* Checks arrays against the module in PyTorch's order, with its texts. */
static int check_sequence(PyObject *self, struct sequence *s)
{
    const struct callee *const callee = s->callee;
    const int batch_first = s->callee->flags & MODULE_BATCH_FIRST;
    if (check_input_rank(self, s) < 0 || check_state_rank(s) < 0) return -1;
    const npy_intp *const dims = PyArray_DIMS(s->x);
    if (dims[1 + s->batched] != callee->columns) {
        PyErr_Format(PyExc_RuntimeError, "input.size(-1) must be equal to input_size. Expected %zd, got %zd",
                     callee->columns, dims[1 + s->batched]);
        return -1;
    }
    s->steps = dims[s->batched && batch_first];
    s->batch = s->batched ? dims[!batch_first] : 1;
    if (check_state(s, s->h, callee->state, is_lstm(s) ? "hidden[0]" : "hidden") < 0) return -1;
    if (check_state(s, s->c, callee->hidden, "hidden[1]") < 0) return -1;
    if (s->steps == 0) {
        PyErr_SetString(PyExc_RuntimeError, "Expected sequence length to be larger than 0 in RNN");
        return -1;
    }
    return s->lengths ? check_lengths(s) : 0;
}

/* --- results --- */

/* Output, h_n, c_n on their way. */
struct results {
    struct result output, h, c;
};

/* The shape of the output; returns its rank. */
static int output_dims(const struct sequence *s, npy_intp *dims)
{
    const int batch_first = s->callee->flags & MODULE_BATCH_FIRST;
    int ndim = 0;
    if (s->batched && batch_first) dims[ndim++] = s->batch;
    dims[ndim++] = s->steps;
    if (s->batched && !batch_first) dims[ndim++] = s->batch;
    dims[ndim++] = s->directions * s->callee->state;
    return ndim;
}

static int check_outs(const struct sequence *s)
{
    npy_intp dims[3];
    PyArrayObject *const output = (PyArrayObject *)s->output, *const h = (PyArrayObject *)s->h_out;
    PyArrayObject *const c = (PyArrayObject *)s->c_out;
    if (!output) return 0;
    int ndim = output_dims(s, dims);
    if (array_check_out(s->output, h ? "out[0]" : "out", ndim, dims) < 0) return -1;
    if (!h) return 0;
    ndim = state_dims(s, s->callee->state, dims);
    if (array_check_out(s->h_out, c ? "out[1][0]" : "out[1]", ndim, dims) < 0) return -1;
    ndim = state_dims(s, s->callee->hidden, dims);
    if (c && array_check_out(s->c_out, "out[1][1]", ndim, dims) < 0) return -1;
    if (!array_overlap(output, h) && !array_overlap(output, c) && !array_overlap(h, c)) return 0;
    PyErr_SetString(PyExc_ValueError, "out: expected arrays that share no memory, got some that do");
    return -1;
}

/* Whether the core may write to the caller's output while it computes: not over its arguments, nor
 * where the call may still fail, as with one scale for the batch that some step can turn out not to
 * have. Final states are never written before the end: so a state survives Ctrl-C. */
static int output_is_clear(const struct sequence *s)
{
    PyArrayObject *const output = (PyArrayObject *)s->output;
    const char *const engine = qrnn_module_engine(s->callee->packed);
    if (strcmp(engine, "qrnn") != 0 && strcmp(engine, "float32") != 0) return 0;
    return !array_overlap(output, s->x) && !array_overlap(output, s->h) && !array_overlap(output, s->c);
}

static int open_results(const struct sequence *s, struct results *r)
{
    npy_intp dims[3];
    int ndim = output_dims(s, dims);
    if (result_open(&r->output, s->output, output_is_clear(s), ndim, dims) < 0) return -1;
    ndim = state_dims(s, s->callee->state, dims);
    if (result_open(&r->h, s->h_out, 0, ndim, dims) < 0) return -1;
    if (!is_lstm(s)) return 0;
    ndim = state_dims(s, s->callee->hidden, dims);
    return result_open(&r->c, s->c_out, 0, ndim, dims);
}

static int open_below(struct sequence *s)
{
    npy_intp dims[4] = {s->layers - 1};
    if (!s->wants_below) return 0;
    s->below = array_new(NPY_FLOAT32, 1 + output_dims(s, dims + 1), dims);
    return s->below ? 0 : -1;
}

/* (output, h_n) or (output, (h_n, c_n)); takes over the references. */
static PyObject *finish_results(const struct sequence *s, struct results *r)
{
    result_finish(&r->output);
    result_finish(&r->h);
    if (is_lstm(s)) result_finish(&r->c);
    PyObject *states = (PyObject *)r->h.array;
    if (is_lstm(s)) states = pair_of(states, (PyObject *)r->c.array);
    return pair_of((PyObject *)r->output.array, states);
}

/* --- Ctrl-C --- */

/* A computation without the GIL that now and then takes it and runs the handlers of signals. */
struct watch {
    struct state *state;
    PyThreadState *thread;
    int64_t next; /* nanoseconds of the monotonic clock */
};

enum { ASK_EVERY = 10 * 1000 * 1000, ASK_AT_LEAST = 250 * 1000 * 1000 };

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int ask_main_thread(unsigned long *ident)
{
    PyObject *found = NULL, *threading = PyImport_ImportModule("threading");
    PyObject *thread = threading ? PyObject_CallMethod(threading, "main_thread", NULL) : NULL;
    if (thread) found = PyObject_GetAttrString(thread, "ident");
    if (found) *ident = PyLong_AsUnsignedLong(found);
    Py_XDECREF(found);
    Py_XDECREF(thread);
    Py_XDECREF(threading);
    return PyErr_Occurred() ? -1 : 0;
}

/* Whether this is the thread that runs the handlers of signals: no other need wait for the GIL. It is
 * taken once a process to find out; where that fails, every thread asks. */
static int handles_signals(struct watch *watch)
{
    struct state *const state = watch->state;
    const long process = (long)getpid();
    if (atomic_load(&state->main_of) != process) {
        unsigned long ident = 0;
        PyEval_RestoreThread(watch->thread);
        if (ask_main_thread(&ident) < 0) PyErr_Clear();
        watch->thread = PyEval_SaveThread();
        atomic_store(&state->main_thread, ident);
        atomic_store(&state->main_of, process);
    }
    const unsigned long main_thread = atomic_load(&state->main_thread);
    return main_thread == 0 || main_thread == PyThread_get_thread_ident();
}

/* qrnn_run.stop. Among threads that run Python, to get the GIL may take their switch interval: the
 * next question waits long enough that this costs no more than a twentieth of the time. */
static int signalled(void *context)
{
    struct watch *const watch = context;
    const int64_t before = now();
    if (before < watch->next) return 0;
    if (!handles_signals(watch)) {
        watch->next = INT64_MAX;
        return 0;
    }
    PyEval_RestoreThread(watch->thread);
    const int64_t pause = 20 * (now() - before);
    const int failed = PyErr_CheckSignals() < 0;
    watch->thread = PyEval_SaveThread();
    watch->next = now() + (pause < ASK_EVERY ? ASK_EVERY : pause > ASK_AT_LEAST ? ASK_AT_LEAST : pause);
    return failed;
}

/* --- computing --- */

/* Multiply-adds of a step and row, all layers and directions. */
static double work_of(const struct sequence *s)
{
    const struct callee *const callee = s->callee;
    const double rows = (double)qrnn_kind_get(callee->kind)->gates * (double)callee->hidden;
    const double above = (double)(s->layers - 1) * (double)(s->directions * callee->state);
    const double state = (double)s->layers * (double)callee->state;
    return rows * (double)s->directions * ((double)callee->columns + above + state);
}

static int compute(struct state *state, const struct sequence *s, const struct results *r)
{
    qrnn_status status;
    size_t step = 0;
    struct watch watch = {state, NULL, now() + ASK_EVERY};
    qrnn_run run = {
        .steps = (size_t)s->steps,
        .batch = (size_t)s->batch,
        .batch_first = s->batched && s->callee->flags & MODULE_BATCH_FIRST,
        .x = PyArray_DATA(s->x),
        .h = array_data(s->h),
        .c = array_data(s->c),
        .lengths = s->lengths,
        .out = PyArray_DATA(r->output.array),
        .h_out = PyArray_DATA(r->h.array),
        .c_out = array_data(r->c.array),
        .below = array_data(s->below),
        .threads = atomic_load_explicit(&state->threads, memory_order_relaxed),
    };
    if (work_of(s) * (double)s->steps * (double)s->batch < THREADS_THRESHOLD) {
        status = qrnn_sequence(s->callee->packed, &run, &step);
    } else {
        run.stop = signalled;
        run.context = &watch;
        watch.thread = PyEval_SaveThread();
        status = qrnn_sequence(s->callee->packed, &run, &step);
        PyEval_RestoreThread(watch.thread);
    }
    return status == QRNN_OK ? 0 : call_raise_status(status, s->callee, &step);
}

static PyObject *call_taken(struct module_object *self, struct sequence *s)
{
    struct results r = {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}};
    if (check_sequence((PyObject *)self, s) < 0 || check_outs(s) < 0) return NULL;
    if (open_results(s, &r) < 0 || open_below(s) < 0 || compute(self->state, s, &r) < 0) {
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
    const char *const what = is_lstm(s) ? "output, (h_n, c_n)" : "output, h_n";
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
    if (!is_lstm(s)) {
        s->h_out = states;
        return 0;
    }
    const int status = pair_split(states, "out[1]", "h_n, c_n", &s->h_out, &s->c_out);
    Py_DECREF(states);
    return status;
}

static PyObject *call_any(struct module_object *self, const struct callee *callee, PyObject *const *values,
                          int wants_below)
{
    enum { INPUT, HX, LENGTHS, OUT };
    PyObject *result = NULL, *held[4];
    struct sequence s = {.callee = callee,
                         .wants_below = wants_below,
                         .layers = (npy_intp)qrnn_module_layers(callee->packed),
                         .directions = (npy_intp)qrnn_module_directions(callee->packed)};
    for (int i = 0; i < 4; i++) held[i] = Py_XNewRef(values[i]);
    s.x = array_from(self->state, held[INPUT], "input");
    if (!s.x) goto exit;
    if (held[HX] && states_from(self->state, callee, held[HX], &s.h, &s.c) < 0) goto exit;
    if (held[LENGTHS] && take_lengths(&s, held[LENGTHS]) < 0) goto exit;
    if (held[OUT] && take_out(&s, held[OUT]) < 0) goto exit;
    result = call_taken(self, &s);
    if (result && !held[OUT] && !PyArray_CheckExact(held[INPUT])) result = array_like(self->state, result, held[INPUT]);
    if (result && wants_below) {
        PyObject *const below = (PyObject *)s.below;
        s.below = NULL;
        result = pair_of(result, below);
    }

exit:
    Py_XDECREF(s.x);
    Py_XDECREF(s.h);
    Py_XDECREF(s.c);
    Py_XDECREF(s.output);
    Py_XDECREF(s.h_out);
    Py_XDECREF(s.c_out);
    Py_XDECREF(s.below);
    PyMem_Free(s.lengths);
    for (int i = 0; i < 4; i++) Py_XDECREF(held[i]);
    return result;
}

PyObject *call_sequence(struct module_object *self, const struct callee *callee, PyObject *const *values)
{
    return call_any(self, callee, values, 0);
}

PyObject *module_forward_layers(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct callee callee;
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    struct module_object *const module = (struct module_object *)self;
    if (callee_hold(module, &callee) < 0) return NULL;
    if (!(callee.flags & MODULE_SEQUENCE))
        PyErr_SetString(PyExc_TypeError, "_forward_layers: expected a sequence");
    else if (arguments_bind(&module->state->forward_sequence, self, args, nargs, kwnames, values) == 0)
        result = call_any(module, &callee, values, 1);
    qrnn_module_unref(callee.packed);
    return result;
}
