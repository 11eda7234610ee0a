/* properties.c - the properties of Module, which describe its packed weights. */
#include "properties.h"
#include "module_object.h"
#include "spec.h"

enum property {
    KIND,
    ENGINE,
    ISA,
    NBYTES,
    INPUT_SIZE,
    HIDDEN_SIZE,
    PROJ_SIZE,
    NUM_LAYERS,
    NUM_DIRECTIONS,
    BATCH_FIRST,
    SEQUENCE,
    OPTIONS,
    HAS_BIAS
};

/* The value that _pack takes as `sequence`. */
static PyObject *sequence_of(const qrnn_module *packed, int flags)
{
    if (!(flags & MODULE_SEQUENCE)) Py_RETURN_NONE;
    return Py_BuildValue("nnO", (Py_ssize_t)qrnn_module_layers(packed), (Py_ssize_t)qrnn_module_directions(packed),
                         flags & MODULE_BATCH_FIRST ? Py_True : Py_False);
}

static PyObject *property_of(const qrnn_module *packed, int flags, enum property property)
{
    switch (property) {
    case KIND: return PyUnicode_FromString(qrnn_kind_get(qrnn_module_kind(packed))->name);
    case ENGINE: return PyUnicode_FromString(qrnn_module_engine(packed));
    case ISA: return PyUnicode_FromString(qrnn_module_isa(packed));
    case NBYTES: return PyLong_FromSize_t(qrnn_module_bytes(packed));
    case INPUT_SIZE: return PyLong_FromSize_t(qrnn_module_input_size(packed));
    case HIDDEN_SIZE: return PyLong_FromSize_t(qrnn_module_hidden_size(packed));
    case PROJ_SIZE: return PyLong_FromSize_t(qrnn_module_proj_size(packed));
    case NUM_LAYERS: return PyLong_FromSize_t(qrnn_module_layers(packed));
    case NUM_DIRECTIONS: return PyLong_FromSize_t(qrnn_module_directions(packed));
    case BATCH_FIRST: return PyBool_FromLong(flags & MODULE_BATCH_FIRST);
    case SEQUENCE: return sequence_of(packed, flags);
    case OPTIONS: return spec_options_of(packed);
    case HAS_BIAS: return PyBool_FromLong(qrnn_module_has_bias(packed, 0));
    }
    Py_UNREACHABLE();
}

static PyObject *module_property(PyObject *self, void *closure)
{
    struct callee callee;
    if (callee_hold((struct module_object *)self, &callee) < 0) return NULL;
    PyObject *value = property_of(callee.packed, callee.flags, (enum property)(intptr_t)closure);
    callee_release(&callee);
    return value;
}

#define PROPERTY(name, property, doc) {name, module_property, NULL, doc, (void *)(intptr_t)(property)}
PyGetSetDef module_properties[] = {
    PROPERTY("kind", KIND, "'linear', 'rnn_tanh', 'rnn_relu', 'lstm', 'gru' or 'gru_reset_before'."),
    PROPERTY("engine", ENGINE, "The arithmetic: 'float32' or one of engines()."),
    PROPERTY("isa", ISA, "The instruction set that computes."),
    PROPERTY("nbytes", NBYTES, "Bytes of memory that the packed weights take."),
    PROPERTY("input_size", INPUT_SIZE, "Columns of the input."),
    PROPERTY("hidden_size", HIDDEN_SIZE, "Columns of the hidden state, or of a linear's result."),
    PROPERTY("proj_size", PROJ_SIZE, "Columns of an LSTM's projected hidden state; 0 without a projection."),
    PROPERTY("num_layers", NUM_LAYERS, "Layers of a sequence; else 1."),
    PROPERTY("num_directions", NUM_DIRECTIONS, "2 for a bidirectional sequence; else 1."),
    PROPERTY("batch_first", BATCH_FIRST, "Whether a sequence's batch is the first dimension."),
    PROPERTY("sequence", SEQUENCE, "(num_layers, num_directions, batch_first); None for a linear or a single cell."),
    PROPERTY("options", OPTIONS, "The `options` that _pack got; None for the kind's defaults."),
    PROPERTY("has_bias", HAS_BIAS, "Whether the layer has biases, that is, whether its first matrix has one."),
    {NULL, NULL, NULL, NULL, NULL},
};
