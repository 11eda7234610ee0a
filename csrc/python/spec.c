/* spec.c - builds the specification of a layer, without its weights, from Python objects. */
#include "spec.h"

#include <string.h>

int spec_find_kind(const char *name, qrnn_kind *kind)
{
    PyObject *names = PyUnicode_FromString("");
    for (int i = 0; names && i < QRNN_KINDS; i++) {
        const char *const known = qrnn_kind_get((qrnn_kind)i)->name;
        if (strcmp(name, known) == 0) {
            *kind = (qrnn_kind)i;
            Py_DECREF(names);
            return 0;
        }
        const char *const between = i == 0 ? "" : i == QRNN_KINDS - 1 ? " or " : ", ";
        PyObject *const longer = PyUnicode_FromFormat("%U%s%s", names, between, known);
        Py_SETREF(names, longer);
    }
    if (names) PyErr_Format(PyExc_ValueError, "kind: expected %U, got '%s'", names, name);
    Py_XDECREF(names);
    return -1;
}

static int take_count(PyObject *object, const char *name, Py_ssize_t most, size_t *count)
{
    const Py_ssize_t value = PyNumber_AsSsize_t(object, NULL);
    if (value == -1 && PyErr_Occurred()) return -1;
    if (value < 1 || value > most) {
        PyErr_Format(PyExc_ValueError, "sequence: expected %s from 1 to %zd, got %R", name, most, object);
        return -1;
    }
    *count = (size_t)value;
    return 0;
}

int spec_take_sequence(PyObject *sequence, qrnn_spec *spec, int *flags)
{
    spec->layers = spec->directions = 1;
    spec->sequence = sequence != Py_None;
    *flags = 0;
    if (sequence == Py_None) return 0;
    if (!PyTuple_Check(sequence) || PyTuple_GET_SIZE(sequence) != 3) {
        PyErr_Format(PyExc_TypeError, "sequence: expected a tuple (num_layers, num_directions, batch_first), got %R",
                     sequence);
        return -1;
    }
    if (qrnn_kind_get(spec->kind)->states == 0) {
        PyErr_Format(PyExc_ValueError, "sequence: expected None for a linear, got %R", sequence);
        return -1;
    }
    if (take_count(PyTuple_GET_ITEM(sequence, 0), "num_layers", QRNN_MAX_LAYERS, &spec->layers) < 0
        || take_count(PyTuple_GET_ITEM(sequence, 1), "num_directions", 2, &spec->directions) < 0)
        return -1;
    const int batch_first = PyObject_IsTrue(PyTuple_GET_ITEM(sequence, 2));
    if (batch_first < 0) return -1;
    *flags = MODULE_SEQUENCE | (batch_first ? MODULE_BATCH_FIRST : 0);
    return 0;
}

int spec_take(const char *kind, Py_ssize_t input_size, Py_ssize_t hidden_size, Py_ssize_t proj_size, PyObject *sequence,
              qrnn_spec *spec, int *flags)
{
    if (spec_find_kind(kind, &spec->kind) < 0 || spec_take_sequence(sequence, spec, flags) < 0) return -1;
    if (input_size < 0 || hidden_size < 0 || proj_size < 0) {
        PyErr_Format(PyExc_ValueError, "expected sizes of at least 0, got %zd, %zd and %zd", input_size, hidden_size,
                     proj_size);
        return -1;
    }
    spec->input_size = (size_t)input_size;
    spec->hidden_size = (size_t)hidden_size;
    spec->proj_size = (size_t)proj_size;
    return 0;
}

/* --- options --- */

enum option {
    ACTIVATIONS,
    CLIP,
    CELL_CLIP,
    PROJ_CLIP,
    LAYER_NORM,
    PEEPHOLES,
    INPUT_FORGET,
    REVERSE,
    INITIAL_STATES,
    OPTIONS
};

static const char *const option_names[OPTIONS] = {
    [ACTIVATIONS] = "activations",       [CLIP] = "clip",
    [CELL_CLIP] = "cell_clip",           [PROJ_CLIP] = "proj_clip",
    [LAYER_NORM] = "layer_norm",         [PEEPHOLES] = "peepholes",
    [INPUT_FORGET] = "input_forget",     [REVERSE] = "reverse",
    [INITIAL_STATES] = "initial_states",
};

static float *number_at(qrnn_options *o, enum option option)
{
    switch (option) {
    case CLIP: return &o->clip;
    case CELL_CLIP: return &o->cell_clip;
    case PROJ_CLIP: return &o->proj_clip;
    default: return &o->layer_norm;
    }
}

static int *flag_at(qrnn_options *o, enum option option)
{
    switch (option) {
    case PEEPHOLES: return &o->peepholes;
    case INPUT_FORGET: return &o->input_forget;
    case REVERSE: return &o->reverse;
    default: return &o->initial_states;
    }
}

static int take_activation(PyObject *given, qrnn_activation *activation)
{
    const char *name;
    if (!PyTuple_Check(given)) {
        PyErr_Format(PyExc_TypeError, "activations: expected a tuple (name, alpha, beta), got %R", given);
        return -1;
    }
    if (!PyArg_ParseTuple(given, "sff;activations: expected (name, alpha, beta)", &name, &activation->alpha,
                          &activation->beta))
        return -1;
    for (int i = 0; i < QRNN_ACTIVATION_FUNCTIONS; i++) {
        if (strcmp(qrnn_activation_get((size_t)i)->name, name) != 0) continue;
        activation->function = (qrnn_activation_function)i;
        return 0;
    }
    PyErr_Format(PyExc_ValueError, "activations: there is no function '%s'", name);
    return -1;
}

static int take_activations(PyObject *given, const qrnn_spec *spec, qrnn_options *o)
{
    const size_t places = qrnn_kind_get(spec->kind)->places, count = places * spec->directions;
    if (given == Py_None) return 0;
    if (!PyTuple_Check(given) || (size_t)PyTuple_GET_SIZE(given) != count) {
        PyErr_Format(PyExc_ValueError, "activations: expected a tuple of %zu, %zu for each direction, got %R", count,
                     places, given);
        return -1;
    }
    for (size_t i = 0; i < count; i++)
        if (take_activation(PyTuple_GET_ITEM(given, i), &o->activations[i / places][i % places]) < 0) return -1;
    return 0;
}

int spec_take_options(PyObject *options, qrnn_spec *spec, qrnn_options *room)
{
    spec->options = NULL;
    if (options == Py_None) return 0;
    if (!PyTuple_Check(options) || PyTuple_GET_SIZE(options) != OPTIONS) {
        PyErr_Format(PyExc_TypeError, "options: expected None or a tuple of %d, got %R", OPTIONS, options);
        return -1;
    }
    qrnn_options_init(spec->kind, room);
    if (take_activations(PyTuple_GET_ITEM(options, ACTIVATIONS), spec, room) < 0) return -1;
    for (int i = CLIP; i < PEEPHOLES; i++) {
        const double number = PyFloat_AsDouble(PyTuple_GET_ITEM(options, i));
        if (number == -1.0 && PyErr_Occurred()) return -1;
        *number_at(room, (enum option)i) = (float)number;
    }
    for (int i = PEEPHOLES; i < OPTIONS; i++) {
        const int flag = PyObject_IsTrue(PyTuple_GET_ITEM(options, i));
        if (flag < 0) return -1;
        *flag_at(room, (enum option)i) = flag;
    }
    spec->options = room;
    return 0;
}

static PyObject *activations_of(const qrnn_module *packed, const qrnn_options *o)
{
    const qrnn_kind_info *const kind = qrnn_kind_get(qrnn_module_kind(packed));
    const size_t count = kind->places * qrnn_module_directions(packed);
    size_t own = 0;
    while (own < count
           && o->activations[own / kind->places][own % kind->places].function == kind->activations[own % kind->places])
        own++;
    if (own == count) Py_RETURN_NONE; /* no default activation has parameters */
    PyObject *all = PyTuple_New((Py_ssize_t)count);
    for (size_t i = 0; all && i < count; i++) {
        const qrnn_activation *const a = &o->activations[i / kind->places][i % kind->places];
        PyObject *const one = Py_BuildValue("sff", qrnn_activation_get((size_t)a->function)->name, a->alpha, a->beta);
        if (one)
            PyTuple_SET_ITEM(all, (Py_ssize_t)i, one);
        else
            Py_CLEAR(all);
    }
    return all;
}

PyObject *spec_options_of(const qrnn_module *packed)
{
    const qrnn_options *const o = qrnn_module_options(packed);
    if (!o) Py_RETURN_NONE;
    PyObject *const activations = activations_of(packed, o);
    return activations ? Py_BuildValue("NffffNNNN", activations, o->clip, o->cell_clip, o->proj_clip, o->layer_norm,
                                       PyBool_FromLong(o->peepholes), PyBool_FromLong(o->input_forget),
                                       PyBool_FromLong(o->reverse), PyBool_FromLong(o->initial_states))
                       : NULL;
}

const char *spec_first_option(PyObject *options)
{
    for (int i = 0; PyTuple_Check(options) && i < OPTIONS && i < PyTuple_GET_SIZE(options); i++) {
        const int given = PyObject_IsTrue(PyTuple_GET_ITEM(options, i));
        if (given < 0) PyErr_Clear();
        if (given) return option_names[i];
    }
    return NULL;
}
