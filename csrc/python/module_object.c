/* module_object.c - an instance of Module, which holds packed weights and can exchange them for others. */
#include "module_object.h"

#include <string.h>

const char *module_class_name(struct module_object *self)
{
    PyTypeObject *const type = Py_TYPE(self);
    const char *const full = type->tp_name, *const dot = strrchr(full, '.'), *name = dot ? dot + 1 : full;
    Py_BEGIN_CRITICAL_SECTION(self)
        ;
        if (self->callee.packed && type == self->state->module_type)
            name = self->callee.flags & MODULE_SEQUENCE ? self->callee.kind->family : self->callee.kind->cell;
    Py_END_CRITICAL_SECTION();
    return name;
}

int module_raise_empty(struct module_object *self)
{
    PyErr_Format(PyExc_RuntimeError, "%s is not initialised: it has no weights yet", module_class_name(self));
    return -1;
}

int callee_hold_scales(struct module_object *self, struct callee *callee, PyObject **scale_ndim)
{
    Py_BEGIN_CRITICAL_SECTION(self)
        ;
        *callee = self->callee;
        if (callee->packed) qrnn_module_ref(callee->packed);
        *scale_ndim = Py_XNewRef(self->scale_ndim);
    Py_END_CRITICAL_SECTION();
    return callee->packed ? 0 : module_raise_empty(self);
}

/* From Python 3.12 on, a Python subclass inherits the vectorcall by itself, and loses it if it defines __call__. Before
 * 3.12 it has to be given the vectorcall: without it every call makes a tuple, and with `out=` a dict, which takes as
 * long as the rest of the binding. The vectorcall itself checks for a __call__ that is added later (dispatch.c). */
static void allow_vectorcall(PyTypeObject *type, const struct module_state *state)
{
#if PY_VERSION_HEX < 0x030C0000
    if (type->tp_call == state->module_type->tp_call) type->tp_flags |= Py_TPFLAGS_HAVE_VECTORCALL;
#else
    (void)type;
    (void)state;
#endif
}

void module_swap(struct module_object *self, struct module_state *state, qrnn_module *packed, int flags,
                 PyObject *scale_ndim)
{
    qrnn_module *old;
    PyObject *old_scale_ndim;
    const struct callee callee = {
        .self = self,
        .packed = packed,
        .kind = qrnn_kind_get(qrnn_module_kind(packed)),
        .flags = flags,
        .columns = (npy_intp)qrnn_module_input_size(packed),
        .hidden = (npy_intp)qrnn_module_hidden_size(packed),
        .state = (npy_intp)qrnn_module_state_size(packed),
    };
    Py_BEGIN_CRITICAL_SECTION(self)
        ;
        old = self->callee.packed;
        old_scale_ndim = self->scale_ndim;
        self->state = state;
        self->callee = callee;
        self->scale_ndim = scale_ndim;
        self->vectorcall = state->vectorcall;
    Py_END_CRITICAL_SECTION();
    allow_vectorcall(Py_TYPE(self), state);
    qrnn_module_unref(old);
    Py_XDECREF(old_scale_ndim);
}
