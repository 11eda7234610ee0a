/* module.h - what the files of core/ share: the packed module, the tables of engines and of cells,
 * scratch memory. */
#ifndef QRNN_MODULE_H
#define QRNN_MODULE_H

#include "kernels.h"

#include <stdatomic.h>

/* One engine: an arithmetic. Everything that tells engines apart is in this row (engines.c). */
struct qrnn_engine {
    const char *name;
    int quantized;
    /* A scale for each batch row, from that row alone; else one for the whole batch. */
    int per_row;
    int max_code;
    enum qrnn_rounding rounding;
    enum qrnn_dequant dequant;
    int exact;                /* takes the correctly rounded tanh */
    float no_bias;
    /* A finite extent to scale and zero point; NULL where the kernels' encode does it, row by row. */
    void (*choose)(const struct qrnn_extent *extent, struct qrnn_act *act);
    /* The factor that `dequant` wants for a weight scale. */
    float (*factor)(float scale);
};

const struct qrnn_engine *qrnn_engine_find(const char *name);

/* Whether the engine takes one scale for everything that a call quantizes at once. */
QRNN_INLINE int qrnn_engine_is_whole(const struct qrnn_engine *engine)
{
    return engine->quantized && !engine->per_row;
}

/* A packed matrix with what unpacking needs. */
struct qrnn_matrix {
    struct qrnn_panels panels;
    size_t n_scale;
    const float *given_scale; /* [n_scale], as it came */
    int has_bias;
};

/* A layer in one direction. A GRU that resets before the product meets the last third of its recurrent
 * rows with r * h instead of h: they are a matrix of their own, hn. */
struct qrnn_unit {
    struct qrnn_matrix ih, hh, hn, hr;
};

struct qrnn_module {
    qrnn_kind kind;
    const struct qrnn_engine *engine;
    const char *isa;
    struct qrnn_kernels kernels;
    size_t input_size, hidden_size, proj_size, state_size;
    size_t layers, directions;
    size_t bytes;
    struct qrnn_block *row;   /* of a step of one row, laid out once: at address QRNN_LINE, */
    size_t row_bytes;         /* and so many bytes */
    atomic_long references;
    struct qrnn_unit units[]; /* [layers * directions] */
};

struct qrnn_block;

/* The table of cells (cells.c): one row a kind. */
struct qrnn_cell {
    size_t gates;             /* rows of ih and hh, in hidden sizes */
    int recurrent;            /* has hh and a state */
    int cell_state;           /* the state has c */
    int split;                /* hh without its last gate, which is hn */
    int keeps_hh;             /* the recurrent product is not added to the input's */
    /* One step: the input's product, which may be overwritten, and encoded states to the next states. */
    void (*step)(struct qrnn_block *b, size_t rows, float *ih);
};

extern const struct qrnn_cell qrnn_cells[QRNN_KINDS];

/* pack.c: bytes that a matrix of this shape takes, then the packing into that much memory, and back; a
 * NULL destination is passed over. `rows` are `gates` gates. */
size_t qrnn_pack_bytes(const struct qrnn_engine *engine, size_t gates, size_t rows, size_t cols, size_t n_scale);
void qrnn_pack(const struct qrnn_engine *engine, size_t gates, size_t rows, size_t cols, const qrnn_weight *weight,
               unsigned char *memory, struct qrnn_matrix *out);
void qrnn_unpack(const struct qrnn_matrix *from, float *values, int8_t *codes, float *scale, float *bias);

/* step.c: lays m->row out. */
void qrnn_step_prepare(qrnn_module *m);

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
