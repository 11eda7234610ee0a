/* choose.h - a row's scale and zero point from its extent, in float32, and the codes of the row. All formats with a
 * scale for each row use it.
 *
 *   u8:   lo = min(0, lo), hi = max(0, hi) ;  s = hi*c - lo*c, c = 1/255 ;  inv = 1/s ;
 *         zp = clamp(rint(-lo * inv), 0, 255)
 *   s13:  s = max(-lo, hi) * c, c = 1/4095 ;  inv = 1/s ;  code = clamp(rint(v*inv), -4095, 4095) + zp, zp = 4096
 *
 * If the range is so small that s < FLT_MIN, then inv = 0, s = 1 and all codes are zp, which is 0 in u8 (|v| < FLT_MIN
 * / c there). A row that is not finite gets the scale NaN, so all that is computed from it is NaN.
 *
 * The including file defines the vocabulary of vec_*.h and
 *
 *   quantize_by(rounding, v, n, act, q)    codes of n values; the padding to a line's end is multiplied by weights of 0
 *   quantize_s13(v, n, act, high, low)     the same in two planes */
#ifndef QRNN_CHOOSE_H
#define QRNN_CHOOSE_H

#include <float.h>
#include <math.h>
#include <string.h>

QRNN_INLINE struct qrnn_act choose_row(float lo, float hi, int finite)
{
    const float c = 1.0f / 255.0f;
    lo = lo < 0.0f ? lo : 0.0f;
    hi = hi > 0.0f ? hi : 0.0f;
    const float s = hi * c - lo * c;
    if (!finite) return (struct qrnn_act){NAN, 0.0f, 0};
    if (s < FLT_MIN) return (struct qrnn_act){1.0f, 0.0f, 0};
    const float inv = 1.0f / s, zp = -lo * inv; /* zp >= 0, as lo <= 0 */
    return (struct qrnn_act){s, inv, nearest_s32(zp < 255.0f ? zp : 255.0f)};
}

QRNN_INLINE struct qrnn_act choose_s13(float lo, float hi, int finite)
{
    const float c = 1.0f / QRNN_MOST_S13, s = (-lo > hi ? -lo : hi) * c;
    if (!finite) return (struct qrnn_act){NAN, 0.0f, QRNN_ZERO_S13};
    if (s < FLT_MIN) return (struct qrnn_act){1.0f, 0.0f, QRNN_ZERO_S13};
    return (struct qrnn_act){s, 1.0f / s, QRNN_ZERO_S13};
}

QRNN_INLINE void quantize_row(const float *v, size_t n, const struct qrnn_act *act, uint8_t *q)
{
    if (act->inv == 0.0f)
        memset(q, 0, qrnn_round_up(n, QRNN_LINE));
    else
        quantize_by(QRNN_ROUND_PRODUCT, v, n, act, q);
}

static void quantize(size_t rows, size_t n, const float *const *v, const struct qrnn_act *act,
                     enum qrnn_rounding rounding, uint8_t *q, size_t q_stride)
{
    for (size_t i = 0; i < rows; i++, q += q_stride) {
        if (rounding == QRNN_ROUND_FUSED) /* a constant argument, so that the compiler makes a loop for each rounding */
            quantize_by(QRNN_ROUND_FUSED, v[i], n, &act[i], q);
        else
            quantize_by(QRNN_ROUND_TWICE, v[i], n, &act[i], q);
    }
}

/* For several rows it finds all scales before it encodes, so that the divisions overlap (6 % of a step of 32 rows of 16
 * units). For one row the scale goes from register to register (1.5 % of a step of 16 units). */
static void encode_u8(size_t rows, size_t n, const float *const *v, const struct qrnn_extent *extent,
                      struct qrnn_act *act, uint8_t *q, size_t q_stride)
{
    if (rows == 1) {
        const struct qrnn_extent e = extent ? extent[0] : extent_of(v[0], n);
        const struct qrnn_act a = choose_row(e.lo, e.hi, e.finite);
        act[0] = a;
        quantize_row(v[0], n, &a, q);
        return;
    }
    for (size_t i = 0; i < rows; i++) {
        const struct qrnn_extent e = extent ? extent[i] : extent_of(v[i], n);
        act[i] = choose_row(e.lo, e.hi, e.finite);
    }
    for (size_t i = 0; i < rows; i++) quantize_row(v[i], n, &act[i], q + i * q_stride);
}

static void encode_s13(size_t rows, size_t n, const float *const *v, const struct qrnn_extent *extent,
                       struct qrnn_act *act, uint8_t *q, size_t q_stride)
{
    const size_t plane = q_stride / 2;
    for (size_t i = 0; i < rows; i++) {
        const struct qrnn_extent e = extent ? extent[i] : extent_of(v[i], n);
        act[i] = choose_s13(e.lo, e.hi, e.finite);
    }
    for (size_t i = 0; i < rows; i++, q += q_stride) {
        if (act[i].inv == 0.0f) {
            memset(q, QRNN_ZERO_S13 >> QRNN_PLANE_BITS, plane);
            memset(q + plane, 0, plane);
        } else {
            quantize_s13(v[i], n, &act[i], q, q + plane);
        }
    }
}

#endif
