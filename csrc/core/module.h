/* module.h - what the files of core/ share: the packed module, the table of engines, scratch memory. */
#ifndef QRNN_MODULE_H
#define QRNN_MODULE_H

#include "formats.h"
#include "kinds.h"
#include "layout.h"

#include <stdatomic.h>

/* An engine, which names an arithmetic. All that differs between engines is in its row of engines.c. */
struct qrnn_engine {
    qrnn_engine_info info;
    /* The formats of a matrix whose specification names none: of its weights, and of the activations it multiplies. */
    enum qrnn_weight_format weights;
    enum qrnn_activation_format activations;
    enum qrnn_dequant dequant;
    int exact;                /* uses the correctly rounded tanh */
    float no_bias;
    /* The factor that `dequant` wants for a weight scale. */
    float (*factor)(float scale);
};

const struct qrnn_engine *qrnn_engine_find(const char *name);

/* A packed matrix, the format of the activations it multiplies, and what unpacking needs. */
struct qrnn_matrix {
    struct qrnn_panels panels;
    enum qrnn_weight_format format;
    const struct qrnn_activations *activations;
    qrnn_encode_kernel *encode; /* for activations with a scale for each row; else NULL */
    qrnn_multiply_kernel *multiply;
    size_t code_stride;       /* bytes from one row of activation codes to the next */
    size_t n_scale;
    const float *given_scale; /* [n_scale], the caller's scales, unchanged */
    int has_bias;
};

/* One layer in one direction. `inner` is the product inside a step, of values that an end has made: in a GRU that
 * resets before the product, the rows of W_hh for n, which multiply r * h; with a projection, W_hr, which multiplies an
 * LSTM's h before the projection. */
struct qrnn_cell {
    struct qrnn_matrix ih, hh, inner;
    qrnn_row_kernel *row;     /* one kernel for the product of hh and its end, for a single row; NULL: two kernels,
                                 one after the other */
    qrnn_steps_kernel *steps; /* one kernel for steps of a single row; NULL: step by step */
    struct qrnn_end_options options;
};

struct qrnn_module {
    const struct qrnn_kind_row *kind;
    qrnn_kind kind_number;
    const struct qrnn_engine *engine;
    const char *isa;
    struct qrnn_kernels kernels;
    size_t input_size, hidden_size, proj_size, state_size;
    size_t layers, directions;
    size_t bytes;
    int shares_scale;         /* 1: some matrix has activations with one scale for all rows */
    int has_inner;            /* 1: the cells have an `inner` product */
    qrnn_end_kernel *end;     /* makes the next state. Its input is the product of hh, or, in a GRU that resets
                                 before the product, of inner */
    qrnn_end_kernel *inner_end; /* makes the values that the inner product multiplies */
    qrnn_end_kernel *sloped;    /* `end`, which also writes slopes */
    qrnn_end_kernel *proj_end;  /* turns the product of a projection into h */
    qrnn_options options;       /* the caller's, if has_options; else the defaults of the kind */
    int has_options, changes_end;
    size_t matrices;            /* how many the specification has */
    const float *learned_h, *learned_c; /* [layers * directions][state_size], [..][hidden_size]; NULL: none */
    uint32_t step_words[QRNN_ROOM_COUNT]; /* sizes of the rooms of a step (layout.h) */
    struct qrnn_layout one_row; /* offsets of the rooms for one row */
    atomic_long references;
    struct qrnn_cell cells[]; /* [layers * directions] */
};

/* pack.c: the shape of a packed matrix. `rows` are all rows of its `gates` gates. */
struct qrnn_packing {
    const struct qrnn_engine *engine;
    enum qrnn_weight_format format;
    size_t gates, rows, cols;
};

/* The bytes that a packed matrix needs; packing into that much memory; unpacking, where a NULL destination is
 * skipped. */
size_t qrnn_pack_bytes(const struct qrnn_packing *packing, size_t n_scale);
void qrnn_pack(const struct qrnn_packing *packing, const qrnn_weight *weight, unsigned char *memory,
               struct qrnn_matrix *out);
void qrnn_unpack(const struct qrnn_matrix *from, float *values, int8_t *codes, float *scale, float *bias);

/* status.c: the checks of a call before it begins. qrnn_check_call is for a linear, a step or the probe, whose results
 * go to `to` and, in kinds with a c, to `c_to`; qrnn_check_sequence is for a sequence. */
qrnn_status qrnn_check_call(const qrnn_module *m, int of_its_kind, size_t batch, const float *x, const float *to,
                            const float *c_to);
qrnn_status qrnn_check_sequence(const qrnn_module *m, const qrnn_run *run);

/* scratch.c: this thread's working memory of at least `bytes` bytes, 64-byte aligned; NULL if there is no memory. The
 * next call may overwrite it. It is freed when the thread ends. */
void *qrnn_scratch(size_t bytes);

struct qrnn_arena {
    void *memory;
    size_t bytes;
};

/* The same for a call that runs the caller's code meanwhile (qrnn_run.stop): calls made by that code get other memory,
 * until this one is given back. */
void *qrnn_scratch_take(size_t bytes, struct qrnn_arena *taken);
void qrnn_scratch_give(struct qrnn_arena taken);

#endif
