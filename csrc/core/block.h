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

/* The activations that a product multiplies: codes, or floats. Floats whose rows lie at unequal distances are copied to
 * `staged` first. */
struct qrnn_operand {
    const struct qrnn_act *given; /* the scale and zero point of all rows, in formats that share one; NULL: choose
                                     them from the extents */
    struct qrnn_act *act;     /* [rows] */
    uint8_t *codes;           /* [rows][code_stride], planes of a row one after the other */
    struct qrnn_inputs coded, floats; /* the input of a product after qrnn_encode: the codes, or the floats where
                                         they lie */
    /* For sequences: */
    struct qrnn_extent *extent; /* [rows] over all slices */
    float *staged;            /* [rows][cols] */
};

/* The extents of rows (their least and largest values), one for each slice of units: a thread that shares a call finds
 * those of its slice. */
struct qrnn_extents {
    struct qrnn_extent *extent; /* [slices][rows] */
    size_t slices, rows;
};

/* What a block computes: a step, a step whose products are shown, or a sequence, whose rows may lie at unequal
 * distances. */
enum qrnn_purpose { QRNN_FOR_STEP, QRNN_FOR_PROBE, QRNN_FOR_SEQUENCE };

struct qrnn_team;

struct qrnn_block {
    const qrnn_module *m;
    size_t slice, slices;     /* this block's slice, and how many there are */
    size_t first, units;      /* hidden units of the slice */
    const struct qrnn_cell *cell;
    /* The packed weights of this slice: the cell's own if there is one slice, else in `sliced`. */
    const struct qrnn_panels *ih, *hh, *inner_weights;
    struct qrnn_panels *sliced; /* [3] */

    struct qrnn_operand x, h;
    struct qrnn_operand inner;/* values made inside a step: r * h, or an LSTM's h before its projection */
    size_t stride;            /* of ih products: gates * padded units of the slice */
    size_t hh_stride, inner_stride;
    float *ih_product;        /* [x rows][stride] */
    float *hh_product;        /* [rows][hh_stride], in kinds where it is not added to the input's product */
    float *inner_product;     /* [rows][inner_stride] */
    size_t inner_first, inner_units; /* the units in inner_product */
    const float **x_from;     /* [x rows] */
    const float **h_from, **c_from; /* [rows] states before a step */
    float **h_to, **c_to;     /* [rows] states after it */
    float **slopes;           /* [rows] where a sequence's slopes go; NULL: not wanted */
    int32_t *acc_ih, *acc_hh, *acc_inner; /* integer sums for the probe; else NULL */
    /* Shared by the slices: */
    float *zeros;             /* a state of zeros */
    struct qrnn_extents before, after; /* extents of h before and after a step of a sequence */
    float *inner_values;      /* [rows][hidden_size] what the product inside a step multiplies */
    float **inner_rows;
    struct qrnn_extents inner_extents;
    float *unseen_h, *unseen_c; /* the next states that the probe computes */
    struct qrnn_team *team;   /* the threads to wait for between writing and reading; NULL: there are none */
    int backwards;            /* whether this step of a sequence reads its weights backwards (tiled.h) */
    int wants_stop, stop;     /* this slice asks to give up; a slice has asked, and all know it */
};

/* The columns of the widest input that a layer has. */
size_t qrnn_widest_input(const qrnn_module *m);

/* The sizes of the rooms of a block that computes one of `slices` slices of a module (layout.h). */
void qrnn_rooms_make(const qrnn_module *m, size_t slices, enum qrnn_purpose purpose, struct qrnn_rooms *rooms);

/* Opens a block for at most `rows` rows of a step. `own` is the block's own memory, `shared` is used by the blocks of
 * all slices; `layout` has the offsets in both. */
void qrnn_block_open(struct qrnn_block *b, const qrnn_module *m, size_t slice, size_t slices,
                     const struct qrnn_layout *layout, size_t rows, enum qrnn_purpose purpose, unsigned char *own,
                     unsigned char *shared);
/* Initializes the shared memory; called once. */
void qrnn_block_clear_shared(const struct qrnn_block *b, size_t rows);

/* `count` panels of a matrix from panel `first` on. */
struct qrnn_panels qrnn_slice(const struct qrnn_panels *w, size_t first, size_t count);

/* Makes the block compute with `cell`. */
void qrnn_block_set_cell(struct qrnn_block *b, const struct qrnn_cell *cell);

/* One scale for n values; 0 if one of them is not finite. v == NULL stands for zeros. */
int qrnn_choose_scale(const qrnn_module *m, const struct qrnn_activations *activations, size_t n, const float *v,
                      struct qrnn_act *act);

/* Prepares rows of n values for the product with `matrix`: as codes, or, where it takes floats, as pointers to them.
 * `extents` are the least and largest values of each row; NULL if they are not known, or if o->given, a scale for all
 * rows, is set. Returns 1; or 0 in a format whose rows share a scale, if a value is not finite. Where each row has its
 * own scale, that of a row with such a value becomes NaN. */
int qrnn_encode(const qrnn_module *m, const struct qrnn_matrix *matrix, struct qrnn_operand *o, size_t rows, size_t n,
                const float *const *v, const struct qrnn_extents *extents);

/* The form of an encoded operand that `matrix` multiplies. */
QRNN_INLINE const struct qrnn_inputs *qrnn_inputs_of(const struct qrnn_operand *o, const struct qrnn_matrix *matrix)
{
    return matrix->activations->most_code ? &o->coded : &o->floats;
}

/* The same from row `first` on. */
struct qrnn_inputs qrnn_inputs_from(const struct qrnn_operand *o, const struct qrnn_matrix *matrix, size_t first);

/* Waits until every slice of the block's team is here, and learns whether to stop. */
void qrnn_block_meet(struct qrnn_block *b);

/* standalone.c: `seen`, [rows][n], becomes the values that the codes of the rows stand for, times roots[i] >= 0. m's
 * engine has to quantize each row by itself. No value of row i is larger than bounds[i] in size; bounds[i] is NaN if
 * the row is not finite. `room` is working memory of qrnn_codes_room(n) bytes. */
void qrnn_see_rows(const qrnn_module *m, size_t rows, size_t n, const float *const *v, const float *roots, float *seen,
                   float *bounds, uint8_t *room);
size_t qrnn_codes_room(size_t n);

/* How many rows are encoded at once: enough for their divisions to overlap. */
enum { QRNN_CODED_ROWS = 16 };

/* cells.c: one step. It takes the input's product `ih`, which it may overwrite, and the encoded states, and makes the
 * next states. */
void qrnn_cell_step(struct qrnn_block *b, size_t rows, float *ih);
/* Some steps of one row, for cells with a kernel for them, from the products in b->ih_product. The h of a step lies
 * h_stride floats behind that of the step before. */
void qrnn_cell_steps(const struct qrnn_block *b, size_t steps, ptrdiff_t h_stride);

#endif
