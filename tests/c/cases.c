/* cases.c - see cases.h */
#include "cases.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- choices --- */

/* xorshift64 */
static uint64_t next(struct source *s)
{
    s->state ^= s->state << 13;
    s->state ^= s->state >> 7;
    s->state ^= s->state << 17;
    return s->state;
}

/* The bytes stir the generator too, so what follows the last of them depends on all. */
static uint32_t next_byte(struct source *s)
{
    if (!s->left) return (uint32_t)(next(s) >> 40) & 255;
    s->left--;
    s->state += *s->bytes + UINT64_C(0x9e3779b97f4a7c15);
    if (!s->state) s->state = 1;
    return *s->bytes++;
}

uint32_t choose(struct source *s, uint32_t n)
{
    if (n <= 1) return 0;
    uint32_t v = next_byte(s);
    if (n > 256) v |= next_byte(s) << 8;
    if (n > 65536) v |= next_byte(s) << 16;
    return v % n;
}

float choose_uniform(struct source *s)
{
    return (float)((double)(next(s) >> 40) / 8388608.0 - 1.0);
}

static float choose_bits(struct source *s)
{
    uint32_t bits = 0;
    float v;
    for (int i = 0; i < 4; i++) bits = bits << 8 | next_byte(s);
    memcpy(&v, &bits, sizeof v);
    return v;
}

enum mood { USUAL, BITS, HUGE_ONES, DENORMAL, CONSTANT, POSITIVE, NEGATIVE, SPECKLED, HALVES, ZERO, TINY, MOODS };

static float choose_float(struct source *s, enum mood mood, float constant)
{
    static const float special[] = {INFINITY, -INFINITY, NAN, -NAN, FLT_MAX, -FLT_MAX, FLT_MIN, -0.0f};
    const float u = choose_uniform(s);
    switch (mood) {
    case BITS: return choose_bits(s);
    case HUGE_ONES: return u * FLT_MAX;
    case DENORMAL: return u * 2e-38f;
    case CONSTANT: return constant;
    case POSITIVE: return fabsf(u);
    case NEGATIVE: return -fabsf(u);
    case SPECKLED: return next(s) % 61 ? u * 3.0f : special[next(s) % 8];
    case HALVES: return rintf(u * 255.0f) * 0.5f;
    case ZERO: return 0.0f;
    case TINY: return u * 1e-5f;
    default: return u * 2.0f;
    }
}

void choose_rows(struct source *s, float *v, size_t rows, size_t n, int finite)
{
    const uint32_t all = choose(s, MOODS + 2);
    for (size_t r = 0; r < rows; r++) {
        const enum mood mood = all < MOODS ? (enum mood)all : (enum mood)(next(s) % MOODS);
        const float constant = mood == CONSTANT ? choose_bits(s) : 0.0f;
        for (size_t k = 0; k < n; k++) {
            const float value = choose_float(s, mood, constant);
            v[r * n + k] = finite && !isfinite(value) ? 0.25f : value;
        }
    }
}

/* --- memory --- */

struct taken {
    struct taken *before;
    void *memory;
};

static _Thread_local struct taken *last_taken;

void *take(size_t bytes)
{
    struct taken *const t = malloc(sizeof *t);
    if (!t) abort();
    t->memory = calloc(1, bytes ? bytes : 1);
    if (!t->memory) abort();
    t->before = last_taken;
    last_taken = t;
    return t->memory;
}

void give_back(void)
{
    while (last_taken) {
        struct taken *const t = last_taken;
        last_taken = t->before;
        free(t->memory);
        free(t);
    }
}

/* --- making a case --- */

size_t case_state(const struct testcase *t)
{
    return t->spec.proj_size ? t->spec.proj_size : t->spec.hidden_size;
}

int case_is_float(const struct testcase *t)
{
    return strcmp(t->spec.engine, "float32") == 0;
}

int case_per_row(const struct testcase *t)
{
    return case_is_float(t) || qrnn_engine_by_name(t->spec.engine)->per_row;
}

size_t case_weights(const struct testcase *t)
{
    return qrnn_spec_matrices(&t->spec);
}

/* Sizes at and around panels, quads and tiles. */
static size_t choose_size(struct source *s, size_t most)
{
    static const size_t edges[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 128, 130};
    const size_t size = choose(s, 3) ? edges[choose(s, sizeof edges / sizeof *edges)] : 1 + choose(s, (uint32_t)most);
    return size < most ? size : most;
}

static size_t case_work(const struct testcase *t)
{
    const size_t rows = qrnn_kind_get(t->spec.kind)->gates * t->spec.hidden_size;
    const size_t columns = t->spec.input_size + t->spec.hidden_size * (t->spec.layers * 2 - 1);
    return rows * columns * t->batch * t->steps * t->spec.directions;
}

static void choose_shape(struct source *s, const struct bounds *bounds, struct testcase *t)
{
    qrnn_spec *const spec = &t->spec;
    spec->input_size = choose(s, 20) ? choose_size(s, bounds->size) : 0;
    spec->hidden_size = choose_size(s, bounds->size);
    t->batch = choose(s, 12) ? 1 + choose(s, choose(s, 3) ? 9 : (uint32_t)bounds->batch) : 0;
    t->sequence = spec->kind != QRNN_LINEAR && choose(s, 2);
    spec->layers = spec->directions = t->steps = 1;
    if (t->sequence) {
        spec->layers = 1 + choose(s, MOST_LAYERS);
        spec->directions = 1 + choose(s, 2);
        t->steps = 1 + choose(s, (uint32_t)bounds->steps);
    }
    spec->proj_size = 0;
    if (spec->kind == QRNN_LSTM && case_per_row(t) && spec->hidden_size > 1 && choose(s, 3) == 0)
        spec->proj_size = 1 + choose(s, (uint32_t)spec->hidden_size - 1);
    t->batch_first = (int)choose(s, 2);
    while (case_work(t) > bounds->work && t->batch > 1) t->batch /= 2;
    while (case_work(t) > bounds->work && t->steps > 1) t->steps /= 2;
    while (case_work(t) > bounds->work && spec->hidden_size > 2) {
        spec->hidden_size /= 2;
        if (spec->proj_size >= spec->hidden_size) spec->proj_size = spec->hidden_size - 1;
    }
}

/* Codes: all that there are, the largest products, and without -128 (kernels branch on it). */
static int8_t choose_code(struct source *s, uint32_t mood)
{
    if (mood == 0) return -128;
    if (mood == 1) return 127;
    if (mood == 2) return next(s) & 1 ? 127 : -128;
    return (int8_t)((int)(next(s) % (mood == 3 ? 255u : 256u)) - (mood == 3 ? 127 : 128));
}

static float choose_scale(struct source *s, uint32_t mood)
{
    if (mood == 0) {
        const float u = choose_uniform(s); /* first: arguments come in any order */
        return ldexpf(1.0f + fabsf(u), (int)(next(s) % 270) - 145);
    }
    return 0.001f + fabsf(choose_uniform(s)) * 0.02f;
}

static void fill_weight(struct source *s, taker *take_memory, int is_float, size_t rows, size_t cols, int with_bias,
                        qrnn_weight *w)
{
    *w = (qrnn_weight){0};
    if (is_float) {
        float *const values = take_memory(rows * cols * sizeof *values);
        if (choose(s, 4) == 0)
            choose_rows(s, values, rows, cols, 0);
        else
            for (size_t i = 0; i < rows * cols; i++) values[i] = choose_uniform(s);
        w->values = values;
    } else {
        int8_t *const codes = take_memory(rows * cols);
        const uint32_t mood = choose(s, 6), scale_mood = choose(s, 6);
        w->n_scale = choose(s, 2) ? rows : 1;
        float *const scale = take_memory(w->n_scale * sizeof *scale);
        for (size_t i = 0; i < rows * cols; i++) codes[i] = choose_code(s, mood);
        for (size_t i = 0; i < w->n_scale; i++) scale[i] = choose_scale(s, scale_mood);
        w->codes = codes;
        w->scale = scale;
    }
    if (!with_bias) return;
    float *const bias = take_memory(rows * sizeof *bias);
    choose_rows(s, bias, 1, rows, 1);
    w->bias = bias;
}

static void fill_weights(struct source *s, taker *take_memory, struct testcase *t)
{
    const int is_float = case_is_float(t), with_bias = choose(s, 4) != 0;
    for (size_t i = 0; i < case_weights(t); i++) {
        qrnn_matrix_info info;
        qrnn_spec_matrix(&t->spec, i, &info);
        fill_weight(s, take_memory, is_float || !info.multiplies, info.rows, info.cols, with_bias && info.takes_bias,
                    &t->weights[i]);
    }
}

/* --- options --- */

static float choose_limit(struct source *s)
{
    return choose(s, 2) ? 0.0f : 0.1f + fabsf(choose_uniform(s));
}

static void choose_activations(struct source *s, const qrnn_kind_info *kind, struct testcase *t)
{
    for (size_t i = 0; i < 2 * kind->places; i++) {
        qrnn_activation *const a = &t->options.activations[i / kind->places][i % kind->places];
        a->function = (qrnn_activation_function)choose(s, QRNN_ACTIVATION_FUNCTIONS);
        a->alpha = choose_uniform(s) * 2.0f;
        a->beta = choose_uniform(s) * 2.0f;
    }
}

/* Those that a kind and a call may have. */
static void choose_options(struct source *s, struct testcase *t)
{
    const qrnn_kind_info *const kind = qrnn_kind_get(t->spec.kind);
    qrnn_options *const o = &t->options;
    if (!kind->places || !qrnn_engine_by_name(t->spec.engine)->options || choose(s, 3)) return;
    qrnn_options_init(t->spec.kind, o);
    t->spec.options = o;
    t->spec.sequence = t->sequence; /* learned states and the reverse direction are for layers alone */
    if (choose(s, 2)) choose_activations(s, kind, t);
    o->clip = choose_limit(s);
    if (t->spec.kind == QRNN_LSTM) {
        o->cell_clip = choose_limit(s);
        o->input_forget = (int)choose(s, 2);
        if (t->spec.proj_size) o->proj_clip = choose_limit(s);
        const uint32_t more = choose(s, 3);
        o->peepholes = more == 1;
        if (more == 2) o->layer_norm = 1e-5f;
    }
    if (!t->sequence) return;
    if (t->spec.directions == 1) o->reverse = (int)choose(s, 2);
    o->initial_states = (int)choose(s, 2);
}

/* 0 where rows have scales of their own. */
static size_t case_length(struct source *s, const struct testcase *t)
{
    const uint32_t least = case_per_row(t) ? 0 : 1;
    return least + choose(s, (uint32_t)t->steps + 1 - least);
}

void case_fill(struct source *s, taker *take_memory, struct testcase *t)
{
    const size_t units = t->spec.layers * t->spec.directions, rows = t->batch * t->steps;
    const int recurrent = t->spec.kind != QRNN_LINEAR, finite = !case_per_row(t) && choose(s, 4);
    fill_weights(s, take_memory, t);
    float *const x = take_memory(rows * t->spec.input_size * sizeof *x);
    choose_rows(s, x, rows, t->spec.input_size, finite);
    t->x = x;
    t->h = t->c = NULL;
    t->lengths = NULL;
    if (recurrent && choose(s, 4)) {
        float *const h = take_memory(units * t->batch * case_state(t) * sizeof *h);
        choose_rows(s, h, units * t->batch, case_state(t), finite);
        t->h = h;
    }
    if (t->spec.kind == QRNN_LSTM && t->h) {
        float *const c = take_memory(units * t->batch * t->spec.hidden_size * sizeof *c);
        choose_rows(s, c, units * t->batch, t->spec.hidden_size, 0);
        t->c = c;
    }
    if (t->sequence && t->steps > 0 && choose(s, 2)) {
        size_t *const lengths = take_memory(t->batch * sizeof *lengths);
        for (size_t i = 0; i < t->batch; i++) lengths[i] = case_length(s, t);
        t->lengths = lengths;
    }
}

void case_choose(struct source *s, const struct bounds *bounds, taker *take_memory, struct testcase *t)
{
    uint32_t engines = 0;
    memset(t, 0, sizeof *t);
    while (qrnn_engine_name(engines)) engines++;
    t->spec.engine = qrnn_engine_name(choose(s, engines));
    do t->spec.kind = (qrnn_kind)choose(s, QRNN_KINDS);
    while (t->spec.kind == QRNN_GRU_RESET_BEFORE && !case_per_row(t));
    choose_shape(s, bounds, t);
    choose_options(s, t);
    case_fill(s, take_memory, t);
}

const char *case_text(const struct testcase *t)
{
    static const char *const kinds[QRNN_KINDS] = {"linear", "rnn_tanh", "rnn_relu", "lstm", "gru", "gru_reset_before"};
    static _Thread_local char text[240];
    snprintf(text, sizeof text,
             "%s %s, %zu -> %zu, projection %zu, batch %zu, %s of %zu steps, %zu layers, %zu directions%s%s%s%s",
             kinds[t->spec.kind], t->spec.engine, t->spec.input_size, t->spec.hidden_size, t->spec.proj_size, t->batch,
             t->sequence ? "sequence" : "call", t->steps, t->spec.layers, t->spec.directions,
             t->batch_first ? ", batch first" : "", t->lengths ? ", lengths" : "", t->h ? ", state" : "",
             t->spec.options ? ", options" : "");
    return text;
}

/* --- running it --- */

qrnn_status case_pack(const struct testcase *t, const char *isa, qrnn_module **m, size_t *matrix)
{
    qrnn_spec spec = t->spec;
    spec.isa = isa;
    spec.weights = t->weights;
    return qrnn_module_new(&spec, m, matrix);
}

/* Numbers are floats or, where they are sums, the same bits. */
static const float mark = 77.0f;

static void fill(void *numbers, size_t n)
{
    for (size_t i = 0; numbers && i < n; i++) memcpy((char *)numbers + i * sizeof mark, &mark, sizeof mark);
}

int untouched(const void *numbers, size_t n)
{
    for (size_t i = 0; numbers && i < n; i++)
        if (memcmp((const char *)numbers + i * sizeof mark, &mark, sizeof mark) != 0) return 0;
    return 1;
}

void results_clear(struct results *r)
{
    fill(r->out, r->n_out);
    fill(r->h, r->n_h);
    fill(r->c, r->n_c);
    fill(r->pre, r->n_gates);
    fill(r->acc_ih, r->n_gates);
    fill(r->acc_hh, r->n_gates);
}

int results_untouched(const struct results *r)
{
    return untouched(r->out, r->n_out) && untouched(r->h, r->n_h) && untouched(r->c, r->n_c);
}

void results_take(const struct testcase *t, taker *take_memory, struct results *r)
{
    const qrnn_spec *const spec = &t->spec;
    const size_t units = spec->layers * spec->directions;
    const int linear = spec->kind == QRNN_LINEAR, quantized = !case_is_float(t);
    memset(r, 0, sizeof *r);
    if (linear) r->n_out = t->batch * spec->hidden_size;
    if (t->sequence) r->n_out = t->steps * t->batch * spec->directions * case_state(t);
    if (!linear) r->n_h = units * t->batch * case_state(t);
    if (spec->kind == QRNN_LSTM) r->n_c = units * t->batch * spec->hidden_size;
    if (!t->sequence) r->n_gates = t->batch * qrnn_kind_get(spec->kind)->gates * spec->hidden_size;
    if (linear || t->sequence) r->out = take_memory(r->n_out * sizeof *r->out);
    if (!linear) r->h = take_memory(r->n_h * sizeof *r->h);
    if (spec->kind == QRNN_LSTM) r->c = take_memory(r->n_c * sizeof *r->c);
    if (!t->sequence) r->pre = take_memory(r->n_gates * sizeof *r->pre);
    if (!t->sequence && quantized) r->acc_ih = take_memory(r->n_gates * sizeof *r->acc_ih);
    if (!t->sequence && quantized && !linear) r->acc_hh = take_memory(r->n_gates * sizeof *r->acc_hh);
    results_clear(r);
}

qrnn_run case_sequence(const struct testcase *t, const struct results *r, size_t threads)
{
    return (qrnn_run){.steps = t->steps,
                      .batch = t->batch,
                      .batch_first = t->batch_first,
                      .x = t->x,
                      .h = t->h,
                      .c = t->c,
                      .lengths = t->lengths,
                      .out = r->out,
                      .h_out = r->h,
                      .c_out = r->c,
                      .threads = threads};
}

void case_run(const struct testcase *t, const qrnn_module *m, size_t threads, struct results *r)
{
    r->step = 0;
    if (t->sequence) {
        const qrnn_run run = case_sequence(t, r, threads);
        r->status = qrnn_sequence(m, &run, &r->step);
        return;
    }
    if (t->spec.kind == QRNN_LINEAR)
        r->status = qrnn_linear_threads(m, t->batch, t->x, r->out, threads);
    else
        r->status = qrnn_step_threads(m, t->batch, t->x, t->h, t->c, r->h, r->c, threads);
    if (r->status == QRNN_OK) r->status = qrnn_gates(m, t->batch, t->x, t->h, t->c, r->acc_ih, r->acc_hh, r->pre);
}

/* --- a sequence by hand --- */

/* One layer in one direction: rows one by one, step by step. in [steps][batch][n], out [steps][batch][width],
 * of which this direction has `state` columns from `first` on; h [batch][state] and c are updated. */
struct unit {
    const struct testcase *t;
    const qrnn_module *m;
    const float *in;
    size_t n, width, first;
    int reverse;
    float *out, *h, *c;
};

/* A state that no step changes leaves with the one NaN there is. */
static void keep_state(float *v, size_t n)
{
    for (size_t i = 0; v && i < n; i++)
        if (isnan(v[i])) v[i] = NAN;
}

static qrnn_status run_row(const struct unit *u, size_t row)
{
    const struct testcase *const t = u->t;
    const size_t length = t->lengths ? t->lengths[row] : t->steps, state = case_state(t);
    float *const h = u->h + row * state, *const c = u->c ? u->c + row * t->spec.hidden_size : NULL;
    if (length == 0) {
        keep_state(h, state);
        keep_state(c, t->spec.hidden_size);
    }
    for (size_t i = 0; i < length; i++) {
        const size_t at = (u->reverse ? length - 1 - i : i) * t->batch + row;
        const qrnn_status status = qrnn_step(u->m, 1, u->in + at * u->n, h, c, h, c);
        if (status != QRNN_OK) return status;
        memcpy(u->out + at * u->width + u->first, h, state * sizeof *h);
    }
    return QRNN_OK;
}

static qrnn_status run_unit(const char *isa, size_t index, struct unit *u)
{
    const struct testcase *const t = u->t;
    struct testcase single = *t;
    qrnn_module *m;
    single.spec.layers = single.spec.directions = 1;
    single.spec.input_size = u->n;
    if (t->spec.options) {
        single.spec.options = &single.options;
        single.spec.sequence = 0;
        single.options.reverse = single.options.initial_states = 0;
        memcpy(single.options.activations[0], t->options.activations[index % t->spec.directions],
               sizeof single.options.activations[0]);
    }
    const size_t each = qrnn_spec_matrices(&single.spec), state = case_state(t);
    memcpy(single.weights, t->weights + index * each, each * sizeof *t->weights);
    qrnn_status status = case_pack(&single, isa, &m, NULL);
    if (status != QRNN_OK) return status;
    u->m = m;
    u->first = index % t->spec.directions == 1 ? state : 0;
    u->reverse = u->first || t->options.reverse;
    for (size_t row = 0; row < t->batch && status == QRNN_OK; row++) status = run_row(u, row);
    qrnn_module_unref(m);
    return status;
}

static void swap_axes(const float *from, size_t a, size_t b, size_t n, float *to)
{
    for (size_t i = 0; i < a; i++)
        for (size_t j = 0; j < b; j++) memcpy(to + (j * a + i) * n, from + (i * b + j) * n, n * sizeof *to);
}

/* The states that a call begins with: its own, learned ones, zeros. */
static void take_states(const struct testcase *t, struct results *r)
{
    const size_t units = t->spec.layers * t->spec.directions, learned = t->options.initial_states;
    const size_t last = case_weights(t) - 1, has_c = r->c != NULL;
    memset(r->h, 0, r->n_h * sizeof *r->h);
    if (r->c) memset(r->c, 0, r->n_c * sizeof *r->c);
    if (t->h) memcpy(r->h, t->h, r->n_h * sizeof *r->h);
    if (t->c) memcpy(r->c, t->c, r->n_c * sizeof *r->c);
    for (size_t i = 0; i < units * t->batch && learned && !t->h; i++) {
        const size_t n = case_state(t), unit = i / t->batch, hidden = t->spec.hidden_size;
        memcpy(r->h + i * n, t->weights[last - has_c].values + unit * n, n * sizeof *r->h);
        if (r->c) memcpy(r->c + i * hidden, t->weights[last].values + unit * hidden, hidden * sizeof *r->c);
    }
}

void case_by_steps(const struct testcase *t, const char *isa, taker *take_memory, struct results *r)
{
    const size_t state = case_state(t), hidden = t->spec.hidden_size, width = state * t->spec.directions;
    const size_t cells = t->steps * t->batch;
    float *in = take_memory(cells * t->spec.input_size * sizeof *in), *out = NULL;
    if (t->batch_first)
        swap_axes(t->x, t->batch, t->steps, t->spec.input_size, in);
    else
        memcpy(in, t->x, cells * t->spec.input_size * sizeof *in);
    take_states(t, r);
    r->status = QRNN_OK;
    for (size_t i = 0; i < t->spec.layers * t->spec.directions && r->status == QRNN_OK; i++) {
        if (i % t->spec.directions == 0) {
            if (out) in = out;
            out = take_memory(cells * width * sizeof *out);
            memset(out, 0, cells * width * sizeof *out);
        }
        struct unit u = {.t = t,
                         .in = in,
                         .n = i < t->spec.directions ? t->spec.input_size : width,
                         .width = width,
                         .out = out,
                         .h = r->h + i * t->batch * state,
                         .c = r->c ? r->c + i * t->batch * hidden : NULL};
        r->status = run_unit(isa, i, &u);
    }
    if (t->batch_first)
        swap_axes(out, t->steps, t->batch, width, r->out);
    else
        memcpy(r->out, out, r->n_out * sizeof *out);
}

static int same(const void *a, const void *b, size_t n)
{
    return !a || !b || memcmp(a, b, n * 4) == 0;
}

const char *results_differ(const struct results *a, const struct results *b)
{
    if (a->status != b->status) return "status";
    if (a->status != QRNN_OK) return a->step == b->step ? NULL : "step of the fault";
    if (!same(a->acc_ih, b->acc_ih, a->n_gates)) return "W_ih x";
    if (!same(a->acc_hh, b->acc_hh, a->n_gates)) return "W_hh h";
    if (!same(a->pre, b->pre, a->n_gates)) return "pre-activations";
    if (!same(a->h, b->h, a->n_h)) return "h";
    if (!same(a->c, b->c, a->n_c)) return "c";
    if (!same(a->out, b->out, a->n_out)) return "out";
    return NULL;
}

static int wrong_nan(const float *v, size_t n)
{
    for (size_t i = 0; v && i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &v[i], sizeof bits);
        if (v[i] != v[i] && bits != 0x7fc00000u) return 1;
    }
    return 0;
}

const char *results_wrong_nan(const struct results *r)
{
    if (r->status != QRNN_OK) return NULL;
    if (wrong_nan(r->out, r->n_out)) return "a NaN of other bits in out";
    if (wrong_nan(r->h, r->n_h)) return "a NaN of other bits in h";
    if (wrong_nan(r->c, r->n_c)) return "a NaN of other bits in c";
    if (wrong_nan(r->pre, r->n_gates)) return "a NaN of other bits in the pre-activations";
    return NULL;
}
