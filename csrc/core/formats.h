/* formats.h - what a matrix stores and what it meets: kernels/formats.def has a row for each format and product. A
 * matrix has its own, so one layer may hold a float32 matrix beside an int8 one. */
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
    int coded;                /* given as codes and scales, else as floats */
};

const struct qrnn_weights *qrnn_weights_row(enum qrnn_weight_format format);

/* Activations. */
struct qrnn_activations {
    const char *name;
    enum qrnn_activation_format format;
    int most_code;            /* 0: floats as they are */
    size_t planes;            /* rows of bytes that a row of codes takes; 0 of floats */
    int per_row;              /* quantized row by row, by the kernel; else by one scale for all that is there */
    enum qrnn_rounding rounding;
    /* A finite extent to scale and zero point, of one scale for all. */
    void (*choose)(const struct qrnn_extent *extent, struct qrnn_act *act);
};

/* Bytes of a row of n codes: each plane fills its lines. */
QRNN_INLINE size_t qrnn_code_stride(const struct qrnn_activations *a, size_t n)
{
    return a->planes * qrnn_round_up(n, QRNN_LINE);
}

const struct qrnn_activations *qrnn_activations_row(enum qrnn_activation_format format);
/* NULL of no such name. */
const struct qrnn_activations *qrnn_activations_find(const char *name);

/* Whether a scale and a zero point are chosen for all rows that a call quantizes at once. */
QRNN_INLINE int qrnn_activations_share_scale(const struct qrnn_activations *a)
{
    return a->most_code && !a->per_row;
}

/* The kernel that multiplies them, QRNN_PRODUCTS if there is none. */
enum qrnn_product_kernel qrnn_product_of(enum qrnn_weight_format weights, enum qrnn_activation_format activations);
/* The most columns that it multiplies; 0: any. */
size_t qrnn_product_depth(enum qrnn_product_kernel product);

#endif
