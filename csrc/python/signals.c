/* signals.c - Ctrl-C: a computation that does not hold the GIL takes it now and then and runs the signal handlers. */
#include "signals.h"

#include <time.h>
#include <unistd.h>

enum { ASK_EVERY = 10 * 1000 * 1000, ASK_AT_LEAST = 250 * 1000 * 1000 };

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* Finds out which thread is the main thread. Returns -1 if a signal handler raised an exception, which is then set. */
static int ask_main_thread(unsigned long *ident)
{
    if (PyErr_CheckSignals() < 0) return -1;
    PyObject *found = NULL, *threading = PyImport_ImportModule("threading");
    PyObject *thread = threading ? PyObject_CallMethod(threading, "main_thread", NULL) : NULL;
    if (thread) found = PyObject_GetAttrString(thread, "ident");
    if (found) *ident = PyLong_AsUnsignedLong(found);
    Py_XDECREF(found);
    Py_XDECREF(thread);
    Py_XDECREF(threading);
    /* These three mean that there is no answer. Any other exception comes from a signal handler, which these calls may
     * run. */
    if (!PyErr_Occurred()) return 0;
    if (!PyErr_ExceptionMatches(PyExc_ImportError) && !PyErr_ExceptionMatches(PyExc_AttributeError)
        && !PyErr_ExceptionMatches(PyExc_TypeError))
        return -1;
    PyErr_Clear();
    return 0;
}

/* Whether this thread runs the signal handlers; no other thread needs to wait for the GIL. It takes the GIL once in a
 * process to find out; if it cannot, every thread asks. -1: a handler raised an exception meanwhile. */
static int handles_signals(struct watch *watch)
{
    struct module_state *const state = watch->state;
    const long process = (long)getpid();
    if (atomic_load(&state->main_of) != process) {
        unsigned long ident = 0;
        PyEval_RestoreThread(watch->thread);
        const int raised = ask_main_thread(&ident) < 0;
        watch->thread = PyEval_SaveThread();
        if (raised) return -1;
        atomic_store(&state->main_thread, ident);
        atomic_store(&state->main_of, process);
    }
    const unsigned long main_thread = atomic_load(&state->main_thread);
    return main_thread == 0 || main_thread == PyThread_get_thread_ident();
}

void signals_watch(struct watch *watch, struct module_state *state)
{
    watch->state = state;
    watch->next = now() + ASK_EVERY;
    watch->thread = PyEval_SaveThread();
}

/* Runs the signal handlers if it is time. Among threads that run Python, getting the GIL may take a switch interval, so
 * the next time is late enough for this to cost at most a twentieth of the call. */
int signals_ask(void *context)
{
    struct watch *const watch = context;
    const int64_t before = now();
    if (before < watch->next) return 0;
    const int handles = handles_signals(watch);
    if (handles < 0) return 1;
    if (!handles) {
        watch->next = INT64_MAX;
        return 0;
    }
    PyEval_RestoreThread(watch->thread);
    const int64_t pause = 20 * (now() - before);
    const int failed = PyErr_CheckSignals() < 0;
    watch->thread = PyEval_SaveThread();
    watch->next = now() + (pause < ASK_EVERY ? ASK_EVERY : pause > ASK_AT_LEAST ? ASK_AT_LEAST : pause);
    return failed;
}
