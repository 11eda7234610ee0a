/* module_object.h - an instance of Module, which holds packed weights and can exchange them for others. */
#ifndef QRNN_MODULE_OBJECT_H
#define QRNN_MODULE_OBJECT_H

#include "module_state.h"

/* How packed weights are called. */
enum { MODULE_SEQUENCE = 1, MODULE_BATCH_FIRST = 2 };

struct module_object;

/* What a call computes with: packed weights, and values read from them once, against which each call is checked. */
struct callee {
    struct module_object *self;      /* borrowed; NULL if a call is only checked */
    qrnn_module *packed;             /* immutable */
    const qrnn_kind_info *kind;
    int flags;                       /* MODULE_* */
    npy_intp columns, hidden, state; /* columns of the input, of c and each gate, and of h */
};

/* All members are zero until weights are packed. A zero `vectorcall` sends a call to tp_call. */
struct module_object {
    PyObject_HEAD vectorcallfunc vectorcall;
    struct module_state *state;
    /* These change together: */
    struct callee callee;
    PyObject *scale_ndim; /* bytes, one for each matrix: 0 (per tensor) or 1 (per channel), as the scale was given;
                             with one row the number of scales does not tell them apart */
};

/* Raises RuntimeError: nothing is packed yet. */
int module_raise_empty(struct module_object *self);

/* Fills *callee with a new reference to the packed weights, which the caller drops with callee_release. Returns -1 with
 * RuntimeError set if nothing is packed yet. Without a GIL, the critical section keeps the weights from being freed
 * before the new reference exists; with a GIL, holding it does. */
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

/* Like callee_hold, for the start of a call, but takes no reference if the GIL keeps other code from running. A call
 * that releases the GIL or converts arguments takes a reference for that time (callee_keep). This saves two locked
 * instructions in a call. */
static inline int callee_borrow(struct module_object *self, struct callee *callee)
{
#ifdef Py_GIL_DISABLED
    return callee_hold(self, callee);
#else
    *callee = self->callee;
    return callee->packed ? 0 : module_raise_empty(self);
#endif
}

/* Ends a call that began with callee_borrow. */
static inline void callee_return(const struct callee *callee)
{
#ifdef Py_GIL_DISABLED
    callee_release(callee);
#else
    (void)callee;
#endif
}

/* Takes a reference, which callee_release drops. */
static inline void callee_keep(const struct callee *callee)
{
    qrnn_module_ref(callee->packed);
}

/* How many threads a call may use. */
static inline size_t module_threads(const struct callee *callee)
{
    return atomic_load_explicit(&callee->self->state->threads, memory_order_relaxed);
}

/* The same, with a new reference to scale_ndim. */
int callee_hold_scales(struct module_object *self, struct callee *callee, PyObject **scale_ndim);
/* Replaces the packed weights. Takes over the references to them and to `scale_ndim`. */
void module_swap(struct module_object *self, struct module_state *state, qrnn_module *packed, int flags,
                 PyObject *scale_ndim);
/* The class name for error texts, without its module. A bare Module, as qrnn.torch uses it, has the name of the layer
 * that it computes. */
const char *module_class_name(struct module_object *self);

#endif
