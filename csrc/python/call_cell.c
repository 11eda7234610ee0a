/* call_cell.c - a call of a single cell. */
#include "calls.h"
#include "arrays.h"
#include "results.h"
#include "shapes.h"
#include "states.h"

/* The borrowed arguments of a step. c, c_out and the like are for an LSTM, and NULL for other kinds. */
struct step {
    PyArrayObject *x, *h, *c;  /* h and c: NULL for zeros */
    PyObject *out;             /* as the caller gave it, or NULL */
    PyObject *h_out, *c_out;   /* its parts */
};

/* --- computing --- */

static qrnn_status run(const struct callee *callee, size_t batch, const struct step *s, PyArrayObject *h_out,
                       PyArrayObject *c_out, size_t threads)
{
    return qrnn_step_threads(callee->packed, batch, PyArray_DATA(s->x), array_data(s->h), array_data(s->c),
                             PyArray_DATA(h_out), array_data(c_out), threads);
}

static int compute(const struct callee *callee, size_t batch, const struct step *s, PyArrayObject *h_out,
                   PyArrayObject *c_out)
{
    const double rows = (double)callee->kind->gates * (double)callee->hidden;
    const double work = (double)batch * rows * (double)(callee->columns + callee->state);
    if (work < THREADS_THRESHOLD) return call_end(callee, run(callee, batch, s, h_out, c_out, 1));
    const size_t threads = module_threads(callee);
    qrnn_status status;
    callee_keep(callee);
    Py_BEGIN_ALLOW_THREADS
    status = run(callee, batch, s, h_out, c_out, threads);
    Py_END_ALLOW_THREADS
    const int result = call_end(callee, status);
    callee_release(callee);
    return result;
}

/* Whether the core may write to `out` directly. The next state may overwrite the state it replaces, `own`; `other` is
 * an LSTM's other state. */
static int out_is_clear(PyObject *out, PyArrayObject *x, PyArrayObject *own, PyArrayObject *other)
{
    PyArrayObject *const array = (PyArrayObject *)out;
    if (!out || array_overlap(array, x) || array_overlap(array, other)) return 0;
    return !own || PyArray_DATA(own) == PyArray_DATA(array) || !array_overlap(array, own);
}

/* Checks the arrays that the caller gave for the results. */
static int check_out(const struct step *s, int ndim, const npy_intp *h_dims, const npy_intp *c_dims)
{
    if (!s->c_out) return array_check_out(s->h_out, "out", NPY_FLOAT32, ndim, h_dims);
    if (array_check_out(s->h_out, "out[0]", NPY_FLOAT32, ndim, h_dims) < 0) return -1;
    if (array_check_out(s->c_out, "out[1]", NPY_FLOAT32, ndim, c_dims) < 0) return -1;
    if (!array_overlap((PyArrayObject *)s->h_out, (PyArrayObject *)s->c_out)) return 0;
    PyErr_SetString(PyExc_ValueError, "out: expected arrays that share no memory, got two that do");
    return -1;
}

/* Computes a step of plain arrays; returns `out` or new arrays. */
static PyObject *step_plain(const struct callee *callee, const struct step *s)
{
    struct result_shape shape;
    struct result h = {NULL, NULL}, c = {NULL, NULL};
    PyObject *result = NULL;
    const int pair = callee->kind->states == 2;
    if (shapes_check_cell(callee, shape_of(s->x), shape_of(s->h), shape_of(s->c), &shape) < 0) return NULL;
    npy_intp c_dims[2] = {shape.dims[0], callee->hidden};
    c_dims[shape.ndim - 1] = callee->hidden;
    if (s->out && check_out(s, shape.ndim, shape.dims, c_dims) < 0) return NULL;
    if (result_open(&h, s->h_out, out_is_clear(s->h_out, s->x, s->h, s->c), shape.ndim, shape.dims) < 0) goto exit;
    if (pair && result_open(&c, s->c_out, out_is_clear(s->c_out, s->x, s->c, s->h), shape.ndim, c_dims) < 0) goto exit;
    if (compute(callee, shape.batch, s, h.array, c.array) < 0) goto exit;
    result_finish(&h);
    if (!pair) return (PyObject *)h.array;
    result_finish(&c);
    if (!s->out || !PyTuple_Check(s->out)) return pair_of((PyObject *)h.array, (PyObject *)c.array);
    result = Py_NewRef(s->out);

exit:
    Py_XDECREF(h.array);
    Py_XDECREF(c.array);
    return result;
}

/* --- arguments --- */

/* Takes arguments that need neither conversion nor new references: plain arrays, in a tuple where there are two.
 * Returns 0 if any argument is something else. */
static int take_plain(const struct callee *callee, PyObject *const *values, struct step *s)
{
    PyObject *h = values[1], *c = NULL, *h_out = values[2], *c_out = NULL;
    if (callee->kind->states == 2) {
        if (h) {
            if (!PyTuple_Check(h) || PyTuple_GET_SIZE(h) != 2) return 0;
            c = PyTuple_GET_ITEM(h, 1);
            h = PyTuple_GET_ITEM(h, 0);
            if (!array_is_plain(c, NPY_FLOAT32)) return 0;
        }
        if (h_out) {
            if (!PyTuple_Check(h_out) || PyTuple_GET_SIZE(h_out) != 2) return 0;
            c_out = PyTuple_GET_ITEM(h_out, 1);
            h_out = PyTuple_GET_ITEM(h_out, 0);
        }
    }
    if (!array_is_plain(values[0], NPY_FLOAT32) || (h && !array_is_plain(h, NPY_FLOAT32))) return 0;
    s->x = (PyArrayObject *)values[0];
    s->h = (PyArrayObject *)h;
    s->c = (PyArrayObject *)c;
    s->out = values[2];
    s->h_out = h_out;
    s->c_out = c_out;
    return 1;
}

/* The parts of `out`, as new references. */
static int take_out(const struct callee *callee, PyObject *out, struct step *s)
{
    if (out && callee->kind->states == 2) return pair_split(out, "out", "h, c", &s->h_out, &s->c_out);
    s->h_out = Py_XNewRef(out);
    return 0;
}

/* The same for arguments of any kind. Their conversion may run Python code, which may drop the caller's references, so
 * new ones are held meanwhile. */
static PyObject *step_converted(const struct callee *callee, PyObject *const *values)
{
    struct module_state *const state = callee->self->state;
    PyObject *result = NULL;
    PyObject *const input = Py_NewRef(values[0]), *const hx = Py_XNewRef(values[1]);
    struct step s = {NULL, NULL, NULL, Py_XNewRef(values[2]), NULL, NULL};
    s.x = array_from(state, input, "input");
    if (!s.x) goto exit;
    if (hx && states_take(state, callee->kind, hx, &s.h, &s.c) < 0) goto exit;
    if (take_out(callee, s.out, &s) < 0) goto exit;
    result = step_plain(callee, &s);
    if (result && !s.out && !PyArray_CheckExact(input)) result = array_like(state, result, input);

exit:
    Py_DECREF(input);
    Py_XDECREF(hx);
    Py_XDECREF(s.x);
    Py_XDECREF(s.h);
    Py_XDECREF(s.c);
    Py_XDECREF(s.out);
    Py_XDECREF(s.h_out);
    Py_XDECREF(s.c_out);
    return result;
}

PyObject *call_cell(const struct callee *callee, PyObject *const *values)
{
    struct step s;
    if (take_plain(callee, values, &s)) return step_plain(callee, &s);
    callee_keep(callee);
    PyObject *const result = step_converted(callee, values);
    callee_release(callee);
    return result;
}
