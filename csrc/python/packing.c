/* packing.c - Module._pack, which packs arrays into weights. */
#include "packing.h"
#include "arguments.h"
#include "arrays.h"
#include "errors.h"
#include "spec.h"

#include <math.h>
#include <string.h>

enum { SHAPE_TEXT = 64 };

/* What is being packed. */
struct plan {
    qrnn_spec spec;
    qrnn_options options;     /* the target of spec.options, unless that is NULL */
    const char *option;       /* the name of the first option that differs from the kind's default */
    int quantized, flags;
    PyObject *const *matrices; /* as many as the specification has */
    size_t count;
};

/* The names that error texts use for a matrix of the plan; the longest is
 * weight_ih_l18446744073709551615_reverse_scale. */
struct names {
    qrnn_matrix_info info;
    char scale[64];
};

static struct names names_of(const struct plan *plan, size_t index)
{
    struct names names;
    qrnn_spec_matrix(&plan->spec, index, &names.info);
    PyOS_snprintf(names.scale, sizeof names.scale, "%s_scale", names.info.weight);
    return names;
}

/* --- the plan --- */

static int find_kind(PyObject *name, struct plan *plan)
{
    const char *const text = arguments_text(name, "kind");
    return text ? spec_find_kind(text, &plan->spec.kind) : -1;
}

static int find_engine(PyObject *name, struct plan *plan)
{
    const char *const text = arguments_text(name, "engine");
    if (!text) return -1;
    const qrnn_engine_info *const engine = qrnn_engine_by_name(text);
    if (!engine) {
        error_from_status(QRNN_ERR_ENGINE, &(struct error_context){.engine = text});
        return -1;
    }
    plan->spec.engine = engine->name;
    plan->quantized = engine->quantized;
    return 0;
}

/* How many matrices there are, with a projection or without. */
static size_t count_matrices(const struct plan *plan, int projected)
{
    qrnn_spec spec = plan->spec;
    spec.proj_size = (size_t)projected;
    return qrnn_spec_matrices(&spec);
}

/* Their number tells whether there is a projection. None at the end is ignored. */
static int take_matrices(PyObject *const *matrices, Py_ssize_t count, struct plan *plan)
{
    const size_t directions = plan->spec.layers * plan->spec.directions, least = count_matrices(plan, 0);
    const size_t most = qrnn_kind_get(plan->spec.kind)->projects ? count_matrices(plan, 1) : least;
    while (count > 0 && matrices[count - 1] == Py_None) count--;
    plan->matrices = matrices;
    plan->count = (size_t)count;
    plan->spec.proj_size = plan->count == most && most > least; /* its size is set by take_proj_size */
    if (plan->count == least || plan->count == most) return 0;
    char expected[SHAPE_TEXT];
    if (most > least)
        PyOS_snprintf(expected, sizeof expected, "%zu or %zu matrices", least / directions, most / directions);
    else
        PyOS_snprintf(expected, sizeof expected, "%zu %s", least / directions,
                      least == directions ? "matrix" : "matrices");
    PyErr_Format(PyExc_TypeError,
                 "_pack() takes %s for each layer and direction, of which there are %zu, but %zd "
                 "were given",
                 expected, directions, count);
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

/* `object` as a borrowed array of that type, or NULL with an exception set. */
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

/* The caller gives a matrix as a tuple of these. The last, a format's name, is optional. */
enum { WEIGHT, SCALE, BIAS, ACTIVATIONS };

/* Whether a matrix is given in codes. With a quantized engine it is, unless it is float32 without a scale, or a matrix
 * that no product uses. */
static int is_coded(const struct plan *plan, size_t index)
{
    if (!names_of(plan, index).info.multiplies) return 0;
    PyObject *const tuple = plan->matrices[index], *const weight = PyTuple_GET_ITEM(tuple, WEIGHT);
    const int floats = PyArray_Check(weight) && PyArray_TYPE((PyArrayObject *)weight) == NPY_FLOAT32;
    return plan->quantized && !(floats && PyTuple_GET_ITEM(tuple, SCALE) == Py_None);
}

/* The weight of a matrix. It has two dimensions and, in a sequence, at least one row. */
static PyArrayObject *take_weight(const struct plan *plan, size_t index, const char *name)
{
    PyObject *const tuple = plan->matrices[index];
    const Py_ssize_t size = PyTuple_Check(tuple) ? PyTuple_GET_SIZE(tuple) : 0;
    if (size != ACTIVATIONS && size != ACTIVATIONS + 1) {
        PyErr_Format(PyExc_TypeError, "%s: expected a tuple (weight, scale, bias), got %R", name, tuple);
        return NULL;
    }
    PyArrayObject *const weight =
        take_array(PyTuple_GET_ITEM(tuple, WEIGHT), name, is_coded(plan, index) ? NPY_INT8 : NPY_FLOAT32);
    const int least = plan->spec.sequence ? 1 : 0;
    if (weight && (PyArray_NDIM(weight) != 2 || PyArray_DIM(weight, 0) < least)) {
        raise_shape(name, least ? "(rows, columns) with at least one row" : "(rows, columns)", weight);
        return NULL;
    }
    return weight;
}

/* The module's sizes are those of the first matrix, which multiplies the input. */
static int take_hidden_size(struct plan *plan)
{
    const struct names names = names_of(plan, 0);
    const size_t gates = qrnn_kind_get(plan->spec.kind)->gates;
    PyArrayObject *const weight = take_weight(plan, 0, names.info.weight);
    if (!weight) return -1;
    const size_t rows = (size_t)PyArray_DIM(weight, 0);
    plan->spec.input_size = (size_t)PyArray_DIM(weight, 1);
    plan->spec.hidden_size = rows / gates;
    if (rows % gates == 0) return 0;
    char expected[SHAPE_TEXT];
    PyOS_snprintf(expected, sizeof expected, "(%zu * hidden_size, columns)", gates);
    return raise_shape(names.info.weight, expected, weight);
}

/* The size of a projection is the number of rows of its matrix, which is the first one without a bias. */
static int take_proj_size(struct plan *plan)
{
    size_t index = 0;
    struct names names = names_of(plan, index);
    while (names.info.takes_bias) names = names_of(plan, ++index);
    PyArrayObject *const weight = take_weight(plan, index, names.info.weight);
    if (!weight) return -1;
    plan->spec.proj_size = (size_t)PyArray_DIM(weight, 0);
    if (plan->spec.proj_size < plan->spec.hidden_size) return 0;
    char expected[SHAPE_TEXT];
    PyOS_snprintf(expected, sizeof expected, "(proj_size, %zu) with proj_size below hidden_size",
                  plan->spec.hidden_size);
    return raise_shape(names.info.weight, expected, weight);
}

static int check_weight(PyArrayObject *weight, const qrnn_matrix_info *info)
{
    char expected[SHAPE_TEXT];
    if ((size_t)PyArray_DIM(weight, 0) == info->rows && (size_t)PyArray_DIM(weight, 1) == info->cols) return 0;
    PyOS_snprintf(expected, sizeof expected, "(%zu, %zu)", info->rows, info->cols);
    return raise_shape(info->weight, expected, weight);
}

static int take_scale(PyObject *object, const struct names *names, int coded, PyArrayObject **scale)
{
    char expected[SHAPE_TEXT];
    *scale = NULL;
    if (!coded) {
        if (object == Py_None) return 0;
        PyErr_Format(PyExc_ValueError, "%s: expected None for float32 weights, got %s", names->scale,
                     Py_TYPE(object)->tp_name);
        return -1;
    }
    *scale = take_array(object, names->scale, NPY_FLOAT32);
    if (!*scale) return -1;
    const int ndim = PyArray_NDIM(*scale);
    if (ndim == 0 || (ndim == 1 && (size_t)PyArray_DIM(*scale, 0) == names->info.rows)) return 0;
    PyOS_snprintf(expected, sizeof expected, "() or (%zu,)", names->info.rows);
    return raise_shape(names->scale, expected, *scale);
}

static int take_bias(PyObject *object, const qrnn_matrix_info *info, PyArrayObject **bias)
{
    char expected[SHAPE_TEXT];
    *bias = NULL;
    if (object == Py_None) return 0;
    if (!info->takes_bias) {
        PyErr_Format(PyExc_ValueError, "%s: expected None for a matrix without a bias, got %s",
                     info->multiplies ? info->bias : info->weight, Py_TYPE(object)->tp_name);
        return -1;
    }
    *bias = take_array(object, info->bias, NPY_FLOAT32);
    if (!*bias) return -1;
    if (PyArray_NDIM(*bias) == 1 && (size_t)PyArray_DIM(*bias, 0) == info->rows) return 0;
    PyOS_snprintf(expected, sizeof expected, "(%zu,)", info->rows);
    return raise_shape(info->bias, expected, *bias);
}

static int take_matrix(const struct plan *plan, size_t index, qrnn_weight *out, char *scale_ndim)
{
    PyArrayObject *scale, *bias;
    const struct names names = names_of(plan, index);
    PyArrayObject *const weight = take_weight(plan, index, names.info.weight);
    if (!weight || check_weight(weight, &names.info) < 0) return -1;
    PyObject *const tuple = plan->matrices[index];
    const int coded = is_coded(plan, index);
    const char *activations = NULL;
    if (take_scale(PyTuple_GET_ITEM(tuple, SCALE), &names, coded, &scale) < 0
        || take_bias(PyTuple_GET_ITEM(tuple, BIAS), &names.info, &bias) < 0)
        return -1;
    if (PyTuple_GET_SIZE(tuple) > ACTIVATIONS
        && !(activations = arguments_text(PyTuple_GET_ITEM(tuple, ACTIVATIONS), names.info.weight)))
        return -1;
    *out = (qrnn_weight){
        .values = coded ? NULL : PyArray_DATA(weight),
        .codes = coded ? PyArray_DATA(weight) : NULL,
        .scale = array_data(scale),
        .n_scale = scale ? (size_t)PyArray_SIZE(scale) : 0,
        .bias = array_data(bias),
        .activations = activations,
    };
    *scale_ndim = scale && PyArray_NDIM(scale) == 1;
    return 0;
}

/* --- packing --- */

/* The first value that is not finite, or, if `positive`, not positive. */
static float first_bad(const float *values, size_t n, int positive)
{
    for (size_t i = 0; values && i < n; i++)
        if (!isfinite(values[i]) || (positive && values[i] <= 0.0f)) return values[i];
    return NAN;
}

static void raise_pack(qrnn_status status, const struct plan *plan, size_t fault)
{
    const struct names names = names_of(plan, fault);
    const qrnn_weight *const weight = &plan->spec.weights[fault];
    const struct error_context context = {
        .engine = plan->spec.engine,
        .isa = plan->spec.isa,
        .weight = names.info.weight,
        .scale = names.scale,
        .bias = names.info.bias,
        .depth = names.info.cols,
        .bad_scale = first_bad(weight->scale, weight->n_scale, 1),
        .bad_bias = first_bad(weight->bias, names.info.rows, 0),
        .projects = plan->spec.proj_size > 0,
        .option = plan->option,
    };
    error_from_status(status, &context);
}

/* Packs the plan's matrices; returns NULL with an exception set on failure. `weights` and `scale_ndim` have room for
 * all of them. */
static qrnn_module *pack_plan(struct plan *plan, qrnn_weight *weights, char *scale_ndim)
{
    size_t fault;
    qrnn_module *packed = NULL;
    for (size_t i = 0; i < plan->count; i++)
        if (take_matrix(plan, i, &weights[i], &scale_ndim[i]) < 0) return NULL;
    plan->spec.weights = weights;
    const qrnn_status status = qrnn_module_new(&plan->spec, &packed, &fault);
    if (status != QRNN_OK) raise_pack(status, plan, fault);
    return packed;
}

/* args: kind, engine, isa, matrices. */
static int take_plan(PyObject *const *args, Py_ssize_t nargs, PyObject *sequence, PyObject *options, struct plan *plan)
{
    enum { KIND, ENGINE, ISA, MATRICES };
    if (find_kind(args[KIND], plan) < 0 || find_engine(args[ENGINE], plan) < 0) return -1;
    if (args[ISA] != Py_None && !(plan->spec.isa = arguments_text(args[ISA], "isa"))) return -1;
    if (spec_take_sequence(sequence, &plan->spec, &plan->flags) < 0
        || spec_take_options(options, &plan->spec, &plan->options) < 0)
        return -1;
    plan->option = spec_first_option(options);
    if (take_matrices(args + MATRICES, nargs - MATRICES, plan) < 0 || take_hidden_size(plan) < 0) return -1;
    return plan->spec.proj_size ? take_proj_size(plan) : 0;
}

/* Builds the new module completely before it changes the old one. */
static int pack(struct module_object *self, struct module_state *state, struct plan *plan)
{
    qrnn_module *packed = NULL;
    qrnn_weight *weights = PyMem_New(qrnn_weight, plan->count);
    PyObject *scale_ndim = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)plan->count);
    if (!weights)
        PyErr_NoMemory();
    else if (scale_ndim)
        packed = pack_plan(plan, weights, PyBytes_AS_STRING(scale_ndim));
    PyMem_Free(weights);
    if (!packed) {
        Py_XDECREF(scale_ndim);
        return -1;
    }
    module_swap(self, state, packed, plan->flags, scale_ndim);
    return 0;
}

PyObject *module_pack(PyObject *self, PyTypeObject *definer, PyObject *const *args, Py_ssize_t nargs, PyObject *kwnames)
{
    PyObject *sequence = Py_None, *options = Py_None;
    if (nargs < 4) {
        PyErr_Format(PyExc_TypeError,
                     "_pack() takes kind, engine, isa and at least one matrix but %zd positional "
                     "arguments were given",
                     nargs);
        return NULL;
    }
    for (Py_ssize_t i = 0; kwnames && i < PyTuple_GET_SIZE(kwnames); i++) {
        PyObject *const name = PyTuple_GET_ITEM(kwnames, i);
        const int is_options = PyUnicode_CompareWithASCIIString(name, "options") == 0;
        if (!is_options && PyUnicode_CompareWithASCIIString(name, "sequence") != 0) {
            PyErr_Format(PyExc_TypeError, "_pack() takes only the keywords sequence and options, got %S", kwnames);
            return NULL;
        }
        *(is_options ? &options : &sequence) = args[nargs + i];
    }
    struct plan plan = {0};
    if (take_plan(args, nargs, sequence, options, &plan) < 0
        || pack((struct module_object *)self, PyType_GetModuleState(definer), &plan) < 0)
        return NULL;
    Py_RETURN_NONE;
}
