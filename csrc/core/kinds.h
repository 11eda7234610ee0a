/* kinds.h - the table of kinds as the core reads it: kinds.def has a row for each. */
#ifndef QRNN_KINDS_H
#define QRNN_KINDS_H

#include "kernels.h"

struct qrnn_kind_row {
    qrnn_kind_info info;
    int hh_apart;             /* the recurrent product is not added to the input's */
    enum qrnn_end inner;      /* makes what the last gate's rows of hh meet; QRNN_ENDS: they meet h too */
    enum qrnn_end end[2];     /* of a step: fast, and with a correctly rounded tanh */
    enum qrnn_end inner_options, end_options; /* with options */
};

const struct qrnn_kind_row *qrnn_kind_row(qrnn_kind kind);

/* What a matrix is: what multiplies the input, the state, or, for a projection, what the end makes; and what options
 * add: an LSTM's peepholes, gain and shift of its normalization, and the learned states of all layers and directions. */
enum qrnn_role { QRNN_IH, QRNN_HH, QRNN_HR, QRNN_PEEPHOLES, QRNN_GAIN, QRNN_SHIFT, QRNN_H0, QRNN_C0, QRNN_ROLES };

/* Whether it is one that an option adds. */
QRNN_INLINE int qrnn_role_is_added(enum qrnn_role role)
{
    return role > QRNN_HR;
}

enum qrnn_role qrnn_spec_role(const qrnn_spec *spec, size_t index);

/* Whether the options of a specification, which may be NULL, ask for another end than the kind's. */
int qrnn_options_change_end(qrnn_kind kind, const qrnn_options *options);

/* Whether they are such that a module of the specification can have them. */
int qrnn_options_fit(const qrnn_spec *spec);

#endif
