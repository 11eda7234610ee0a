/* module_state.h - what one extension module holds. */
#ifndef QRNN_MODULE_STATE_H
#define QRNN_MODULE_STATE_H

#include "signature.h"

#include <stdatomic.h>

/* The module's types and their instances point to it, and keep the module alive. */
struct module_state {
    PyTypeObject *module_type;
    vectorcallfunc vectorcall; /* of its instances */
    struct signature forward, forward_linear, forward_sequence, apply, gates, quantize, fake_quantize, add_moments;
    atomic_size_t threads;     /* that a sequence computes with */
    /* threading.main_thread().ident, as it was in the process main_of (0: never asked): a fork makes the
     * thread that forks the main one. */
    atomic_ulong main_thread;
    atomic_long main_of;
    /* qrnn._arrays.to_float32 and like, imported by the first call that needs them. */
    _Atomic(PyObject *) to_float32, like;
};

#endif
