/* check_kernels.c - every instruction set of this CPU against scalar, bit for bit, through qrnn.h alone.
 *
 *   cc -std=c11 -O2 -Icsrc/core -Icsrc/kernels tests/c/check_kernels.c csrc/core/?*.c csrc/kernels/?*.c \
 *      -lm -lpthread -o check_kernels && ./check_kernels [rounds] [isa that must be there ...]
 *
 * Needs no Python, so it also runs static under an emulator. Last line: "N passed, M failed".
 */
#include "qrnn.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

static void expect(int right, const char *what, const char *isa, const char *engine, size_t batch, size_t i,
                   size_t h)
{
    passed += (unsigned long)right;
    failed += (unsigned long)!right;
    if (!right && failed < 20)
        printf("FAILED %s: %s, engine %s, batch %zu, %zu -> %zu\n", what, isa, engine, batch, i, h);
}

enum { MOST = 300, ROWS = 70 };

static int8_t codes_ih[MOST * MOST], codes_hh[MOST * MOST];
static float values_ih[MOST * MOST], values_hh[MOST * MOST], scale[2][MOST], bias[2][MOST];
static float x[ROWS * MOST], h[ROWS * MOST];

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
        if (!finite && n > 0 && below(16) == 0) v[r * n + below(n)] = below(2) ? NAN : -INFINITY;
    }
}

static void fill_module(const char *engine, qrnn_spec *spec)
{
    const size_t extreme = below(4), rows = spec->hidden_size;
    const int per_channel = below(2) == 0;
    for (size_t i = 0; i < rows * spec->input_size; i++) {
        codes_ih[i] = (int8_t)(extreme == 0 ? -128 : extreme == 1 ? 127 : (int)below(255) - 127);
        values_ih[i] = uniform();
    }
    for (size_t i = 0; i < rows * rows; i++) {
        codes_hh[i] = (int8_t)((int)below(extreme == 2 ? 256 : 255) - (extreme == 2 ? 128 : 127));
        values_hh[i] = uniform();
    }
    for (size_t m = 0; m < 2; m++)
        for (size_t r = 0; r < rows; r++) {
            scale[m][r] = 0.001f + fabsf(uniform()) * 0.02f;
            bias[m][r] = uniform();
        }
    const int quantised = strcmp(engine, "float32") != 0;
    const qrnn_weight ih = {quantised ? NULL : values_ih, quantised ? codes_ih : NULL, scale[0],
                            quantised ? (per_channel ? rows : 1) : 0, below(4) ? bias[0] : NULL};
    const qrnn_weight hh = {quantised ? NULL : values_hh, quantised ? codes_hh : NULL, scale[1], ih.n_scale,
                            ih.bias ? bias[1] : NULL};
    spec->engine = engine;
    spec->ih = ih;
    spec->hh = hh;
}

static float out_scalar[ROWS * MOST], out_isa[ROWS * MOST], pre_scalar[ROWS * MOST], pre_isa[ROWS * MOST];
static int32_t acc_scalar[2][ROWS * MOST], acc_isa[2][ROWS * MOST];

static qrnn_status compute(qrnn_spec *spec, const char *isa, size_t batch, float *out, float *pre,
                           int32_t acc[2][ROWS * MOST])
{
    qrnn_module *m;
    spec->isa = isa;
    qrnn_status status = qrnn_module_new(spec, &m, NULL);
    if (status != QRNN_OK) return status;
    if (spec->kind == QRNN_LINEAR)
        status = qrnn_linear(m, batch, x, out);
    else
        status = qrnn_step(m, batch, x, h, out);
    if (status == QRNN_OK) status = qrnn_gates(m, batch, x, h, acc[0], acc[1], pre);
    qrnn_module_unref(m);
    return status;
}

static void check_modules(const char *isa, const char *engine)
{
    const size_t batch = pick_batch();
    qrnn_spec spec = {.kind = (qrnn_kind)below(QRNN_KINDS), .input_size = below(20) ? pick_size() : 0,
                      .hidden_size = pick_size()};
    const int per_row = strcmp(engine, "qrnn") == 0 || strcmp(engine, "float32") == 0;
    fill_module(engine, &spec);
    fill_rows(x, batch, spec.input_size, !per_row && below(4));
    fill_rows(h, batch, spec.hidden_size, !per_row && below(4));
    const size_t n = batch * spec.hidden_size;
    memset(acc_scalar, 0, sizeof acc_scalar);
    memset(acc_isa, 0, sizeof acc_isa);
    const qrnn_status s = compute(&spec, "scalar", batch, out_scalar, pre_scalar, acc_scalar);
    const qrnn_status v = compute(&spec, isa, batch, out_isa, pre_isa, acc_isa);
    expect(s == v, "status", isa, engine, batch, spec.input_size, spec.hidden_size);
    if (s != QRNN_OK || v != QRNN_OK) return;
    expect(memcmp(acc_scalar[0], acc_isa[0], n * 4) == 0, "W_ih x", isa, engine, batch, spec.input_size,
           spec.hidden_size);
    expect(memcmp(acc_scalar[1], acc_isa[1], n * 4) == 0, "W_hh h", isa, engine, batch, spec.input_size,
           spec.hidden_size);
    expect(memcmp(pre_scalar, pre_isa, n * 4) == 0, "pre", isa, engine, batch, spec.input_size, spec.hidden_size);
    expect(memcmp(out_scalar, out_isa, n * 4) == 0, "out", isa, engine, batch, spec.input_size, spec.hidden_size);
}

static void check_codes(const char *isa, const char *engine)
{
    static uint8_t q[2][ROWS * MOST];
    float s[2][ROWS];
    int32_t zp[2][ROWS];
    const size_t n = pick_size(), batch = 1 + below(4);
    if (strcmp(engine, "float32") == 0) return;
    fill_rows(x, batch, n, 0);
    const qrnn_status a = qrnn_quantise(engine, "scalar", batch, n, x, q[0], s[0], zp[0]);
    const qrnn_status b = qrnn_quantise(engine, isa, batch, n, x, q[1], s[1], zp[1]);
    expect(a == b, "status of codes", isa, engine, batch, n, n);
    if (a != QRNN_OK || b != QRNN_OK) return;
    expect(memcmp(q[0], q[1], batch * n) == 0, "codes", isa, engine, batch, n, n);
    expect(memcmp(s[0], s[1], batch * 4) == 0 && memcmp(zp[0], zp[1], batch * 4) == 0, "scale", isa, engine, batch,
           n, n);
}

static void check_functions(const char *isa)
{
    const size_t n = pick_size();
    for (size_t i = 0; i < n; i++) {
        uint32_t bits = (uint32_t)any();
        memcpy(&x[i], &bits, 4);
        if (below(2)) x[i] = uniform() * 10.0f;
    }
    for (int f = 0; f < QRNN_FUNCTIONS; f++) {
        qrnn_apply((qrnn_function)f, "scalar", n, x, out_scalar);
        qrnn_apply((qrnn_function)f, isa, n, x, out_isa);
        expect(memcmp(out_scalar, out_isa, n * 4) == 0, "function", isa, "-", 1, n, (size_t)f);
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
    for (size_t i = 1; qrnn_isa_name(i); i++) {
        const char *const isa = qrnn_isa_name(i);
        printf("%s: %s\n", isa, qrnn_isa_supported(i) ? "checked" : "SKIPPED, this CPU lacks it");
        for (int round = 0; round < rounds && qrnn_isa_supported(i); round++) {
            for (size_t e = 0; qrnn_engine_name(e); e++) {
                check_modules(isa, qrnn_engine_name(e));
                check_codes(isa, qrnn_engine_name(e));
            }
            check_functions(isa);
        }
    }
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
