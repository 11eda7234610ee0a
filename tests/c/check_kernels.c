/* check_kernels.c - every instruction set of this CPU against scalar, bit for bit, through qrnn.h alone; and a digest
 * of what scalar returns, which every CPU has to print alike. The cases do not depend on the sets that are there.
 *
 *   cc -std=c11 -O2 -Icsrc/core -Icsrc/kernels tests/c/check_kernels.c csrc/core/?*.c csrc/kernels/?*.c \
 *      -lm -lpthread -o check_kernels && ./check_kernels [rounds] [isa that must be there ...]
 *
 * Needs no Python, so it also runs static under an emulator. Last lines: "digest: HEX", "N passed, M failed".
 */
#include "qrnn.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF /* else scales are other numbers where a*b+c is one instruction */
#endif

static unsigned long passed, failed;
static uint64_t state = 88172645463325252u;

/* xorshift64 */
static uint64_t any(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static size_t below(size_t n)
{
    return (size_t)(any() % n);
}

static float uniform(void)
{
    return (float)((double)(any() >> 40) / 8388608.0 - 1.0);
}

static void expect(int right, const char *what, const char *isa, const char *engine, size_t batch, size_t i, size_t h)
{
    passed += (unsigned long)right;
    failed += (unsigned long)!right;
    if (!right && failed < 20)
        printf("FAILED %s: %s, engine %s, batch %zu, %zu -> %zu\n", what, isa, engine, batch, i, h);
}

/* FNV-1a over numbers of four bytes, in whatever order a CPU has these. */
static uint64_t digest = 14695981039346656037u;

static void digest_words(const void *words, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 4) {
        uint32_t word;
        memcpy(&word, (const char *)words + i, 4);
        digest = (digest ^ word) * 1099511628211u;
    }
}

static void digest_number(uint32_t number)
{
    digest_words(&number, sizeof number);
}

/* The next set of this CPU after the `i`th, in order; 0: there is none. */
static size_t next_set(size_t i)
{
    while (qrnn_isa_name(++i))
        if (qrnn_isa_supported(i)) return i;
    return 0;
}

enum { MOST = 300, ROWS = 70, GATES = 4, STEPS = 9 };

/* Weights of a cell, or of the layers of a small sequence, one behind the other. */
enum { MATRICES = 6 * 2 * 2 + 2, CODES = 2 * GATES * MOST * MOST };

static int8_t codes[CODES];
static float values[CODES], scale[MATRICES * GATES * MOST], bias[MATRICES * GATES * MOST];
static qrnn_weight weights[MATRICES];
static qrnn_options options;
static float x[ROWS * MOST], h[4 * ROWS * MOST], c[4 * ROWS * MOST];

/* Sizes at and around panels, quads and tiles. */
static size_t pick_size(void)
{
    static const size_t edges[] = {1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 127, 128, 130};
    return below(3) ? edges[below(sizeof edges / sizeof *edges)] : 1 + below(MOST);
}

static size_t pick_batch(void)
{
    return below(3) ? 1 + below(9) : 1 + below(ROWS);
}

/* Ordinary rows, and by the dice huge, tiny, constant, one-sided and not finite ones. */
static void fill_rows(float *v, size_t rows, size_t n, int finite)
{
    const size_t mood = below(8);
    for (size_t r = 0; r < rows; r++) {
        const float size = mood == 0 ? 1e30f : mood == 1 ? 1e-39f : mood == 2 ? 1e-5f : 2.0f;
        for (size_t k = 0; k < n; k++) {
            float value = uniform() * size;
            if (mood == 3) value = 0.75f;
            if (mood == 4) value = fabsf(value);
            if (mood == 5) value = -fabsf(value);
            v[r * n + k] = value;
        }
        if (!finite && n > 0 && below(16) == 0) {
            const size_t k = below(n);
            v[r * n + k] = below(2) ? NAN : -INFINITY;
        }
    }
}

static const char *const kind_names[QRNN_KINDS] = {"linear", "rnn_tanh", "rnn_relu", "lstm", "gru", "gru before"};

static int is_whole(const char *engine)
{
    return !qrnn_engine_by_name(engine)->per_row;
}

static float pick_limit(void)
{
    return below(2) ? 0.0f : 0.1f + fabsf(uniform());
}

/* Of one recurrent module in three, where the engine has options. */
static void pick_options(const char *engine, qrnn_spec *spec)
{
    const qrnn_kind_info *const kind = qrnn_kind_get(spec->kind);
    if (!kind->places || !qrnn_engine_by_name(engine)->options || below(3)) return;
    spec->options = &options;
    qrnn_options_init(spec->kind, &options);
    for (size_t i = 0; i < 2 * kind->places; i++) {
        qrnn_activation *const a = &options.activations[i / kind->places][i % kind->places];
        a->function = (qrnn_activation_function)below(QRNN_ACTIVATION_FUNCTIONS);
        a->alpha = uniform() * 2.0f;
        a->beta = uniform() * 2.0f;
    }
    options.clip = pick_limit();
    if (spec->sequence && spec->directions == 1) options.reverse = (int)below(2);
    if (spec->sequence) options.initial_states = (int)below(2);
    if (spec->kind != QRNN_LSTM) return;
    options.cell_clip = pick_limit();
    options.input_forget = (int)below(2);
    if (spec->proj_size) options.proj_clip = pick_limit();
    if (below(2))
        options.peepholes = (int)below(2);
    else
        options.layer_norm = 1e-5f;
}

/* Weights for all layers and directions of spec, whose sizes are set. */
static void fill_module(const char *engine, qrnn_spec *spec)
{
    const size_t extreme = below(4);
    const int quantized = strcmp(engine, "float32") != 0, per_channel = below(2) == 0, biased = below(4) != 0;
    size_t at = 0;
    for (size_t i = 0; i < CODES; i++) {
        codes[i] = (int8_t)(extreme == 0   ? -128
                            : extreme == 1 ? 127
                                           : (int)below(256 - (extreme == 2)) - 128 + (extreme == 2));
        values[i] = uniform();
    }
    for (size_t i = 0; i < sizeof scale / sizeof *scale; i++) {
        scale[i] = 0.001f + fabsf(uniform()) * 0.02f;
        bias[i] = uniform();
    }
    for (size_t i = 0; i < qrnn_spec_matrices(spec); i++) {
        qrnn_matrix_info info;
        qrnn_spec_matrix(spec, i, &info);
        const int coded = quantized && info.multiplies;
        weights[i] = (qrnn_weight){.values = coded ? NULL : values + at,
                                   .codes = coded ? codes + at : NULL,
                                   .scale = scale + i * GATES * MOST,
                                   .n_scale = coded ? (per_channel ? info.rows : 1) : 0,
                                   .bias = biased && info.takes_bias ? bias + i * GATES * MOST : NULL};
        at += info.rows * info.cols;
    }
    spec->engine = engine;
    spec->weights = weights;
}

struct answers {
    float out[STEPS * ROWS * 2 * MOST / 4], h[4 * ROWS * MOST], c[4 * ROWS * MOST], pre[GATES * ROWS * MOST];
    int32_t acc[2][GATES * ROWS * MOST];
};

static struct answers by_scalar, by_isa;

/* All modules are sound. */
static qrnn_module *new_module(const qrnn_spec *spec)
{
    qrnn_module *m;
    if (qrnn_module_new(spec, &m, NULL) == QRNN_OK) return m;
    printf("FAILED: %s, engine %s does not pack\n", kind_names[spec->kind], spec->engine);
    exit(1);
}

static qrnn_status compute(qrnn_spec *spec, const char *isa, size_t batch, struct answers *a)
{
    qrnn_status status;
    spec->isa = isa;
    qrnn_module *const m = new_module(spec);
    memset(a, 0, sizeof *a);
    if (spec->kind == QRNN_LINEAR)
        status = qrnn_linear(m, batch, x, a->h);
    else
        status = qrnn_step(m, batch, x, h, c, a->h, a->c);
    if (status == QRNN_OK) status = qrnn_gates(m, batch, x, h, c, a->acc[0], a->acc[1], a->pre);
    qrnn_module_unref(m);
    return status;
}

static void check_modules(const char *engine)
{
    const size_t batch = pick_batch();
    qrnn_spec spec = {.layers = 1, .directions = 1};
    spec.kind = (qrnn_kind)below(QRNN_KINDS); /* one by one: the order of initialisers is the compiler's */
    spec.input_size = below(20) ? pick_size() : 0;
    spec.hidden_size = pick_size();
    if (spec.kind == QRNN_GRU_RESET_BEFORE && is_whole(engine)) spec.kind = QRNN_GRU;
    if (spec.kind == QRNN_LSTM && !is_whole(engine) && spec.hidden_size > 1 && below(3) == 0)
        spec.proj_size = 1 + below(spec.hidden_size - 1);
    pick_options(engine, &spec);
    fill_module(engine, &spec);
    fill_rows(x, batch, spec.input_size, is_whole(engine) && below(4));
    fill_rows(h, batch, spec.hidden_size, is_whole(engine) && below(4));
    fill_rows(c, batch, spec.hidden_size, below(4) != 0);
    const qrnn_status s = compute(&spec, "scalar", batch, &by_scalar);
    expect(is_whole(engine) || s == QRNN_OK, "fails", "scalar", engine, batch, spec.input_size, spec.hidden_size);
    digest_number(s);
    digest_words(&by_scalar, sizeof by_scalar);
    for (size_t set = next_set(0); set; set = next_set(set)) {
        const char *const isa = qrnn_isa_name(set), *const name = kind_names[spec.kind];
        const size_t i = spec.input_size, n = spec.hidden_size;
        expect(s == compute(&spec, isa, batch, &by_isa), "status", isa, engine, batch, i, n);
        expect(memcmp(by_scalar.acc, by_isa.acc, sizeof by_isa.acc) == 0, name, isa, engine, batch, i, n);
        expect(memcmp(by_scalar.pre, by_isa.pre, sizeof by_isa.pre) == 0, name, isa, engine, batch, i, n);
        expect(memcmp(by_scalar.h, by_isa.h, sizeof by_isa.h) == 0, name, isa, engine, batch, i, n);
        expect(memcmp(by_scalar.c, by_isa.c, sizeof by_isa.c) == 0, name, isa, engine, batch, i, n);
    }
}

/* --- sequences --- */

struct sequence {
    qrnn_spec spec;
    qrnn_run run;
    size_t lengths[ROWS];
};

static void pick_sequence(struct sequence *s, const char *engine)
{
    memset(s, 0, sizeof *s);
    s->spec.kind = (qrnn_kind)(1 + below(QRNN_KINDS - 1));
    s->spec.input_size = below(9) ? 1 + below(70) : 0;
    s->spec.hidden_size = 1 + below(MOST / 4);
    s->spec.layers = 1 + below(2);
    s->spec.directions = 1 + below(2);
    s->run.steps = 1 + below(STEPS);
    s->run.batch = pick_batch();
    s->run.batch_first = below(2) != 0;
    if (s->spec.kind == QRNN_GRU_RESET_BEFORE && is_whole(engine)) s->spec.kind = QRNN_LSTM;
    if (s->spec.kind == QRNN_LSTM && !is_whole(engine) && s->spec.hidden_size > 1 && below(3) == 0)
        s->spec.proj_size = 1 + below(s->spec.hidden_size - 1);
    while (s->run.steps * s->run.batch * (s->spec.input_size + 1) > ROWS * MOST) s->run.batch = (s->run.batch + 1) / 2;
    s->spec.sequence = 1;
    pick_options(engine, &s->spec);
    fill_module(engine, &s->spec);
    const size_t units = s->spec.layers * s->spec.directions;
    fill_rows(x, s->run.steps * s->run.batch, s->spec.input_size, is_whole(engine) && below(4));
    fill_rows(h, units * s->run.batch, s->spec.hidden_size, is_whole(engine) && below(4));
    fill_rows(c, units * s->run.batch, s->spec.hidden_size, below(4) != 0);
    for (size_t i = 0; i < s->run.batch; i++) s->lengths[i] = below(s->run.steps + 1);
    for (size_t i = 0; i < s->run.batch; i++) s->lengths[i] += is_whole(engine) && s->lengths[i] == 0;
    s->run.x = x;
    if (below(3)) s->run.h = h, s->run.c = c;
    if (below(2)) s->run.lengths = s->lengths;
}

static qrnn_status run_sequence(struct sequence *s, const char *isa, size_t threads, struct answers *a)
{
    size_t step = 0;
    s->spec.isa = isa;
    qrnn_module *const m = new_module(&s->spec);
    memset(a, 0, sizeof *a);
    s->run.threads = threads;
    s->run.out = a->out, s->run.h_out = a->h, s->run.c_out = a->c;
    qrnn_status status = qrnn_sequence(m, &s->run, &step);
    if (status != QRNN_OK) {
        memset(a, 0, sizeof *a);
        a->acc[0][0] = (int32_t)step;
    }
    qrnn_module_unref(m);
    return status;
}

static void check_sequences(const char *engine)
{
    static struct sequence s;
    pick_sequence(&s, engine);
    const qrnn_status status = run_sequence(&s, "scalar", 1, &by_scalar);
    expect(is_whole(engine) || status == QRNN_OK, "sequence fails", "scalar", engine, s.run.batch, s.spec.input_size,
           s.spec.hidden_size);
    digest_number(status);
    digest_words(&by_scalar, sizeof by_scalar);
    for (size_t set = next_set(0); set; set = next_set(set)) {
        const char *const isa = qrnn_isa_name(set), *const name = kind_names[s.spec.kind];
        const size_t batch = s.run.batch, i = s.spec.input_size, n = s.spec.hidden_size;
        expect(status == run_sequence(&s, isa, 1, &by_isa), "sequence status", isa, engine, batch, i, n);
        expect(memcmp(&by_scalar, &by_isa, sizeof by_isa) == 0, name, isa, engine, batch, i, n);
    }
}

struct coded {
    int16_t q[ROWS * MOST];
    float scale[ROWS];
    int32_t zero_point[ROWS];
};

/* Sums of the rows in x, by scalar and by the other sets; what lies below the diagonal is their own. */
static void check_moments(const char *engine, size_t batch, size_t n)
{
    static double weight[2][2], sum[2][MOST], outer[2][MOST * MOST];
    float weights[ROWS];
    size_t count[2];
    for (size_t i = 0; i < batch; i++) weights[i] = i % 3 == 2 ? NAN : (float)below(1000) / 999.0f;
    const float *const given = below(2) ? weights : NULL;
    for (size_t set = next_set(0); set; set = next_set(set)) {
        const char *const isa[2] = {"scalar", qrnn_isa_name(set)};
        qrnn_status status[2];
        memset(weight, 0, sizeof weight);
        memset(sum, 0, sizeof sum);
        memset(outer, 0, sizeof outer);
        for (int i = 0; i < 2; i++)
            status[i] = qrnn_moments(engine, isa[i], batch, n, x, given, weight[i], sum[i], outer[i], &count[i]);
        for (size_t i = 0; i < n; i++)
            for (size_t j = 0; j < i; j++) outer[0][i * n + j] = outer[1][i * n + j] = 0.0;
        expect(status[0] == status[1] && count[0] == count[1], "rows summed", isa[1], engine, batch, n, n);
        expect(memcmp(weight[0], weight[1], sizeof weight[0]) == 0, "weights", isa[1], engine, batch, n, n);
        expect(memcmp(sum[0], sum[1], sizeof sum[0]) == 0, "sum", isa[1], engine, batch, n, n);
        expect(memcmp(outer[0], outer[1], n * n * sizeof(double)) == 0, "outer products", isa[1], engine, batch, n, n);
    }
}

static void check_codes(const char *engine)
{
    static struct coded a, b;
    const size_t n = pick_size(), batch = 1 + below(4);
    if (strcmp(engine, "float32") == 0) return;
    fill_rows(x, batch, n, 0);
    check_moments(engine, batch, n);
    check_moments("float32", batch, n);
    memset(&a, 0, sizeof a);
    const qrnn_status status = qrnn_quantize(engine, "scalar", batch, n, x, a.q, a.scale, a.zero_point);
    digest_number(status);
    for (size_t i = 0; i < batch * n; i++) digest_number(a.q[i]);
    digest_words(a.scale, sizeof a.scale);
    digest_words(a.zero_point, sizeof a.zero_point);
    for (size_t set = next_set(0); set; set = next_set(set)) {
        const char *const isa = qrnn_isa_name(set);
        memset(&b, 0, sizeof b);
        expect(status == qrnn_quantize(engine, isa, batch, n, x, b.q, b.scale, b.zero_point), "status of codes", isa,
               engine, batch, n, n);
        expect(memcmp(a.q, b.q, sizeof a.q) == 0, "codes", isa, engine, batch, n, n);
        expect(memcmp(a.scale, b.scale, sizeof a.scale) == 0, "scale", isa, engine, batch, n, n);
        expect(memcmp(a.zero_point, b.zero_point, sizeof a.zero_point) == 0, "zero point", isa, engine, batch, n, n);
    }
}

static void check_functions(void)
{
    const size_t n = pick_size();
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)any();
        memcpy(&x[i], &bits, 4);
        if (below(2)) x[i] = uniform() * 10.0f;
    }
    x[below(n)] = -0.0f; /* which stays what it is */
    for (int f = 0; f < QRNN_FUNCTIONS; f++) {
        qrnn_apply((qrnn_function)f, "scalar", n, x, by_scalar.h);
        digest_words(by_scalar.h, n * 4);
        for (size_t set = next_set(0); set; set = next_set(set)) {
            qrnn_apply((qrnn_function)f, qrnn_isa_name(set), n, x, by_isa.h);
            expect(memcmp(by_scalar.h, by_isa.h, n * 4) == 0, "function", qrnn_isa_name(set), "-", 1, n, (size_t)f);
        }
    }
}

int main(int argc, char **argv)
{
    const int rounds = argc > 1 ? atoi(argv[1]) : 300;
    for (int a = 2; a < argc; a++) {
        int there = 0;
        for (size_t i = 0; qrnn_isa_name(i); i++)
            there |= strcmp(qrnn_isa_name(i), argv[a]) == 0 && qrnn_isa_supported(i);
        if (!there) {
            printf("%s was demanded and is not there\n0 passed, 1 failed\n", argv[a]);
            return 1;
        }
    }
    for (size_t i = 1; qrnn_isa_name(i); i++)
        printf("%s: %s\n", qrnn_isa_name(i), qrnn_isa_supported(i) ? "checked" : "SKIPPED, this CPU lacks it");
    for (int round = 0; round < rounds; round++) {
        for (size_t e = 0; qrnn_engine_name(e); e++) {
            check_modules(qrnn_engine_name(e));
            check_sequences(qrnn_engine_name(e));
            check_codes(qrnn_engine_name(e));
        }
        check_functions();
    }
    printf("digest: %016" PRIx64 "\n%lu passed, %lu failed\n", digest, passed, failed);
    return failed != 0;
}
