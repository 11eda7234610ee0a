/* states.h - the states of a call: one array, or the pair (h, c) of an LSTM. */
#ifndef QRNN_STATES_H
#define QRNN_STATES_H

#include "module_object.h"

/* A tuple of two, whose references it takes over, NULL among them for a failure. */
PyObject *pair_of(PyObject *first, PyObject *second);
/* Two new references to the items of a tuple or list of two; `what` are their names. */
int pair_split(PyObject *pair, const char *name, const char *what, PyObject **first, PyObject **second);
/* The parts of `hx`, new references; `c` is NULL where the kind has none. */
int states_split(const qrnn_kind_info *kind, PyObject *hx, PyObject **h, PyObject **c);
/* The arrays of `hx`, new references. May run Python code. */
int states_take(struct module_state *state, const qrnn_kind_info *kind, PyObject *hx, PyArrayObject **h,
                PyArrayObject **c);

#endif
