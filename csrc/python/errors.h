/* errors.h - exceptions: every status of the core becomes one here and nowhere else. */
#ifndef QRNN_ERRORS_H
#define QRNN_ERRORS_H

#include "numpy_api.h"

/* What a status is about; each status reads the fields that it needs. */
struct error_context {
    const char *engine, *isa;
    const char *input, *hidden;        /* names of arguments */
    const char *weight, *scale, *bias; /* names of parameters, and what came: */
    size_t depth;
    float bad_scale, bad_bias;
    int projects;                      /* the layer does, so that is what the engine lacks */
    const char *option;       /* the first option that is not the kind's own; NULL: none */
    const size_t *step;                /* of a sequence, or NULL */
};

/* The only place where a status of the core becomes an exception. Returns NULL. */
PyObject *error_from_status(qrnn_status status, const struct error_context *context);
/* 0 for the name of a set that this CPU has, or of a quantized engine; else -1 with TypeError or ValueError set,
 * which name the argument. */
int error_check_isa(PyObject *isa, const char *argument);
int error_check_engine_name(PyObject *engine, const char *argument);

#endif
