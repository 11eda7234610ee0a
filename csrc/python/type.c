/* type.c - the Module type: life, properties, sharing of what is packed. */
#include "binding.h"

#include <stddef.h>
#include <string.h>

/* Before 3.12 these had other names and lived in structmember.h. */
#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY
#endif

/* A bare Module, such as those that qrnn.torch calls, is named as the layer that it computes. */
const char *module_class_name(PyObject *self)
{
    static const char *const cells[QRNN_KINDS] = {"Linear", "RNNCell", "RNNCell", "LSTMCell", "GRUCell", "GRUCell"};
    static const char *const layers[QRNN_KINDS] = {"Linear", "RNN", "RNN", "LSTM", "GRU", "GRU"};
    struct module_object *const module = (struct module_object *)self;
    const char *const full = Py_TYPE(self)->tp_name, *const dot = strrchr(full, '.'), *name = dot ? dot + 1 : full;
    if (strcmp(full, module_type_spec.name) != 0) return name;
    Py_BEGIN_CRITICAL_SECTION(self)
        ;
        if (module->packed) name = (module->flags & MODULE_SEQUENCE ? layers : cells)[qrnn_module_kind(module->packed)];
    Py_END_CRITICAL_SECTION();
    return name;
}

/* --- what is packed --- */

/* Without a GIL the critical section keeps what is read from being freed before there is a new
 * reference to it; with one, that the caller holds it does. */
qrnn_module *module_hold(struct module_object *self, int *flags, PyObject **scale_ndim)
{
    qrnn_module *packed;
    Py_BEGIN_CRITICAL_SECTION(self)
        ;
        packed = self->packed;
        if (packed) qrnn_module_ref(packed);
        if (flags) *flags = self->flags;
        if (scale_ndim) *scale_ndim = Py_XNewRef(self->scale_ndim);
    Py_END_CRITICAL_SECTION();
    if (!packed)
        PyErr_Format(PyExc_RuntimeError, "%s is not initialised: it has no weights yet",
                     module_class_name((PyObject *)self));
    return packed;
}

/* From 3.12 on, a Python subclass inherits the vectorcall by itself, and loses it with a __call__
 * of its own. Before, it has to be given one, or every call makes a tuple and with `out=` a dict,
 * which takes as long as the rest of the binding; module_vectorcall watches for a __call__ that
 * comes later. */
static void allow_vectorcall(PyTypeObject *type)
{
#if PY_VERSION_HEX < 0x030C0000
    if (type->tp_call == module_tp_call) type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
#else
    (void)type;
#endif
}

void module_swap(struct module_object *self, struct state *state, qrnn_module *packed, int flags, PyObject *scale_ndim)
{
    qrnn_module *old;
    PyObject *old_scale_ndim;
    Py_BEGIN_CRITICAL_SECTION(self)
        ;
        old = self->packed;
        old_scale_ndim = self->scale_ndim;
        self->state = state;
        self->packed = packed;
        self->flags = flags;
        self->scale_ndim = scale_ndim;
        self->vectorcall = module_vectorcall;
    Py_END_CRITICAL_SECTION();
    allow_vectorcall(Py_TYPE(self));
    qrnn_module_unref(old);
    Py_XDECREF(old_scale_ndim);
}

static PyObject *module_share(PyObject *self, PyTypeObject *definer, PyObject *const *args, Py_ssize_t nargs,
                              PyObject *kwnames)
{
    int flags;
    PyObject *scale_ndim;
    struct state *const state = PyType_GetModuleState(definer);
    if (nargs != 1 || (kwnames && PyTuple_GET_SIZE(kwnames) > 0)) {
        PyErr_SetString(PyExc_TypeError, "_share() takes exactly one positional argument");
        return NULL;
    }
    if (!PyObject_TypeCheck(args[0], state->module_type)) {
        PyErr_Format(PyExc_TypeError, "other: expected a Module, got %s", Py_TYPE(args[0])->tp_name);
        return NULL;
    }
    qrnn_module *packed = module_hold((struct module_object *)args[0], &flags, &scale_ndim);
    if (!packed) return NULL;
    module_swap((struct module_object *)self, state, packed, flags, scale_ndim);
    Py_RETURN_NONE;
}

/* --- properties --- */

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
    SEQUENCE
};

/* What _pack takes as `sequence`. */
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
    }
    Py_UNREACHABLE();
}

static PyObject *module_property(PyObject *self, void *closure)
{
    int flags;
    qrnn_module *packed = module_hold((struct module_object *)self, &flags, NULL);
    if (!packed) return NULL;
    PyObject *value = property_of(packed, flags, (enum property)(intptr_t)closure);
    qrnn_module_unref(packed);
    return value;
}

/* --- life --- */

static int module_traverse(PyObject *self, visitproc visit, void *arg)
{
    Py_VISIT(Py_TYPE(self));
    return 0;
}

static void module_dealloc(PyObject *self)
{
    PyTypeObject *const type = Py_TYPE(self);
    PyObject_GC_UnTrack(self);
    qrnn_module_unref(((struct module_object *)self)->packed);
    Py_XDECREF(((struct module_object *)self)->scale_ndim);
    type->tp_free(self);
    Py_DECREF(type);
}

/* --- the type --- */

PyDoc_STRVAR(module_doc, "Module()\n--\n\n"
                         "What computes: packed weights that can be called. The base class of every layer.\n\n"
                         "The packed weights never change: `_pack` and `_share` put others in their place, and a\n"
                         "call keeps those that it began with, so threads may share a module.");

PyDoc_STRVAR(forward_doc,
             "forward($self, /, input, hx=None, *, lengths=None, out=None)\n--\n\n"
             "The same as a call. Shapes are those of PyTorch's modules.\n\n"
             "Parameters\n----------\n"
             "input : array_like\n"
             "    (batch, input_size) of a cell, (steps, batch, input_size) of a sequence or with\n"
             "    `batch_first` (batch, steps, input_size), both also without batch; (..., input_size) of a\n"
             "    linear.\n"
             "hx : array_like, or an LSTM's pair (h, c) of them, optional\n"
             "    The state; zeros if None. A linear has none. (batch, hidden_size) of a cell,\n"
             "    (num_layers * num_directions, batch, hidden_size) of a sequence. An `h` that is projected\n"
             "    has proj_size columns.\n"
             "lengths : array_like of int, optional\n"
             "    Of a sequence alone: how many steps of each batch row are valid, 1 to all.\n"
             "out : ndarray, or a tuple of them shaped like the result, optional\n"
             "    Takes the result: float32, C-contiguous, writeable, of the result's shape. It may be the\n"
             "    state itself. Of a sequence it may be the array of the output alone. A call that fails\n"
             "    leaves it as it was, but a KeyboardInterrupt leaves a sequence's output undefined.\n\n"
             "Returns\n-------\n"
             "ndarray of float32, or a tensor if `input` is one; `out` if given\n"
             "    W x + b of a linear; the next state of a cell, an LSTM's as a tuple (h, c); of a sequence\n"
             "    (output, h_n) or (output, (h_n, c_n)).\n\n"
             "Raises\n------\n"
             "RuntimeError, ValueError, TypeError\n"
             "    For sizes that do not match, other bad values, and what is no array of real numbers.");

PyDoc_STRVAR(forward_layers_doc,
             "_forward_layers($self, /, input, hx=None, *, lengths=None, out=None)\n--\n\n"
             "Of a sequence: what `forward` gives, and the outputs of the layers below the last, one array with\n"
             "the layers as its first dimension.");

PyDoc_STRVAR(pack_doc,
             "_pack($self, kind, engine, isa, /, *matrices, sequence=None)\n--\n\n"
             "Pack weights and put them in place; on failure nothing changes.\n\n"
             "Each matrix is (weight, scale, bias): float32 or int8 (rows, columns), float32 () or (rows,)\n"
             "or None for float32 weights, float32 (rows,) or None. A linear has one, every layer and\n"
             "direction of the rest ih, hh and, of an LSTM with a projection, hr, without bias: layers first\n"
             "to last, forward before reverse. `sequence` is (num_layers, num_directions, batch_first), None\n"
             "for a linear and for a single cell. `isa` None: the best.");

PyDoc_STRVAR(unpack_doc,
             "_unpack($self, index, what, /)\n--\n\n"
             "A new array of the 'weight', 'scale' or 'bias' of a matrix, by its place among those packed;\n"
             "None without.");

PyDoc_STRVAR(share_doc, "_share($self, other, /)\n--\n\n"
                        "Take the packed weights of `other`, which keeps them too.");

static PyMethodDef module_methods[] = {
    {"forward", FAST(module_forward), METH_FASTCALL | METH_KEYWORDS, forward_doc},
    {"_forward_layers", FAST(module_forward_layers), METH_FASTCALL | METH_KEYWORDS, forward_layers_doc},
    {"_pack", FAST(module_pack), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, pack_doc},
    {"_unpack", module_unpack, METH_VARARGS, unpack_doc},
    {"_share", FAST(module_share), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, share_doc},
    {NULL, NULL, 0, NULL},
};

#define PROPERTY(name, property, doc) {name, module_property, NULL, doc, (void *)(intptr_t)(property)}
static PyGetSetDef module_properties[] = {
    PROPERTY("kind", KIND, "'linear', 'rnn_tanh', 'rnn_relu', 'lstm', 'gru' or 'gru_reset_before'."),
    PROPERTY("engine", ENGINE, "The arithmetic: 'float32' or one of engines()."),
    PROPERTY("isa", ISA, "The instruction set that runs."),
    PROPERTY("nbytes", NBYTES, "Bytes of memory that the packed weights take."),
    PROPERTY("input_size", INPUT_SIZE, "Columns of the input."),
    PROPERTY("hidden_size", HIDDEN_SIZE, "Columns of the hidden state, or of a linear's result."),
    PROPERTY("proj_size", PROJ_SIZE, "Columns of an LSTM's projected hidden state; 0 without."),
    PROPERTY("num_layers", NUM_LAYERS, "Layers of a sequence; else 1."),
    PROPERTY("num_directions", NUM_DIRECTIONS, "2 of a bidirectional sequence; else 1."),
    PROPERTY("batch_first", BATCH_FIRST, "Whether a sequence's batch is the first dimension."),
    PROPERTY("sequence", SEQUENCE, "(num_layers, num_directions, batch_first); None of a linear and of a single cell."),
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMemberDef module_members[] = {
    {"__vectorcalloffset__", Py_T_PYSSIZET, offsetof(struct module_object, vectorcall), Py_READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot module_slots[] = {
    {Py_tp_doc, (void *)module_doc},   {Py_tp_dealloc, module_dealloc},
    {Py_tp_traverse, module_traverse}, {Py_tp_call, module_tp_call},
    {Py_tp_methods, module_methods},   {Py_tp_getset, module_properties},
    {Py_tp_members, module_members},   {0, NULL},
};

PyType_Spec module_type_spec = {
    .name = "qrnn._core.Module",
    .basicsize = sizeof(struct module_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = module_slots,
};
