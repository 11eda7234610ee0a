/* block.h - some rows of activations on their way through one cell, and the memory that takes.
 *
 *   rows of x --encode--> codes --W_ih--> ih --+
 *   rows of h --encode--> codes --W_hh------- (+) --> end --> rows of the next h
 *
 * A block computes a slice of the hidden units: all of them, or, where threads share a call, some. The
 * products of a slice are its own; states are read whole and written by slices.
 */
#ifndef QRNN_BLOCK_H
#define QRNN_BLOCK_H

#include "module.h"
#include "tuning.h"

/* Activations on their way to a product: rooms for their codes, or for floats that lie at no stride. */
struct qrnn_operand {
    const struct qrnn_act *given; /* of formats that share a scale: it; NULL: by the extents */
    struct qrnn_act *act;     /* [rows] */
    uint8_t *codes;           /* [rows][code_stride], planes of a row one after the other */
    struct qrnn_inputs coded, floats; /* what a product takes, once it is encoded: the codes, or rows as they lie */
    /* Of sequences: */
    struct qrnn_extent *extent; /* [rows] over all slices */
    float *staged;            /* [rows][cols] */
};

/* Extents of rows, by slices of units: what threads that share a call found, each in its slice. */
struct qrnn_extents {
    struct qrnn_extent *extent; /* [slices][rows] */
    size_t slices, rows;
};

/* What a block is for: a step, one whose products are shown, a sequence, whose rows need not lie at a stride. */
enum qrnn_purpose { QRNN_FOR_STEP, QRNN_FOR_PROBE, QRNN_FOR_SEQUENCE };

struct qrnn_team;

struct qrnn_block {
    const qrnn_module *m;
    size_t slice, slices;     /* this one, and how many there are */
    size_t first, units;      /* hidden units of the slice */
    const struct qrnn_cell *cell;
    /* The slice of its packed weights: the cell's own, or, where it is not all of them, of `sliced`. */
    const struct qrnn_panels *ih, *hh, *inner_weights;
    struct qrnn_panels *sliced; /* [3] */

    struct qrnn_operand x, h;
    struct qrnn_operand inner;/* values made inside a step: r * h, or an LSTM's h before its projection */
    size_t stride;            /* of ih products: gates * padded units of the slice */
    size_t hh_stride, inner_stride;
    float *ih_product;        /* [x rows][stride] */
    float *hh_product;        /* [rows][hh_stride], where it is not added to the input's */
    float *inner_product;     /* [rows][inner_stride] */
    size_t inner_first, inner_units; /* units that inner_product has */
    const float **x_from;     /* [x rows] */
    const float **h_from, **c_from; /* [rows] states before a step */
    float **h_to, **c_to;     /* [rows] and after it */
    float **slopes;           /* [rows] where slopes go, of a sequence; NULL: not wanted */
    int32_t *acc_ih, *acc_hh, *acc_inner; /* the probe's, else NULL: integer sums */
    /* Shared by the slices: */
    float *zeros;             /* a state of zeros */
    struct qrnn_extents before, after; /* of the rows of h, of a sequence */
    float *inner_values;      /* [rows][hidden_size] what is quantized inside a step */
    float **inner_rows;
    struct qrnn_extents inner_extents;
    float *unseen_h, *unseen_c; /* the states that a probe makes */
    struct qrnn_team *team;   /* whom to wait for between writing and reading; NULL: nobody */
    int wants_stop, stop;     /* this slice wants to give up; all know of one that does */
};

/* Columns of the widest input of a layer. */
size_t qrnn_widest_input(const qrnn_module *m);

/* What the rooms of blocks that are slices of a module take; layout.h. */
void qrnn_rooms_make(const qrnn_module *m, size_t slices, enum qrnn_purpose purpose, struct qrnn_rooms *rooms);

/* A block in memory of that layout, for at most `rows` rows of a step: its own, and that of all slices. */
void qrnn_block_open(struct qrnn_block *b, const qrnn_module *m, size_t slice, size_t slices,
                     const struct qrnn_layout *layout, size_t rows, enum qrnn_purpose purpose, unsigned char *own,
                     unsigned char *shared);
/* Sets what of the shared memory has to be set, once. */
void qrnn_block_clear_shared(const struct qrnn_block *b, size_t rows);

/* `count` panels of a matrix from panel `first` on. */
struct qrnn_panels qrnn_slice(const struct qrnn_panels *w, size_t first, size_t count);

/* Has the block compute with a cell. */
void qrnn_block_set_cell(struct qrnn_block *b, const struct qrnn_cell *cell);

/* One scale for n values; 0 if one of them is not finite. v == NULL stands for zeros. */
int qrnn_choose_scale(const qrnn_module *m, const struct qrnn_activations *activations, size_t n, const float *v,
                      struct qrnn_act *act);

/* Codes (or, of floats, the whereabouts) of rows of n values, as `matrix` takes them. `extents` of the rows, or NULL
 * where they are to be found by reading or o->given is set. 0 if one scale is for all and a value is not finite. */
int qrnn_encode(const qrnn_module *m, const struct qrnn_matrix *matrix, struct qrnn_operand *o, size_t rows, size_t n,
                const float *const *v, const struct qrnn_extents *extents);

/* What `matrix` multiplies of an encoded operand. */
QRNN_INLINE const struct qrnn_inputs *qrnn_inputs_of(const struct qrnn_operand *o, const struct qrnn_matrix *matrix)
{
    return matrix->activations->most_code ? &o->coded : &o->floats;
}

/* The same from row `first` on. */
struct qrnn_inputs qrnn_inputs_from(const struct qrnn_operand *o, const struct qrnn_matrix *matrix, size_t first);

/* Waits until every slice of the block's team is here, and learns whether to stop. */
void qrnn_block_meet(struct qrnn_block *b);

/* standalone.c: the values that the codes of rows stand for, as the products of m's engine, which quantizes each row by
 * itself, see them, times roots[i] >= 0: `seen`, [rows][n]. None of row i is larger than bounds[i], which is NaN if the
 * row is not finite. `room` is working memory of qrnn_codes_room(n) bytes. */
void qrnn_see_rows(const qrnn_module *m, size_t rows, size_t n, const float *const *v, const float *roots, float *seen,
                   float *bounds, uint8_t *room);
size_t qrnn_codes_room(size_t n);

/* Rows that are coded at once: enough for their divisions to overlap. */
enum { QRNN_CODED_ROWS = 16 };

/* cells.c: one step, from the input's product, which may be overwritten, and encoded states to the next states. */
void qrnn_cell_step(struct qrnn_block *b, size_t rows, float *ih);

#endif
