/* probes.c - what a call computes on the way to its result, for tests and calibration: products, codes and the values
 * of codes. */
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
    if (qrnn_module_is_coded(packed, 0)) {
        acc_ih = array_new(NPY_INT32, shape.ndim, shape.dims);
        if (!acc_ih) goto exit;
    }
    if (!linear && qrnn_module_is_coded(packed, 1)) {
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
    PyArrayObject *scale = NULL, *zero_point = NULL, *codes = array_new(NPY_INT16, 2, PyArray_DIMS(v));
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

/* The values that the codes of `v` stand for. `v` is a matrix, or a stack of matrices, each quantized by itself. */
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

/* The arguments of functions of rows: the names of an engine and of an instruction set (or NULL), and an array of 2 to
 * `most_dims` dimensions. */
struct rows {
    const char *engine, *isa;
    PyArrayObject *v;
};

static int take_rows(PyObject *module, PyObject *engine, PyObject *v, PyObject *isa, int most_dims, struct rows *rows)
{
    rows->engine = arguments_text(engine, "engine");
    if (!rows->engine) return -1;
    rows->isa = isa ? arguments_text(isa, "isa") : NULL;
    if (isa && !rows->isa) return -1;
    rows->v = array_from(PyModule_GetState(module), v, "v");
    if (!rows->v) return -1;
    if (PyArray_NDIM(rows->v) >= 2 && PyArray_NDIM(rows->v) <= most_dims) return 0;
    PyErr_Format(PyExc_ValueError, "v: expected a 2D array, got %dD", PyArray_NDIM(rows->v));
    Py_DECREF(rows->v);
    return -1;
}

static PyObject *of_rows(PyObject *module, const struct signature *signature, PyObject *const *args, Py_ssize_t nargs,
                         PyObject *kwnames, int most_dims,
                         PyObject *(*plain)(const char *, const char *, PyArrayObject *))
{
    enum { ENGINE, V, ISA };
    PyObject *values[MAX_PARAMETERS];
    struct rows rows;
    if (arguments_bind(signature, NULL, args, nargs, kwnames, values) < 0) return NULL;
    if (take_rows(module, values[ENGINE], values[V], values[ISA], most_dims, &rows) < 0) return NULL;
    PyObject *const result = plain(rows.engine, rows.isa, rows.v);
    Py_DECREF(rows.v);
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

/* Checks the caller's sums (count, weight, sum, outer) for rows like those of `v`. None may overlap another one, `v` or
 * `weights`, which may be NULL. */
static int check_sums(PyObject *sums, PyArrayObject *v, PyArrayObject *weights)
{
    enum { SUMS = 4 };
    static const char *const names[SUMS] = {"sums[0]", "sums[1]", "sums[2]", "sums[3]"};
    static const int types[SUMS] = {NPY_INT64, NPY_FLOAT64, NPY_FLOAT64, NPY_FLOAT64}, ndim[SUMS] = {1, 1, 1, 2};
    const npy_intp n = PyArray_DIM(v, 1), dims[SUMS][2] = {{1}, {2}, {n}, {n, n}};
    if (!PyTuple_Check(sums) || PyTuple_GET_SIZE(sums) != SUMS) {
        PyErr_Format(PyExc_TypeError, "sums: expected a tuple of four arrays, got %R", sums);
        return -1;
    }
    for (int i = 0; i < SUMS; i++) {
        PyObject *const each = PyTuple_GET_ITEM(sums, i);
        if (array_check_out(each, names[i], types[i], ndim[i], dims[i]) < 0) return -1;
        int overlaps = array_overlap((PyArrayObject *)each, v) || array_overlap((PyArrayObject *)each, weights);
        for (int k = 0; k < i; k++)
            overlaps |= array_overlap((PyArrayObject *)each, (PyArrayObject *)PyTuple_GET_ITEM(sums, k));
        if (overlaps) {
            PyErr_Format(PyExc_ValueError, "%s: expected memory of its own, got memory of v or of another sum",
                         names[i]);
            return -1;
        }
    }
    return 0;
}

/* The weights of the rows of `v` as a new reference; *weights stays NULL for None. */
static int take_weights(PyObject *module, PyObject *given, PyArrayObject *v, PyArrayObject **weights)
{
    if (!given) return 0;
    *weights = array_from(PyModule_GetState(module), given, "weights");
    if (!*weights) return -1;
    if (PyArray_NDIM(*weights) == 1 && PyArray_DIM(*weights, 0) == PyArray_DIM(v, 0)) return 0;
    PyErr_Format(PyExc_ValueError, "weights: expected one for each row of v, of shape (%zd,), got %zd in %dD",
                 (Py_ssize_t)PyArray_DIM(v, 0), (Py_ssize_t)PyArray_SIZE(*weights), PyArray_NDIM(*weights));
    return -1;
}

static void *sum_data(PyObject *sums, int i)
{
    return PyArray_DATA((PyArrayObject *)PyTuple_GET_ITEM(sums, i));
}

/* Adds to all sums in one place, where no exception can come between, so they always cover the same rows. */
static PyObject *add_moments(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    enum { ENGINE, V, SUMS, ISA, WEIGHTS };
    const struct module_state *const state = PyModule_GetState(module);
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    PyArrayObject *weights = NULL;
    struct rows rows;
    if (arguments_bind(&state->add_moments, NULL, args, nargs, kwnames, values) < 0) return NULL;
    if (take_rows(module, values[ENGINE], values[V], values[ISA], 2, &rows) < 0) return NULL;
    if (take_weights(module, values[WEIGHTS], rows.v, &weights) < 0) goto exit;
    if (check_sums(values[SUMS], rows.v, weights) < 0) goto exit;
    const size_t batch = (size_t)PyArray_DIM(rows.v, 0), n = (size_t)PyArray_DIM(rows.v, 1);
    size_t count;
    qrnn_status status;
    Py_BEGIN_ALLOW_THREADS;
    status = qrnn_moments(rows.engine, rows.isa, batch, n, PyArray_DATA(rows.v), array_data(weights),
                          sum_data(values[SUMS], 1), sum_data(values[SUMS], 2), sum_data(values[SUMS], 3), &count);
    *(npy_int64 *)sum_data(values[SUMS], 0) += (npy_int64)count;
    Py_END_ALLOW_THREADS;
    if (status == QRNN_OK)
        result = Py_NewRef(Py_None);
    else
        error_from_status(status,
                          &(struct error_context){.engine = rows.engine, .isa = rows.isa, .input = "v", .weight = "v"});

exit:
    Py_DECREF(rows.v);
    Py_XDECREF(weights);
    return result;
}

/* --- the table --- */

PyDoc_STRVAR(gates_doc, "_gates($module, /, module, x, hx=None)\n--\n\n"
                        "(acc_ih, acc_hh, pre): the products of a call to a linear or a cell.\n\n"
                        "acc_ih and acc_hh are the exact int32 products of codes, None for floats. pre is float32,\n"
                        "what the last product left: the pre-activations, or, for a GRU, W_hh h + b_hh (only in the\n"
                        "rows of n if it resets before the product).");

PyDoc_STRVAR(quantize_doc,
             "quantize($module, /, engine, v, isa=None)\n--\n\n"
             "(codes int16, scale float32, zero_point int32) of the rows of `v`, as `engine` makes them.\n\n"
             "With engine \"qrnn\" a row that is not finite gets the scale NaN.");

PyDoc_STRVAR(fake_quantize_doc,
             "fake_quantize($module, /, engine, v, isa=None)\n--\n\n"
             "The float32 values that the codes of the rows of `v` stand for: what a product of `engine` computes\n"
             "with.\n\n"
             "If `v` has three dimensions, each v[i] is quantized by itself.");

PyDoc_STRVAR(
    add_moments_doc,
    "add_moments($module, /, engine, v, sums, isa=None, weights=None)\n--\n\n"
    "Add the finite rows v of `v` with their weights w to `sums`, the arrays (count, weight, sum, outer).\n\n"
    "A row adds 1, (w, w**2), w v and w v v^T. Engine \"qrnn\" adds the values that a product computes with,\n"
    "\"float32\" the rows as they are. `count` is int64 of shape (1,), the others are float64 of shapes (2,), (n,)\n"
    "and (n, n). Rows are added one after the other; `outer` is undefined below its diagonal. `weights`, of shape\n"
    "(rows,), are 1 if None. A row whose weight is negative or not finite is left out. After an error all sums are\n"
    "as before.");

PyMethodDef probe_functions[] = {
    {"_gates", FAST(gates), METH_FASTCALL | METH_KEYWORDS, gates_doc},
    {"quantize", FAST(quantize), METH_FASTCALL | METH_KEYWORDS, quantize_doc},
    {"fake_quantize", FAST(fake_quantize), METH_FASTCALL | METH_KEYWORDS, fake_quantize_doc},
    {"add_moments", FAST(add_moments), METH_FASTCALL | METH_KEYWORDS, add_moments_doc},
    {NULL, NULL, 0, NULL},
};
