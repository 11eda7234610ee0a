/* errors.h - turns a status of the core into an exception. No other file does. */
#ifndef QRNN_ERRORS_H
#define QRNN_ERRORS_H

#include "numpy_api.h"

/* What an error text needs to name; each status reads some of these fields. */
struct error_context {
    const char *engine, *isa;
    const char *input, *hidden;        /* names of arguments */
    const char *weight, *scale, *bias; /* names of parameters, and the values that came: */
    size_t depth;
    float bad_scale, bad_bias;
    int projects;                      /* the layer has a projection, which is what the engine lacks */
    const char *option;       /* the first option that differs from its default; NULL: none */
    const size_t *step;                /* the time step in a sequence, or NULL */
};

/* The only place where a status of the core becomes an exception. Returns NULL. */
PyObject *error_from_status(qrnn_status status, const struct error_context *context);
/* Return 0 for the name of an instruction set that this CPU has, or of a quantized engine; else -1 with TypeError or
 * ValueError set, which name the argument. */
int error_check_isa(PyObject *isa, const char *argument);
int error_check_engine_name(PyObject *engine, const char *argument);

#endif
