/* stops.c - how long a sequence computes between two questions to stop: 20 ms, and a time step where one takes
 * longer, by the clock of its own thread.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O3 -Icsrc/core -Icsrc/kernels tests/c/{stops,cases}.c csrc/core/?*.c \
 *      csrc/kernels/?*.c -lm -lpthread -o stops && ./stops [milliseconds]
 *
 * Last line: "N passed, M failed".
 */
#include "cases.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

struct clock {
    double last, longest;
    size_t questions;
};

static int look(void *context)
{
    struct clock *const c = context;
    const double now = now_ms();
    c->longest = now - c->last > c->longest ? now - c->last : c->longest;
    c->last = now;
    c->questions++;
    return 0;
}

/* The longest time without a question beyond `limit` and a step: the least of some runs, since another program
 * may have emptied the caches, or the host have taken the processor away. */
static double excess_of(const struct testcase *t, const qrnn_module *m, const struct results *r, double limit,
                        struct clock *clock)
{
    double least = 1e9;
    for (int attempt = 0; attempt < 5 && least > 0.0; attempt++) {
        const double start = now_ms();
        *clock = (struct clock){.last = start};
        const qrnn_run run = {.steps = t->steps,
                              .batch = t->batch,
                              .x = t->x,
                              .out = r->out,
                              .h_out = r->h,
                              .c_out = r->c,
                              .threads = 1,
                              .stop = look,
                              .context = clock};
        if (qrnn_sequence(m, &run, NULL) != QRNN_OK) abort();
        const double step = (clock->last - start) / (double)t->steps;
        clock->last = clock->last > start ? clock->last : start;
        const size_t questions = clock->questions;
        look(clock);
        clock->questions = questions;
        const double excess = clock->longest - limit - step;
        least = excess < least ? excess : least;
    }
    return least;
}

/* Weights of 1/100 and inputs of 0: states that stay small in every kind of module. */
static void fill(struct testcase *t)
{
    const size_t gates = qrnn_kind_get(t->spec.kind)->gates * t->spec.hidden_size;
    const size_t columns[] = {t->spec.input_size, t->spec.hidden_size};
    float *const scale = take(sizeof *scale);
    *scale = 0.01f;
    for (size_t i = 0; i < 2; i++) {
        const size_t n = gates * columns[i];
        float *const values = take(n * sizeof *values);
        int8_t *const codes = take(n);
        for (size_t k = 0; k < n; k++) values[k] = 0.01f * (float)(codes[k] = 1);
        t->weights[i] = (qrnn_weight){.n_scale = 1};
        if (case_is_float(t)) {
            t->weights[i].values = values;
            t->weights[i].n_scale = 0;
        } else {
            t->weights[i].codes = codes;
            t->weights[i].scale = scale;
        }
    }
    t->x = take(t->steps * t->batch * t->spec.input_size * sizeof(float));
}

static const struct {
    size_t inputs, hidden, batch, steps;
} shapes[] = {
    {1, 1, 1, 30000},  {16, 16, 1, 8000}, {256, 64, 8, 40}, {3, 200, 64, 4},
    {3000, 8, 64, 30}, {60000, 4, 2, 30}, {1, 700, 1, 20},
};

int main(int argc, char **argv)
{
    const double limit = argc > 1 ? atof(argv[1]) : 20.0;
    static const qrnn_kind kinds[] = {QRNN_RNN_RELU, QRNN_LSTM, QRNN_GRU};
    static const char *const engines[] = {"float32", "qrnn", "fbgemm"}, *const isas[] = {"scalar", NULL};
    unsigned long passed = 0, failed = 0;
    double longest = 0.0;
    for (size_t i = 0; i < 7 * 3 * 3; i++) {
        const size_t shape = i / 9;
        struct testcase t = {.spec = {.kind = kinds[i % 3],
                                      .engine = engines[i / 3 % 3],
                                      .input_size = shapes[shape].inputs,
                                      .hidden_size = shapes[shape].hidden,
                                      .layers = 1,
                                      .directions = 1},
                             .batch = shapes[shape].batch,
                             .sequence = 1,
                             .steps = shapes[shape].steps};
        struct results r;
        fill(&t);
        results_take(&t, take, &r);
        for (size_t isa = 0; isa < 2; isa++) {
            struct clock clock;
            qrnn_module *m;
            if (case_pack(&t, isas[isa], &m, NULL) != QRNN_OK) abort();
            const double excess = excess_of(&t, m, &r, limit, &clock);
            longest = clock.longest > longest ? clock.longest : longest;
            passed += excess <= 0.0;
            failed += excess > 0.0;
            if (excess > 0.0)
                printf("FAILED: %.1f ms without a question, %zu questions: %s, %s\n", clock.longest, clock.questions,
                       case_text(&t), qrnn_module_isa(m));
            qrnn_module_unref(m);
        }
        give_back();
    }
    printf("longest time without a question to stop: %.1f ms\n%lu passed, %lu failed\n", longest, passed, failed);
    return failed != 0;
}
