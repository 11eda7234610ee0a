/* call.c - a call of a module: whom it reaches, what calls of all kinds share, and a linear.
 *
 * Arrays that are plain float32 already meet no Python code. Everything else is converted first
 * (qrnn._arrays), then takes the same way.
 */
#include "shapes.h"

#include <string.h>

/* --- exceptions --- */

int call_raise_status(qrnn_status status, const struct callee *callee, const size_t *step)
{
    error_from_status(status, &(struct error_context){.engine = qrnn_module_engine(callee->packed),
                                                      .weight = "input",
                                                      .input = "input",
                                                      .hidden = "hx",
                                                      .step = step});
    return -1;
}

/* --- results --- */

int result_open(struct result *r, PyObject *out, int direct, int ndim, const npy_intp *dims)
{
    r->out = (PyArrayObject *)out;
    r->array = out && direct ? (PyArrayObject *)Py_NewRef(out) : array_new(NPY_FLOAT32, ndim, dims);
    return r->array ? 0 : -1;
}

void result_finish(struct result *r)
{
    if (!r->out || r->array == r->out) return;
    memcpy(PyArray_DATA(r->out), PyArray_DATA(r->array), (size_t)PyArray_NBYTES(r->array));
    Py_SETREF(r->array, (PyArrayObject *)Py_NewRef((PyObject *)r->out));
}

PyObject *pair_of(PyObject *first, PyObject *second)
{
    PyObject *pair = first && second ? PyTuple_New(2) : NULL;
    if (pair) {
        PyTuple_SET_ITEM(pair, 0, first);
        PyTuple_SET_ITEM(pair, 1, second);
    } else {
        Py_XDECREF(first);
        Py_XDECREF(second);
    }
    return pair;
}

int pair_split(PyObject *pair, const char *name, const char *what, PyObject **first, PyObject **second)
{
    *first = *second = NULL;
    if (!PyTuple_Check(pair) && !PyList_Check(pair)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a pair (%s), got %s", name, what, Py_TYPE(pair)->tp_name);
        return -1;
    }
    const Py_ssize_t count = PySequence_Size(pair);
    if (count != 2) {
        if (count >= 0) PyErr_Format(PyExc_ValueError, "%s: expected a pair (%s), got %zd items", name, what, count);
        return -1;
    }
    *first = PySequence_GetItem(pair, 0);
    *second = *first ? PySequence_GetItem(pair, 1) : NULL;
    if (*second) return 0;
    Py_CLEAR(*first);
    return -1;
}

/* --- a linear --- */

static int compute_linear(const struct callee *callee, size_t batch, PyArrayObject *x, PyArrayObject *y)
{
    qrnn_status status;
    const float *const x_data = PyArray_DATA(x);
    float *const y_data = PyArray_DATA(y);
    if ((double)batch * (double)callee->hidden * (double)callee->columns < THREADS_THRESHOLD) {
        status = qrnn_linear(callee->packed, batch, x_data, y_data);
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = qrnn_linear(callee->packed, batch, x_data, y_data);
        Py_END_ALLOW_THREADS
    }
    return status == QRNN_OK ? 0 : call_raise_status(status, callee, NULL);
}

static PyObject *linear_plain(const struct callee *callee, PyArrayObject *x, PyObject *out)
{
    struct result_shape shape;
    struct result y;
    if (shapes_check_linear(callee, shape_of(x), &shape) < 0) return NULL;
    if (out && array_check_out(out, "out", shape.ndim, shape.dims) < 0) return NULL;
    const int direct = out && !array_overlap((PyArrayObject *)out, x);
    if (result_open(&y, out, direct, shape.ndim, shape.dims) < 0) return NULL;
    if (compute_linear(callee, shape.batch, x, y.array) == 0)
        result_finish(&y);
    else
        Py_CLEAR(y.array);
    return (PyObject *)y.array;
}

/* `values` are input, out. Conversion may run Python code, which may do anything to the caller's
 * references: so they are held. */
static PyObject *call_linear(const struct callee *callee, PyObject *const *values)
{
    struct state *const state = callee->self->state;
    PyObject *const input = values[0], *const out = values[1];
    if (array_is_plain(input, NPY_FLOAT32)) return linear_plain(callee, (PyArrayObject *)input, out);
    PyObject *result = NULL;
    Py_INCREF(input);
    Py_XINCREF(out);
    PyArrayObject *x = array_from(state, input, "input");
    if (x) result = linear_plain(callee, x, out);
    if (result && !out) result = array_like(state, result, input);
    Py_XDECREF(x);
    Py_DECREF(input);
    Py_XDECREF(out);
    return result;
}

/* --- calls --- */

int callee_hold(struct module_object *self, struct callee *callee)
{
    qrnn_module *const packed = module_hold(self, &callee->flags, NULL);
    if (!packed) return -1;
    callee->self = self;
    callee->packed = packed;
    callee->kind = qrnn_kind_get(qrnn_module_kind(packed));
    callee->columns = (npy_intp)qrnn_module_input_size(packed);
    callee->hidden = (npy_intp)qrnn_module_hidden_size(packed);
    callee->state = (npy_intp)qrnn_module_state_size(packed);
    return 0;
}

static const struct signature *signature_of(const struct callee *callee)
{
    const struct state *const state = callee->self->state;
    if (callee->flags & MODULE_SEQUENCE) return &state->forward_sequence;
    return callee->kind->states ? &state->forward : &state->forward_linear;
}

static PyObject *call_bound(const struct callee *callee, PyObject *const *values)
{
    if (callee->flags & MODULE_SEQUENCE) return call_sequence(callee, values);
    return callee->kind->states ? call_cell(callee, values) : call_linear(callee, values);
}

PyObject *module_forward(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct callee callee;
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    if (callee_hold((struct module_object *)self, &callee) < 0) return NULL;
    if (arguments_bind(signature_of(&callee), self, args, nargs, kwnames, values) == 0)
        result = call_bound(&callee, values);
    qrnn_module_unref(callee.packed);
    return result;
}

/* Before 3.12 Python doesn't take the vectorcall away from a class that is given a __call__ later.
 */
PyObject *module_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
#if PY_VERSION_HEX < 0x030C0000
    if (Py_TYPE(self)->tp_call != module_tp_call)
        return _PyObject_MakeTpCall(PyThreadState_Get(), self, args, PyVectorcall_NARGS(nargsf), kwnames);
#endif
    return module_forward(self, args, PyVectorcall_NARGS(nargsf), kwnames);
}

PyObject *module_tp_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    struct callee callee;
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    if (callee_hold((struct module_object *)self, &callee) < 0) return NULL;
    if (arguments_bind_call(signature_of(&callee), self, args, kwargs, values) == 0)
        result = call_bound(&callee, values);
    qrnn_module_unref(callee.packed);
    return result;
}
