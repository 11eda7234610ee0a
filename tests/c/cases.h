/* cases.h - modules and calls made from a stream of choices, for the programs of this folder and of
 * tests/fuzz. They know qrnn.h alone. */
#ifndef CASES_H
#define CASES_H

#include "qrnn.h"

/* Choices come from `bytes` while there are some, then from a generator. */
struct source {
    const uint8_t *bytes;
    size_t left;
    uint64_t state;           /* not 0 */
};

uint32_t choose(struct source *s, uint32_t n);                /* 0 .. n - 1 */
float choose_uniform(struct source *s);                       /* -1 .. 1 */
/* Ordinary rows, and huge, tiny, denormal, constant, one-sided ones, multiples of a half, zeros, raw
 * bits; those with infinities and NaNs only if `finite` is 0. */
void choose_rows(struct source *s, float *v, size_t rows, size_t n, int finite);

/* Memory for the arrays of a case and of its results. */
typedef void *taker(size_t bytes);

/* The usual taker: zeroed memory, one allocation an array, all of which `give_back` frees. */
void *take(size_t bytes);
void give_back(void);

/* ih, hh, hr, peepholes, gain and shift of each layer and direction; the learned states. */
enum { MOST_LAYERS = 3, MOST_WEIGHTS = MOST_LAYERS * 2 * 6 + 2 };

/* One module and one call of it: a linear, a step, or, where `sequence`, a sequence. */
struct testcase {
    qrnn_spec spec;           /* without isa */
    qrnn_weight weights[MOST_WEIGHTS];
    qrnn_options options;     /* spec.options, where it has any */
    size_t batch;
    int sequence;
    size_t steps;             /* 1 of what is no sequence */
    int batch_first;
    const float *x, *h, *c;   /* h, c: may be NULL */
    const size_t *lengths;    /* may be NULL */
};

struct results {
    qrnn_status status;
    size_t step;              /* of a failed sequence */
    size_t n_out, n_h, n_c, n_gates; /* elements of: */
    float *out;               /* of a linear, a sequence */
    float *h, *c;             /* of a cell, a sequence; of an LSTM */
    float *pre;               /* the test door, of a linear or a step */
    int32_t *acc_ih, *acc_hh;
};

/* Bounds of a case: sizes up to these, and about this many multiply-adds. */
struct bounds {
    size_t size, batch, steps, work;
};

size_t case_state(const struct testcase *t);                  /* size of h */
int case_per_row(const struct testcase *t);                   /* no scale or error is shared by rows */
int case_is_float(const struct testcase *t);
size_t case_weights(const struct testcase *t);                /* matrices of the module */

/* Everything chosen: kind, engine, sizes, weights, inputs. */
void case_choose(struct source *s, const struct bounds *bounds, taker *take_memory, struct testcase *t);
/* The rest of a case whose kind, engine and sizes stand. */
void case_fill(struct source *s, taker *take_memory, struct testcase *t);

/* Makes the module for an instruction set; on success *m has one reference. */
qrnn_status case_pack(const struct testcase *t, const char *isa, qrnn_module **m, size_t *matrix);
/* Arrays for the results, filled with 77. */
void results_take(const struct testcase *t, taker *take_memory, struct results *r);
/* Fills them with 77 again; whether what a call writes, or n numbers, are still that. */
void results_clear(struct results *r);
int results_untouched(const struct results *r);
int untouched(const void *numbers, size_t n);
/* The call of a sequence, with results in r. */
qrnn_run case_sequence(const struct testcase *t, const struct results *r, size_t threads);
/* The call, and of what is no sequence the test door as well. */
void case_run(const struct testcase *t, const qrnn_module *m, size_t threads, struct results *r);
/* A sequence of an engine whose rows are apart, by a cell for each layer and direction, row by row and
 * step by step. */
void case_by_steps(const struct testcase *t, const char *isa, taker *take_memory, struct results *r);
/* NULL, or what differs, or what is a NaN of other bits than 0x7fc00000. */
const char *results_differ(const struct results *a, const struct results *b);
const char *results_wrong_nan(const struct results *r);

/* "lstm fbgemm sequence 5 -> 7 ..." in a buffer of its own. */
const char *case_text(const struct testcase *t);

#endif
