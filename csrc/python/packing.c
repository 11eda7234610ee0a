/* packing.c - Module._pack and _unpack: arrays <-> packed weights. */
#include "binding.h"

#include <math.h>
#include <string.h>

/* One row a kind. A cell's weights have `gates` rows for each hidden unit; a linear has no hh. */
static const struct {
    const char *name;
    qrnn_kind kind;
    npy_intp gates;
} kinds[] = {
    {"linear", QRNN_LINEAR, 1},
    {"rnn_tanh", QRNN_RNN_TANH, 1},
    {"rnn_relu", QRNN_RNN_RELU, 1},
};

enum { KIND_COUNT = sizeof kinds / sizeof kinds[0], SHAPE_TEXT = 64 };

/* Names of parameters as state_dict has them: of ih, of hh, of a linear. */
static const struct names {
    const char *weight, *scale, *bias;
} parameter_names[] = {
    {"weight_ih", "weight_ih_scale", "bias_ih"},
    {"weight_hh", "weight_hh_scale", "bias_hh"},
    {"weight", "weight_scale", "bias"},
};

/* The arrays of one matrix, borrowed; scale and bias may be NULL. */
struct matrix {
    const struct names *names;
    PyArrayObject *weight, *scale, *bias;
};

const char *packing_kind_name(qrnn_kind kind)
{
    for (size_t i = 0; i < KIND_COUNT; i++)
        if (kinds[i].kind == kind) return kinds[i].name;
    return "unknown";
}

/* Row of the table, or -1 with an exception set. */
static int find_kind(PyObject *name)
{
    const char *const text = arguments_text(name, "kind");
    if (!text) return -1;
    for (int i = 0; i < KIND_COUNT; i++)
        if (strcmp(text, kinds[i].name) == 0) return i;
    PyErr_Format(PyExc_ValueError, "kind: expected linear, rnn_tanh or rnn_relu, got %R", name);
    return -1;
}

/* --- arrays of a matrix --- */

static int raise_shape(const char *name, const char *expected, PyArrayObject *array)
{
    PyObject *got = PyArray_IntTupleFromIntp(PyArray_NDIM(array), PyArray_DIMS(array));
    if (got) PyErr_Format(PyExc_ValueError, "%s: expected shape %s, got %S", name, expected, got);
    Py_XDECREF(got);
    return -1;
}

/* `object` as a borrowed array of that type, in *out. */
static int take_array(PyObject *object, const char *name, int type, PyArrayObject **out)
{
    const char *const expected = type == NPY_INT8 ? "int8" : "float32";
    *out = NULL;
    if (!PyArray_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a %s array, got %s", name, expected,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    *out = (PyArrayObject *)object;
    if (array_is_plain(object, type)) return 0;
    if (PyArray_TYPE(*out) != type || !PyArray_ISNOTSWAPPED(*out))
        PyErr_Format(PyExc_ValueError, "%s: expected dtype %s, got %S", name, expected,
                     PyArray_DESCR(*out));
    else
        PyErr_Format(PyExc_ValueError, "%s: expected an aligned C-contiguous ndarray", name);
    return -1;
}

static int take_weight(PyObject *object, int type, npy_intp gates, struct matrix *m)
{
    if (take_array(object, m->names->weight, type, &m->weight) < 0) return -1;
    if (PyArray_NDIM(m->weight) != 2 || PyArray_DIM(m->weight, 0) < 1)
        return raise_shape(m->names->weight, "(rows, columns) with at least one row", m->weight);
    if (PyArray_DIM(m->weight, 0) % gates != 0) {
        char expected[SHAPE_TEXT];
        PyOS_snprintf(expected, sizeof expected, "(%zd * hidden_size, columns)", gates);
        return raise_shape(m->names->weight, expected, m->weight);
    }
    return 0;
}

static int take_scale(PyObject *object, int quantised, struct matrix *m)
{
    char expected[SHAPE_TEXT];
    const npy_intp rows = PyArray_DIM(m->weight, 0);
    if (!quantised) {
        if (object == Py_None) return 0;
        PyErr_Format(PyExc_ValueError, "%s: expected None for float32 weights, got %s",
                     m->names->scale, Py_TYPE(object)->tp_name);
        return -1;
    }
    if (take_array(object, m->names->scale, NPY_FLOAT32, &m->scale) < 0) return -1;
    const int ndim = PyArray_NDIM(m->scale);
    if (ndim == 0 || (ndim == 1 && PyArray_DIM(m->scale, 0) == rows)) return 0;
    PyOS_snprintf(expected, sizeof expected, "() or (%zd,)", rows);
    return raise_shape(m->names->scale, expected, m->scale);
}

static int take_bias(PyObject *object, struct matrix *m)
{
    char expected[SHAPE_TEXT];
    const npy_intp rows = PyArray_DIM(m->weight, 0);
    if (object == Py_None) return 0;
    if (take_array(object, m->names->bias, NPY_FLOAT32, &m->bias) < 0) return -1;
    if (PyArray_NDIM(m->bias) == 1 && PyArray_DIM(m->bias, 0) == rows) return 0;
    PyOS_snprintf(expected, sizeof expected, "(%zd,)", rows);
    return raise_shape(m->names->bias, expected, m->bias);
}

static int take_matrix(PyObject *tuple, const char *argument, int quantised, npy_intp gates,
                       struct matrix *m)
{
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != 3) {
        PyErr_Format(PyExc_TypeError, "%s: expected a tuple (weight, scale, bias), got %R",
                     argument, tuple);
        return -1;
    }
    const int type = quantised ? NPY_INT8 : NPY_FLOAT32;
    if (take_weight(PyTuple_GET_ITEM(tuple, 0), type, gates, m) < 0) return -1;
    if (take_scale(PyTuple_GET_ITEM(tuple, 1), quantised, m) < 0) return -1;
    return take_bias(PyTuple_GET_ITEM(tuple, 2), m);
}

/* hh belongs to every kind but linear; its columns are the hidden units. */
static int take_hidden(PyObject *hh, int linear, int quantised, npy_intp gates,
                       const struct matrix *ih, struct matrix *m)
{
    char expected[SHAPE_TEXT];
    if (linear) {
        if (hh == Py_None) return 0;
        PyErr_Format(PyExc_TypeError, "hh: expected None for a linear, got %s",
                     Py_TYPE(hh)->tp_name);
        return -1;
    }
    if (take_matrix(hh, "hh", quantised, gates, m) < 0) return -1;
    const npy_intp rows = PyArray_DIM(ih->weight, 0);
    if (PyArray_DIM(m->weight, 0) == rows && PyArray_DIM(m->weight, 1) == rows / gates) return 0;
    PyOS_snprintf(expected, sizeof expected, "(%zd, %zd)", rows, rows / gates);
    return raise_shape(m->names->weight, expected, m->weight);
}

/* --- packing --- */

static qrnn_weight weight_of(const struct matrix *m)
{
    qrnn_weight weight = {0};
    if (!m->weight) return weight;
    if (m->scale) {
        weight.codes = PyArray_DATA(m->weight);
        weight.scale = PyArray_DATA(m->scale);
        weight.n_scale = (size_t)PyArray_SIZE(m->scale);
    } else {
        weight.values = PyArray_DATA(m->weight);
    }
    weight.bias = m->bias ? PyArray_DATA(m->bias) : NULL;
    return weight;
}

/* The first value that is not finite, or, where it has to be, not positive. */
static float first_bad(PyArrayObject *array, int positive)
{
    const npy_intp n = array ? PyArray_SIZE(array) : 0;
    for (npy_intp i = 0; i < n; i++) {
        const float value = ((const float *)PyArray_DATA(array))[i];
        if (!isfinite(value) || (positive && value <= 0.0f)) return value;
    }
    return NAN;
}

static void raise_pack(qrnn_status status, const qrnn_spec *spec, const struct matrix *fault)
{
    const struct error_context context = {
        .engine = spec->engine,
        .isa = spec->isa,
        .weight = fault->names->weight,
        .scale = fault->names->scale,
        .bias = fault->names->bias,
        .depth = (size_t)PyArray_DIM(fault->weight, 1),
        .bad_scale = first_bad(fault->scale, 1),
        .bad_bias = first_bad(fault->bias, 0),
    };
    error_from_status(status, &context);
}

/* Whether weights for this engine are codes: 0, 1, or -1 with an exception set. */
static int is_quantised(const char *engine)
{
    for (size_t i = 0; qrnn_engine_name(i); i++)
        if (strcmp(engine, qrnn_engine_name(i)) == 0) return strcmp(engine, "float32") != 0;
    error_from_status(QRNN_ERR_ENGINE, &(struct error_context){.engine = engine});
    return -1;
}

/* args: kind, engine, isa, ih, hh. Builds the new module before it touches the old one. */
static int pack(struct module_object *self, struct state *state, PyObject *const *args)
{
    qrnn_module *packed = NULL;
    int at;
    struct matrix matrices[2] = {{.names = &parameter_names[0]}, {.names = &parameter_names[1]}};
    struct matrix *const ih = &matrices[0], *const hh = &matrices[1];
    const int row = find_kind(args[0]);
    if (row < 0) return -1;
    const char *const engine = arguments_text(args[1], "engine");
    if (!engine) return -1;
    const char *const isa = args[2] == Py_None ? NULL : arguments_text(args[2], "isa");
    if (!isa && args[2] != Py_None) return -1;
    const int quantised = is_quantised(engine), linear = kinds[row].kind == QRNN_LINEAR;
    if (quantised < 0) return -1;
    if (linear) ih->names = &parameter_names[2];
    if (take_matrix(args[3], "ih", quantised, kinds[row].gates, ih) < 0) return -1;
    if (take_hidden(args[4], linear, quantised, kinds[row].gates, ih, hh) < 0) return -1;

    const qrnn_spec spec = {
        .kind = kinds[row].kind,
        .engine = engine,
        .isa = isa,
        .input_size = (size_t)PyArray_DIM(ih->weight, 1),
        .hidden_size = (size_t)(PyArray_DIM(ih->weight, 0) / kinds[row].gates),
        .ih = weight_of(ih),
        .hh = weight_of(hh),
    };
    const qrnn_status status = qrnn_module_new(&spec, &packed, &at);
    if (status != QRNN_OK) {
        raise_pack(status, &spec, at == 1 && !linear ? hh : ih);
        return -1;
    }
    const unsigned char scale_ndim[2] = {ih->scale && PyArray_NDIM(ih->scale) == 1,
                                         hh->scale && PyArray_NDIM(hh->scale) == 1};
    module_swap(self, state, packed, scale_ndim);
    return 0;
}

PyObject *module_pack(PyObject *self, PyTypeObject *definer, PyObject *const *args,
                      Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *all[5] = {NULL, NULL, NULL, NULL, Py_None};
    if (nargs < 4 || nargs > 5 || (kwnames && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_Format(PyExc_TypeError,
                     "_pack() takes 4 or 5 positional arguments but %zd were given", nargs);
        return NULL;
    }
    for (Py_ssize_t i = 0; i < nargs; i++) all[i] = args[i];
    if (pack((struct module_object *)self, PyType_GetModuleState(definer), all) < 0) return NULL;
    Py_RETURN_NONE;
}

/* --- unpacking --- */

static PyArrayObject *unpack_weight(const qrnn_module *packed, int matrix)
{
    const npy_intp dims[2] = {(npy_intp)qrnn_module_rows(packed, matrix),
                              (npy_intp)qrnn_module_cols(packed, matrix)};
    const int quantised = qrnn_module_n_scale(packed, matrix) > 0;
    PyArrayObject *array = array_new(quantised ? NPY_INT8 : NPY_FLOAT32, 2, dims);
    if (!array) return NULL;
    qrnn_module_unpack(packed, matrix, quantised ? NULL : PyArray_DATA(array),
                       quantised ? PyArray_DATA(array) : NULL, NULL, NULL);
    return array;
}

static PyArrayObject *unpack_scale(const qrnn_module *packed, int matrix, int ndim)
{
    const npy_intp dims[1] = {(npy_intp)qrnn_module_n_scale(packed, matrix)};
    PyArrayObject *array = array_new(NPY_FLOAT32, ndim, dims);
    if (array) qrnn_module_unpack(packed, matrix, NULL, NULL, PyArray_DATA(array), NULL);
    return array;
}

static PyArrayObject *unpack_bias(const qrnn_module *packed, int matrix)
{
    const npy_intp dims[1] = {(npy_intp)qrnn_module_rows(packed, matrix)};
    PyArrayObject *array = array_new(NPY_FLOAT32, 1, dims);
    if (array) qrnn_module_unpack(packed, matrix, NULL, NULL, NULL, PyArray_DATA(array));
    return array;
}

static PyObject *unpack(const qrnn_module *packed, int matrix, const char *what, int scale_ndim)
{
    if (strcmp(what, "weight") == 0) return (PyObject *)unpack_weight(packed, matrix);
    if (strcmp(what, "scale") == 0) {
        if (qrnn_module_n_scale(packed, matrix) == 0) Py_RETURN_NONE;
        return (PyObject *)unpack_scale(packed, matrix, scale_ndim);
    }
    if (strcmp(what, "bias") == 0) {
        if (!qrnn_module_has_bias(packed, matrix)) Py_RETURN_NONE;
        return (PyObject *)unpack_bias(packed, matrix);
    }
    PyErr_Format(PyExc_ValueError, "what: expected weight, scale or bias, got '%s'", what);
    return NULL;
}

PyObject *module_unpack(PyObject *self, PyObject *args)
{
    int matrix;
    const char *what;
    unsigned char scale_ndim[2];
    if (!PyArg_ParseTuple(args, "is:_unpack", &matrix, &what)) return NULL;
    qrnn_module *packed = module_hold((struct module_object *)self, scale_ndim);
    if (!packed) return NULL;
    PyObject *array = NULL;
    const int count = qrnn_module_kind(packed) == QRNN_LINEAR ? 1 : 2;
    if (matrix >= 0 && matrix < count)
        array = unpack(packed, matrix, what, scale_ndim[matrix]);
    else
        PyErr_Format(PyExc_ValueError, "matrix: expected 0%s, got %d", count == 2 ? " or 1" : "",
                     matrix);
    qrnn_module_unref(packed);
    return array;
}
