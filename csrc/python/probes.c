/* probes.c - what a call computes on its way, for tests and for calibration: products, codes and what they stand for. */
#include "functions.h"
#include "arguments.h"
#include "arrays.h"
#include "errors.h"
#include "shapes.h"
#include "states.h"

static PyObject *or_none(PyArrayObject *array)
{
    return array ? (PyObject *)array : Py_None;
}

static PyObject *gates_plain(const struct callee *callee, PyArrayObject *x, PyArrayObject *h, PyArrayObject *c)
{
    const qrnn_module *const packed = callee->packed;
    struct result_shape shape;
    PyObject *result = NULL;
    PyArrayObject *acc_ih = NULL, *acc_hh = NULL, *pre = NULL;
    const int linear = callee->kind->states == 0;
    if ((linear ? shapes_check_linear(callee, shape_of(x), &shape)
                : shapes_check_cell(callee, shape_of(x), shape_of(h), shape_of(c), &shape))
        < 0)
        goto exit;
    shape.dims[shape.ndim - 1] = (npy_intp)qrnn_module_rows(packed, 0);
    pre = array_new(NPY_FLOAT32, shape.ndim, shape.dims);
    if (!pre) goto exit;
    if (qrnn_module_n_scale(packed, 0) > 0) {
        acc_ih = array_new(NPY_INT32, shape.ndim, shape.dims);
        if (!acc_ih) goto exit;
    }
    if (!linear && qrnn_module_n_scale(packed, 1) > 0) {
        acc_hh = array_new(NPY_INT32, shape.ndim, shape.dims);
        if (!acc_hh) goto exit;
    }
    const qrnn_status status = qrnn_gates(packed, shape.batch, PyArray_DATA(x), array_data(h), array_data(c),
                                          array_data(acc_ih), array_data(acc_hh), PyArray_DATA(pre));
    if (status != QRNN_OK) {
        const struct error_context context = {
            .engine = qrnn_module_engine(packed), .input = "x", .hidden = "hx", .weight = "x"};
        error_from_status(status, &context);
        goto exit;
    }
    result = PyTuple_Pack(3, or_none(acc_ih), or_none(acc_hh), (PyObject *)pre);

exit:
    Py_XDECREF(acc_ih);
    Py_XDECREF(acc_hh);
    Py_XDECREF(pre);
    return result;
}

static PyObject *gates(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    enum { MODULE, X, HX };
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    PyArrayObject *x = NULL, *h = NULL, *c = NULL;
    struct callee callee;
    struct module_state *const state = PyModule_GetState(module);
    if (arguments_bind(&state->gates, NULL, args, nargs, kwnames, values) < 0) return NULL;
    if (!PyObject_TypeCheck(values[MODULE], state->module_type)) {
        PyErr_Format(PyExc_TypeError, "module: expected a Module, got %s", Py_TYPE(values[MODULE])->tp_name);
        return NULL;
    }
    if (callee_hold((struct module_object *)values[MODULE], &callee) < 0) return NULL;
    if (callee.flags & MODULE_SEQUENCE) {
        PyErr_SetString(PyExc_ValueError, "module: expected a linear or a cell, got a sequence");
        goto exit;
    }
    x = array_from(state, values[X], "x");
    if (!x) goto exit;
    if (values[HX] && callee.kind->states == 0) {
        PyErr_SetString(PyExc_TypeError, "hx: a linear takes none");
        goto exit;
    }
    if (values[HX] && states_take(state, callee.kind, values[HX], &h, &c) < 0) goto exit;
    result = gates_plain(&callee, x, h, c);

exit:
    Py_XDECREF(x);
    Py_XDECREF(h);
    Py_XDECREF(c);
    callee_release(&callee);
    return result;
}

static PyObject *quantize_plain(const char *engine, const char *isa, PyArrayObject *v)
{
    PyObject *result = NULL;
    PyArrayObject *scale = NULL, *zero_point = NULL, *codes = array_new(NPY_UINT8, 2, PyArray_DIMS(v));
    if (!codes) goto exit;
    scale = array_new(NPY_FLOAT32, 1, PyArray_DIMS(v));
    if (!scale) goto exit;
    zero_point = array_new(NPY_INT32, 1, PyArray_DIMS(v));
    if (!zero_point) goto exit;
    const qrnn_status status =
        qrnn_quantize(engine, isa, (size_t)PyArray_DIM(v, 0), (size_t)PyArray_DIM(v, 1), PyArray_DATA(v),
                      PyArray_DATA(codes), PyArray_DATA(scale), PyArray_DATA(zero_point));
    if (status == QRNN_OK)
        result = PyTuple_Pack(3, (PyObject *)codes, (PyObject *)scale, (PyObject *)zero_point);
    else
        error_from_status(status, &(struct error_context){.engine = engine, .isa = isa, .input = "v", .weight = "v"});

exit:
    Py_XDECREF(codes);
    Py_XDECREF(scale);
    Py_XDECREF(zero_point);
    return result;
}

/* The values that the codes of `v` stand for, a matrix, or of one matrix after the other. */
static PyObject *fake_quantize_plain(const char *engine, const char *isa, PyArrayObject *v)
{
    const int ndim = PyArray_NDIM(v);
    const size_t batch = (size_t)PyArray_DIM(v, ndim - 2), n = (size_t)PyArray_DIM(v, ndim - 1);
    const size_t matrices = ndim == 3 ? (size_t)PyArray_DIM(v, 0) : 1;
    PyArrayObject *values = array_new(NPY_FLOAT32, ndim, PyArray_DIMS(v));
    if (!values) return NULL;
    const float *from = PyArray_DATA(v);
    float *to = PyArray_DATA(values);
    qrnn_status status = QRNN_OK;
    for (size_t i = 0; i < matrices && status == QRNN_OK; i++, from += batch * n, to += batch * n)
        status = qrnn_seen(engine, isa, batch, n, from, to);
    if (status == QRNN_OK) return (PyObject *)values;
    error_from_status(status, &(struct error_context){.engine = engine, .isa = isa, .input = "v", .weight = "v"});
    Py_DECREF(values);
    return NULL;
}

/* Sums over the rows of `v`: how many are finite, their sum, the sum of their outer products. */
static PyObject *moments_plain(const char *engine, const char *isa, PyArrayObject *v)
{
    PyObject *result = NULL;
    npy_intp dims[2] = {PyArray_DIM(v, 1), PyArray_DIM(v, 1)};
    PyArrayObject *outer = NULL, *const sum = (PyArrayObject *)PyArray_ZEROS(1, dims, NPY_FLOAT64, 0);
    if (!sum) goto exit;
    outer = (PyArrayObject *)PyArray_ZEROS(2, dims, NPY_FLOAT64, 0);
    if (!outer) goto exit;
    qrnn_status status;
    size_t count;
    Py_BEGIN_ALLOW_THREADS;
    status = qrnn_moments(engine, isa, (size_t)PyArray_DIM(v, 0), (size_t)dims[0], PyArray_DATA(v), PyArray_DATA(sum),
                          PyArray_DATA(outer), &count);
    Py_END_ALLOW_THREADS;
    if (status == QRNN_OK)
        result = Py_BuildValue("nOO", (Py_ssize_t)count, sum, outer);
    else
        error_from_status(status, &(struct error_context){.engine = engine, .isa = isa, .input = "v", .weight = "v"});

exit:
    Py_XDECREF(sum);
    Py_XDECREF(outer);
    return result;
}

/* The result of `plain` for an engine's name, an instruction set's or NULL, and an array of 2 to `most_dims`. */
static PyObject *of_rows(PyObject *module, const struct signature *signature, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames, int most_dims,
                         PyObject *(*plain)(const char *, const char *, PyArrayObject *))
{
    enum { ENGINE, V, ISA };
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    if (arguments_bind(signature, NULL, args, nargs, kwnames, values) < 0) return NULL;
    const char *const engine = arguments_text(values[ENGINE], "engine");
    if (!engine) return NULL;
    const char *const isa = values[ISA] ? arguments_text(values[ISA], "isa") : NULL;
    if (values[ISA] && !isa) return NULL;
    PyArrayObject *v = array_from(PyModule_GetState(module), values[V], "v");
    if (!v) return NULL;
    if (PyArray_NDIM(v) >= 2 && PyArray_NDIM(v) <= most_dims)
        result = plain(engine, isa, v);
    else
        PyErr_Format(PyExc_ValueError, "v: expected a 2D array, got %dD", PyArray_NDIM(v));
    Py_DECREF(v);
    return result;
}

static PyObject *quantize(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const struct module_state *const state = PyModule_GetState(module);
    return of_rows(module, &state->quantize, args, nargs, kwnames, 2, quantize_plain);
}

static PyObject *fake_quantize(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const struct module_state *const state = PyModule_GetState(module);
    return of_rows(module, &state->fake_quantize, args, nargs, kwnames, 3, fake_quantize_plain);
}

static PyObject *moments(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const struct module_state *const state = PyModule_GetState(module);
    return of_rows(module, &state->moments, args, nargs, kwnames, 2, moments_plain);
}

/* --- the table --- */

PyDoc_STRVAR(gates_doc, "_gates($module, /, module, x, hx=None)\n--\n\n"
                        "(acc_ih, acc_hh, pre): the products of a call to a linear or a cell.\n\n"
                        "The exact int32 products of codes, None where there are none, and in float32 what the last\n"
                        "product left: pre-activations, or, of a GRU, W_hh h + b_hh (where it resets before the\n"
                        "product, in the rows of n alone).");

PyDoc_STRVAR(quantize_doc,
             "quantize($module, /, engine, v, isa=None)\n--\n\n"
             "(codes uint8, scale float32, zero_point int32) of the rows of `v`, as `engine` has them.\n\n"
             "With engine \"qrnn\" a row that is not finite has the scale NaN.");

PyDoc_STRVAR(fake_quantize_doc,
             "fake_quantize($module, /, engine, v, isa=None)\n--\n\n"
             "The values float32 that the codes of the rows of `v` stand for: what a product of `engine` sees.\n\n"
             "Of three dimensions, each v[i] is quantized by itself.");

PyDoc_STRVAR(
    moments_doc,
    "moments($module, /, engine, v, isa=None)\n--\n\n"
    "(count, sum, outer) of the finite rows of `v`: how many, their sum, the sum of their outer products.\n\n"
    "Engine \"qrnn\" sums what a product sees of them, \"float32\" the rows as they are. Both are float64, one\n"
    "row after the other; of `outer` what lies below the diagonal is undefined.");

PyMethodDef probe_functions[] = {
    {"_gates", FAST(gates), METH_FASTCALL | METH_KEYWORDS, gates_doc},
    {"quantize", FAST(quantize), METH_FASTCALL | METH_KEYWORDS, quantize_doc},
    {"fake_quantize", FAST(fake_quantize), METH_FASTCALL | METH_KEYWORDS, fake_quantize_doc},
    {"moments", FAST(moments), METH_FASTCALL | METH_KEYWORDS, moments_doc},
    {NULL, NULL, 0, NULL},
};
