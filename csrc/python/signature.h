/* signature.h - the parameters of a function that takes keywords. */
#ifndef QRNN_SIGNATURE_H
#define QRNN_SIGNATURE_H

#include "numpy_api.h"

enum { MAX_PARAMETERS = 5 };

/* `count` parameters. The first `positional` may be given by position, the first `required` must be given, and the
 * others default to None. */
struct signature {
    const char *function;
    PyObject *names[MAX_PARAMETERS]; /* interned */
    Py_ssize_t count, positional, required;
};

int signature_init(struct signature *signature, const char *function, const char *const *names, Py_ssize_t positional,
                   Py_ssize_t required);
void signature_clear(struct signature *signature);

#endif
