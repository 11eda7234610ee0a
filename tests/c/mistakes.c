/* mistakes.c - what qrnn.h says of arguments that are NULL, of kinds that there are not, and of arrays that may be left
 * out: a mistake gets its status before anything is written, and no output changes no final state.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O1 -g -Icsrc/core -Icsrc/kernels tests/c/{mistakes,cases}.c csrc/core/?*.c \
 *      csrc/kernels/?*.c -lm -lpthread -o mistakes && ./mistakes
 *
 * Last line: "N passed, M failed".
 */
#include "cases.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { IN = 7, UNITS = 20, BATCH = 5, STEPS = 6 };

static unsigned long passed, failed;

static void tally(int right, const char *what, const struct testcase *t)
{
    passed += (unsigned long)right;
    failed += (unsigned long)!right;
    if (!right) printf("FAILED: %s: %s\n", what, t ? case_text(t) : "");
}

/* A case with an initial state and, if `lengths`, with lengths. */
static struct testcase make(qrnn_kind kind, const char *engine, size_t layers, size_t directions, int sequence,
                            int lengths)
{
    static struct source s = {.state = 11};
    struct testcase t = {.spec = {.kind = kind,
                                  .engine = engine,
                                  .input_size = IN,
                                  .hidden_size = UNITS,
                                  .layers = layers,
                                  .directions = directions},
                         .batch = BATCH,
                         .sequence = sequence,
                         .steps = sequence ? STEPS : 1};
    do case_fill(&s, take, &t);
    while (kind != QRNN_LINEAR && (!t.h || (sequence && (t.lengths != NULL) != lengths)));
    return t;
}

static qrnn_module *pack(const struct testcase *t)
{
    qrnn_module *m;
    if (case_pack(t, NULL, &m, NULL) != QRNN_OK) abort();
    return m;
}

/* --- statuses --- */

static void check_texts(void)
{
    const char *const unknown = qrnn_status_text(QRNN_STATUSES);
    tally(strcmp(unknown, "no such status") == 0, "text of no status", NULL);
    tally(strcmp(unknown, qrnn_status_text((qrnn_status)-1)) == 0, "text of a negative status", NULL);
    tally(QRNN_OK == 0 && QRNN_ERR_FORMAT == 12 && QRNN_ERR_KIND == 14, "numbers of statuses", NULL);
    tally(strcmp(qrnn_status_text(QRNN_OK), "no error") == 0, "text of no error", NULL);
    for (int i = 0; i < QRNN_STATUSES; i++)
        for (int k = 0; k <= i; k++) {
            const char *const a = qrnn_status_text((qrnn_status)i), *const b = qrnn_status_text((qrnn_status)k);
            tally((strcmp(a, b) == 0) == (i == k) && strcmp(a, unknown) != 0, "texts of two statuses", NULL);
        }
}

/* --- modules --- */

static void refused(const qrnn_spec *spec, qrnn_status status, size_t fault, const char *what)
{
    qrnn_module *m = (qrnn_module *)(uintptr_t)&failed;
    size_t matrix = 77;
    tally(qrnn_module_new(spec, &m, &matrix) == status && !m && matrix == fault, what, NULL);
    m = (qrnn_module *)(uintptr_t)&failed;
    tally(qrnn_module_new(spec, &m, NULL) == status && !m, what, NULL);
}

static void check_specs(const char *engine)
{
    const struct testcase t = make(QRNN_LSTM, engine, 2, 1, 1, 0);
    qrnn_weight weights[4];
    qrnn_spec spec = t.spec;
    size_t matrix = 77;
    spec.weights = weights;
    memcpy(weights, t.weights, sizeof weights);
    refused(NULL, QRNN_ERR_NULL, 0, "no specification");
    tally(qrnn_module_new(&spec, NULL, &matrix) == QRNN_ERR_NULL && matrix == 0, "nowhere for the module", &t);
    spec.weights = NULL;
    refused(&spec, QRNN_ERR_NULL, 0, "no weights");
    spec.weights = weights;
    const int kinds[] = {QRNN_KINDS, -1, 1000};
    for (size_t i = 0; i < 3; i++) {
        spec.kind = (qrnn_kind)kinds[i];
        refused(&spec, QRNN_ERR_KIND, 0, "no such kind");
        qrnn_matrix_info info = {.rows = 77}, zeros = {0};
        qrnn_spec_matrix(&spec, 0, &info);
        tally(memcmp(&info, &zeros, sizeof info) == 0, "a matrix of no kind", NULL);
    }
    spec.kind = QRNN_LSTM;
    for (size_t i = 0; i < 4; i++) {
        static const float value[4 * UNITS * UNITS];
        static const int8_t code[4 * UNITS * UNITS];
        const int is_float = case_is_float(&t);
        weights[i] = (qrnn_weight){.codes = is_float ? code : NULL, .scale = value, .n_scale = 1};
        refused(&spec, QRNN_ERR_FORMAT, i, is_float ? "codes of a float module" : "no codes");
        weights[i] = (qrnn_weight){.values = value, .format = "int8", .scale = value, .n_scale = 1};
        refused(&spec, QRNN_ERR_FORMAT, i, "float values for codes");
        weights[i] = (qrnn_weight){.codes = code, .n_scale = 1};
        if (!is_float) refused(&spec, QRNN_ERR_NULL, i, "no scale");
        weights[i] = (qrnn_weight){.codes = code, .n_scale = 4 * UNITS};
        if (!is_float) refused(&spec, QRNN_ERR_NULL, i, "no scales");
        weights[i] = t.weights[i];
    }
    tally(qrnn_spec_matrices(NULL) == 0 && qrnn_spec_matrices(&spec) == 4, "matrices", &t);
    qrnn_spec_matrix(&spec, 0, NULL);
}

static void check_past_the_last(const char *engine)
{
    const struct testcase t = make(QRNN_GRU, engine, 2, 2, 1, 0);
    qrnn_module *const m = pack(&t);
    qrnn_spec spec = t.spec;
    const size_t past[] = {8, 9, SIZE_MAX};
    float values[1] = {77.0f}, scale[1] = {77.0f}, bias[1] = {77.0f};
    int8_t codes[4] = {77, 77, 77, 77};
    tally(qrnn_module_rows(m, 7) == 3 * UNITS && qrnn_module_activations(m, 7), "the last matrix", &t);
    for (size_t i = 0; i < 3; i++) {
        qrnn_matrix_info info = {.rows = 77}, zeros = {0};
        const size_t sum = qrnn_module_rows(m, past[i]) + qrnn_module_cols(m, past[i]) + qrnn_module_n_scale(m, past[i])
                           + (size_t)qrnn_module_has_bias(m, past[i]);
        tally(sum == 0 && !qrnn_module_activations(m, past[i]), "past the last matrix", &t);
        qrnn_module_unpack(m, past[i], values, codes, scale, bias);
        qrnn_spec_matrix(&spec, past[i], &info);
        tally(memcmp(&info, &zeros, sizeof info) == 0, "past the specification's last", &t);
    }
    tally(values[0] == 77.0f && codes[0] == 77 && scale[0] == 77.0f && bias[0] == 77.0f, "unpacked past it", &t);
    qrnn_module_ref(NULL);
    qrnn_module_unref(NULL);
    qrnn_module_unref(m);
}

/* The scales of a matrix that is packed in two pieces count as they came: one in all, or one a row. */
static void check_scales(int per_row)
{
    struct testcase t = make(QRNN_GRU_RESET_BEFORE, "qrnn", 1, 1, 0, 0);
    float given[3 * UNITS], got[3 * UNITS + 1];
    for (size_t i = 0; i < 3 * UNITS; i++) given[i] = 0.01f * (float)(i + 1);
    const size_t n = per_row ? 3 * UNITS : 1;
    t.weights[1].scale = given;
    t.weights[1].n_scale = n;
    qrnn_module *const m = pack(&t);
    for (size_t i = 0; i <= 3 * UNITS; i++) got[i] = 77.0f;
    qrnn_module_unpack(m, 1, NULL, NULL, got, NULL);
    tally(qrnn_module_n_scale(m, 1) == n, "the number of scales", &t);
    tally(memcmp(got, given, n * sizeof *got) == 0 && got[n] == 77.0f, "scales of two pieces", &t);
    qrnn_module_unref(m);
}

/* The specification and all that it points to may be gone once the module is there: it computes as before. */
static void check_freed(qrnn_kind kind, const char *engine)
{
    const struct testcase t = make(kind, engine, 1, 1, 0, 0);
    qrnn_module *const m = pack(&t), *other;
    const size_t n = case_weights(&t);
    qrnn_spec *const spec = malloc(sizeof *spec);
    qrnn_weight *const weights = malloc(n * sizeof *weights);
    char *const name = strdup(engine), *const isa = strdup(qrnn_module_isa(m));
    void *gone[3 * 4] = {NULL};
    for (size_t i = 0; i < n; i++) {
        const size_t rows = qrnn_module_rows(m, i), cells = rows * qrnn_module_cols(m, i),
                     scales = t.weights[i].n_scale;
        void *const values = gone[4 * i] = malloc(cells * sizeof(float) + 1);
        void *const codes = gone[4 * i + 1] = malloc(cells + 1);
        void *const scale = gone[4 * i + 2] = malloc(scales * sizeof(float) + 1);
        void *const bias = gone[4 * i + 3] = malloc(rows * sizeof(float) + 1);
        qrnn_module_unpack(m, i, values, codes, scale, bias);
        weights[i] = (qrnn_weight){.values = case_is_float(&t) ? values : NULL,
                                   .codes = case_is_float(&t) ? NULL : codes,
                                   .scale = scales ? scale : NULL,
                                   .n_scale = scales,
                                   .bias = t.weights[i].bias ? bias : NULL};
    }
    *spec = t.spec;
    spec->engine = name;
    spec->isa = isa;
    spec->weights = weights;
    const qrnn_status status = qrnn_module_new(spec, &other, NULL);
    for (size_t i = 0; i < 4 * n; i++) free(gone[i]);
    memset(name, '?', strlen(name));
    memset(isa, '?', strlen(isa));
    free(name);
    free(isa);
    free(weights);
    free(spec);
    if (status != QRNN_OK) abort();
    struct results want, r;
    results_take(&t, take, &want);
    results_take(&t, take, &r);
    case_run(&t, m, 1, &want);
    case_run(&t, other, 1, &r);
    tally(!results_differ(&want, &r), "a module whose arrays are gone", &t);
    tally(strcmp(qrnn_module_engine(other), engine) == 0, "the engine of a name that is gone", &t);
    tally(strcmp(qrnn_module_isa(other), qrnn_module_isa(m)) == 0, "the instruction set of such a name", &t);
    qrnn_module_unref(other);
    qrnn_module_unref(m);
}

/* --- calls --- */

static void check_linear(const char *engine)
{
    const struct testcase t = make(QRNN_LINEAR, engine, 1, 1, 0, 0), cell = make(QRNN_GRU, engine, 1, 1, 0, 0);
    qrnn_module *const m = pack(&t), *const other = pack(&cell);
    struct results r;
    results_take(&t, take, &r);
    tally(qrnn_linear(NULL, BATCH, t.x, r.out) == QRNN_ERR_NULL, "a linear without a module", &t);
    tally(qrnn_linear(m, BATCH, NULL, r.out) == QRNN_ERR_NULL, "a linear without x", &t);
    tally(qrnn_linear(m, BATCH, t.x, NULL) == QRNN_ERR_NULL, "a linear without y", &t);
    tally(qrnn_linear(other, BATCH, t.x, r.out) == QRNN_ERR_KIND, "a cell as a linear", &t);
    tally(qrnn_step(m, BATCH, t.x, NULL, NULL, r.out, NULL) == QRNN_ERR_KIND, "a linear as a cell", &t);
    tally(qrnn_gates(m, BATCH, t.x, NULL, NULL, NULL, NULL, NULL) == QRNN_ERR_NULL, "nothing to probe for", &t);
    tally(qrnn_linear(m, 0, NULL, NULL) == QRNN_OK, "a linear of no rows", &t);
    tally(qrnn_gates(m, 0, NULL, NULL, NULL, NULL, NULL, NULL) == QRNN_OK, "the probe of no rows", &t);
    const qrnn_run run = {.steps = 1, .batch = BATCH, .x = t.x, .out = r.out, .h_out = r.out};
    tally(qrnn_sequence(m, &run, NULL) == QRNN_ERR_KIND, "a linear's sequence", &t);
    tally(results_untouched(&r), "a refused linear wrote", &t);
    qrnn_module_unref(m);
    qrnn_module_unref(other);
}

static void check_step(qrnn_kind kind, const char *engine)
{
    const struct testcase t = make(kind, engine, 1, 1, 0, 0), layers = make(kind, engine, 2, 1, 1, 0),
                          directions = make(kind, engine, 1, 2, 1, 0);
    qrnn_module *const m = pack(&t), *const deep = pack(&layers), *const both = pack(&directions);
    struct results r;
    results_take(&t, take, &r);
    tally(qrnn_step(NULL, BATCH, t.x, t.h, t.c, r.h, r.c) == QRNN_ERR_NULL, "a step without a module", &t);
    tally(qrnn_step(m, BATCH, NULL, t.h, t.c, r.h, r.c) == QRNN_ERR_NULL, "a step without x", &t);
    tally(qrnn_step(m, BATCH, t.x, t.h, t.c, NULL, r.c) == QRNN_ERR_NULL, "a step without h_out", &t);
    if (r.c) tally(qrnn_step(m, BATCH, t.x, t.h, t.c, r.h, NULL) == QRNN_ERR_NULL, "a step without c_out", &t);
    tally(qrnn_step(deep, BATCH, t.x, t.h, t.c, r.h, r.c) == QRNN_ERR_SIZE, "a step of two layers", &t);
    tally(qrnn_step(both, BATCH, t.x, t.h, t.c, r.h, r.c) == QRNN_ERR_SIZE, "a step of two directions", &t);
    tally(qrnn_gates(NULL, BATCH, t.x, t.h, t.c, NULL, NULL, r.pre) == QRNN_ERR_NULL, "a probe of no module", &t);
    tally(qrnn_gates(m, BATCH, NULL, t.h, t.c, NULL, NULL, r.pre) == QRNN_ERR_NULL, "a probe without x", &t);
    tally(qrnn_gates(m, BATCH, t.x, t.h, t.c, r.acc_ih, NULL, NULL) == QRNN_ERR_NULL, "a probe without pre", &t);
    tally(qrnn_gates(deep, BATCH, t.x, t.h, t.c, NULL, NULL, r.pre) == QRNN_ERR_SIZE, "a probe of two layers", &t);
    tally(results_untouched(&r) && untouched(r.pre, r.n_gates), "a refused step wrote", &t);
    tally(qrnn_step(m, 0, NULL, NULL, NULL, NULL, NULL) == QRNN_OK, "a step of no rows", &t);
    qrnn_module_unref(both);
    qrnn_module_unref(deep);
    qrnn_module_unref(m);
}

static void check_sequence(qrnn_kind kind, const char *engine)
{
    const struct testcase t = make(kind, engine, 2, 2, 1, 0);
    qrnn_module *const m = pack(&t);
    struct results r;
    results_take(&t, take, &r);
    const qrnn_run right = {
        .steps = STEPS, .batch = BATCH, .x = t.x, .h = t.h, .c = t.c, .out = r.out, .h_out = r.h, .c_out = r.c};
    qrnn_run run = right;
    tally(qrnn_sequence(NULL, &run, NULL) == QRNN_ERR_NULL, "a sequence without a module", &t);
    tally(qrnn_sequence(m, NULL, NULL) == QRNN_ERR_NULL, "a sequence of nothing", &t);
    run.x = NULL;
    tally(qrnn_sequence(m, &run, NULL) == QRNN_ERR_NULL, "a sequence without x", &t);
    run = right;
    run.h_out = NULL;
    tally(qrnn_sequence(m, &run, NULL) == QRNN_ERR_NULL, "a sequence without h_out", &t);
    run = right;
    run.c_out = NULL;
    if (r.c) tally(qrnn_sequence(m, &run, NULL) == QRNN_ERR_NULL, "a sequence without c_out", &t);
    tally(results_untouched(&r), "a refused sequence wrote", &t);
    run = (qrnn_run){.steps = STEPS};
    tally(qrnn_sequence(m, &run, NULL) == QRNN_OK, "a sequence of no rows", &t);
    run = right;
    run.steps = 0;
    run.x = NULL;
    run.out = NULL;
    tally(qrnn_sequence(m, &run, NULL) == QRNN_OK && !memcmp(r.h, t.h, r.n_h * sizeof *r.h), "without steps", &t);
    qrnn_module_unref(m);
}

/* --- no units --- */

/* A cell without units takes its calls and writes nothing; a sequence of them there is not. */
static void check_no_units(qrnn_kind kind, const char *engine)
{
    static const int8_t code[1];
    static const float value[1] = {1.0f};
    const size_t count = kind == QRNN_LINEAR ? 1 : 2;
    struct testcase t = {.spec = {.kind = kind, .engine = engine, .input_size = IN, .layers = 1, .directions = 1}};
    qrnn_weight weights[2];
    for (size_t i = 0; i < count; i++)
        weights[i] = case_is_float(&t) ? (qrnn_weight){.values = value}
                                       : (qrnn_weight){.codes = code, .scale = value, .n_scale = i};
    t.spec.weights = weights;
    qrnn_module *m;
    size_t step;
    float x[IN] = {1.0f}, out = 7.0f;
    tally(qrnn_module_new(&t.spec, &m, NULL) == QRNN_OK, "a module without units", &t);
    for (size_t i = 0; i < count; i++) {
        tally(qrnn_module_is_coded(m, i) == !case_is_float(&t), "codes of no units", &t);
        tally(qrnn_module_n_scale(m, i) == (case_is_float(&t) ? 0 : i), "scales of no units", &t);
    }
    tally(qrnn_module_is_coded(m, count) == 0, "codes past the last", &t);
    if (kind == QRNN_LINEAR) {
        tally(qrnn_linear(m, 1, x, &out) == QRNN_OK && out == 7.0f, "a linear without units", &t);
    } else {
        const qrnn_run run = {.steps = 1, .batch = 1, .x = x, .out = &out, .h_out = &out, .c_out = &out, .threads = 1};
        tally(qrnn_step(m, 1, x, NULL, NULL, &out, &out) == QRNN_OK && out == 7.0f, "a step without units", &t);
        tally(qrnn_sequence(m, &run, &step) == QRNN_ERR_SIZE && out == 7.0f, "a sequence without units", &t);
        t.spec.sequence = 1;
        refused(&t.spec, QRNN_ERR_SIZE, 0, "a sequence without units");
    }
    tally(qrnn_gates(m, 1, x, NULL, NULL, NULL, NULL, &out) == QRNN_OK && out == 7.0f, "a probe without units", &t);
    qrnn_module_unref(m);
}

static void check_functions(void)
{
    const float v[2] = {1.0f, 2.0f};
    float scale = 77.0f, y[2] = {77.0f, 77.0f};
    int16_t code[2] = {77, 77};
    int32_t zero = 77;
    double weight[2] = {77.0, 77.0}, sum[2] = {77.0, 77.0}, outer[4] = {77.0, 77.0, 77.0, 77.0};
    size_t count = 77;
    tally(qrnn_quantize("qrnn", NULL, 1, 2, NULL, code, &scale, &zero) == QRNN_ERR_NULL, "codes of nothing", NULL);
    tally(qrnn_quantize("qrnn", NULL, 1, 2, v, NULL, &scale, &zero) == QRNN_ERR_NULL, "codes to nowhere", NULL);
    tally(qrnn_quantize("qrnn", NULL, 1, 2, v, code, NULL, &zero) == QRNN_ERR_NULL, "scales to nowhere", NULL);
    tally(qrnn_quantize("qrnn", NULL, 1, 2, v, code, &scale, NULL) == QRNN_ERR_NULL, "zero points to nowhere", NULL);
    tally(qrnn_quantize(NULL, NULL, 1, 2, v, code, &scale, &zero) == QRNN_ERR_ENGINE, "codes of no engine", NULL);
    tally(qrnn_quantize("qrnn", NULL, 0, 2, NULL, NULL, NULL, NULL) == QRNN_OK, "codes of no rows", NULL);
    tally(qrnn_seen("qrnn", NULL, 1, 2, NULL, y) == QRNN_ERR_NULL, "values of nothing", NULL);
    tally(qrnn_seen("qrnn", NULL, 1, 2, v, NULL) == QRNN_ERR_NULL, "values to nowhere", NULL);
    tally(qrnn_seen(NULL, NULL, 1, 2, v, y) == QRNN_ERR_ENGINE, "values of no engine", NULL);
    tally(qrnn_seen(NULL, NULL, 0, 0, v, y) == QRNN_ERR_ENGINE, "no values of no engine", NULL);
    tally(qrnn_moments("qrnn", NULL, 1, 2, NULL, NULL, weight, sum, outer, &count) == QRNN_ERR_NULL, "sums of nothing",
          NULL);
    tally(qrnn_moments("qrnn", NULL, 1, 2, v, NULL, NULL, sum, outer, &count) == QRNN_ERR_NULL, "weights to nowhere",
          NULL);
    tally(qrnn_moments("qrnn", NULL, 1, 2, v, NULL, weight, NULL, outer, &count) == QRNN_ERR_NULL, "sums to nowhere",
          NULL);
    tally(qrnn_moments("qrnn", NULL, 1, 2, v, NULL, weight, sum, NULL, &count) == QRNN_ERR_NULL, "products to nowhere",
          NULL);
    tally(qrnn_moments("qrnn", NULL, 1, 2, v, NULL, weight, sum, outer, NULL) == QRNN_ERR_NULL, "a count to nowhere",
          NULL);
    tally(qrnn_moments("qrnn", NULL, 0, 2, NULL, NULL, NULL, NULL, NULL, &count) == QRNN_OK && count == 0, "no rows",
          NULL);
    tally(qrnn_seen("qrnn", NULL, 1, 0, NULL, NULL) == QRNN_OK, "values of no columns", NULL);
    tally(qrnn_moments("qrnn", NULL, 1, 0, NULL, NULL, NULL, NULL, NULL, &count) == QRNN_OK && count == 0, "no columns",
          NULL);
    tally(qrnn_apply(QRNN_TANH, NULL, 2, NULL, y) == QRNN_ERR_NULL, "tanh of nothing", NULL);
    tally(qrnn_apply(QRNN_TANH, NULL, 2, v, NULL) == QRNN_ERR_NULL, "tanh to nowhere", NULL);
    tally(qrnn_apply(QRNN_TANH, NULL, 0, NULL, NULL) == QRNN_OK, "tanh of no numbers", NULL);
    tally(qrnn_apply(QRNN_FUNCTIONS, NULL, 2, v, y) == QRNN_ERR_KIND, "no such function", NULL);
    tally(qrnn_apply((qrnn_function)-1, NULL, 2, v, y) == QRNN_ERR_KIND, "a negative function", NULL);
    tally(code[0] == 77 && scale == 77.0f && zero == 77 && y[0] == 77.0f, "a refused function wrote", NULL);
    tally(sum[0] == 77.0 && outer[0] == 77.0, "refused sums were written", NULL);
    tally(!qrnn_engine_by_name(NULL) && !qrnn_engine_by_name(""), "no engine by name", NULL);
}

/* --- what may be left out --- */

/* h or c alone: the other is zeros. */
static void check_weights(void)
{
    const float v[4] = {1.0f, 2.0f, 3.0f, 4.0f};
    int8_t codes[4] = {77, 77, 77, 77};
    float scale[2] = {77.0f, 77.0f};
    size_t n = 77;
    const struct {
        const char *what, *engine;
        size_t rows, cols;
        const float *values;
        int8_t *codes;
        float *scale;
        size_t *n_scale;
        qrnn_status status;
    } cases[] = {
        {"weights of nothing", "qrnn", 2, 2, NULL, codes, scale, &n, QRNN_ERR_NULL},
        {"weights to nowhere", "qrnn", 2, 2, v, NULL, scale, &n, QRNN_ERR_NULL},
        {"scales of weights to nowhere", "qrnn", 2, 2, v, codes, NULL, &n, QRNN_ERR_NULL},
        {"a number of scales to nowhere", "fbgemm", 2, 2, v, codes, scale, NULL, QRNN_ERR_NULL},
        {"weights of no engine", NULL, 2, 2, v, codes, scale, &n, QRNN_ERR_ENGINE},
        {"weights past the address space", "qrnn", SIZE_MAX, 2, v, codes, scale, &n, QRNN_ERR_SIZE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const qrnn_status got = qrnn_quantize_weights(cases[i].engine, cases[i].rows, cases[i].cols, cases[i].values,
                                                      cases[i].codes, cases[i].scale, cases[i].n_scale);
        tally(got == cases[i].status && n == 77 && codes[0] == 77 && scale[0] == 77.0f, cases[i].what, NULL);
    }
    tally(qrnn_quantize_weights("qrnn", 2, 0, NULL, NULL, scale, &n) == QRNN_OK && n == 2, "weights of no columns",
          NULL);
    tally(qrnn_quantize_weights("fbgemm", 0, 2, NULL, NULL, scale, &n) == QRNN_OK && n == 1 && scale[0] == 1.0f,
          "weights of no rows", NULL);
    const float bad[2] = {1.0f, NAN};
    codes[0] = 77;
    tally(qrnn_quantize_weights("qrnn", 1, 2, bad, codes, scale, &n) == QRNN_ERR_VALUE && codes[0] == 77,
          "a weight that is no number", NULL);
    tally(qrnn_quantize_weights("float32", 1, 2, v, codes, scale, &n) == QRNN_ERR_ENGINE, "codes of engine float32",
          NULL);
}

/* Scales of 1, so that codes are the weights, rounded half to even and held. */
static void check_codes(void)
{
    const float rows[3][4] = {{127.0f, -63.5f, 0.5f, -1.4f}, {0.0f, -0.0f, 0.0f, 0.0f}, {1e-37f, -1e-37f, 0.0f, 0.0f}};
    const float whole[4] = {127.5f, -127.5f, 1.5f, -0.5f}, tiny[4] = {1e-9f, -1e-9f, 0.0f, 0.0f};
    const int8_t of_rows[12] = {127, -64, 0, -1}, of_whole[4] = {127, -128, 2, 0}, of_tiny[4] = {0};
    int8_t codes[12];
    float scale[3];
    size_t n;
    qrnn_status got = qrnn_quantize_weights("qrnn", 3, 4, rows[0], codes, scale, &n);
    tally(got == QRNN_OK && n == 3 && memcmp(codes, of_rows, 12) == 0, "codes by rows", NULL);
    tally(scale[0] == 1.0f && scale[1] == 1.0f && scale[2] == 1.0f, "scales by rows", NULL);
    got = qrnn_quantize_weights("fbgemm", 2, 2, whole, codes, scale, &n);
    tally(got == QRNN_OK && n == 1 && scale[0] == 1.0f && memcmp(codes, of_whole, 4) == 0, "codes by one scale", NULL);
    got = qrnn_quantize_weights("fbgemm", 2, 2, tiny, codes, scale, &n);
    tally(got == QRNN_OK && scale[0] == FLT_EPSILON && memcmp(codes, of_tiny, 4) == 0, "codes of tiny weights", NULL);
}

/* --- options --- */

static int refuses(const qrnn_options *options, qrnn_kind kind, const char *engine, int sequence, size_t directions)
{
    const float one = 1.0f;
    const int8_t code = 0;
    const qrnn_weight any = {.codes = &code, .scale = &one, .n_scale = 1}, weights[4] = {any, any, any, any};
    const qrnn_spec spec = {.kind = kind,
                            .engine = engine,
                            .input_size = 1,
                            .hidden_size = 1,
                            .layers = 1,
                            .directions = directions,
                            .sequence = sequence,
                            .options = options,
                            .weights = weights};
    qrnn_module *m = NULL;
    const qrnn_status status = qrnn_module_new(&spec, &m, NULL);
    return status == QRNN_ERR_OPTIONS && !m;
}

/* Rows whose weights are no weights are left out. */
static void check_row_weights(void)
{
    const float v[5] = {1.0f, 1.0f, 1.0f, 1.0f, 1.0f}, weights[5] = {-1.0f, INFINITY, NAN, 4.0f, 0.0f};
    double weight[2] = {0.0, 0.0}, sum = 0.0, outer = 0.0;
    size_t count = 0;
    const qrnn_status status = qrnn_moments("float32", NULL, 5, 1, v, weights, weight, &sum, &outer, &count);
    tally(status == QRNN_OK && count == 2 && weight[0] == 4.0 && weight[1] == 16.0, "rows that are left out", NULL);
    tally(sum == 4.0 && outer == 4.0, "sums of the others", NULL);
}

/* Matrices that options add are floats, without a bias. */
static void check_added(const char *engine)
{
    enum { MATRICES = 5 };
    static const float floats[64] = {0.5f};
    static const int8_t codes[64] = {1};
    const float scale[16] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    const int quantized = qrnn_engine_by_name(engine)->quantized;
    qrnn_options o;
    qrnn_options_init(QRNN_LSTM, &o);
    o.peepholes = o.initial_states = 1;
    qrnn_weight weights[MATRICES];
    const qrnn_spec spec = {.kind = QRNN_LSTM,
                            .engine = engine,
                            .input_size = 2,
                            .hidden_size = 2,
                            .layers = 1,
                            .directions = 1,
                            .sequence = 1,
                            .options = &o,
                            .weights = weights};
    tally(qrnn_spec_matrices(&spec) == MATRICES, "matrices of an LSTM with peepholes and learned states", NULL);
    for (size_t wrong = 0; wrong < 4; wrong++)
        for (size_t at = 2; at < MATRICES; at++) {
            for (size_t i = 0; i < MATRICES; i++) {
                qrnn_matrix_info info;
                qrnn_spec_matrix(&spec, i, &info);
                const int coded = quantized && info.multiplies;
                weights[i] = (qrnn_weight){.values = coded ? NULL : floats,
                                           .codes = coded ? codes : NULL,
                                           .scale = coded ? scale : NULL,
                                           .n_scale = coded ? info.rows : 0};
            }
            if (wrong == 1) weights[at].codes = codes;
            if (wrong == 2) weights[at].bias = floats;
            if (wrong == 3) weights[at].values = NULL;
            qrnn_module *m = NULL;
            size_t matrix = MATRICES;
            const qrnn_status status = qrnn_module_new(&spec, &m, &matrix);
            if (wrong)
                tally(status == QRNN_ERR_FORMAT && !m && matrix == at, "a matrix of an option", NULL);
            else
                tally(status == QRNN_OK && m && !qrnn_module_activations(m, MATRICES), "an LSTM with options", NULL);
            for (size_t i = 0; m && i < MATRICES; i++) {
                float got[16] = {77.0f};
                qrnn_module_unpack(m, i, NULL, NULL, NULL, NULL);
                qrnn_module_unpack(m, i, i < 2 && quantized ? NULL : got, NULL, NULL, NULL);
                tally(i < 2 ? quantized || got[0] == 0.5f : got[0] == 0.5f, "values of a matrix", NULL);
            }
            qrnn_module_unref(m);
        }
}

static void check_options(void)
{
    qrnn_options o;
    const float wrong[] = {-1.0f, INFINITY, NAN};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        float *const limits[] = {&o.clip, &o.cell_clip, &o.proj_clip, &o.layer_norm};
        for (size_t k = 0; k < sizeof limits / sizeof limits[0]; k++) {
            qrnn_options_init(QRNN_LSTM, &o);
            *limits[k] = wrong[i];
            tally(refuses(&o, QRNN_LSTM, "qrnn", 0, 1), "a limit", NULL);
        }
    }
    int *const flags[] = {&o.peepholes, &o.input_forget, &o.reverse, &o.initial_states};
    const qrnn_kind without[] = {QRNN_GRU, QRNN_GRU, QRNN_LSTM, QRNN_LSTM};
    for (size_t k = 0; k < 4; k++) {
        qrnn_options_init(without[k], &o);
        *flags[k] = 1;
        tally(refuses(&o, without[k], "qrnn", 0, 1), "an option that a cell lacks", NULL);
    }
    qrnn_options_init(QRNN_LSTM, &o);
    o.reverse = 1;
    tally(refuses(&o, QRNN_LSTM, "qrnn", 1, 2), "a reverse of two directions", NULL);
    qrnn_options_init(QRNN_LSTM, &o);
    o.proj_clip = 1.0f;
    tally(refuses(&o, QRNN_LSTM, "qrnn", 1, 1), "a limit of no projection", NULL);
    qrnn_options_init(QRNN_LSTM, &o);
    o.peepholes = 1, o.layer_norm = 1e-3f;
    tally(refuses(&o, QRNN_LSTM, "qrnn", 1, 1), "peepholes of a normalized LSTM", NULL);
    qrnn_options_init(QRNN_LINEAR, &o);
    tally(refuses(&o, QRNN_LINEAR, "qrnn", 0, 1), "options of a linear", NULL);
    for (int d = 0; d < 2; d++) {
        qrnn_options_init(QRNN_LSTM, &o);
        o.activations[d][0].function = QRNN_ACTIVATION_FUNCTIONS;
        tally(refuses(&o, QRNN_LSTM, "qrnn", 1, 2), "no such activation", NULL);
        o.activations[d][0] = (qrnn_activation){QRNN_ACTIVATION_AFFINE, NAN, 0.0f};
        tally(refuses(&o, QRNN_LSTM, "qrnn", 1, 2), "an alpha that is no number", NULL);
        o.activations[d][0] = (qrnn_activation){QRNN_ACTIVATION_AFFINE, 1.0f, INFINITY};
        tally(refuses(&o, QRNN_LSTM, "qrnn", 1, 2), "a beta that is no number", NULL);
    }
    memset(&o, 77, sizeof o);
    qrnn_options_init(QRNN_KINDS, &o);
    tally(o.clip == 0.0f && o.peepholes == 0, "options of no kind", NULL);
    qrnn_options_init(QRNN_LSTM, NULL);
    tally(!qrnn_activation_get(QRNN_ACTIVATION_FUNCTIONS) && qrnn_activation_get(0), "past the activations' end", NULL);
}

static void check_half_states(const char *engine, int sequence)
{
    const struct testcase t = make(QRNN_LSTM, engine, sequence ? 2 : 1, sequence ? 2 : 1, sequence, 0);
    qrnn_module *const m = pack(&t);
    struct testcase half = t, zeros = t;
    struct results want, r;
    results_take(&t, take, &r);
    results_take(&t, take, &want);
    half.c = NULL;
    zeros.c = take(r.n_c * sizeof(float));
    case_run(&zeros, m, 1, &want);
    case_run(&half, m, 1, &r);
    tally(!results_differ(&want, &r), "h without c", &t);
    half = zeros = t;
    half.h = NULL;
    zeros.h = take(r.n_h * sizeof(float));
    case_run(&zeros, m, 1, &want);
    case_run(&half, m, 1, &r);
    tally(!results_differ(&want, &r), "c without h", &t);
    qrnn_module_unref(m);
}

/* Without `out`, and with or without `below`: the same final states, and the same outputs below. */
static void check_no_out(const struct testcase *t)
{
    qrnn_module *const m = pack(t);
    const size_t n_below = (t->spec.layers - 1) * t->steps * t->batch * t->spec.directions * case_state(t);
    float *const want_below = take(n_below * sizeof(float)), *const below = take(n_below * sizeof(float));
    struct results want, r;
    results_take(t, take, &want);
    results_take(t, take, &r);
    qrnn_run run = case_sequence(t, &want, 1);
    run.below = want_below;
    want.status = qrnn_sequence(m, &run, &want.step);
    for (size_t threads = 1; threads <= 3; threads++)
        for (int with_below = 0; with_below < 2; with_below++) {
            results_clear(&r);
            run = case_sequence(t, &r, threads);
            run.out = NULL;
            run.below = with_below ? below : NULL;
            r.status = qrnn_sequence(m, &run, &r.step);
            tally(untouched(r.out, r.n_out), "no output was written", t);
            if (want.status == QRNN_OK) memcpy(r.out, want.out, r.n_out * sizeof *r.out);
            tally(!results_differ(&want, &r) && want.step == r.step, "without an output", t);
            const int same = !with_below || !memcmp(below, want_below, n_below * sizeof *below);
            tally(want.status != QRNN_OK || same, "outputs below no output", t);
        }
    qrnn_module_unref(m);
}

static void check_outputs(qrnn_kind kind, const char *engine)
{
    for (size_t layers = 1; layers <= 3; layers++)
        for (size_t directions = 1; directions <= 2; directions++)
            for (int lengths = 0; lengths < 2; lengths++) {
                struct testcase t = make(kind, engine, layers, directions, 1, lengths);
                check_no_out(&t);
                t.batch_first = 1;
                check_no_out(&t);
            }
}

/* As large as threads and several groups of rows take. */
static void check_large_outputs(qrnn_kind kind, const char *engine)
{
    struct source s = {.state = 12};
    struct testcase t = {
        .spec = {.kind = kind, .engine = engine, .input_size = 9, .hidden_size = 80, .layers = 2, .directions = 2},
        .batch = 70,
        .sequence = 1,
        .steps = 25};
    case_fill(&s, take, &t);
    check_no_out(&t);
}

int main(void)
{
    const char *const engines[] = {"float32", "qrnn", "fbgemm"};
    check_texts();
    check_functions();
    check_weights();
    check_codes();
    check_options();
    check_row_weights();
    check_scales(0);
    check_scales(1);
    for (size_t i = 0; i < 3; i++) {
        check_specs(engines[i]);
        check_past_the_last(engines[i]);
        if (qrnn_engine_by_name(engines[i])->options) check_added(engines[i]);
        check_linear(engines[i]);
        check_no_units(QRNN_LINEAR, engines[i]);
        check_half_states(engines[i], 0);
        check_half_states(engines[i], 1);
        for (int kind = QRNN_RNN_TANH; kind < QRNN_KINDS; kind++) {
            if (kind == QRNN_GRU_RESET_BEFORE && i == 2) continue;
            check_freed((qrnn_kind)kind, engines[i]);
            check_step((qrnn_kind)kind, engines[i]);
            check_sequence((qrnn_kind)kind, engines[i]);
            check_outputs((qrnn_kind)kind, engines[i]);
            check_no_units((qrnn_kind)kind, engines[i]);
        }
        check_large_outputs(QRNN_LSTM, engines[i]);
        check_large_outputs(QRNN_GRU, engines[i]);
        give_back();
    }
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
