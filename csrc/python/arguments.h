/* arguments.h - arguments bound to parameters as Python binds them, with its texts. */
#ifndef QRNN_ARGUMENTS_H
#define QRNN_ARGUMENTS_H

#include "module_object.h"

/* Each gives values[count], borrowed, NULL where nothing or an optional None was given. `self` is the module whose
 * method this is, or NULL of a function. The second form takes the arguments of a tp_call. Return 0, or -1 with
 * TypeError set. */
int arguments_bind(const struct signature *signature, struct module_object *self, PyObject *const *args,
                   Py_ssize_t nargs, PyObject *kwnames, PyObject **values);
int arguments_bind_call(const struct signature *signature, struct module_object *self, PyObject *args, PyObject *kwargs,
                        PyObject **values);
/* The UTF-8 of a str, or NULL with TypeError set. */
const char *arguments_text(PyObject *value, const char *name);

#endif
