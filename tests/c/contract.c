/* contract.c - what qrnn.h says of calls that Python cannot make: wrong ones, sequences without steps, and how
 * often a sequence asks whether to stop.
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

static int untouched(const struct results *r)
{
    return all_are(r->out, r->n_out, 77.0f) && all_are(r->h, r->n_h, 77.0f) && all_are(r->c, r->n_c, 77.0f);
}

static qrnn_run run_of(const struct testcase *t, const struct results *r)
{
    return (qrnn_run){.steps = t->steps, .batch = t->batch, .x = t->x, .h = t->h, .c = t->c,
                      .out = r->out, .h_out = r->h, .c_out = r->c, .threads = 2};
}

static void refused(const qrnn_module *m, const qrnn_run *run, qrnn_status status, const char *what,
                    const struct testcase *t, const struct results *r)
{
    tally(qrnn_sequence(m, run, NULL) == status, what, t);
    tally(untouched(r), what, t);
}

static void check_lengths(const struct testcase *t, const qrnn_module *m, const struct results *r)
{
    qrnn_run run = run_of(t, r);
    const size_t wrong[] = {0, STEPS + 1, SIZE_MAX};
    for (size_t i = 0; i < 3; i++)
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
    struct testcase t = {.spec = {.kind = kind, .engine = engine, .input_size = 7, .hidden_size = 20, .layers = 2,
                                  .directions = 2}, .batch = BATCH, .sequence = 1, .steps = STEPS};
    struct results r;
    qrnn_module *m;
    do
        case_fill(&s, take, &t);
    while (!t.h || t.lengths || has_nan(&t));
    results_take(&t, take, &r);
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    check_lengths(&t, m, &r);
    check_absurd(&t, m, &r);
    if (kind == QRNN_LSTM) {
        qrnn_run run = run_of(&t, &r);
        run.c_out = NULL;
        refused(m, &run, QRNN_ERR_SIZE, "no c_out", &t, &r);
    }
    check_no_steps(&t, m, &r);
    qrnn_module_unref(m);
}

static void check_steps(qrnn_kind kind)
{
    struct source s = {.state = 7};
    struct testcase t = {.spec = {.kind = kind, .engine = "qrnn", .input_size = 7, .hidden_size = 7, .layers = 1,
                                  .directions = 1}, .batch = BATCH, .steps = 1};
    struct results r;
    qrnn_module *m;
    case_fill(&s, take, &t);
    results_take(&t, take, &r);
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    tally(qrnn_linear(m, BATCH, t.x, r.h) == QRNN_ERR_SIZE && untouched(&r), "a cell as a linear", &t);
    if (kind == QRNN_LSTM)
        tally(qrnn_step(m, BATCH, t.x, t.h, t.c, r.h, NULL) == QRNN_ERR_SIZE && untouched(&r), "no c_out", &t);
    qrnn_module_unref(m);
}

static void check_linear(void)
{
    struct source s = {.state = 6};
    struct testcase t = {.spec = {.kind = QRNN_LINEAR, .engine = "qrnn", .input_size = 5, .hidden_size = 5,
                                  .layers = 1, .directions = 1}, .batch = BATCH, .steps = 1};
    struct results r;
    qrnn_module *m;
    case_fill(&s, take, &t);
    results_take(&t, take, &r);
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    qrnn_run run = run_of(&t, &r);
    run.h_out = r.out;
    refused(m, &run, QRNN_ERR_SIZE, "a linear's sequence", &t, &r);
    qrnn_module_unref(m);
}

static int count(void *context)
{
    ++*(size_t *)context;
    return 0;
}

/* Of very wide inputs each step is worth a question, and the scan for one scale some more: 64 steps of 2^16 inputs
 * and 64 gates are 2^28 multiply-adds after 2^22 values. stops.c has the time between them. */
static void check_questions(const char *engine, size_t least)
{
    struct testcase t = {.spec = {.kind = QRNN_LSTM, .engine = engine, .input_size = 65536, .hidden_size = 4,
                                  .layers = 1, .directions = 1}, .batch = 1, .sequence = 1, .steps = 64};
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
    qrnn_module_unref(m);
}

int main(void)
{
    const char *const engines[] = {"float32", "qrnn", "fbgemm"};
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
