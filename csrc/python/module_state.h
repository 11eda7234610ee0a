/* module_state.h - the state of the extension module. */
#ifndef QRNN_MODULE_STATE_H
#define QRNN_MODULE_STATE_H

#include "signature.h"

#include <stdatomic.h>

/* The Module type and its instances point to it and keep the extension module alive. */
struct module_state {
    PyTypeObject *module_type;
    vectorcallfunc vectorcall; /* for its instances */
    struct signature forward, forward_linear, forward_sequence, apply, gates, quantize, fake_quantize, add_moments;
    atomic_size_t threads;     /* how many threads a call may use */
    /* threading.main_thread().ident in the process `main_of` (0: not asked yet). It is asked again after a fork,
     * because the thread that forks becomes the child's main thread. */
    atomic_ulong main_thread;
    atomic_long main_of;
    /* qrnn._arrays.to_float32 and like, imported by the first call that needs them. */
    _Atomic(PyObject *) to_float32, like;
};

#endif
