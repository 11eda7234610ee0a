/* module.h - what the files of core/ share: the packed module, the table of engines, scratch memory. */
#ifndef QRNN_MODULE_H
#define QRNN_MODULE_H

#include "kernels.h"

#include <stdatomic.h>

/* One engine: an arithmetic. Everything that tells engines apart is in this row (engines.c). */
struct qrnn_engine {
    const char *name;
    int quantised;
    /* A scale for each batch row, from that row alone; else one for the whole batch. */
    int per_row;
    int max_code;
    enum qrnn_rounding rounding;
    enum qrnn_dequant dequant;
    qrnn_function tanh;
    float no_bias;
    /* Finite lo <= hi, the extremes of what is quantised, to scale and zero point. */
    void (*choose)(float lo, float hi, struct qrnn_act *act);
    /* The factor that `dequant` wants for a weight scale. */
    float (*factor)(float scale);
};

const struct qrnn_engine *qrnn_engine_find(const char *name);

/* A packed matrix with what unpacking needs. */
struct qrnn_matrix {
    struct qrnn_panels panels;
    size_t n_scale;
    const float *given_scale; /* [n_scale], as it came */
    int has_bias;
};

struct qrnn_module {
    qrnn_kind kind;
    const struct qrnn_engine *engine;
    const char *isa;
    struct qrnn_kernels kernels;
    size_t input_size, hidden_size;
    size_t bytes;
    struct qrnn_matrix matrix[2]; /* ih, hh; a linear has the first alone */
    atomic_long references;
};

/* The table of cells (cells.c): one row a kind. */
struct qrnn_cell {
    size_t gates;             /* rows of a matrix, in hidden sizes */
    int recurrent;            /* has hh */
    /* New hidden states of `rows` rows from their pre-activations. */
    void (*finish)(const struct qrnn_module *m, size_t rows, const float *pre, size_t stride,
                   float *h_out);
};

extern const struct qrnn_cell qrnn_cells[QRNN_KINDS];

/* pack.c: bytes that a matrix of this shape takes, then the packing into that much memory. */
size_t qrnn_pack_bytes(const struct qrnn_engine *engine, size_t rows, size_t cols,
                       const qrnn_weight *weight);
void qrnn_pack(const struct qrnn_engine *engine, size_t rows, size_t cols, const qrnn_weight *weight,
               unsigned char *memory, struct qrnn_matrix *out);

/* scratch.c: this thread's arena of at least `bytes`, 64-byte aligned; NULL without memory. Its
 * content is lost at the next call. Freed when the thread ends. */
void *qrnn_scratch(size_t bytes);

#endif
