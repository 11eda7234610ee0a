/* kinds.c - the table of kinds, and what follows from a row and the sizes of a module: its matrices, their shapes and
 * the names of their parameters. Nothing else knows them. */
#include "kinds.h"

#include <stdio.h>
#include <string.h>

enum { ADDED, APART };
#define QRNN_END_NONE QRNN_ENDS

static const struct qrnn_kind_row kind_rows[QRNN_KINDS] = {
#define QRNN_KIND(NAME, name, family, gates, states, projects, hh, inner, end, exact)                                \
    {{#name, family, (states) ? family "Cell" : family, gates, states, projects, QRNN_END_##inner != QRNN_END_NONE}, \
     hh == APART,                                                                                                    \
     QRNN_END_##inner,                                                                                               \
     {QRNN_END_##end, QRNN_END_##exact}},
#include "kinds.def"
#undef QRNN_KIND
};

const struct qrnn_kind_row *qrnn_kind_row(qrnn_kind kind)
{
    return &kind_rows[kind];
}

const qrnn_kind_info *qrnn_kind_get(qrnn_kind kind)
{
    return (unsigned)kind < QRNN_KINDS ? &kind_rows[kind].info : NULL;
}

size_t qrnn_kind_matrices(const struct qrnn_kind_row *kind, size_t proj_size)
{
    return kind->info.states == 0 ? 1 : proj_size ? 3 : 2;
}

static size_t per_direction(const qrnn_spec *spec)
{
    return qrnn_kind_matrices(&kind_rows[spec->kind], spec->proj_size);
}

size_t qrnn_spec_matrices(const qrnn_spec *spec)
{
    return spec && (unsigned)spec->kind < QRNN_KINDS ? spec->layers * spec->directions * per_direction(spec) : 0;
}

enum qrnn_role qrnn_spec_role(const qrnn_spec *spec, size_t index)
{
    return (enum qrnn_role)(index % per_direction(spec));
}

static void name_matrix(const qrnn_spec *spec, enum qrnn_role role, qrnn_matrix_info *info)
{
    static const char *const stems[] = {[QRNN_IH] = "_ih", [QRNN_HH] = "_hh", [QRNN_HR] = "_hr"};
    const char *const stem = kind_rows[spec->kind].info.states ? stems[role] : "";
    char suffix[32] = "";
    if (spec->sequence) snprintf(suffix, sizeof suffix, "_l%zu%s", info->layer, info->direction ? "_reverse" : "");
    snprintf(info->weight, sizeof info->weight, "weight%s%s", stem, suffix);
    snprintf(info->bias, sizeof info->bias, "bias%s%s", stem, suffix);
}

void qrnn_spec_matrix(const qrnn_spec *spec, size_t index, qrnn_matrix_info *info)
{
    if (info) memset(info, 0, sizeof *info);
    if (!info || index >= qrnn_spec_matrices(spec)) return;
    const enum qrnn_role role = qrnn_spec_role(spec, index);
    const size_t hidden = spec->hidden_size, state = spec->proj_size ? spec->proj_size : hidden;
    const size_t place = index / per_direction(spec);
    info->layer = place / spec->directions;
    info->direction = place % spec->directions;
    const size_t inputs = info->layer == 0 ? spec->input_size : spec->directions * state;
    info->rows = role == QRNN_HR ? spec->proj_size : kind_rows[spec->kind].info.gates * hidden;
    info->cols = role == QRNN_IH ? inputs : role == QRNN_HH ? state : hidden;
    info->takes_bias = role != QRNN_HR;
    name_matrix(spec, role, info);
}
