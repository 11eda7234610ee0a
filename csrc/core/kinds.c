/* kinds.c - the table of kinds, and what follows from its rows and the sizes of a module: the matrices, their shapes
 * and the names of their parameters. No other file knows these. */
#include "kinds.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ADDED, APART };
#define QRNN_END_NONE QRNN_ENDS

static const struct qrnn_kind_row kind_rows[QRNN_KINDS] = {
#define QRNN_KIND(NAME, name, family, gates, states, projects, hh, inner, end, exact, inner_options, end_options, \
                  places, f, g, h)                                                                                \
    {{#name,                                                                                                      \
      family,                                                                                                     \
      (states) ? family "Cell" : family,                                                                          \
      gates,                                                                                                      \
      states,                                                                                                     \
      projects,                                                                                                   \
      QRNN_END_##inner != QRNN_END_NONE,                                                                          \
      places,                                                                                                     \
      {QRNN_ACTIVATION_##f, QRNN_ACTIVATION_##g, QRNN_ACTIVATION_##h}},                                           \
     hh == APART,                                                                                                 \
     QRNN_END_##inner,                                                                                            \
     {QRNN_END_##end, QRNN_END_##exact},                                                                          \
     QRNN_END_##inner_options,                                                                                    \
     QRNN_END_##end_options},
#include "kinds.def"
#undef QRNN_KIND
};

#define QRNN_NO_DEFAULT NAN
static const qrnn_activation_info activation_rows[QRNN_ACTIVATION_FUNCTIONS] = {
#define QRNN_ACTIVATION(NAME, name, parameters, alpha, beta, y, slope) {#name, parameters, alpha, beta},
#include "activations.def"
#undef QRNN_ACTIVATION
};

const qrnn_activation_info *qrnn_activation_get(size_t i)
{
    return i < QRNN_ACTIVATION_FUNCTIONS ? &activation_rows[i] : NULL;
}

const struct qrnn_kind_row *qrnn_kind_row(qrnn_kind kind)
{
    return &kind_rows[kind];
}

const qrnn_kind_info *qrnn_kind_get(qrnn_kind kind)
{
    return (unsigned)kind < QRNN_KINDS ? &kind_rows[kind].info : NULL;
}

/* --- options --- */

void qrnn_options_init(qrnn_kind kind, qrnn_options *options)
{
    if (!options) return;
    memset(options, 0, sizeof *options);
    if ((unsigned)kind >= QRNN_KINDS) return;
    for (int place = 0; place < QRNN_MOST_PLACES; place++)
        for (int d = 0; d < 2; d++) options->activations[d][place].function = kind_rows[kind].info.activations[place];
}

int qrnn_options_change_end(qrnn_kind kind, const qrnn_options *options)
{
    const qrnn_kind_info *const info = &kind_rows[kind].info;
    if (!options) return 0;
    for (size_t place = 0; place < info->places; place++)
        for (int d = 0; d < 2; d++)
            if (options->activations[d][place].function != info->activations[place]) return 1;
    return options->clip > 0.0f || options->cell_clip > 0.0f || options->layer_norm > 0.0f || options->peepholes
           || options->input_forget;
}

static int is_limit(float value)
{
    return isfinite(value) && value >= 0.0f;
}

static int activation_fits(const qrnn_activation *a)
{
    if ((unsigned)a->function >= QRNN_ACTIVATION_FUNCTIONS) return 0;
    const int takes = activation_rows[a->function].parameters;
    return (takes < 1 || isfinite(a->alpha)) && (takes < 2 || isfinite(a->beta));
}

int qrnn_options_fit(const qrnn_spec *spec)
{
    const qrnn_options *const o = spec->options;
    const qrnn_kind_info *const kind = &kind_rows[spec->kind].info;
    if (!o) return 1;
    for (size_t place = 0; place < kind->places; place++)
        for (size_t d = 0; d < spec->directions; d++)
            if (!activation_fits(&o->activations[d][place])) return 0;
    if (!is_limit(o->clip) || !is_limit(o->cell_clip) || !is_limit(o->proj_clip) || !is_limit(o->layer_norm)) return 0;
    const int of_lstm = o->cell_clip > 0.0f || o->layer_norm > 0.0f || o->peepholes || o->input_forget;
    if (qrnn_options_change_end(spec->kind, o) && kind_rows[spec->kind].end_options == QRNN_END_NONE) return 0;
    if (kind->states == 0 || (of_lstm && kind->states != 2)) return 0;
    if ((o->proj_clip > 0.0f && !spec->proj_size) || (o->peepholes && o->layer_norm > 0.0f)) return 0;
    return spec->sequence ? !o->reverse || spec->directions == 1 : !o->reverse && !o->initial_states;
}

/* --- matrices --- */

/* Lists the matrices of one layer in one direction; returns how many there are. */
static size_t list_roles(const qrnn_spec *spec, enum qrnn_role *roles)
{
    const qrnn_options *const o = spec->options;
    size_t count = 0;
    roles[count++] = QRNN_IH;
    if (kind_rows[spec->kind].info.states) roles[count++] = QRNN_HH;
    if (spec->proj_size) roles[count++] = QRNN_HR;
    if (o && o->peepholes) roles[count++] = QRNN_PEEPHOLES;
    if (o && o->layer_norm > 0.0f) {
        roles[count++] = QRNN_GAIN;
        roles[count++] = QRNN_SHIFT;
    }
    return count;
}

static size_t per_direction(const qrnn_spec *spec)
{
    enum qrnn_role roles[QRNN_ROLES];
    return list_roles(spec, roles);
}

size_t qrnn_spec_matrices(const qrnn_spec *spec)
{
    if (!spec || (unsigned)spec->kind >= QRNN_KINDS) return 0;
    const size_t learned = spec->options && spec->options->initial_states ? kind_rows[spec->kind].info.states : 0;
    return spec->layers * spec->directions * per_direction(spec) + learned;
}

enum qrnn_role qrnn_spec_role(const qrnn_spec *spec, size_t index)
{
    enum qrnn_role roles[QRNN_ROLES];
    const size_t each = list_roles(spec, roles), states = spec->layers * spec->directions * each;
    return index < states ? roles[index % each] : index == states ? QRNN_H0 : QRNN_C0;
}

static void name_matrix(const qrnn_spec *spec, enum qrnn_role role, qrnn_matrix_info *info)
{
    static const char *const stems[] = {
        [QRNN_IH] = "weight_ih",   [QRNN_HH] = "weight_hh",  [QRNN_HR] = "weight_hr", [QRNN_PEEPHOLES] = "weight_ch",
        [QRNN_GAIN] = "weight_ln", [QRNN_SHIFT] = "bias_ln", [QRNN_H0] = "h_0",       [QRNN_C0] = "c_0"};
    const char *const stem = kind_rows[spec->kind].info.states ? stems[role] : "weight";
    char suffix[32] = "";
    if (spec->sequence && role < QRNN_H0)
        snprintf(suffix, sizeof suffix, "_l%zu%s", info->layer, info->direction ? "_reverse" : "");
    snprintf(info->weight, sizeof info->weight, "%s%s", stem, suffix);
    if (!qrnn_role_is_added(role)) snprintf(info->bias, sizeof info->bias, "bias%s%s", stem + strlen("weight"), suffix);
}

static void shape_matrix(const qrnn_spec *spec, enum qrnn_role role, qrnn_matrix_info *info)
{
    const size_t hidden = spec->hidden_size, state = spec->proj_size ? spec->proj_size : hidden;
    const size_t gates = kind_rows[spec->kind].info.gates, cells = spec->layers * spec->directions;
    const size_t inputs = info->layer == 0 ? spec->input_size : spec->directions * state;
    const size_t shapes[QRNN_ROLES][2] = {[QRNN_IH] = {gates * hidden, inputs},
                                          [QRNN_HH] = {gates * hidden, state},
                                          [QRNN_HR] = {spec->proj_size, hidden},
                                          [QRNN_PEEPHOLES] = {3, hidden},
                                          [QRNN_GAIN] = {gates, hidden},
                                          [QRNN_SHIFT] = {gates, hidden},
                                          [QRNN_H0] = {cells, state},
                                          [QRNN_C0] = {cells, hidden}};
    info->rows = shapes[role][0];
    info->cols = shapes[role][1];
}

void qrnn_spec_matrix(const qrnn_spec *spec, size_t index, qrnn_matrix_info *info)
{
    if (info) memset(info, 0, sizeof *info);
    if (!info || index >= qrnn_spec_matrices(spec)) return;
    const enum qrnn_role role = qrnn_spec_role(spec, index);
    if (role < QRNN_H0) {
        const size_t place = index / per_direction(spec);
        info->layer = place / spec->directions;
        info->direction = place % spec->directions;
    }
    shape_matrix(spec, role, info);
    info->takes_bias = role == QRNN_IH || role == QRNN_HH;
    info->multiplies = !qrnn_role_is_added(role);
    name_matrix(spec, role, info);
}
