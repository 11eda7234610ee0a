/* choose.h - scale and zero point of a row from its extent, in float32. Everything that quantises rows by
 * themselves has it from here.
 *
 *   lo = min(0, lo), hi = max(0, hi) ;  s = hi*c - lo*c, c = 1/255 ;  inv = 1/s ;
 *   zp = clamp(rint(-lo * inv), 0, 255)
 *
 * A range too small for a normal scale gives codes 0: |v| < 255 * FLT_MIN, so inv = 0 and s = 1. A row
 * that is not finite gets the scale NaN, and with it everything that is computed from it. */
#ifndef QRNN_CHOOSE_H
#define QRNN_CHOOSE_H

#include <float.h>
#include <math.h>

QRNN_INLINE struct qrnn_act choose_row(float lo, float hi, int finite)
{
    const float c = 1.0f / 255.0f;
    lo = lo < 0.0f ? lo : 0.0f;
    hi = hi > 0.0f ? hi : 0.0f;
    const float s = hi * c - lo * c;
    if (!finite) return (struct qrnn_act){NAN, 0.0f, 0};
    if (s < FLT_MIN) return (struct qrnn_act){1.0f, 0.0f, 0};
    const float inv = 1.0f / s, zp = qrnn_rint(-lo * inv);
    return (struct qrnn_act){s, inv, (int32_t)(zp < 255.0f ? zp : 255.0f)}; /* zp >= 0, as lo <= 0 */
}

/* The body of a kernel file's `encode`: its range and its quantise_by. Scales first, then codes, so that the
 * divisions of several rows overlap: 6 % of a step of 32 rows of 16. */
#define QRNN_ENCODE_ROWS                                                                               \
    static void encode(size_t rows, size_t n, const float *const *v, const struct qrnn_extent *extent, \
                       struct qrnn_act *act, uint8_t *q, size_t q_stride)                              \
    {                                                                                                  \
        for (size_t i = 0; i < rows; i++) {                                                            \
            const struct qrnn_extent e = extent ? extent[i] : extent_of(v[i], n);                      \
            act[i] = choose_row(e.lo, e.hi, e.finite);                                                 \
        }                                                                                              \
        for (size_t i = 0; i < rows; i++, q += q_stride) {                                             \
            if (act[i].inv == 0.0f)                                                                    \
                memset(q, 0, qrnn_round_up(n, QRNN_LINE));                                             \
            else                                                                                       \
                quantise_by(QRNN_ROUND_PRODUCT, v[i], n, &act[i], q);                                  \
        }                                                                                              \
    }

#endif
