/* functions.c - what the extension offers besides Module. */
#include "shapes.h"

#include <string.h>

/* Elements from which other threads run meanwhile: 5 to 10 microseconds, as for calls (call.c). */
enum { APPLY_THREADS_THRESHOLD = 16384 };

/* --- tables --- */

/* A tuple of the names whose `use` says 1; NULL uses all. */
static PyObject *names_tuple(const char *(*name)(size_t), int (*use)(size_t))
{
    PyObject *tuple = NULL, *list = PyList_New(0);
    for (size_t i = 0; list && name(i); i++) {
        if (use && !use(i)) continue;
        PyObject *item = PyUnicode_FromString(name(i));
        if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    if (list) tuple = PyList_AsTuple(list);
    Py_XDECREF(list);
    return tuple;
}

static int engine_is_quantized(size_t i)
{
    return qrnn_engine_get(i)->quantized;
}

static PyObject *isas(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return names_tuple(qrnn_isa_name, qrnn_isa_supported);
}

static PyObject *known_isas(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return names_tuple(qrnn_isa_name, NULL);
}

static PyObject *engines(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    return names_tuple(qrnn_engine_name, engine_is_quantized);
}

/* --- apply --- */

static int find_function(PyObject *name, qrnn_function *function)
{
    static const char *const names[QRNN_FUNCTIONS] = {"tanh", "tanh_exact", "sigmoid", "relu"};
    const char *const text = arguments_text(name, "name");
    if (!text) return -1;
    for (int i = 0; i < QRNN_FUNCTIONS; i++)
        if (strcmp(text, names[i]) == 0) {
            *function = (qrnn_function)i;
            return 0;
        }
    PyErr_Format(PyExc_ValueError, "name: expected tanh, tanh_exact, sigmoid or relu, got %R", name);
    return -1;
}

static int apply_to(qrnn_function function, const char *isa, PyArrayObject *x, PyArrayObject *y)
{
    qrnn_status status;
    const size_t n = (size_t)PyArray_SIZE(x);
    const float *const from = PyArray_DATA(x);
    float *const to = PyArray_DATA(y);
    if (n < APPLY_THREADS_THRESHOLD) {
        status = qrnn_apply(function, isa, n, from, to);
    } else {
        Py_BEGIN_ALLOW_THREADS
        status = qrnn_apply(function, isa, n, from, to);
        Py_END_ALLOW_THREADS
    }
    if (status == QRNN_OK) return 0;
    error_from_status(status, &(struct error_context){.isa = isa, .weight = "x"});
    return -1;
}

/* f(x) into `out`, directly where that is exactly x or clear of it, or into a new array. */
static PyObject *apply_plain(qrnn_function function, const char *isa, PyArrayObject *x, PyObject *out)
{
    PyArrayObject *y = NULL, *const given = (PyArrayObject *)out;
    if (out && array_check_out(out, "out", PyArray_NDIM(x), PyArray_DIMS(x)) < 0) return NULL;
    if (out && (PyArray_DATA(given) == PyArray_DATA(x) || !array_overlap(given, x)))
        y = (PyArrayObject *)Py_NewRef(out);
    else
        y = array_new(NPY_FLOAT32, PyArray_NDIM(x), PyArray_DIMS(x));
    if (!y) return NULL;
    if (apply_to(function, isa, x, y) < 0) {
        Py_DECREF(y);
        return NULL;
    }
    if (out && y != given) {
        memcpy(PyArray_DATA(given), PyArray_DATA(y), (size_t)PyArray_NBYTES(y));
        Py_SETREF(y, (PyArrayObject *)Py_NewRef(out));
    }
    return (PyObject *)y;
}

static PyObject *apply(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    enum { NAME, X, ISA, OUT };
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    qrnn_function function;
    struct state *const state = PyModule_GetState(module);
    if (arguments_bind(&state->apply, NULL, args, nargs, kwnames, values) < 0) return NULL;
    if (find_function(values[NAME], &function) < 0) return NULL;
    const char *const isa = values[ISA] ? arguments_text(values[ISA], "isa") : NULL;
    if (values[ISA] && !isa) return NULL;
    PyArrayObject *x = array_from(state, values[X], "x");
    if (!x) return NULL;
    result = apply_plain(function, isa, x, values[OUT]);
    if (result && !values[OUT] && !PyArray_CheckExact(values[X])) result = array_like(state, result, values[X]);
    Py_DECREF(x);
    return result;
}

/* --- threads --- */

static PyObject *set_num_threads(PyObject *module, PyObject *n)
{
    struct state *const state = PyModule_GetState(module);
    if (!PyIndex_Check(n) || PyBool_Check(n)) {
        PyErr_Format(PyExc_TypeError, "n: expected an int, got %s", Py_TYPE(n)->tp_name);
        return NULL;
    }
    const Py_ssize_t value = PyNumber_AsSsize_t(n, NULL);
    if (value == -1 && PyErr_Occurred()) return NULL;
    if (value < 1 || value == PY_SSIZE_T_MAX) {
        PyErr_Format(PyExc_ValueError, "n: expected %s, got %R", value < 1 ? "at least 1 thread" : "fewer threads", n);
        return NULL;
    }
    atomic_store_explicit(&state->threads, (size_t)value, memory_order_relaxed);
    Py_RETURN_NONE;
}

static PyObject *get_num_threads(PyObject *module, PyObject *Py_UNUSED(args))
{
    struct state *const state = PyModule_GetState(module);
    return PyLong_FromSize_t(atomic_load_explicit(&state->threads, memory_order_relaxed));
}

/* --- the test door --- */

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
    const int quantized = qrnn_module_n_scale(packed, 0) > 0, linear = callee->kind->states == 0;
    if ((linear ? shapes_check_linear(callee, shape_of(x), &shape)
                : shapes_check_cell(callee, shape_of(x), shape_of(h), shape_of(c), &shape))
        < 0)
        goto exit;
    shape.dims[shape.ndim - 1] = (npy_intp)qrnn_module_rows(packed, 0);
    pre = array_new(NPY_FLOAT32, shape.ndim, shape.dims);
    if (!pre) goto exit;
    if (quantized) {
        acc_ih = array_new(NPY_INT32, shape.ndim, shape.dims);
        if (!acc_ih) goto exit;
    }
    if (quantized && !linear) {
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
    struct state *const state = PyModule_GetState(module);
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
    if (values[HX] && states_from(state, &callee, values[HX], &h, &c) < 0) goto exit;
    result = gates_plain(&callee, x, h, c);

exit:
    Py_XDECREF(x);
    Py_XDECREF(h);
    Py_XDECREF(c);
    qrnn_module_unref(callee.packed);
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

/* The values that the codes of `v` stand for. */
static PyObject *seen_plain(const char *engine, const char *isa, PyArrayObject *v)
{
    PyArrayObject *values = array_new(NPY_FLOAT32, 2, PyArray_DIMS(v));
    if (!values) return NULL;
    const qrnn_status status = qrnn_seen(engine, isa, (size_t)PyArray_DIM(v, 0), (size_t)PyArray_DIM(v, 1),
                                         PyArray_DATA(v), PyArray_DATA(values));
    if (status == QRNN_OK) return (PyObject *)values;
    error_from_status(status, &(struct error_context){.engine = engine, .isa = isa, .input = "v", .weight = "v"});
    Py_DECREF(values);
    return NULL;
}

static PyObject *quantize_by(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                             PyObject *(*plain)(const char *, const char *, PyArrayObject *));

static PyObject *seen(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return quantize_by(module, args, nargs, kwnames, seen_plain);
}

static PyObject *quantize(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    return quantize_by(module, args, nargs, kwnames, quantize_plain);
}

static PyObject *quantize_by(PyObject *module, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames,
                             PyObject *(*plain)(const char *, const char *, PyArrayObject *))
{
    enum { ENGINE, V, ISA };
    PyObject *result = NULL, *values[MAX_PARAMETERS];
    struct state *const state = PyModule_GetState(module);
    if (arguments_bind(&state->quantize, NULL, args, nargs, kwnames, values) < 0) return NULL;
    const char *const engine = arguments_text(values[ENGINE], "engine");
    if (!engine) return NULL;
    const char *const isa = values[ISA] ? arguments_text(values[ISA], "isa") : NULL;
    if (values[ISA] && !isa) return NULL;
    PyArrayObject *v = array_from(state, values[V], "v");
    if (!v) return NULL;
    if (PyArray_NDIM(v) == 2)
        result = plain(engine, isa, v);
    else
        PyErr_Format(PyExc_ValueError, "v: expected a 2D array, got %dD", PyArray_NDIM(v));
    Py_DECREF(v);
    return result;
}

/* --- the table --- */

PyDoc_STRVAR(isas_doc, "isas($module, /)\n--\n\n"
                       "Names of the instruction sets that this CPU has: \"scalar\" first, the best last.");

PyDoc_STRVAR(known_isas_doc, "known_isas($module, /)\n--\n\n"
                             "Names of all instruction sets that there is code for, in order.");

PyDoc_STRVAR(engines_doc, "engines($module, /)\n--\n\n"
                          "Names of the quantized engines; the first is the default.");

PyDoc_STRVAR(apply_doc, "apply($module, /, name, x, isa=None, out=None)\n--\n\n"
                        "A function of each element, float32.\n\n"
                        "Parameters\n----------\n"
                        "name : 'tanh', 'tanh_exact' (correctly rounded), 'sigmoid' or 'relu'\n"
                        "x : array_like, any shape\n"
                        "isa : str, optional\n"
                        "    The instruction set; None: the best.\n"
                        "out : ndarray, optional\n"
                        "    Takes the result: float32, C-contiguous, writeable, of the shape of `x`; may be `x`.\n\n"
                        "Returns\n-------\n"
                        "ndarray of float32, or a tensor if `x` is one; `out` if given");

PyDoc_STRVAR(set_num_threads_doc,
             "set_num_threads($module, n, /)\n--\n\n"
             "Let a call for a whole sequence compute with up to `n` threads, where it is worth them.\n\n"
             "It changes no bit of a result. One thread is the default.");

PyDoc_STRVAR(get_num_threads_doc, "get_num_threads($module, /)\n--\n\n"
                                  "How many threads a call for a whole sequence may compute with.");

PyDoc_STRVAR(gates_doc, "_gates($module, /, module, x, hx=None)\n--\n\n"
                        "(acc_ih, acc_hh, pre): the products of a call to a linear or a cell.\n\n"
                        "The exact int32 products of codes, None where there are none, and in float32 what the last\n"
                        "product left: pre-activations, or, of a GRU, W_hh h + b_hh (where it resets before the\n"
                        "product, in the rows of n alone).");

PyDoc_STRVAR(quantize_doc,
             "_quantize($module, /, engine, v, isa=None)\n--\n\n"
             "(codes uint8, scale float32, zero_point int32) of the rows of `v`, as `engine` has them.\n\n"
             "With engine \"qrnn\" a row that is not finite has the scale NaN.");

PyDoc_STRVAR(seen_doc,
             "_seen($module, /, engine, v, isa=None)\n--\n\n"
             "The values float32 that the codes of the rows of `v` stand for: what a product of `engine` sees.");

PyMethodDef binding_functions[] = {
    {"isas", isas, METH_NOARGS, isas_doc},
    {"known_isas", known_isas, METH_NOARGS, known_isas_doc},
    {"engines", engines, METH_NOARGS, engines_doc},
    {"apply", FAST(apply), METH_FASTCALL | METH_KEYWORDS, apply_doc},
    {"set_num_threads", set_num_threads, METH_O, set_num_threads_doc},
    {"get_num_threads", get_num_threads, METH_NOARGS, get_num_threads_doc},
    {"_gates", FAST(gates), METH_FASTCALL | METH_KEYWORDS, gates_doc},
    {"_quantize", FAST(quantize), METH_FASTCALL | METH_KEYWORDS, quantize_doc},
    {"_seen", FAST(seen), METH_FASTCALL | METH_KEYWORDS, seen_doc},
    {NULL, NULL, 0, NULL},
};
