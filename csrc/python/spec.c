/* spec.c - the specification of a layer, but for its weights, from Python's objects. */
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
