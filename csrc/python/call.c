/* call.c - a call of a module: bind, check, allocate, compute.
 *
 * Arrays that are plain float32 already meet no Python code. Everything else is converted first
 * (qrnn._arrays), then takes the same way.
 */
#include "binding.h"

#include <string.h>

/* Multiply-adds from which a call lets other threads run. Giving the GIL up and taking it back
 * costs some 30 ns alone, but among threads that run Python it can cost a switch interval (5 ms):
 * too much for calls of a microsecond or two. 2^18 take 6 to 17 microseconds with AVX2. */
#define THREADS_THRESHOLD 262144.0

/* --- checks --- */

static int raise_rank(PyObject *self, const char *what, const char *expected, int got)
{
    PyErr_Format(PyExc_ValueError, "%s: Expected %s to be %s, got %dD instead",
                 module_class_name(self), what, expected, got);
    return -1;
}

static int raise_input_size(npy_intp got, npy_intp expected)
{
    PyErr_Format(PyExc_RuntimeError, "input has inconsistent input_size: got %zd, expected %zd",
                 got, expected);
    return -1;
}

static int check_linear(PyObject *self, const struct callee *callee, PyArrayObject *x,
                        struct result_shape *shape)
{
    const int last = PyArray_NDIM(x) - 1;
    if (last < 0 || last >= MAX_DIMS) return raise_rank(self, "input", "at least 1D", last + 1);
    if (PyArray_DIM(x, last) != callee->columns)
        return raise_input_size(PyArray_DIM(x, last), callee->columns);
    shape->ndim = last + 1;
    shape->batch = 1;
    for (int i = 0; i < last; i++) {
        shape->dims[i] = PyArray_DIM(x, i);
        shape->batch *= (size_t)shape->dims[i];
    }
    shape->dims[last] = callee->hidden;
    return 0;
}

/* h against a checked x. PyTorch compares the batch first, whatever the rank of h: a hidden state
 * for one row with a batch of rows is told that it is of another batch. */
static int check_hidden(PyObject *self, PyArrayObject *h, const struct result_shape *shape)
{
    const int ndim = PyArray_NDIM(h);
    const npy_intp *const got = PyArray_DIMS(h), *const expected = shape->dims;
    if (ndim > shape->ndim) return raise_rank(self, "hidden", "1D for an input that is 1D", ndim);
    if (shape->ndim == 2 && got[0] != expected[0]) {
        PyErr_Format(PyExc_RuntimeError, "Input batch size %zd doesn't match hidden batch size %zd",
                     expected[0], got[0]);
        return -1;
    }
    if (ndim < shape->ndim) return raise_rank(self, "hidden", "2D for an input that is 2D", ndim);
    if (got[ndim - 1] != expected[ndim - 1]) {
        PyErr_Format(PyExc_RuntimeError,
                     "hidden has inconsistent hidden_size: got %zd, expected %zd", got[ndim - 1],
                     expected[ndim - 1]);
        return -1;
    }
    return 0;
}

static int check_cell(PyObject *self, const struct callee *callee, PyArrayObject *x,
                      PyArrayObject *h, struct result_shape *shape)
{
    const int ndim = PyArray_NDIM(x);
    if (ndim < 1 || ndim > 2) return raise_rank(self, "input", "1D or 2D", ndim);
    if (h && (PyArray_NDIM(h) < 1 || PyArray_NDIM(h) > 2))
        return raise_rank(self, "hidden", "1D or 2D", PyArray_NDIM(h));
    const npy_intp *const dims = PyArray_DIMS(x);
    if (dims[ndim - 1] != callee->columns) return raise_input_size(dims[ndim - 1], callee->columns);
    shape->ndim = ndim;
    shape->dims[0] = dims[0];
    shape->batch = ndim == 1 ? 1 : (size_t)dims[0];
    shape->dims[ndim - 1] = callee->hidden;
    return h ? check_hidden(self, h, shape) : 0;
}

int call_check(PyObject *self, const struct callee *callee, PyArrayObject *x, PyArrayObject *h,
               struct result_shape *shape)
{
    if (callee->linear) return check_linear(self, callee, x, shape);
    return check_cell(self, callee, x, h, shape);
}

/* --- computing --- */

static int raise_status(qrnn_status status, const struct callee *callee)
{
    error_from_status(status, &(struct error_context){.engine = qrnn_module_engine(callee->packed),
                                                      .weight = "input",
                                                      .input = "input",
                                                      .hidden = "hx"});
    return -1;
}

static qrnn_status run(const struct callee *callee, size_t batch, const float *x, const float *h,
                       float *y)
{
    if (callee->linear) return qrnn_linear(callee->packed, batch, x, y);
    return qrnn_step(callee->packed, batch, x, h, y);
}

static int compute(const struct callee *callee, size_t batch, PyArrayObject *x, PyArrayObject *h,
                   PyArrayObject *y)
{
    qrnn_status status;
    const float *const x_data = PyArray_DATA(x), *const h_data = h ? PyArray_DATA(h) : NULL;
    float *const y_data = PyArray_DATA(y);
    const double row = (double)callee->hidden * (double)(callee->columns + callee->hidden);
    if ((double)batch * row < THREADS_THRESHOLD) {
        status = run(callee, batch, x_data, h_data, y_data);
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = run(callee, batch, x_data, h_data, y_data);
        Py_END_ALLOW_THREADS
    }
    return status == QRNN_OK ? 0 : raise_status(status, callee);
}

/* Whether the core may write to `out` directly. A state may be its own successor. */
static int out_is_clear(const struct callee *callee, PyArrayObject *out, PyArrayObject *x,
                        PyArrayObject *h)
{
    if (array_overlap(out, x)) return 0;
    return !h || (!callee->linear && PyArray_DATA(h) == PyArray_DATA(out))
           || !array_overlap(out, h);
}

/* The result for plain arrays: `out`, or a new array. */
static PyObject *call_plain(PyObject *self, const struct callee *callee, PyArrayObject *x,
                            PyArrayObject *h, PyObject *out)
{
    struct result_shape shape;
    PyArrayObject *y = NULL;
    if (call_check(self, callee, x, h, &shape) < 0) goto error;
    if (out) {
        if (array_check_out(out, shape.ndim, shape.dims) < 0) goto error;
        if (out_is_clear(callee, (PyArrayObject *)out, x, h)) y = (PyArrayObject *)Py_NewRef(out);
    }
    if (!y) y = array_new(NPY_FLOAT32, shape.ndim, shape.dims);
    if (!y || compute(callee, shape.batch, x, h, y) < 0) goto error;
    if (out && (PyObject *)y != out) {
        memcpy(PyArray_DATA((PyArrayObject *)out), PyArray_DATA(y), (size_t)PyArray_NBYTES(y));
        Py_SETREF(y, (PyArrayObject *)Py_NewRef(out));
    }
    return (PyObject *)y;

error:
    Py_XDECREF(y);
    return NULL;
}

/* The same for arguments of any kind. Their conversion may run Python code, which may do anything
 * to the caller's references: so they are held. */
static PyObject *call_converted(struct module_object *self, const struct callee *callee,
                                PyObject *input, PyObject *hx, PyObject *out)
{
    PyObject *result = NULL;
    PyArrayObject *x = NULL, *h = NULL;
    struct state *const state = self->state;
    Py_INCREF(input);
    Py_XINCREF(hx);
    Py_XINCREF(out);
    x = array_from(state, input, "input");
    if (!x) goto exit;
    if (hx) {
        h = array_from(state, hx, "hx");
        if (!h) goto exit;
    }
    result = call_plain((PyObject *)self, callee, x, h, out);
    if (result && !out && !PyArray_CheckExact(input)) result = array_like(state, result, input);

exit:
    Py_XDECREF(x);
    Py_XDECREF(h);
    Py_DECREF(input);
    Py_XDECREF(hx);
    Py_XDECREF(out);
    return result;
}

/* `values` are input, hx, out for a cell, input, out for a linear. */
static PyObject *call_bound(struct module_object *self, const struct callee *callee,
                            PyObject *const *values)
{
    PyObject *const input = values[0], *const hx = callee->linear ? NULL : values[1];
    PyObject *const out = values[callee->linear ? 1 : 2];
    if (array_is_plain(input, NPY_FLOAT32) && (!hx || array_is_plain(hx, NPY_FLOAT32)))
        return call_plain((PyObject *)self, callee, (PyArrayObject *)input, (PyArrayObject *)hx,
                          out);
    return call_converted(self, callee, input, hx, out);
}

static const struct signature *signature_of(const struct module_object *self,
                                            const struct callee *callee)
{
    return callee->linear ? &self->state->forward_linear : &self->state->forward;
}

int callee_hold(struct module_object *self, struct callee *callee)
{
    qrnn_module *const packed = module_hold(self, NULL);
    if (!packed) return -1;
    callee->packed = packed;
    callee->linear = qrnn_module_kind(packed) == QRNN_LINEAR;
    callee->columns = (npy_intp)qrnn_module_input_size(packed);
    callee->hidden = (npy_intp)qrnn_module_hidden_size(packed);
    return 0;
}

PyObject *module_forward(PyObject *self, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    struct callee callee;
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    struct module_object *const module = (struct module_object *)self;
    if (callee_hold(module, &callee) < 0) return NULL;
    if (arguments_bind(signature_of(module, &callee), self, args, nargs, kwnames, values) == 0)
        result = call_bound(module, &callee, values);
    qrnn_module_unref(callee.packed);
    return result;
}

/* Before 3.12 Python doesn't take the vectorcall away from a class that is given a __call__ later.
 */
PyObject *module_vectorcall(PyObject *self, PyObject *const *args, size_t nargsf, PyObject *kwnames)
{
#if PY_VERSION_HEX < 0x030C0000
    if (Py_TYPE(self)->tp_call != module_tp_call)
        return _PyObject_MakeTpCall(PyThreadState_Get(), self, args, PyVectorcall_NARGS(nargsf),
                                    kwnames);
#endif
    return module_forward(self, args, PyVectorcall_NARGS(nargsf), kwnames);
}

PyObject *module_tp_call(PyObject *self, PyObject *args, PyObject *kwargs)
{
    struct callee callee;
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    struct module_object *const module = (struct module_object *)self;
    if (callee_hold(module, &callee) < 0) return NULL;
    if (arguments_bind_call(signature_of(module, &callee), self, args, kwargs, values) == 0)
        result = call_bound(module, &callee, values);
    qrnn_module_unref(callee.packed);
    return result;
}
