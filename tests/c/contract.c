/* contract.c - what qrnn.h says of calls that Python cannot make: wrong ones, sequences without steps, calls
 * inside a call; and how often a sequence asks whether to stop.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O1 -g -Icsrc/core -Icsrc/kernels tests/c/{contract,cases}.c csrc/core/?*.c \
 *      csrc/kernels/?*.c -lm -lpthread -o contract && ./contract
 *
 * Last line: "N passed, M failed".
 */
#include "cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BATCH = 3, STEPS = 4 };

static unsigned long passed, failed;

static void tally(int right, const char *what, const struct testcase *t)
{
    passed += (unsigned long)right;
    failed += (unsigned long)!right;
    if (!right) printf("FAILED: %s: %s\n", what, case_text(t));
}

static int all_are(const float *v, size_t n, float value)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&v[i], &value, sizeof value) != 0) return 0;
    return 1;
}

static qrnn_run run_of(const struct testcase *t, const struct results *r)
{
    return (qrnn_run){.steps = t->steps,
                      .batch = t->batch,
                      .x = t->x,
                      .h = t->h,
                      .c = t->c,
                      .out = r->out,
                      .h_out = r->h,
                      .c_out = r->c,
                      .threads = 2};
}

static void refused(const qrnn_module *m, const qrnn_run *run, qrnn_status status, const char *what,
                    const struct testcase *t, const struct results *r)
{
    tally(qrnn_sequence(m, run, NULL) == status, what, t);
    tally(results_untouched(r), what, t);
}

static void check_lengths(const struct testcase *t, const qrnn_module *m, const struct results *r)
{
    qrnn_run run = run_of(t, r);
    const size_t wrong[] = {STEPS + 1, SIZE_MAX, 0};
    for (size_t i = 0; i < 2 + (size_t)qrnn_module_shares_scale(m); i++)
        for (size_t row = 0; row < BATCH; row++) {
            size_t lengths[BATCH] = {STEPS, 1, 2};
            lengths[row] = wrong[i];
            run.lengths = lengths;
            refused(m, &run, QRNN_ERR_SIZE, "a length", t, r);
        }
}

/* The output would be larger than the address space: there is no such array, and none is looked at. */
static void check_absurd(const struct testcase *t, const qrnn_module *m, const struct results *r)
{
    static const size_t lengths[1] = {1};
    qrnn_run run = run_of(t, r);
    for (size_t shift = 1; shift < 8 * sizeof(size_t); shift++) {
        run.steps = SIZE_MAX >> shift >> 6;
        run.batch = (size_t)1 << shift;
        refused(m, &run, QRNN_ERR_MEMORY, "absurd sizes", t, r);
    }
    run.steps = 1;
    run.batch = SIZE_MAX;
    run.lengths = lengths;
    refused(m, &run, QRNN_ERR_MEMORY, "an absurd batch", t, r);
    run.batch = SIZE_MAX / 24 + 2;
    refused(m, &run, QRNN_ERR_MEMORY, "an absurd batch", t, r);
}

/* In memory of its own, over the initial states, and from none. */
static void check_no_steps(const struct testcase *t, const qrnn_module *m, const struct results *r)
{
    qrnn_run run = run_of(t, r);
    float *const h = (float *)(uintptr_t)t->h, *const c = (float *)(uintptr_t)t->c;
    run.steps = 0;
    run.out = NULL;
    tally(qrnn_sequence(m, &run, NULL) == QRNN_OK, "without steps", t);
    tally(memcmp(r->h, h, r->n_h * sizeof *h) == 0, "h of no steps", t);
    tally(!c || memcmp(r->c, c, r->n_c * sizeof *c) == 0, "c of no steps", t);
    run.h_out = h;
    run.c_out = c;
    tally(qrnn_sequence(m, &run, NULL) == QRNN_OK, "without steps, in place", t);
    tally(memcmp(r->h, h, r->n_h * sizeof *h) == 0, "h in place", t);
    const uint32_t other = 0xffc12345;
    memcpy(h, &other, sizeof other);
    tally(qrnn_sequence(m, &run, NULL) == QRNN_OK && all_are(h, 1, NAN), "a NaN without steps", t);
    run.h = run.c = NULL;
    tally(qrnn_sequence(m, &run, NULL) == QRNN_OK, "without steps or states", t);
    tally(all_are(h, r->n_h, 0.0f) && (!c || all_are(c, r->n_c, 0.0f)), "zeros", t);
}

static int has_nan(const struct testcase *t)
{
    const size_t n = t->spec.layers * t->spec.directions * t->batch * t->spec.hidden_size;
    for (size_t i = 0; i < n; i++)
        if (isnan(t->h[i]) || (t->c && isnan(t->c[i]))) return 1;
    return 0;
}

static void check_sequences(qrnn_kind kind, const char *engine)
{
    struct source s = {.state = 5};
    struct testcase t = {
        .spec = {.kind = kind, .engine = engine, .input_size = 7, .hidden_size = 20, .layers = 2, .directions = 2},
        .batch = BATCH,
        .sequence = 1,
        .steps = STEPS};
    struct results r;
    qrnn_module *m;
    do case_fill(&s, take, &t);
    while (!t.h || t.lengths || has_nan(&t));
    results_take(&t, take, &r);
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    check_lengths(&t, m, &r);
    check_absurd(&t, m, &r);
    if (kind == QRNN_LSTM) {
        qrnn_run run = run_of(&t, &r);
        run.c_out = NULL;
        refused(m, &run, QRNN_ERR_NULL, "no c_out", &t, &r);
    }
    check_no_steps(&t, m, &r);
    qrnn_module_unref(m);
}

static void check_steps(qrnn_kind kind)
{
    struct source s = {.state = 7};
    struct testcase t = {
        .spec = {.kind = kind, .engine = "qrnn", .input_size = 7, .hidden_size = 7, .layers = 1, .directions = 1},
        .batch = BATCH,
        .steps = 1};
    struct results r;
    qrnn_module *m;
    case_fill(&s, take, &t);
    results_take(&t, take, &r);
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    tally(qrnn_linear(m, BATCH, t.x, r.h) == QRNN_ERR_KIND && results_untouched(&r), "a cell as a linear", &t);
    if (kind == QRNN_LSTM)
        tally(qrnn_step(m, BATCH, t.x, t.h, t.c, r.h, NULL) == QRNN_ERR_NULL && results_untouched(&r), "no c_out", &t);
    qrnn_module_unref(m);
}

static void check_linear(void)
{
    struct source s = {.state = 6};
    struct testcase t = {
        .spec =
            {.kind = QRNN_LINEAR, .engine = "qrnn", .input_size = 5, .hidden_size = 5, .layers = 1, .directions = 1},
        .batch = BATCH,
        .steps = 1};
    struct results r;
    qrnn_module *m;
    case_fill(&s, take, &t);
    results_take(&t, take, &r);
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    qrnn_run run = run_of(&t, &r);
    run.h_out = r.out;
    refused(m, &run, QRNN_ERR_KIND, "a linear's sequence", &t, &r);
    qrnn_module_unref(m);
}

static int count(void *context)
{
    ++*(size_t *)context;
    return 0;
}

static int stop_at_once(void *context)
{
    ++*(size_t *)context;
    return 1;
}

/* Of very wide inputs each step is worth a question, and the scan for one scale some more: 64 steps of 2^16 inputs
 * and 64 gates are 2^28 multiply-adds after 2^22 values. stops.c has the time between them. */
static void check_questions(const char *engine, size_t least)
{
    struct testcase t = {
        .spec =
            {.kind = QRNN_LSTM, .engine = engine, .input_size = 65536, .hidden_size = 4, .layers = 1, .directions = 1},
        .batch = 1,
        .sequence = 1,
        .steps = 64};
    const size_t rows[2] = {16, 16}, columns[2] = {65536, 4};
    static const float scale = 0.01f;
    for (size_t i = 0; i < 2; i++) {
        float *const values = take(rows[i] * columns[i] * sizeof *values);
        int8_t *const codes = take(rows[i] * columns[i]);
        t.weights[i] = case_is_float(&t) ? (qrnn_weight){.values = values}
                                         : (qrnn_weight){.codes = codes, .scale = &scale, .n_scale = 1};
    }
    t.x = take(t.steps * t.spec.input_size * sizeof(float));
    struct results r;
    qrnn_module *m;
    size_t questions = 0;
    results_take(&t, take, &r);
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    qrnn_run run = run_of(&t, &r);
    run.stop = count;
    run.context = &questions;
    tally(qrnn_sequence(m, &run, NULL) == QRNN_OK && questions >= least, "too few questions to stop", &t);
    run.stop = stop_at_once; /* where there is a scan, in it */
    for (run.threads = 1; run.threads <= 2; run.threads++) {
        questions = 0;
        tally(qrnn_sequence(m, &run, NULL) == QRNN_ERR_STOPPED && questions == 1, "not stopped at once", &t);
    }
    qrnn_module_unref(m);
}

/* --- modules --- */

static void refused_spec(const qrnn_spec *spec, qrnn_status status, size_t fault, const char *what)
{
    const struct testcase t = {.spec = {.engine = ""}}; /* for its name */
    qrnn_module *m = (qrnn_module *)(uintptr_t)spec;
    size_t matrix = 77;
    tally(qrnn_module_new(spec, &m, &matrix) == status && !m && matrix == fault, what, &t);
    m = (qrnn_module *)(uintptr_t)spec;
    tally(qrnn_module_new(spec, &m, NULL) == status && !m, what, &t);
}

enum { IN = 5, UNITS = 6, GATE_ROWS = 4 * UNITS };

/* Of an LSTM of two layers; the second matrix of the second is the one at fault. */
static void check_weights(void)
{
    static const int8_t codes[GATE_ROWS * UNITS];
    const float bad[] = {0.0f, -1.0f, INFINITY, -INFINITY, NAN};
    float scale[GATE_ROWS], bias[GATE_ROWS] = {0};
    qrnn_weight weights[4];
    const qrnn_spec spec = {.kind = QRNN_LSTM,
                            .engine = "qrnn",
                            .input_size = IN,
                            .hidden_size = UNITS,
                            .layers = 2,
                            .directions = 1,
                            .weights = weights};
    qrnn_weight *const last = &weights[3];
    for (size_t i = 0; i < GATE_ROWS; i++) scale[i] = 1.0f;
    for (size_t i = 0; i < 4; i++) weights[i] = (qrnn_weight){.codes = codes, .scale = scale, .n_scale = 1};
    const size_t counts[] = {0, 2, GATE_ROWS - 1, GATE_ROWS + 1};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        last->n_scale = counts[i];
        refused_spec(&spec, QRNN_ERR_SIZE, 3, "a number of scales");
    }
    float scales[GATE_ROWS];
    last->scale = scales;
    last->n_scale = GATE_ROWS;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        memcpy(scales, scale, sizeof scales);
        scales[i * 4] = bad[i];
        refused_spec(&spec, QRNN_ERR_SCALE, 3, "a scale");
    }
    last->scale = scale;
    last->bias = bias;
    for (size_t i = 2; i < sizeof bad / sizeof *bad; i++) {
        bias[GATE_ROWS - 1] = bad[i];
        refused_spec(&spec, QRNN_ERR_WEIGHT, 3, "a bias");
    }
}

/* What a matrix may store and meet. */
static void check_formats(void)
{
    static const float one = 1.0f, values[GATE_ROWS * IN];
    static const int8_t codes[GATE_ROWS * IN];
    const qrnn_weight coded = {.codes = codes, .scale = &one, .n_scale = 1}, floats = {.values = values};
    const struct {
        const char *what, *engine;
        qrnn_weight weight;
    } wrong[] = {
        {"no weights", "qrnn", {.scale = &one, .n_scale = 1}},
        {"no float weights", "float32", {.bias = NULL}},
        {"codes of a float module", "float32", coded},
        {"weights of no such format", "qrnn", {.codes = codes, .scale = &one, .n_scale = 1, .format = "none"}},
        {"codes that are not given", "qrnn", {.values = values, .format = "int8"}},
        {"activations of no such format", "qrnn", {.codes = codes, .scale = &one, .n_scale = 1, .activations = "none"}},
        {"codes with floats", "qrnn", {.codes = codes, .scale = &one, .n_scale = 1, .activations = "float32"}},
        {"floats with codes", "qrnn", {.values = values, .activations = "u8"}},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const qrnn_weight weights[2] = {strcmp(wrong[i].engine, "qrnn") == 0 ? coded : floats, wrong[i].weight};
        const qrnn_spec spec = {.kind = QRNN_LSTM,
                                .engine = wrong[i].engine,
                                .input_size = IN,
                                .hidden_size = UNITS,
                                .layers = 1,
                                .directions = 1,
                                .weights = weights};
        refused_spec(&spec, QRNN_ERR_FORMAT, 1, wrong[i].what);
    }
    const struct testcase t = {.spec = {.engine = "qrnn"}};
    tally(!qrnn_weights_name(99) && !qrnn_activations_name(99), "past the formats' ends", &t);
    tally(qrnn_weights_name(0) && qrnn_activations_name(0), "the formats' first rows", &t);
}

static void check_specs(void)
{
    static const float one = 1.0f;
    static const int8_t code; /* none of them is read */
    const qrnn_weight any = {.codes = &code, .scale = &one, .n_scale = 1}, weights[2] = {any, any};
    const size_t huge = SIZE_MAX / (sizeof(size_t) < 8 ? 128 : 2048);
    const struct {
        qrnn_status status;
        const char *what;
        qrnn_kind kind;
        const char *engine, *isa;
        size_t input, hidden, proj, layers, directions;
    } wrong[] = {
        {QRNN_ERR_KIND, "a kind past the last", QRNN_KINDS, "qrnn", NULL, IN, UNITS, 0, 1, 1},
        {QRNN_ERR_KIND, "a negative kind", (qrnn_kind)-1, "qrnn", NULL, IN, UNITS, 0, 1, 1},
        {QRNN_ERR_SIZE, "no units of two layers", QRNN_LSTM, "qrnn", NULL, IN, 0, 0, 2, 1},
        {QRNN_ERR_SIZE, "no units in two directions", QRNN_LSTM, "qrnn", NULL, IN, 0, 0, 1, 2},
        {QRNN_ERR_SIZE, "units", QRNN_LSTM, "qrnn", NULL, IN, huge, 0, 1, 1},
        {QRNN_ERR_SIZE, "inputs", QRNN_LSTM, "qrnn", NULL, huge, UNITS, 0, 1, 1},
        {QRNN_ERR_SIZE, "inputs for the units", QRNN_LSTM, "qrnn", NULL, huge / 16, UNITS, 0, 1, 1},
        {QRNN_ERR_DEPTH, "depth", QRNN_LSTM, "qrnn", NULL, QRNN_MAX_DEPTH + 1, UNITS, 0, 1, 1},
        {QRNN_ERR_SIZE, "no layers", QRNN_LSTM, "qrnn", NULL, IN, UNITS, 0, 0, 1},
        {QRNN_ERR_SIZE, "layers", QRNN_LSTM, "qrnn", NULL, IN, UNITS, 0, 65537, 1},
        {QRNN_ERR_SIZE, "no directions", QRNN_LSTM, "qrnn", NULL, IN, UNITS, 0, 1, 0},
        {QRNN_ERR_SIZE, "directions", QRNN_LSTM, "qrnn", NULL, IN, UNITS, 0, 1, 3},
        {QRNN_ERR_SIZE, "layers of a linear", QRNN_LINEAR, "qrnn", NULL, IN, UNITS, 0, 2, 1},
        {QRNN_ERR_SIZE, "directions of a linear", QRNN_LINEAR, "qrnn", NULL, IN, UNITS, 0, 1, 2},
        {QRNN_ERR_SIZE, "a projection of a GRU", QRNN_GRU, "qrnn", NULL, IN, UNITS, 2, 1, 1},
        {QRNN_ERR_SIZE, "a projection that widens", QRNN_LSTM, "qrnn", NULL, IN, UNITS, UNITS, 1, 1},
        {QRNN_ERR_UNSUPPORTED, "a projection", QRNN_LSTM, "fbgemm", NULL, IN, UNITS, 2, 1, 1},
        {QRNN_ERR_UNSUPPORTED, "reset before", QRNN_GRU_RESET_BEFORE, "onednn", NULL, IN, UNITS, 0, 1, 1},
        {QRNN_ERR_ENGINE, "an engine", QRNN_LSTM, "none", NULL, IN, UNITS, 0, 1, 1},
        {QRNN_ERR_ENGINE, "no engine", QRNN_LSTM, NULL, NULL, IN, UNITS, 0, 1, 1},
        {QRNN_ERR_ISA, "an instruction set", QRNN_LSTM, "qrnn", "none", IN, UNITS, 0, 1, 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        const qrnn_spec spec = {.kind = wrong[i].kind,
                                .engine = wrong[i].engine,
                                .isa = wrong[i].isa,
                                .input_size = wrong[i].input,
                                .hidden_size = wrong[i].hidden,
                                .proj_size = wrong[i].proj,
                                .layers = wrong[i].layers,
                                .directions = wrong[i].directions,
                                .weights = weights};
        const size_t fault = wrong[i].status == QRNN_ERR_ISA; /* all matrices have been checked then */
        refused_spec(&spec, wrong[i].status, fault, wrong[i].what);
    }
    const struct testcase t = {.spec = {.engine = "qrnn"}};
    tally(!qrnn_isa_name(99) && !qrnn_isa_supported(99) && !qrnn_engine_name(99), "past the tables' ends", &t);
    tally(qrnn_isa_name(0) && qrnn_isa_supported(0) && qrnn_engine_name(0), "the tables' first rows", &t);
    tally(strcmp(qrnn_engine_activations(0), "u8") == 0 && !qrnn_engine_activations(99), "what codes multiply", &t);
    tally(!qrnn_kind_get(QRNN_KINDS) && !qrnn_kind_get((qrnn_kind)-1), "what is no kind", &t);
    qrnn_module_unref(NULL);
}

/* Layers that share their arrays may be more together than an address space of 32 bits has room for: 16 GB here. */
static void check_total(void)
{
    enum { WIDE = 1024, LAYERS = 2048 };
    const size_t cells = (size_t)4 * WIDE * WIDE;
    const struct testcase t = {.spec = {.kind = QRNN_LSTM, .engine = "qrnn", .input_size = WIDE, .hidden_size = WIDE}};
    static const float scale = 0.01f;
    if (sizeof(size_t) >= 8) return;
    const qrnn_weight each = {.codes = take(cells), .scale = &scale, .n_scale = 1};
    qrnn_weight *const weights = take(2 * LAYERS * sizeof *weights);
    for (size_t i = 0; i < 2 * LAYERS; i++) weights[i] = each;
    qrnn_spec spec = t.spec;
    qrnn_module *m;
    spec.layers = 1, spec.directions = 1, spec.sequence = 1, spec.weights = weights;
    tally(qrnn_module_new(&spec, &m, NULL) == QRNN_OK, "1024 units of 32 bits", &t);
    qrnn_module_unref(m);
    spec.layers = LAYERS;
    tally(qrnn_module_new(&spec, &m, NULL) == QRNN_ERR_MEMORY && !m, "more than there are addresses", &t);
}

/* What a module does not have is not unpacked, nor what is not asked for. */
static void check_unpack(const char *engine)
{
    struct source s = {.state = 8};
    struct testcase t = {
        .spec =
            {.kind = QRNN_GRU, .engine = engine, .input_size = IN, .hidden_size = UNITS, .layers = 1, .directions = 1},
        .batch = 1,
        .steps = 1};
    qrnn_module *m;
    case_fill(&s, take, &t);
    t.weights[0].bias = NULL;
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    const size_t cells = 3 * UNITS * IN;
    float *const values = take(cells * sizeof *values), *const scale = take(3 * UNITS * sizeof *scale),
                 bias[1] = {77.0f};
    int8_t *const codes = take(cells);
    memset(codes, 77, cells);
    for (size_t i = 0; i < cells; i++) values[i] = 77.0f;
    scale[0] = 77.0f;
    qrnn_module_unpack(m, 0, values, codes, scale, bias);
    const int is_float = case_is_float(&t);
    tally(!qrnn_module_has_bias(m, 0) && bias[0] == 77.0f, "a bias that is not there", &t);
    if (is_float) {
        tally(memcmp(values, t.weights[0].values, cells * sizeof *values) == 0, "values", &t);
        int untouched_codes = scale[0] == 77.0f && qrnn_module_n_scale(m, 0) == 0;
        for (size_t i = 0; i < cells; i++) untouched_codes &= codes[i] == 77;
        tally(untouched_codes, "codes of floats", &t);
    } else {
        tally(memcmp(codes, t.weights[0].codes, cells) == 0 && all_are(values, cells, 77.0f), "codes", &t);
        tally(memcmp(scale, t.weights[0].scale, qrnn_module_n_scale(m, 0) * sizeof *scale) == 0, "scales", &t);
        qrnn_module_unpack(m, 0, values, NULL, NULL, NULL);
        tally(all_are(values, cells, 77.0f), "values of codes", &t);
    }
    qrnn_module_unref(m);
}

static void check_functions(void)
{
    const struct testcase t = {.spec = {.engine = "qrnn"}};
    const float v[2] = {1.0f, 2.0f};
    float scale = 77.0f, y[2] = {77.0f, 77.0f};
    int16_t code[2] = {77, 77};
    int32_t zero = 77;
    tally(qrnn_quantize("float32", NULL, 1, 2, v, code, &scale, &zero) == QRNN_ERR_ENGINE, "codes of floats", &t);
    tally(qrnn_quantize("none", NULL, 1, 2, v, code, &scale, &zero) == QRNN_ERR_ENGINE, "codes of no engine", &t);
    tally(qrnn_quantize("qrnn", "none", 1, 2, v, code, &scale, &zero) == QRNN_ERR_ISA, "codes by no set", &t);
    tally(qrnn_quantize("qrnn", NULL, 1, SIZE_MAX / 4 * 3, v, code, &scale, &zero) == QRNN_ERR_MEMORY,
          "more codes than there is memory", &t);
    tally(code[0] == 77 && scale == 77.0f && zero == 77, "wrote codes", &t);
    double weight[2] = {77.0, 77.0}, sum[2] = {77.0, 77.0}, outer[4] = {77.0, 77.0, 77.0, 77.0};
    size_t count = 77;
    tally(qrnn_moments("fbgemm", NULL, 1, 2, v, NULL, weight, sum, outer, &count) == QRNN_ERR_ENGINE,
          "sums of rows of one scale", &t);
    tally(qrnn_moments("none", NULL, 1, 2, v, NULL, weight, sum, outer, &count) == QRNN_ERR_ENGINE, "sums of no engine",
          &t);
    tally(qrnn_moments("qrnn", "none", 1, 2, v, NULL, weight, sum, outer, &count) == QRNN_ERR_ISA, "sums by no set",
          &t);
    tally(qrnn_moments("qrnn", NULL, 1, SIZE_MAX / 4 * 3, v, NULL, weight, sum, outer, &count) == QRNN_ERR_MEMORY,
          "sums of more than there is memory", &t);
    tally(weight[0] == 77.0 && sum[0] == 77.0 && outer[0] == 77.0 && count == 0, "wrote sums", &t);
    tally(qrnn_apply(QRNN_TANH, "none", 2, v, y) == QRNN_ERR_ISA && all_are(y, 2, 77.0f), "tanh by no set", &t);
}

/* --- a call inside a call --- */

struct inside {
    const struct testcase *t;
    const qrnn_module *m;
    struct results r;
};

static int compute_inside(void *context)
{
    struct inside *const inside = context;
    case_run(inside->t, inside->m, 1, &inside->r);
    return 0;
}

/* run.stop computes with the same module, a call that takes more scratch memory and one that takes less: neither
 * changes a bit of the other. */
static void check_inside(void)
{
    struct source s = {.state = 9};
    struct testcase t[2];
    struct results want[2], r;
    qrnn_module *m;
    for (size_t i = 0; i < 2; i++) {
        t[i] = (struct testcase){.spec = {.kind = QRNN_GRU,
                                          .engine = "qrnn",
                                          .input_size = 30,
                                          .hidden_size = 150,
                                          .layers = 1,
                                          .directions = 1},
                                 .batch = i ? 60 : 2,
                                 .sequence = 1,
                                 .steps = i ? 8 : 60};
        case_fill(&s, take, &t[i]);
        memcpy(t[1].weights, t[0].weights, sizeof t[0].weights);
    }
    if (case_pack(&t[0], NULL, &m, NULL) != QRNN_OK) abort();
    for (size_t i = 0; i < 2; i++) {
        results_take(&t[i], take, &want[i]);
        case_run(&t[i], m, 1, &want[i]);
    }
    for (size_t outer = 0; outer < 2; outer++) {
        struct inside inside = {.t = &t[!outer], .m = m};
        results_take(&t[outer], take, &r);
        results_take(&t[!outer], take, &inside.r);
        qrnn_run run = run_of(&t[outer], &r);
        run.batch_first = t[outer].batch_first;
        run.lengths = t[outer].lengths;
        run.stop = compute_inside;
        run.context = &inside;
        r.status = qrnn_sequence(m, &run, NULL);
        tally(!results_differ(&want[outer], &r), "a call with one inside", &t[outer]);
        tally(!results_differ(&want[!outer], &inside.r), "a call inside one", &t[!outer]);
    }
    qrnn_module_unref(m);
}

int main(void)
{
    const char *const engines[] = {"float32", "qrnn", "fbgemm"};
    check_specs();
    check_formats();
    check_weights();
    check_functions();
    check_inside();
    check_total();
    for (size_t i = 0; i < 3; i++) check_unpack(engines[i]);
    check_linear();
    check_steps(QRNN_LSTM);
    check_steps(QRNN_GRU);
    for (size_t i = 0; i < 3; i++) {
        check_sequences(QRNN_RNN_TANH, engines[i]);
        check_sequences(QRNN_LSTM, engines[i]);
        check_sequences(QRNN_GRU, engines[i]);
    }
    check_questions("float32", 64);
    check_questions("qrnn", 64);
    check_questions("fbgemm", 64 + 2);
    give_back();
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
