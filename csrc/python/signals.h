/* signals.h - Ctrl-C: a computation without the GIL that now and then takes it and runs the handlers of signals. */
#ifndef QRNN_SIGNALS_H
#define QRNN_SIGNALS_H

#include "module_state.h"

struct watch {
    struct module_state *state;
    PyThreadState *thread; /* to be restored when the computation ends */
    int64_t next;          /* nanoseconds of the monotonic clock */
};

/* Lets go of the GIL. */
void signals_watch(struct watch *watch, struct module_state *state);
/* qrnn_run.stop, whose context is a watch. */
int signals_ask(void *context);

#endif
