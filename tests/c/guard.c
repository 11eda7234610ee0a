/* guard.c - every array of a call, in turn right before and right after an unmapped page: weights, inputs,
 * states, lengths, results; and the core's own allocations, which end at one. For every instruction set,
 * engine and kind, single calls and sequences, and every tail of a vector, quad and panel.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O2 -Icsrc/core -Icsrc/kernels tests/c/{guard,fence,cases}.c \
 *      csrc/core/?*.c csrc/kernels/?*.c -Wl,--wrap=aligned_alloc,--wrap=malloc,--wrap=calloc,--wrap=free \
 *      -lm -lpthread -o guard && ./guard [every how many sizes]
 *
 * One byte touched beside an array ends the program. The bits must not depend on where arrays lie either.
 * Last line: "N passed, M failed".
 */
#include "cases.h"
#include "fence.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct testcase now;
static const char *now_isa = "";
static unsigned long passed, failed;

static const char *describe(void)
{
    static char text[300];
    snprintf(text, sizeof text, "%s, %s, arrays at the page's %s", case_text(&now), now_isa,
             fence_side == FENCE_RIGHT ? "end" : "start");
    return text;
}

/* One case in one place; its results are copied out, for they must be the same in the other. */
static void run_case(uint64_t seed, const char *isa, enum fence_side side, size_t threads, struct results *r)
{
    struct source s = {.state = seed};
    struct results fenced;
    qrnn_module *m;
    fence_side = side;
    now_isa = isa;
    case_fill(&s, fence_take, &now);
    if (case_pack(&now, isa, &m, NULL) != QRNN_OK) {
        printf("FAILED: does not pack: %s\n", describe());
        exit(1);
    }
    results_take(&now, fence_take, &fenced);
    case_run(&now, m, threads, &fenced);
    qrnn_module_unref(m);
    r->status = fenced.status;
    r->step = fenced.step;
    float *const from[] = {fenced.out, fenced.h, fenced.c, fenced.pre};
    float *const to[] = {r->out, r->h, r->c, r->pre};
    const size_t n[] = {fenced.n_out, fenced.n_h, fenced.n_c, fenced.n_gates};
    for (int i = 0; i < 4; i++)
        if (from[i]) memcpy(to[i], from[i], n[i] * sizeof(float));
    if (fenced.acc_ih) memcpy(r->acc_ih, fenced.acc_ih, fenced.n_gates * sizeof(int32_t));
    if (fenced.acc_hh) memcpy(r->acc_hh, fenced.acc_hh, fenced.n_gates * sizeof(int32_t));
    fence_give_back();
}

static void check(uint64_t seed)
{
    struct results want, got;
    fence_side = FENCE_RIGHT;
    results_take(&now, take, &want);
    results_take(&now, take, &got);
    for (size_t i = 0; qrnn_isa_name(i); i++) {
        if (!qrnn_isa_supported(i)) continue;
        run_case(seed, qrnn_isa_name(i), FENCE_RIGHT, 1, i == 0 ? &want : &got);
        const char *difference = i == 0 ? NULL : results_differ(&want, &got);
        if (i == 0 && case_per_row(&now) && want.status != QRNN_OK) difference = "fails";
        run_case(seed, qrnn_isa_name(i), FENCE_LEFT, now.sequence ? 2 : 1, &got);
        if (!difference) difference = results_differ(&want, &got);
        passed += difference == NULL;
        failed += difference != NULL;
        if (difference && failed < 20) printf("FAILED: %s: %s\n", difference, describe());
    }
    give_back();
}

static void set_shape(qrnn_kind kind, const char *engine, int sequence, size_t input, size_t hidden, size_t batch)
{
    memset(&now, 0, sizeof now);
    now.spec.kind = kind;
    now.spec.engine = engine;
    now.spec.input_size = input;
    now.spec.hidden_size = hidden;
    now.batch = batch;
    now.sequence = sequence;
    now.batch_first = (int)(batch % 2);
    now.steps = sequence ? 1 + batch % 4 : 1;
    now.spec.layers = sequence ? 1 + hidden % 2 : 1;
    now.spec.directions = sequence ? 1 + input % 2 : 1;
    if (kind == QRNN_LSTM && case_per_row(&now) && hidden > 1 && input % 3 == 0)
        now.spec.proj_size = 1 + (hidden - 1) / 2;
}

/* Tails of the input's size, then of the hidden size, then of the batch. */
static void check_sizes(qrnn_kind kind, const char *engine, int sequence, size_t every)
{
    for (size_t n = 0; n <= 70; n += every) {
        set_shape(kind, engine, sequence, n, 1 + n * 5 % 19, 1 + n % 5);
        check(3 * n + 1);
        set_shape(kind, engine, sequence, 1 + n * 3 % 7, 1 + n, 1 + n % 3);
        check(3 * n + 2);
        if (n % 4) continue;
        set_shape(kind, engine, sequence, 5, 1 + n * 5 % 33, n);
        check(3 * n + 3);
    }
}

/* Codes and functions of every length. */
static void check_arrays(const char *isa)
{
    for (size_t n = 0; n <= 140; n++)
        for (int side = 0; side < 2; side++) {
            struct source s = {.state = n + 1};
            fence_side = (enum fence_side)side;
            now_isa = isa;
            float *const v = fence_take(n * 4), *const y = fence_take(n * 4), *const scale = fence_take(4);
            int32_t *const zero = fence_take(4);
            int16_t *const codes = fence_take(2 * n);
            choose_rows(&s, v, 1, n, 0);
            for (int f = 0; f < QRNN_FUNCTIONS; f++) qrnn_apply((qrnn_function)f, isa, n, v, y);
            for (size_t e = 0; qrnn_engine_name(e); e++)
                qrnn_quantize(qrnn_engine_name(e), isa, 1, n, v, codes, scale, zero);
            fence_give_back();
            passed++;
        }
}

int main(int argc, char **argv)
{
    const size_t every = argc > 1 ? (size_t)atoi(argv[1]) : 1;
    fence_watch(describe);
    for (int kind = 0; kind < QRNN_KINDS; kind++)
        for (size_t e = 0; qrnn_engine_name(e); e++) {
            set_shape((qrnn_kind)kind, qrnn_engine_name(e), 0, 1, 1, 1);
            if (kind == QRNN_GRU_RESET_BEFORE && !case_per_row(&now)) continue;
            check_sizes((qrnn_kind)kind, qrnn_engine_name(e), 0, every ? every : 1);
            if (kind != QRNN_LINEAR) check_sizes((qrnn_kind)kind, qrnn_engine_name(e), 1, every ? every : 1);
        }
    set_shape(QRNN_LINEAR, "qrnn", 0, 1, 1, 1);
    for (size_t i = 0; qrnn_isa_name(i); i++) {
        printf("%s: %s\n", qrnn_isa_name(i), qrnn_isa_supported(i) ? "checked" : "SKIPPED, this CPU lacks it");
        if (qrnn_isa_supported(i)) check_arrays(qrnn_isa_name(i));
    }
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
