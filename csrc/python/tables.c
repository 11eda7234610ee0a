/* tables.c - the tables of the core as Python objects: kinds, engines, matrices, instruction sets. */
#include "functions.h"
#include "spec.h"

#include <math.h>

/* dict[key] = value. Takes over the reference to value. Returns -1 with an exception set on failure, and if value is
 * NULL. */
static int put(PyObject *dict, const char *key, PyObject *value)
{
    const int status = value ? PyDict_SetItemString(dict, key, value) : -1;
    Py_XDECREF(value);
    return status;
}

static PyObject *describe_kind(const qrnn_kind_info *kind)
{
    PyObject *activations = PyTuple_New((Py_ssize_t)kind->places);
    for (size_t i = 0; activations && i < kind->places; i++) {
        PyObject *const name = PyUnicode_FromString(qrnn_activation_get((size_t)kind->activations[i])->name);
        if (name)
            PyTuple_SET_ITEM(activations, (Py_ssize_t)i, name);
        else
            Py_CLEAR(activations);
    }
    if (!activations) return NULL;
    return Py_BuildValue("{s:s,s:n,s:n,s:O,s:O,s:N}", "family", kind->family, "gates", (Py_ssize_t)kind->gates,
                         "states", (Py_ssize_t)kind->states, "projects", kind->projects ? Py_True : Py_False,
                         "resets_before", kind->resets_before ? Py_True : Py_False, "activations", activations);
}

/* The default of a parameter; None if there is none. */
static PyObject *default_of(float value)
{
    if (isnan(value)) Py_RETURN_NONE;
    return PyFloat_FromDouble((double)value);
}

static PyObject *activations(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    PyObject *table = PyDict_New();
    for (size_t i = 0; table && qrnn_activation_get(i); i++) {
        const qrnn_activation_info *const info = qrnn_activation_get(i);
        PyObject *const row = info->parameters == 0 ? PyTuple_New(0)
                              : info->parameters == 1
                                  ? Py_BuildValue("(N)", default_of(info->alpha))
                                  : Py_BuildValue("NN", default_of(info->alpha), default_of(info->beta));
        if (put(table, info->name, row) < 0) Py_CLEAR(table);
    }
    return table;
}

static PyObject *kinds(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    PyObject *table = PyDict_New();
    for (int kind = 0; table && kind < QRNN_KINDS; kind++) {
        const qrnn_kind_info *const info = qrnn_kind_get((qrnn_kind)kind);
        if (put(table, info->name, describe_kind(info)) < 0) Py_CLEAR(table);
    }
    return table;
}

static PyObject *describe_engine(size_t i)
{
    const qrnn_engine_info *const engine = qrnn_engine_get(i);
    return Py_BuildValue("{s:O,s:O,s:O,s:O,s:O,s:O,s:s}", "quantized", engine->quantized ? Py_True : Py_False,
                         "per_row", engine->per_row ? Py_True : Py_False, "scale_per_row",
                         engine->scale_per_row ? Py_True : Py_False, "projects", engine->projects ? Py_True : Py_False,
                         "resets_before", engine->resets_before ? Py_True : Py_False, "options",
                         engine->options ? Py_True : Py_False, "activations", qrnn_engine_activations(i));
}

static PyObject *engine_table(PyObject *Py_UNUSED(module), PyObject *Py_UNUSED(args))
{
    PyObject *table = PyDict_New();
    for (size_t i = 0; table && qrnn_engine_get(i); i++) {
        if (put(table, qrnn_engine_name(i), describe_engine(i)) < 0) Py_CLEAR(table);
    }
    return table;
}

static PyObject *describe_matrix(const qrnn_matrix_info *matrix)
{
    return Py_BuildValue("sznnO", matrix->weight, matrix->takes_bias ? matrix->bias : NULL, (Py_ssize_t)matrix->rows,
                         (Py_ssize_t)matrix->cols, matrix->multiplies ? Py_True : Py_False);
}

static PyObject *matrices(PyObject *Py_UNUSED(module), PyObject *args)
{
    qrnn_spec spec = {0};
    const char *kind;
    PyObject *sequence = Py_None, *given = Py_None;
    Py_ssize_t input_size, hidden_size, proj_size = 0;
    qrnn_options options;
    int flags;
    if (!PyArg_ParseTuple(args, "snn|nOO:matrices", &kind, &input_size, &hidden_size, &proj_size, &sequence, &given))
        return NULL;
    if (spec_take(kind, input_size, hidden_size, proj_size, sequence, &spec, &flags) < 0
        || spec_take_options(given, &spec, &options) < 0)
        return NULL;
    const size_t count = qrnn_spec_matrices(&spec);
    PyObject *tuple = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; tuple && i < count; i++) {
        qrnn_matrix_info info;
        qrnn_spec_matrix(&spec, i, &info);
        PyObject *const item = describe_matrix(&info);
        if (item)
            PyTuple_SET_ITEM(tuple, (Py_ssize_t)i, item);
        else
            Py_CLEAR(tuple);
    }
    return tuple;
}

/* A tuple of the names for which `use` returns 1; NULL takes all. */
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

PyDoc_STRVAR(kinds_doc,
             "kinds($module, /)\n--\n\n"
             "The table of kinds by name. Each has `family` (the class of torch.nn), `gates`, `states` (0, 1: h,\n"
             "2: h and c), `projects`, `resets_before`, `activations` (the default functions, in order of places).");
PyDoc_STRVAR(activations_doc,
             "activations($module, /)\n--\n\n"
             "The table of activation functions by name. Each has the defaults of its parameters, None for a\n"
             "parameter without a default.");
PyDoc_STRVAR(engine_table_doc,
             "engine_table($module, /)\n--\n\n"
             "The table of engines by name, the default first. Each has `quantized` (int8 weights, else float32),\n"
             "`per_row` (it quantizes each batch row by itself), `scale_per_row` (weights have a scale for each\n"
             "row, by default), `projects` and `resets_before` (it supports kinds that do so), `options` (it\n"
             "supports options), `activations` (the format that its weights multiply).");
PyDoc_STRVAR(matrices_doc,
             "matrices($module, kind, input_size, hidden_size, proj_size=0, sequence=None, options=None, /)\n--\n\n"
             "The matrices of a layer in order, each (weight, bias or None, rows, columns, multiplies); the first\n"
             "two are PyTorch's names. A matrix that does not multiply stays float32.\n\n"
             "`sequence` is (num_layers, num_directions, batch_first), or None for a linear and a single cell;\n"
             "`options` is what Module._pack takes.");

PyDoc_STRVAR(isas_doc, "isas($module, /)\n--\n\n"
                       "Names of the instruction sets that this CPU has: \"scalar\" first, the best last.");

PyDoc_STRVAR(known_isas_doc, "known_isas($module, /)\n--\n\n"
                             "Names of all instruction sets that the core has code for, slowest first.");

PyDoc_STRVAR(engines_doc, "engines($module, /)\n--\n\n"
                          "Names of the quantized engines; the first is the default.");

PyMethodDef table_functions[] = {
    {"kinds", kinds, METH_NOARGS, kinds_doc},
    {"activations", activations, METH_NOARGS, activations_doc},
    {"engine_table", engine_table, METH_NOARGS, engine_table_doc},
    {"matrices", matrices, METH_VARARGS, matrices_doc},
    {"engines", engines, METH_NOARGS, engines_doc},
    {"isas", isas, METH_NOARGS, isas_doc},
    {"known_isas", known_isas, METH_NOARGS, known_isas_doc},
    {NULL, NULL, 0, NULL},
};
