/* fuzz_core.c - a libFuzzer target: bytes become a module and a call of it, and everything that is
 * promised to be the same bits is compared.
 *
 *   every instruction set == scalar, results and errors alike
 *   a sequence == its steps, row by row (engines with a scale for each row)
 *   one thread == several ; a row of a batch == that row alone ; in place == beside ; with an output == without
 *   unpacked weights == those that were packed ; a failed call wrote nothing ; every NaN is 0x7fc00000
 */
#include "cases.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct bounds bounds = {.size = 140, .batch = 70, .steps = 6, .work = 60000};

static void found(const char *what, const char *isa, const char *text)
{
    fprintf(stderr, "FOUND: %s, %s: %s\n", what, isa, text);
    abort();
}

static void demand(const char *difference, const char *what, const char *isa, const struct testcase *t)
{
    if (!difference) return;
    char both[120];
    snprintf(both, sizeof both, "%s: %s", what, difference);
    found(both, isa, case_text(t));
}

static const char *best_isa(void)
{
    const char *best = "scalar";
    for (size_t i = 0; qrnn_isa_name(i); i++)
        if (qrnn_isa_supported(i)) best = qrnn_isa_name(i);
    return best;
}

/* Errors of a sequence leave its results undefined; any other call writes nothing. */
static void check_results(const struct testcase *t, const char *isa, const struct results *r)
{
    demand(results_wrong_nan(r), "result", isa, t);
    if (t->sequence || r->status == QRNN_OK) return;
    if (!results_untouched(r)) found("a failed call wrote", isa, case_text(t));
}

/* A module of every other instruction set, and with threads, against scalar's results. */
static void check_isas(const struct testcase *t, const struct results *want)
{
    for (size_t i = 1; qrnn_isa_name(i); i++) {
        qrnn_module *m;
        struct results r;
        if (!qrnn_isa_supported(i)) continue;
        if (case_pack(t, qrnn_isa_name(i), &m, NULL) != QRNN_OK)
            found("packs only as scalar", qrnn_isa_name(i), case_text(t));
        for (size_t threads = 1; threads <= (t->sequence ? 3u : 1u); threads++) {
            results_take(t, take, &r);
            case_run(t, m, threads, &r);
            demand(results_differ(want, &r), threads == 1 ? "against scalar" : "with threads", qrnn_isa_name(i), t);
            check_results(t, qrnn_isa_name(i), &r);
        }
        qrnn_module_unref(m);
    }
}

/* The state as its own successor. */
static void check_in_place(const struct testcase *t, const qrnn_module *m, const struct results *want)
{
    struct testcase own = *t;
    struct results r;
    if (!t->h) return;
    results_take(t, take, &r);
    memcpy(r.h, t->h, r.n_h * sizeof *r.h);
    own.h = r.h;
    if (r.c) memcpy(r.c, t->c, r.n_c * sizeof *r.c);
    own.c = r.c;
    if (t->sequence) {
        case_run(&own, m, 1, &r);
    } else { /* without the test door, which would read the new state */
        r.status = qrnn_step(m, own.batch, own.x, own.h, own.c, r.h, r.c);
        r.pre = NULL;
        r.acc_ih = r.acc_hh = NULL;
    }
    if (want->status == QRNN_OK || t->sequence) demand(results_differ(want, &r), "in place", "scalar", t);
}

/* Final states where the output is not wanted. */
static void check_no_out(const struct testcase *t, const qrnn_module *m, const struct results *want)
{
    struct results r;
    float *const out = want->out;
    results_take(t, take, &r);
    r.out = NULL;
    case_run(t, m, 1, &r);
    r.out = out;
    demand(results_differ(want, &r), "without an output", "scalar", t);
}

/* Row `row` of a linear's or a cell's batch, alone. */
static void check_row(const struct testcase *t, const qrnn_module *m, const struct results *want, size_t row)
{
    struct testcase alone = *t;
    struct results r, part = *want;
    const size_t state = case_state(t), hidden = t->spec.hidden_size, gates = want->n_gates / t->batch;
    alone.batch = 1;
    alone.x = t->x + row * t->spec.input_size;
    if (t->h) alone.h = t->h + row * state;
    if (t->c) alone.c = t->c + row * hidden;
    results_take(&alone, take, &r);
    case_run(&alone, m, 1, &r);
    if (part.out) part.out += row * hidden;
    if (part.h) part.h += row * state;
    if (part.c) part.c += row * hidden;
    part.pre += row * gates;
    if (part.acc_ih) part.acc_ih += row * gates;
    if (part.acc_hh) part.acc_hh += row * gates;
    part.n_out = r.n_out;
    part.n_h = r.n_h;
    part.n_c = r.n_c;
    part.n_gates = r.n_gates;
    demand(results_differ(&part, &r), "a row alone", "scalar", t);
}

static void check_unpacked(const struct testcase *t, const qrnn_module *m)
{
    for (size_t i = 0; i < case_weights(t); i++) {
        const qrnn_weight *const w = &t->weights[i];
        const size_t rows = qrnn_module_rows(m, i), n = rows * qrnn_module_cols(m, i);
        float *const values = take(n * 4), *const scale = take(w->n_scale * 4), *const bias = take(rows * 4);
        int8_t *const codes = take(n);
        qrnn_module_unpack(m, i, w->values ? values : NULL, w->codes ? codes : NULL, w->scale ? scale : NULL,
                           w->bias ? bias : NULL);
        if ((w->values && memcmp(values, w->values, n * 4)) || (w->codes && memcmp(codes, w->codes, n))
            || (w->scale && memcmp(scale, w->scale, w->n_scale * 4)) || (w->bias && memcmp(bias, w->bias, rows * 4))
            || qrnn_module_n_scale(m, i) != w->n_scale || qrnn_module_has_bias(m, i) != (w->bias != NULL))
            found("unpacked weights differ", "scalar", case_text(t));
    }
}

static void check_module(struct source *s)
{
    struct testcase t;
    struct results want, steps;
    qrnn_module *m;
    case_choose(s, &bounds, take, &t);
    if (case_pack(&t, "scalar", &m, NULL) != QRNN_OK) found("does not pack", "scalar", case_text(&t));
    results_take(&t, take, &want);
    case_run(&t, m, 1, &want);
    check_results(&t, "scalar", &want);
    check_unpacked(&t, m);
    check_isas(&t, &want);
    check_in_place(&t, m, &want);
    if (t.sequence) check_no_out(&t, m, &want);
    if (case_per_row(&t)) {
        if (want.status != QRNN_OK) found("fails", "scalar", case_text(&t));
        if (!t.sequence && t.batch > 0) check_row(&t, m, &want, choose(s, (uint32_t)t.batch));
        if (t.sequence) {
            results_take(&t, take, &steps);
            case_by_steps(&t, best_isa(), take, &steps);
            demand(results_differ(&want, &steps), "a sequence against its steps", best_isa(), &t);
        }
    }
    qrnn_module_unref(m);
}

/* One thing wrong with a module: the error, and which matrix it names. */
static void check_bad_module(struct source *s)
{
    static const float bad[] = {0.0f, -1.0f, INFINITY, NAN};
    struct testcase t;
    qrnn_module *m;
    case_choose(s, &bounds, take, &t);
    const size_t at = choose(s, (uint32_t)case_weights(&t));
    qrnn_weight *const w = &t.weights[at];
    qrnn_status want = QRNN_ERR_SCALE;
    if (w->scale && choose(s, 2)) {
        const uint32_t row = choose(s, (uint32_t)w->n_scale);
        ((float *)(void *)(uintptr_t)w->scale)[row] = bad[choose(s, 4)];
    } else if (w->scale && w->bias) {
        ((float *)(void *)(uintptr_t)w->bias)[0] = bad[2 + choose(s, 2)];
        want = QRNN_ERR_WEIGHT;
    } else {
        return;
    }
    for (size_t i = 0; qrnn_isa_name(i); i++) {
        size_t matrix = 99;
        if (!qrnn_isa_supported(i)) continue;
        const qrnn_status status = case_pack(&t, qrnn_isa_name(i), &m, &matrix);
        if (status != want || matrix != at || m) found("not the right error", qrnn_isa_name(i), case_text(&t));
    }
}

static void check_codes(struct source *s)
{
    enum { MOST = 300 };
    const size_t batch = choose(s, 5), n = choose(s, MOST);
    const char *engine = NULL;
    uint32_t engines = 0;
    while (qrnn_engine_name(engines)) engines++;
    engine = qrnn_engine_name(choose(s, engines));
    float *const v = take(batch * n * 4);
    choose_rows(s, v, batch, n, (int)choose(s, 2));
    int16_t *want = NULL;
    float *want_scale = NULL;
    int32_t *want_zero = NULL;
    qrnn_status status = QRNN_OK;
    for (size_t i = 0; qrnn_isa_name(i); i++) {
        if (!qrnn_isa_supported(i)) continue;
        int16_t *const q = take(batch * n * 2);
        float *const scale = take(batch * 4);
        int32_t *const zero = take(batch * 4);
        const qrnn_status got = qrnn_quantize(engine, qrnn_isa_name(i), batch, n, v, q, scale, zero);
        if (i == 0) {
            want = q;
            want_scale = scale;
            want_zero = zero;
            status = got;
        }
        if (status != got || memcmp(want, q, batch * n * 2) || memcmp(want_scale, scale, batch * 4)
            || memcmp(want_zero, zero, batch * 4))
            found("codes differ", qrnn_isa_name(i), engine);
    }
}

static void check_functions(struct source *s)
{
    const size_t n = choose(s, 100);
    float *const x = take(n * 4);
    choose_rows(s, x, 1, n, 0);
    for (int f = 0; f < QRNN_FUNCTIONS; f++) {
        float *const want = take(n * 4);
        qrnn_apply((qrnn_function)f, "scalar", n, x, want);
        for (size_t i = 1; qrnn_isa_name(i); i++) {
            if (!qrnn_isa_supported(i)) continue;
            float *const got = take(n * 4);
            memcpy(got, x, n * 4);
            qrnn_apply((qrnn_function)f, qrnn_isa_name(i), n, got, got);
            if (memcmp(got, want, n * 4)) found("a function differs", qrnn_isa_name(i), "");
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct source s = {.bytes = data, .left = size, .state = 88172645463325252u};
    const uint32_t what = choose(&s, 16);
    if (what == 0)
        check_functions(&s);
    else if (what == 1)
        check_codes(&s);
    else if (what == 2)
        check_bad_module(&s);
    else
        check_module(&s);
    give_back();
    return 0;
}
