/* spec.h - the specification of a layer, but for its weights, from Python's objects. */
#ifndef QRNN_SPEC_H
#define QRNN_SPEC_H

#include "module_object.h"

/* The kind of that name; -1 with ValueError set. */
int spec_find_kind(const char *name, qrnn_kind *kind);
/* layers, directions and sequence of `spec`, whose kind is known, and MODULE_* from (num_layers, num_directions,
 * batch_first), or None for a linear or a single cell; -1 with an exception set. */
int spec_take_sequence(PyObject *sequence, qrnn_spec *spec, int *flags);
/* All of it but options; -1 with an exception set. */
int spec_take(const char *kind, Py_ssize_t input_size, Py_ssize_t hidden_size, Py_ssize_t proj_size, PyObject *sequence,
              qrnn_spec *spec, int *flags);
/* options of `spec`, whose kind, directions and sequence are known, kept in *room: from None for the kind's own, or a
 * tuple (activations, clip, cell_clip, proj_clip, layer_norm, peepholes, input_forget, reverse, initial_states), of which
 * activations is None or a tuple of (name, alpha, beta) of each place, direction by direction, and limits and epsilon are
 * 0 for none; -1 with an exception set. */
int spec_take_options(PyObject *options, qrnn_spec *spec, qrnn_options *room);
/* Such a tuple, or None, of a module. */
PyObject *spec_options_of(const qrnn_module *packed);
/* The name of the first option in a tuple that is not the kind's own; NULL of None or of a tuple of them. */
const char *spec_first_option(PyObject *options);

#endif
