/* formats.h - the formats of weights and of the activations they multiply: kernels/formats.def has a row for each
 * format and each product. Formats belong to a matrix, so one layer may hold a float32 matrix beside an int8 one. */
#ifndef QRNN_FORMATS_H
#define QRNN_FORMATS_H

#include "kernels.h"

/* oneDNN's interface takes reciprocals of scales: each goes through 1/x twice. */
QRNN_INLINE float qrnn_through_reciprocal(double scale)
{
    return 1.0f / (float)(1.0 / scale);
}

/* Packed weights. */
struct qrnn_weights {
    const char *name;
    int coded;                /* the caller gives codes and scales; 0: floats */
};

const struct qrnn_weights *qrnn_weights_row(enum qrnn_weight_format format);

/* Activations. */
struct qrnn_activations {
    const char *name;
    enum qrnn_activation_format format;
    int most_code;            /* the largest code; 0: floats, which are not encoded */
    size_t planes; /* how many bytes a code has, each in a row of bytes of its own (a plane); 0 for floats */
    int per_row; /* each row has its scale, which the kernel chooses; 0: all rows share one */
    enum qrnn_rounding rounding;
    /* Chooses scale and zero point from a finite extent, where all rows share them. */
    void (*choose)(const struct qrnn_extent *extent, struct qrnn_act *act);
};

/* Bytes of a row of n codes: each plane is padded to whole cache lines. */
QRNN_INLINE size_t qrnn_code_stride(const struct qrnn_activations *a, size_t n)
{
    return a->planes * qrnn_round_up(n, QRNN_LINE);
}

const struct qrnn_activations *qrnn_activations_row(enum qrnn_activation_format format);
/* NULL if no format has this name. */
const struct qrnn_activations *qrnn_activations_find(const char *name);

/* Whether all rows that a call quantizes at once share a scale and a zero point. */
QRNN_INLINE int qrnn_activations_share_scale(const struct qrnn_activations *a)
{
    return a->most_code && !a->per_row;
}

/* The kernel that multiplies the two; QRNN_PRODUCTS if there is none. */
enum qrnn_product_kernel qrnn_product_of(enum qrnn_weight_format weights, enum qrnn_activation_format activations);
/* The most columns for which it is exact; 0: any number. */
size_t qrnn_product_depth(enum qrnn_product_kernel product);

#endif
