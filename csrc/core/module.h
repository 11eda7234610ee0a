/* module.h - what the files of core/ share: the packed module, the table of engines, scratch memory. */
#ifndef QRNN_MODULE_H
#define QRNN_MODULE_H

#include "formats.h"
#include "kinds.h"
#include "layout.h"

#include <stdatomic.h>

/* One engine: an arithmetic. Everything that tells engines apart is in this row (engines.c). */
struct qrnn_engine {
    qrnn_engine_info info;
    /* What a matrix stores and meets, where its specification says nothing else. */
    enum qrnn_weight_format weights;
    enum qrnn_activation_format activations;
    enum qrnn_dequant dequant;
    int exact;                /* takes the correctly rounded tanh */
    float no_bias;
    /* The factor that `dequant` wants for a weight scale. */
    float (*factor)(float scale);
};

const struct qrnn_engine *qrnn_engine_find(const char *name);

/* A packed matrix, with what it meets and what unpacking needs. */
struct qrnn_matrix {
    struct qrnn_panels panels;
    enum qrnn_weight_format format;
    const struct qrnn_activations *activations;
    qrnn_encode_kernel *encode; /* of activations with a scale a row, else NULL */
    qrnn_multiply_kernel *multiply;
    size_t code_stride;       /* of rows of codes that it meets */
    size_t n_scale;
    const float *given_scale; /* [n_scale], as it came */
    int has_bias;
};

/* A layer in one direction. `inner` multiplies what an end makes inside a step: the last gate's rows of W_hh of a GRU
 * that resets before the product, which meet r * h, or W_hr, which meets an LSTM's h before its projection. */
struct qrnn_cell {
    struct qrnn_matrix ih, hh, inner;
    qrnn_row_kernel *row;     /* the product of hh and its end, of one row; NULL: one after the other */
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
    int shares_scale;         /* some activations have one scale for all rows */
    int has_inner;            /* something is multiplied inside a step */
    qrnn_end_kernel *end;     /* of what hh multiplied, or, with an inner product that is no projection, of that */
    qrnn_end_kernel *inner_end; /* makes what the inner product takes */
    qrnn_end_kernel *sloped;    /* the end of the kind, with slopes */
    qrnn_end_kernel *proj_end;  /* of a projection's product */
    qrnn_options options;       /* where there are any, has_options */
    int has_options, changes_end;
    size_t matrices;            /* of the specification */
    const float *learned_h, *learned_c; /* [layers * directions][state_size], [..][hidden_size]; NULL: none */
    uint32_t step_words[QRNN_ROOM_COUNT]; /* the rooms of a step, layout.h, */
    struct qrnn_layout one_row; /* and where they lie for one row */
    atomic_long references;
    struct qrnn_cell cells[]; /* [layers * directions] */
};

/* pack.c: what one packed matrix is made of. `rows` are `gates` gates. */
struct qrnn_packing {
    const struct qrnn_engine *engine;
    enum qrnn_weight_format format;
    size_t gates, rows, cols;
};

/* Bytes that it takes, then the packing into that much memory, and back; a NULL destination is passed over. */
size_t qrnn_pack_bytes(const struct qrnn_packing *packing, size_t n_scale);
void qrnn_pack(const struct qrnn_packing *packing, const qrnn_weight *weight, unsigned char *memory,
               struct qrnn_matrix *out);
void qrnn_unpack(const struct qrnn_matrix *from, float *values, int8_t *codes, float *scale, float *bias);

/* status.c: whether a call is wrong before it begins. Of a linear, a step or the probe, which writes to `to`, and to
 * `c_to` where there is a c; and of a sequence. */
qrnn_status qrnn_check_call(const qrnn_module *m, int of_its_kind, size_t batch, const float *x, const float *to,
                            const float *c_to);
qrnn_status qrnn_check_sequence(const qrnn_module *m, const qrnn_run *run);

/* scratch.c: this thread's arena of at least `bytes`, 64-byte aligned; NULL without memory. Its
 * content is lost at the next call. Freed when the thread ends. */
void *qrnn_scratch(size_t bytes);

struct qrnn_arena {
    void *memory;
    size_t bytes;
};

/* The same for a call that lets the caller's code run meanwhile (qrnn_run.stop): until it is given back,
 * calls that this code makes find other memory. */
void *qrnn_scratch_take(size_t bytes, struct qrnn_arena *taken);
void qrnn_scratch_give(struct qrnn_arena taken);

#endif
