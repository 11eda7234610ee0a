/* states.h - the states of a call: one array, or the pair (h, c) of an LSTM. */
#ifndef QRNN_STATES_H
#define QRNN_STATES_H

#include "module_object.h"

/* A tuple of two objects, whose references it takes over. Either may be NULL, after a failure; the result is then
 * NULL. */
PyObject *pair_of(PyObject *first, PyObject *second);
/* Splits a tuple or list of two into two new references; `what` has their names for error texts. */
int pair_split(PyObject *pair, const char *name, const char *what, PyObject **first, PyObject **second);
/* The parts of `hx` as new references; `c` becomes NULL if the kind has none. */
int states_split(const qrnn_kind_info *kind, PyObject *hx, PyObject **h, PyObject **c);
/* The arrays of `hx` as new references. May run Python code. */
int states_take(struct module_state *state, const qrnn_kind_info *kind, PyObject *hx, PyArrayObject **h,
                PyArrayObject **c);

#endif
