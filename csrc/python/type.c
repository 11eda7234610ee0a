/* type.c - the Module type: its methods, their texts, the life of its instances. */
#include "type.h"
#include "dispatch.h"
#include "module_object.h"
#include "packing.h"
#include "properties.h"

#include <stddef.h>

/* Before Python 3.12 these had other names, and the first two were in structmember.h. */
#if PY_VERSION_HEX < 0x030C0000
#include <structmember.h>
#define Py_T_PYSSIZET T_PYSSIZET
#define Py_READONLY READONLY
#define type_dict(type) Py_NewRef((type)->tp_dict)
#else
#define type_dict(type) PyType_GetDict(type)
#endif

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
    qrnn_module_unref(((struct module_object *)self)->callee.packed);
    Py_XDECREF(((struct module_object *)self)->scale_ndim);
    type->tp_free(self);
    Py_DECREF(type);
}

/* --- the type --- */

PyDoc_STRVAR(module_doc,
             "Module()\n--\n\n"
             "Packed weights that can be called: the base class of every layer.\n\n"
             "The packed weights never change: `_pack` and `_take_packed` put others in their place. A call\n"
             "keeps the weights that it began with, so threads may share a module.");

/* The text of __call__ and of forward. */
#define PARAMETERS "($self, /, input, hx=None, *, lengths=None, out=None)\n--\n\n"
#define DESCRIPTION                                                                                      \
    "Shapes are those of PyTorch's modules.\n\n"                                                         \
    "Parameters\n----------\n"                                                                           \
    "input : array_like\n"                                                                               \
    "    (batch, input_size) for a cell; (steps, batch, input_size) for a sequence, or (batch, steps,\n" \
    "    input_size) with `batch_first`; both also without batch; (..., input_size) for a linear.\n"     \
    "hx : array_like, or an LSTM's pair (h, c) of them, optional\n"                                      \
    "    The state; zeros if None. A linear has none. (batch, hidden_size) for a cell,\n"                \
    "    (num_layers * num_directions, batch, hidden_size) for a sequence. An `h` that is projected\n"   \
    "    has proj_size columns.\n"                                                                       \
    "lengths : array_like of int, optional\n"                                                            \
    "    Only for a sequence: how many steps of each batch row are valid, 1 to all.\n"                   \
    "out : ndarray, or a tuple of them shaped like the result, optional\n"                               \
    "    Takes the result: float32, C-contiguous, writeable, of the result's shape. It may be the\n"     \
    "    state itself. For a sequence it may be an array for the output only. A call that fails\n"       \
    "    leaves it as it was, but a KeyboardInterrupt leaves a sequence's output undefined.\n\n"         \
    "Returns\n-------\n"                                                                                 \
    "ndarray of float32, or a tensor if `input` is one; `out` if given\n"                                \
    "    A linear returns W x + b; a cell its next state, an LSTM's as a tuple (h, c); a sequence\n"     \
    "    (output, h_n) or (output, (h_n, c_n)).\n\n"                                                     \
    "Raises\n------\n"                                                                                   \
    "RuntimeError, ValueError, TypeError\n"                                                              \
    "    If sizes do not match, other values are bad, or something is not an array of real numbers."

PyDoc_STRVAR(call_doc, "__call__" PARAMETERS "Compute. " DESCRIPTION);
PyDoc_STRVAR(forward_doc, "forward" PARAMETERS "The same as a call. " DESCRIPTION);

PyDoc_STRVAR(forward_layers_doc,
             "_forward_layers($self, /, input, hx=None, *, lengths=None, out=None)\n--\n\n"
             "For a sequence: (result, below, inner, slopes).\n\n"
             "`result` is what `forward` returns. `below` has the outputs of the layers below the last; layers\n"
             "are its first dimension. `inner` has the values that are multiplied inside a step: r * h of a GRU\n"
             "that resets before the product, or an LSTM's h before its projection. Layers and directions are its\n"
             "first dimension; it is undefined past the end of a row, and None if there are no such values.\n"
             "`slopes`, with the same first dimension, has for each step the mean over the hidden units of the sum\n"
             "over their gates of (dh' / da)**2. a is what the gate sums, and h' is an LSTM's h before its\n"
             "projection; r of a GRU that resets before the product is left out. NaN past the end of a row.");

PyDoc_STRVAR(pack_doc,
             "_pack($self, kind, engine, isa, /, *matrices, sequence=None, options=None)\n--\n\n"
             "Pack weights and put them in place; on failure nothing changes.\n\n"
             "Each matrix is (weight, scale, bias), or (weight, scale, bias, activations) with the name of the\n"
             "format that it multiplies. The weight is float32 or int8 (rows, columns); the scale float32 () or\n"
             "(rows,), or None for float32 weights; the bias float32 (rows,), or None. A linear has one matrix.\n"
             "Others have for each layer and direction ih, hh and, in an LSTM with a projection, hr, which has no\n"
             "bias: first layer first, forward before reverse. After these comes what `options` add, with learned\n"
             "states last. `sequence` is (num_layers, num_directions, batch_first), or None for a linear and for a\n"
             "single cell. `options` is (activations, clip, cell_clip, proj_clip, layer_norm, peepholes,\n"
             "input_forget, reverse, initial_states): `activations` is None or has (name, alpha, beta) for each\n"
             "place, direction by direction; then numbers, 0 for none; then flags. `isa` None: the best.");

PyDoc_STRVAR(unpack_doc,
             "_unpack($self, index, what, /)\n--\n\n"
             "A new array of the 'weight', 'scale' or 'bias' of the matrix at `index` among those packed; None if\n"
             "it has none.");

PyDoc_STRVAR(take_packed_doc, "_take_packed($self, other, /)\n--\n\n"
                              "Share the packed weights of `other`, which keeps them.");

static PyMethodDef module_methods[] = {
    {"forward", FAST(module_forward), METH_FASTCALL | METH_KEYWORDS, forward_doc},
    {"_forward_layers", FAST(module_forward_layers), METH_FASTCALL | METH_KEYWORDS, forward_layers_doc},
    {"_pack", FAST(module_pack), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, pack_doc},
    {"_unpack", module_unpack, METH_VARARGS, unpack_doc},
    {"_take_packed", FAST(module_take_packed), METH_METHOD | METH_FASTCALL | METH_KEYWORDS, take_packed_doc},
    {NULL, NULL, 0, NULL},
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

static PyType_Spec spec = {
    .name = "qrnn._core.Module",
    .basicsize = sizeof(struct module_object),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
             | Py_TPFLAGS_IMMUTABLETYPE,
    .slots = module_slots,
};

/* Gives __call__ a text of its own instead of "Call self as a function." It replaces the descriptor that Python made
 * for tp_call by one that differs only in the text. Name and functions are the same, so Python still sees that
 * subclasses use tp_call, and lets them inherit the vectorcall. A method named __call__ would lose both. */
static int describe_call(PyTypeObject *type)
{
    static struct wrapperbase described; /* the same for every type */
    int status = -1;
    PyObject *descriptor = NULL, *dict = type_dict(type);
    PyObject *const made = PyDict_GetItemString(dict, "__call__");
    if (!made || !Py_IS_TYPE(made, &PyWrapperDescr_Type)) {
        PyErr_SetString(PyExc_SystemError, "Module: __call__ is missing or is no slot");
        goto exit;
    }
    described = *((PyWrapperDescrObject *)made)->d_base;
    described.doc = call_doc;
    descriptor = PyDescr_NewWrapper(type, &described, ((PyWrapperDescrObject *)made)->d_wrapped);
    if (!descriptor) goto exit;
    status = PyDict_SetItemString(dict, "__call__", descriptor);
    PyType_Modified(type);

exit:
    Py_XDECREF(descriptor);
    Py_DECREF(dict);
    return status;
}

int type_init(PyObject *module, struct module_state *state)
{
    state->vectorcall = module_vectorcall;
    state->module_type = (PyTypeObject *)PyType_FromModuleAndSpec(module, &spec, NULL);
    return state->module_type ? describe_call(state->module_type) : -1;
}
