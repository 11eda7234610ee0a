/* spec.h - builds the specification of a layer, without its weights, from Python objects. */
#ifndef QRNN_SPEC_H
#define QRNN_SPEC_H

#include "module_object.h"

/* Finds the kind with this name; returns -1 with ValueError set if there is none. */
int spec_find_kind(const char *name, qrnn_kind *kind);
/* Sets layers, directions and sequence of `spec`, whose kind is known, and MODULE_* in *flags, from the tuple
 * (num_layers, num_directions, batch_first), or from None for a linear or a single cell. Returns -1 with an exception
 * set on failure. */
int spec_take_sequence(PyObject *sequence, qrnn_spec *spec, int *flags);
/* Sets all of `spec` but its options and weights. Returns -1 with an exception set on failure. */
int spec_take(const char *kind, Py_ssize_t input_size, Py_ssize_t hidden_size, Py_ssize_t proj_size, PyObject *sequence,
              qrnn_spec *spec, int *flags);
/* Sets the options of `spec`, whose kind, directions and sequence are known; *room holds them. `options` is None for
 * the kind's defaults, or a tuple (activations, clip, cell_clip, proj_clip, layer_norm, peepholes, input_forget,
 * reverse, initial_states). In it `activations` is None or a tuple of (name, alpha, beta), one for each place,
 * direction by direction; a limit or an epsilon of 0 means none. Returns -1 with an exception set on failure. */
int spec_take_options(PyObject *options, qrnn_spec *spec, qrnn_options *room);
/* The options of a module as such a tuple, or None. */
PyObject *spec_options_of(const qrnn_module *packed);
/* The name of the first option in such a tuple that differs from its default; NULL for None and if all are defaults. */
const char *spec_first_option(PyObject *options);

#endif
