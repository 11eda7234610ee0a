/* kinds.h - the table of kinds as the core reads it: kinds.def has a row for each. */
#ifndef QRNN_KINDS_H
#define QRNN_KINDS_H

#include "kernels.h"

struct qrnn_kind_row {
    qrnn_kind_info info;
    int hh_apart;             /* the recurrent product is not added to the input's */
    enum qrnn_end inner;      /* makes what the last gate's rows of hh meet; QRNN_ENDS: they meet h too */
    enum qrnn_end end[2];     /* of a step: fast, and with a correctly rounded tanh */
};

const struct qrnn_kind_row *qrnn_kind_row(qrnn_kind kind);

/* What a matrix multiplies: the input, the state, or, for a projection, what the end makes. */
enum qrnn_role { QRNN_IH, QRNN_HH, QRNN_HR };

/* Matrices of a layer in one direction: as many roles, from the first on. */
size_t qrnn_kind_matrices(const struct qrnn_kind_row *kind, size_t proj_size);

enum qrnn_role qrnn_spec_role(const qrnn_spec *spec, size_t index);

#endif
