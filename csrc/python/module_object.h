/* module_object.h - an instance of Module: a place for packed weights, which may be swapped for others. */
#ifndef QRNN_MODULE_OBJECT_H
#define QRNN_MODULE_OBJECT_H

#include "module_state.h"

/* What packed weights are called as. */
enum { MODULE_SEQUENCE = 1, MODULE_BATCH_FIRST = 2 };

struct module_object;

/* What a call computes with: packed weights, and what is read from them once, for each call to check against. */
struct callee {
    struct module_object *self;      /* borrowed; NULL where a call is checked and not made */
    qrnn_module *packed;             /* immutable */
    const qrnn_kind_info *kind;
    int flags;                       /* MODULE_* */
    npy_intp columns, hidden, state; /* of the input, of c and of the gates, of h */
};

/* All zero until weights are packed: `vectorcall` too, which sends a call to tp_call. */
struct module_object {
    PyObject_HEAD vectorcallfunc vectorcall;
    struct module_state *state;
    /* Change together: */
    struct callee callee;
    PyObject *scale_ndim; /* bytes, one a matrix: 0 (per tensor) or 1 (per channel), as the scale was given; with one
                             row the two are the same number */
};

/* RuntimeError: nothing is packed yet. */
int module_raise_empty(struct module_object *self);

/* Fills *callee, whose reference to the packed weights the caller then drops (callee_release); -1 with RuntimeError
 * set where nothing is packed yet. Without a GIL the critical section keeps what is read from being freed before
 * there is a new reference to it; with one, that the caller holds it does. */
static inline int callee_hold(struct module_object *self, struct callee *callee)
{
    Py_BEGIN_CRITICAL_SECTION(self)
        ;
        *callee = self->callee;
        if (callee->packed) qrnn_module_ref(callee->packed);
    Py_END_CRITICAL_SECTION();
    return callee->packed ? 0 : module_raise_empty(self);
}

static inline void callee_release(const struct callee *callee)
{
    qrnn_module_unref(callee->packed);
}

/* The same with scale_ndim, a reference of its own. */
int callee_hold_scales(struct module_object *self, struct callee *callee, PyObject **scale_ndim);
/* Puts packed weights in place. Takes over the references to them and to `scale_ndim`. */
void module_swap(struct module_object *self, struct module_state *state, qrnn_module *packed, int flags,
                 PyObject *scale_ndim);
/* The class name as texts show it, without the module. A bare Module, such as those that qrnn.torch calls, is named
 * as the layer that it computes. */
const char *module_class_name(struct module_object *self);

#endif
