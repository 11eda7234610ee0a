/* signals.h - Ctrl-C: a computation that does not hold the GIL takes it now and then and runs the signal handlers. */
#ifndef QRNN_SIGNALS_H
#define QRNN_SIGNALS_H

#include "module_state.h"

struct watch {
    struct module_state *state;
    PyThreadState *thread; /* to restore when the computation ends */
    int64_t next;          /* nanoseconds of the monotonic clock */
};

/* Begins to watch, and releases the GIL. */
void signals_watch(struct watch *watch, struct module_state *state);
/* qrnn_run.stop, whose context is a watch. */
int signals_ask(void *context);

#endif
