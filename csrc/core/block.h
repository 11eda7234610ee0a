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

/* Activations as a product takes them: codes with scale and zero point a row, or floats. */
struct qrnn_operand {
    const struct qrnn_act *whole; /* engines with one scale for the batch: given; NULL: by the extents */
    struct qrnn_extent *extent; /* [rows] */
    struct qrnn_act *act;     /* [rows] */
    uint8_t *codes;           /* [rows][code_stride] */
    size_t code_stride;
    const float *floats;      /* float modules: the rows, at a stride, */
    size_t float_stride;
    float *staged;            /* gathered here [rows][cols] where they have none */
};

/* Extents of rows, by slices of units: what threads that share a call found, each in its slice. */
struct qrnn_extents {
    struct qrnn_extent *at;   /* [slices][rows] */
    size_t slices, rows;
};

/* What a block is for: a step, one whose products are shown, a sequence, whose rows need not lie at a
 * stride. */
enum qrnn_block_use { QRNN_BLOCK_STEP, QRNN_BLOCK_DOOR, QRNN_BLOCK_SEQUENCE };

struct qrnn_team;

struct qrnn_block {
    const qrnn_module *m;
    size_t slice, slices;     /* this one, and how many there are */
    size_t first, units;      /* hidden units of the slice */
    /* Packed weights of the slice: the unit's, or, where it is not all of them, these. */
    const struct qrnn_panels *ih, *hh, *hn, *hr;
    struct qrnn_panels *sliced; /* [4] */
    size_t hr_first;          /* state units that hr makes, from here on */

    struct qrnn_operand x, h;
    struct qrnn_operand inner;/* values made inside a step: r * h, or the LSTM's state before projection */
    size_t stride;            /* of ih products: gates * padded units of the slice */
    size_t hh_stride, part_stride;
    float *ih_product;        /* [input rows][stride] */
    float *hh_product;        /* [rows][hh_stride], where it is not added to the input's */
    float *part;              /* [rows][part_stride]: what hn or hr makes */
    float *zeros;             /* a state of zeros */
    const float **x_from;     /* [x rows] */
    const float **h_from, **c_from; /* [rows] states before a step */
    float **h_to, **c_to;     /* [rows] and after it */
    struct qrnn_extents before, after; /* extents of the rows of h */
    /* Shared by the slices: */
    float *made;              /* [rows][hidden_size] what is quantized inside a step */
    float **made_rows;
    struct qrnn_extents made_extents;
    struct qrnn_team *team;   /* whom to wait for between writing and reading; NULL: nobody */
    int wants_stop, stop;     /* this slice wants to give up; all know of one that does */

    int32_t *acc_ih, *acc_hh, *acc_part; /* the test door's, else NULL: integer sums */
};

/* Cuts `bytes` off the memory at *next, on a line. With *next == NULL nothing is there, and the
 * addresses count the bytes. */
QRNN_INLINE void *qrnn_cut(uintptr_t *next, size_t bytes)
{
    const uintptr_t at = *next;
    *next = at + qrnn_round_up(bytes, QRNN_LINE);
    return (void *)at;
}

/* Sets the sizes of a slice, then cuts its own memory, and the shared one where `shared`, the block that
 * has it already, is NULL. x_rows and rows: most rows of x and of a step. */
void qrnn_block_layout(struct qrnn_block *b, const qrnn_module *m, size_t slice, size_t slices, size_t x_rows,
                       size_t rows, enum qrnn_block_use use, const struct qrnn_block *shared, uintptr_t *next);

/* The block `at`, which was laid out at address `from`, in memory at `to`. */
void qrnn_block_place(struct qrnn_block *b, const struct qrnn_block *at, uintptr_t from, uintptr_t to);

/* `count` panels of a matrix from panel `first` on. */
struct qrnn_panels qrnn_slice(const struct qrnn_panels *w, size_t first, size_t count);

/* The weights that the block computes with. */
void qrnn_block_use(struct qrnn_block *b, const struct qrnn_unit *unit);

/* One scale for n values; 0 if one of them is not finite. v == NULL stands for zeros. */
int qrnn_choose_whole(const qrnn_module *m, size_t n, const float *v, struct qrnn_act *act);

/* Codes (or, of a float module, the whereabouts) of rows of n values. `extents` of the rows, or NULL where they
 * are to be found by reading or o->whole is given. 0 if one scale is for all and a value is not finite. */
int qrnn_encode(const qrnn_module *m, struct qrnn_operand *o, size_t rows, size_t n, const float *const *v,
                const struct qrnn_extents *extents);

/* y = W operand, from its row `first` on (+ add). */
void qrnn_multiply(const qrnn_module *m, const struct qrnn_panels *w, const struct qrnn_operand *o, size_t first,
                   const struct qrnn_product *out);

/* Waits until every slice of the block's team is here, and learns whether to stop. */
void qrnn_block_meet(struct qrnn_block *b);

#endif
