/* arguments.h - binds arguments to parameters as Python does, with its error texts. */
#ifndef QRNN_ARGUMENTS_H
#define QRNN_ARGUMENTS_H

#include "module_object.h"

/* Both fill values[count] with borrowed references, NULL for what is not given and for an optional None. `self` is the
 * module whose method this is, or NULL for a function. The second form takes the arguments of a tp_call. They return 0,
 * or -1 with TypeError set. */
int arguments_bind(const struct signature *signature, struct module_object *self, PyObject *const *args,
                   Py_ssize_t nargs, PyObject *kwnames, PyObject **values);
int arguments_bind_call(const struct signature *signature, struct module_object *self, PyObject *args, PyObject *kwargs,
                        PyObject **values);
/* The UTF-8 of a str, or NULL with TypeError set. */
const char *arguments_text(PyObject *value, const char *name);

#endif
