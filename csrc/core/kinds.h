/* kinds.h - the table of kinds as the core reads it: kinds.def has a row for each. */
#ifndef QRNN_KINDS_H
#define QRNN_KINDS_H

#include "kernels.h"

struct qrnn_kind_row {
    qrnn_kind_info info;
    int hh_apart;             /* the recurrent product is kept apart from the input's */
    enum qrnn_end inner;      /* makes the values that the last gate's rows of hh multiply; QRNN_ENDS: they multiply
                                 h */
    enum qrnn_end end[2];     /* ends of a step: the fast one, and the one with a correctly rounded tanh */
    enum qrnn_end inner_options, end_options; /* the same two for modules with options */
};

const struct qrnn_kind_row *qrnn_kind_row(qrnn_kind kind);

/* The role of a matrix: it multiplies the input (IH), the state (HH), or, in a projection, what the end makes (HR). The
 * others are added by options: an LSTM's peepholes, gain and shift of its normalization, and the learned states of all
 * layers and directions. */
enum qrnn_role { QRNN_IH, QRNN_HH, QRNN_HR, QRNN_PEEPHOLES, QRNN_GAIN, QRNN_SHIFT, QRNN_H0, QRNN_C0, QRNN_ROLES };

/* Whether an option adds it. */
QRNN_INLINE int qrnn_role_is_added(enum qrnn_role role)
{
    return role > QRNN_HR;
}

enum qrnn_role qrnn_spec_role(const qrnn_spec *spec, size_t index);

/* Whether these options need another end than the kind's own. `options` may be NULL. */
int qrnn_options_change_end(qrnn_kind kind, const qrnn_options *options);

/* Whether the options of a specification are valid for its kind and sizes. */
int qrnn_options_fit(const qrnn_spec *spec);

#endif
