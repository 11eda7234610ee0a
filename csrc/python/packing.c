/* packing.c - Module._pack and _unpack: arrays <-> packed weights. */
#include "spec.h"

#include <math.h>
#include <string.h>

enum { SHAPE_TEXT = 64 };

/* The matrices of a unit, which is a layer in one direction, in order. */
enum { IH, HH, HR };

/* What is being packed: its matrices are [layers][directions][per_unit]. */
struct plan {
    qrnn_kind kind;
    const char *engine;
    int quantized, flags;
    size_t layers, directions, per_unit;
    PyObject *const *matrices;
    size_t count;
    npy_intp gates, columns, hidden, proj;
};

/* Names of a matrix's parameters as state_dict has them: the longest is
 * weight_ih_l18446744073709551615_reverse_scale. */
struct names {
    char weight[48], scale[48], bias[48];
};

static struct names names_of(const struct plan *plan, size_t index)
{
    static const char *const stems[] = {[IH] = "_ih", [HH] = "_hh", [HR] = "_hr"};
    const size_t unit = index / plan->per_unit;
    const char *const stem = plan->kind == QRNN_LINEAR ? "" : stems[index % plan->per_unit];
    char suffix[32] = "";
    struct names names;
    if (plan->flags & MODULE_SEQUENCE)
        PyOS_snprintf(suffix, sizeof suffix, "_l%zu%s", unit / plan->directions,
                      unit % plan->directions ? "_reverse" : "");
    PyOS_snprintf(names.weight, sizeof names.weight, "weight%s%s", stem, suffix);
    PyOS_snprintf(names.scale, sizeof names.scale, "weight%s%s_scale", stem, suffix);
    PyOS_snprintf(names.bias, sizeof names.bias, "bias%s%s", stem, suffix);
    return names;
}

/* --- the plan --- */

static int find_kind(PyObject *name, struct plan *plan)
{
    const char *const text = arguments_text(name, "kind");
    if (!text || spec_find_kind(text, &plan->kind) < 0) return -1;
    plan->gates = (npy_intp)qrnn_kind_get(plan->kind)->gates;
    return 0;
}

static int take_sequence(PyObject *sequence, struct plan *plan)
{
    qrnn_spec spec = {.kind = plan->kind};
    if (spec_take_sequence(sequence, &spec, &plan->flags) < 0) return -1;
    plan->layers = spec.layers;
    plan->directions = spec.directions;
    return 0;
}

static int find_engine(PyObject *name, struct plan *plan)
{
    plan->engine = arguments_text(name, "engine");
    if (!plan->engine) return -1;
    plan->quantized = strcmp(plan->engine, "float32") != 0;
    for (size_t i = 0; qrnn_engine_name(i); i++)
        if (strcmp(plan->engine, qrnn_engine_name(i)) == 0) return 0;
    error_from_status(QRNN_ERR_ENGINE, &(struct error_context){.engine = plan->engine});
    return -1;
}

/* How many matrices a unit has: an LSTM's third is its projection. None at the end count for nothing. */
static int take_matrices(PyObject *const *matrices, Py_ssize_t count, struct plan *plan)
{
    const size_t units = plan->layers * plan->directions;
    while (count > 0 && matrices[count - 1] == Py_None) count--;
    plan->matrices = matrices;
    plan->count = (size_t)count;
    plan->per_unit = plan->kind == QRNN_LINEAR ? 1 : 2;
    if (plan->kind == QRNN_LSTM && plan->count == 3 * units) plan->per_unit = 3;
    if (plan->count == plan->per_unit * units) return 0;
    const char *const expected = plan->kind == QRNN_LINEAR ? "1 matrix"
                                 : plan->kind == QRNN_LSTM ? "2 or 3 matrices"
                                                           : "2 matrices";
    PyErr_Format(PyExc_TypeError,
                 "_pack() takes %s for each layer and direction, of which there are %zu, but %zd "
                 "were given",
                 expected, units, count);
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

/* `object` as a borrowed array of that type; NULL with an exception set. */
static PyArrayObject *take_array(PyObject *object, const char *name, int type)
{
    const char *const expected = type == NPY_INT8 ? "int8" : "float32";
    if (array_is_plain(object, type)) return (PyArrayObject *)object;
    if (!PyArray_Check(object)) {
        PyErr_Format(PyExc_TypeError, "%s: expected a %s array, got %s", name, expected, Py_TYPE(object)->tp_name);
        return NULL;
    }
    PyArrayObject *const array = (PyArrayObject *)object;
    if (PyArray_TYPE(array) != type || !PyArray_ISNOTSWAPPED(array))
        PyErr_Format(PyExc_ValueError, "%s: expected dtype %s, got %S", name, expected, PyArray_DESCR(array));
    else
        PyErr_Format(PyExc_ValueError, "%s: expected an aligned C-contiguous ndarray", name);
    return NULL;
}

/* The weight of a matrix, two-dimensional with at least a row. */
static PyArrayObject *take_weight(const struct plan *plan, size_t index, const struct names *names)
{
    PyObject *const tuple = plan->matrices[index];
    if (!PyTuple_Check(tuple) || PyTuple_GET_SIZE(tuple) != 3) {
        PyErr_Format(PyExc_TypeError, "%s: expected a tuple (weight, scale, bias), got %R", names->weight, tuple);
        return NULL;
    }
    PyArrayObject *const weight =
        take_array(PyTuple_GET_ITEM(tuple, 0), names->weight, plan->quantized ? NPY_INT8 : NPY_FLOAT32);
    if (weight && (PyArray_NDIM(weight) != 2 || PyArray_DIM(weight, 0) < 1)) {
        raise_shape(names->weight, "(rows, columns) with at least one row", weight);
        return NULL;
    }
    return weight;
}

/* The module's sizes, from the matrices of the first unit. */
static int take_sizes(struct plan *plan)
{
    char expected[SHAPE_TEXT];
    struct names names = names_of(plan, IH);
    PyArrayObject *weight = take_weight(plan, IH, &names);
    if (!weight) return -1;
    plan->columns = PyArray_DIM(weight, 1);
    plan->hidden = PyArray_DIM(weight, 0) / plan->gates;
    plan->proj = 0;
    if (plan->hidden * plan->gates != PyArray_DIM(weight, 0)) {
        PyOS_snprintf(expected, sizeof expected, "(%zd * hidden_size, columns)", plan->gates);
        return raise_shape(names.weight, expected, weight);
    }
    if (plan->per_unit <= HR) return 0;
    names = names_of(plan, HR);
    weight = take_weight(plan, HR, &names);
    if (!weight) return -1;
    plan->proj = PyArray_DIM(weight, 0);
    if (plan->proj < plan->hidden) return 0;
    PyOS_snprintf(expected, sizeof expected, "(proj_size, %zd) with proj_size below hidden_size", plan->hidden);
    return raise_shape(names.weight, expected, weight);
}

static int check_weight(const struct plan *plan, size_t index, PyArrayObject *weight, const struct names *names)
{
    char expected[SHAPE_TEXT];
    const size_t which = index % plan->per_unit;
    const npy_intp state = plan->proj ? plan->proj : plan->hidden;
    const npy_intp below =
        index / plan->per_unit < plan->directions ? plan->columns : (npy_intp)plan->directions * state;
    const npy_intp rows = which == HR ? plan->proj : plan->gates * plan->hidden;
    const npy_intp columns = which == HR ? plan->hidden : which == HH ? state : below;
    if (PyArray_DIM(weight, 0) == rows && PyArray_DIM(weight, 1) == columns) return 0;
    PyOS_snprintf(expected, sizeof expected, "(%zd, %zd)", rows, columns);
    return raise_shape(names->weight, expected, weight);
}

static int take_scale(PyObject *object, const struct names *names, npy_intp rows, int quantized, PyArrayObject **scale)
{
    char expected[SHAPE_TEXT];
    *scale = NULL;
    if (!quantized) {
        if (object == Py_None) return 0;
        PyErr_Format(PyExc_ValueError, "%s: expected None for float32 weights, got %s", names->scale,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    *scale = take_array(object, names->scale, NPY_FLOAT32);
    if (!*scale) return -1;
    const int ndim = PyArray_NDIM(*scale);
    if (ndim == 0 || (ndim == 1 && PyArray_DIM(*scale, 0) == rows)) return 0;
    PyOS_snprintf(expected, sizeof expected, "() or (%zd,)", rows);
    return raise_shape(names->scale, expected, *scale);
}

static int take_bias(PyObject *object, const struct names *names, npy_intp rows, int projection, PyArrayObject **bias)
{
    char expected[SHAPE_TEXT];
    *bias = NULL;
    if (object == Py_None) return 0;
    if (projection) {
        PyErr_Format(PyExc_ValueError, "%s: expected None for a projection, got %s", names->bias,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    *bias = take_array(object, names->bias, NPY_FLOAT32);
    if (!*bias) return -1;
    if (PyArray_NDIM(*bias) == 1 && PyArray_DIM(*bias, 0) == rows) return 0;
    PyOS_snprintf(expected, sizeof expected, "(%zd,)", rows);
    return raise_shape(names->bias, expected, *bias);
}

static int take_matrix(const struct plan *plan, size_t index, qrnn_weight *out, char *scale_ndim)
{
    PyArrayObject *scale, *bias;
    const struct names names = names_of(plan, index);
    PyArrayObject *const weight = take_weight(plan, index, &names);
    if (!weight || check_weight(plan, index, weight, &names) < 0) return -1;
    PyObject *const tuple = plan->matrices[index];
    const npy_intp rows = PyArray_DIM(weight, 0);
    if (take_scale(PyTuple_GET_ITEM(tuple, 1), &names, rows, plan->quantized, &scale) < 0
        || take_bias(PyTuple_GET_ITEM(tuple, 2), &names, rows, index % plan->per_unit == HR, &bias) < 0)
        return -1;
    *out = (qrnn_weight){
        .values = plan->quantized ? NULL : PyArray_DATA(weight),
        .codes = plan->quantized ? PyArray_DATA(weight) : NULL,
        .scale = array_data(scale),
        .n_scale = scale ? (size_t)PyArray_SIZE(scale) : 0,
        .bias = array_data(bias),
    };
    *scale_ndim = scale && PyArray_NDIM(scale) == 1;
    return 0;
}

/* --- packing --- */

/* The first value that is not finite, or, where it has to be, not positive. */
static float first_bad(const float *values, size_t n, int positive)
{
    for (size_t i = 0; values && i < n; i++)
        if (!isfinite(values[i]) || (positive && values[i] <= 0.0f)) return values[i];
    return NAN;
}

static void raise_pack(qrnn_status status, const struct plan *plan, const qrnn_spec *spec, size_t fault)
{
    const struct names names = names_of(plan, fault);
    const qrnn_weight *const weight = &spec->weights[fault];
    PyArrayObject *const array = (PyArrayObject *)PyTuple_GET_ITEM(plan->matrices[fault], 0);
    const struct error_context context = {
        .engine = spec->engine,
        .isa = spec->isa,
        .weight = names.weight,
        .scale = names.scale,
        .bias = names.bias,
        .depth = (size_t)PyArray_DIM(array, 1),
        .bad_scale = first_bad(weight->scale, weight->n_scale, 1),
        .bad_bias = first_bad(weight->bias, (size_t)PyArray_DIM(array, 0), 0),
        .projects = spec->proj_size > 0,
    };
    error_from_status(status, &context);
}

/* Packs what the plan says; NULL with an exception set. `weights` and `scale_ndim` have room for its
 * matrices. */
static qrnn_module *pack_plan(const struct plan *plan, const char *isa, qrnn_weight *weights, char *scale_ndim)
{
    size_t fault;
    qrnn_module *packed = NULL;
    for (size_t i = 0; i < plan->count; i++)
        if (take_matrix(plan, i, &weights[i], &scale_ndim[i]) < 0) return NULL;
    const qrnn_spec spec = {
        .kind = plan->kind,
        .engine = plan->engine,
        .isa = isa,
        .input_size = (size_t)plan->columns,
        .hidden_size = (size_t)plan->hidden,
        .proj_size = (size_t)plan->proj,
        .layers = plan->layers,
        .directions = plan->directions,
        .weights = weights,
    };
    const qrnn_status status = qrnn_module_new(&spec, &packed, &fault);
    if (status != QRNN_OK) raise_pack(status, plan, &spec, fault);
    return packed;
}

/* args: kind, engine, isa, matrices. Builds the new module before it touches the old one. */
static int pack(struct module_object *self, struct state *state, PyObject *const *args, Py_ssize_t nargs,
                PyObject *sequence)
{
    enum { KIND, ENGINE, ISA, MATRICES };
    struct plan plan;
    if (find_kind(args[KIND], &plan) < 0 || find_engine(args[ENGINE], &plan) < 0) return -1;
    const char *const isa = args[ISA] == Py_None ? NULL : arguments_text(args[ISA], "isa");
    if (!isa && args[ISA] != Py_None) return -1;
    if (take_sequence(sequence, &plan) < 0) return -1;
    if (take_matrices(args + MATRICES, nargs - MATRICES, &plan) < 0) return -1;
    if (take_sizes(&plan) < 0) return -1;

    qrnn_module *packed = NULL;
    qrnn_weight *weights = PyMem_New(qrnn_weight, plan.count);
    PyObject *scale_ndim = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)plan.count);
    if (!weights)
        PyErr_NoMemory();
    else if (scale_ndim)
        packed = pack_plan(&plan, isa, weights, PyBytes_AS_STRING(scale_ndim));
    PyMem_Free(weights);
    if (!packed) {
        Py_XDECREF(scale_ndim);
        return -1;
    }
    module_swap(self, state, packed, plan.flags, scale_ndim);
    return 0;
}

PyObject *module_pack(PyObject *self, PyTypeObject *definer, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    const Py_ssize_t keywords = kwnames ? PyTuple_GET_SIZE(kwnames) : 0;
    PyObject *const first = keywords ? PyTuple_GET_ITEM(kwnames, 0) : NULL;
    if (nargs < 4) {
        PyErr_Format(PyExc_TypeError,
                     "_pack() takes kind, engine, isa and at least one matrix but %zd positional "
                     "arguments were given",
                     nargs);
        return NULL;
    }
    if (keywords > 1 || (first && PyUnicode_CompareWithASCIIString(first, "sequence") != 0)) {
        PyErr_Format(PyExc_TypeError, "_pack() takes the keyword sequence alone, got %S", kwnames);
        return NULL;
    }
    if (pack((struct module_object *)self, PyType_GetModuleState(definer), args, nargs,
             keywords ? args[nargs] : Py_None)
        < 0)
        return NULL;
    Py_RETURN_NONE;
}

/* --- unpacking --- */

static PyArrayObject *unpack_weight(const qrnn_module *packed, size_t matrix)
{
    const npy_intp dims[2] = {(npy_intp)qrnn_module_rows(packed, matrix), (npy_intp)qrnn_module_cols(packed, matrix)};
    const int quantized = qrnn_module_n_scale(packed, matrix) > 0;
    PyArrayObject *array = array_new(quantized ? NPY_INT8 : NPY_FLOAT32, 2, dims);
    if (!array) return NULL;
    qrnn_module_unpack(packed, matrix, quantized ? NULL : PyArray_DATA(array), quantized ? PyArray_DATA(array) : NULL,
                       NULL, NULL);
    return array;
}

static PyArrayObject *unpack_scale(const qrnn_module *packed, size_t matrix, int ndim)
{
    const npy_intp dims[1] = {(npy_intp)qrnn_module_n_scale(packed, matrix)};
    PyArrayObject *array = array_new(NPY_FLOAT32, ndim, dims);
    if (array) qrnn_module_unpack(packed, matrix, NULL, NULL, PyArray_DATA(array), NULL);
    return array;
}

static PyArrayObject *unpack_bias(const qrnn_module *packed, size_t matrix)
{
    const npy_intp dims[1] = {(npy_intp)qrnn_module_rows(packed, matrix)};
    PyArrayObject *array = array_new(NPY_FLOAT32, 1, dims);
    if (array) qrnn_module_unpack(packed, matrix, NULL, NULL, NULL, PyArray_DATA(array));
    return array;
}

static PyObject *unpack(const qrnn_module *packed, size_t matrix, const char *what, int scale_ndim)
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
    Py_ssize_t index;
    const char *what;
    PyObject *scale_ndim, *array = NULL;
    if (!PyArg_ParseTuple(args, "ns:_unpack", &index, &what)) return NULL;
    qrnn_module *packed = module_hold((struct module_object *)self, NULL, &scale_ndim);
    if (!packed) return NULL;
    const Py_ssize_t count = PyBytes_GET_SIZE(scale_ndim);
    if (index >= 0 && index < count)
        array = unpack(packed, (size_t)index, what, PyBytes_AS_STRING(scale_ndim)[index]);
    else
        PyErr_Format(PyExc_ValueError, "index: expected 0 to %zd, got %zd", count - 1, index);
    qrnn_module_unref(packed);
    Py_DECREF(scale_ndim);
    return array;
}
