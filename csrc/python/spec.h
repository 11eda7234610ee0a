/* spec.h - the specification of a layer, but for its weights, from Python's objects. */
#ifndef QRNN_SPEC_H
#define QRNN_SPEC_H

#include "module_object.h"

/* The kind of that name; -1 with ValueError set. */
int spec_find_kind(const char *name, qrnn_kind *kind);
/* layers, directions and sequence of `spec`, whose kind is known, and MODULE_* from (num_layers, num_directions,
 * batch_first), or None for a linear or a single cell; -1 with an exception set. */
int spec_take_sequence(PyObject *sequence, qrnn_spec *spec, int *flags);
/* All of it; -1 with an exception set. */
int spec_take(const char *kind, Py_ssize_t input_size, Py_ssize_t hidden_size, Py_ssize_t proj_size, PyObject *sequence,
              qrnn_spec *spec, int *flags);

#endif
