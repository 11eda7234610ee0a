/* signature.c - the parameters of a function that takes keywords. */
#include "signature.h"

int signature_init(struct signature *signature, const char *function, const char *const *names, Py_ssize_t positional,
                   Py_ssize_t required)
{
    signature->function = function;
    signature->positional = positional;
    signature->required = required;
    for (signature->count = 0; names[signature->count]; signature->count++) {
        PyObject *name = PyUnicode_InternFromString(names[signature->count]);
        if (!name) return -1;
        signature->names[signature->count] = name;
    }
    return 0;
}

void signature_clear(struct signature *signature)
{
    for (int i = 0; i < MAX_PARAMETERS; i++) Py_CLEAR(signature->names[i]);
}
