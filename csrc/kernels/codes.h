/* codes.h - turns floats into codes, 16 at a time, where vectors have 4 lanes: neon.c and wasm.c. Included before
 * choose.h.
 *
 * The including file defines the vocabulary of vec_*.h and
 *
 *   s32v  s_set1  s_add
 *   s_nearest(v)      rounds half to even
 *   s_within(v, most) v clamped to -most..most
 *   s_high(v), s_low(v)    v >> QRNN_PLANE_BITS, and the bits below
 *   codes_store(q, c) stores 16 bytes from four vectors within +-2^15, each value clamped to 0..255 */
#ifndef QRNN_CODES_H
#define QRNN_CODES_H

enum { CODE_VECTORS = 4, CODES_AT_ONCE = CODE_VECTORS * LANES };

QRNN_INLINE s32v code_s32(enum qrnn_rounding rounding, f32v v, f32v inv, f32v zp, s32v zp_s32)
{
    switch (rounding) {
    case QRNN_ROUND_PRODUCT: return s_add(s_nearest(v_mul(v, inv)), zp_s32);
    case QRNN_ROUND_FUSED: return s_nearest(v_fma(v, inv, zp));
    case QRNN_ROUND_TWICE: return s_nearest(v_add(v_mul(v, inv), zp));
    }
    QRNN_UNREACHABLE();
}

/* Loads 16 values, or the first n of them and zeros. */
QRNN_INLINE void values_load(const float *v, size_t n, f32v *x)
{
    for (size_t i = 0; i < CODE_VECTORS; i++, v += LANES)
        x[i] = n >= (i + 1) * LANES ? v_load(v) : n > i * LANES ? v_load_n(v, n - i * LANES) : v_set1(0.0f);
}

QRNN_INLINE void quantize_by(enum qrnn_rounding rounding, const float *v, size_t n, const struct qrnn_act *act,
                             uint8_t *q)
{
    const f32v inv = v_set1(act->inv), zp = v_set1((float)act->zero_point);
    const s32v zp_s32 = s_set1(act->zero_point);
    for (size_t i = 0; i < n; i += CODES_AT_ONCE) {
        f32v x[CODE_VECTORS];
        s32v c[CODE_VECTORS];
        values_load(v + i, n - i, x);
        for (int j = 0; j < CODE_VECTORS; j++) c[j] = code_s32(rounding, x[j], inv, zp, zp_s32);
        codes_store(q + i, c);
    }
}

QRNN_INLINE void quantize_s13(const float *v, size_t n, const struct qrnn_act *act, uint8_t *high, uint8_t *low)
{
    const f32v inv = v_set1(act->inv);
    const s32v zp = s_set1(QRNN_ZERO_S13);
    for (size_t i = 0; i < n; i += CODES_AT_ONCE) {
        f32v x[CODE_VECTORS];
        s32v upper[CODE_VECTORS], lower[CODE_VECTORS];
        values_load(v + i, n - i, x);
        for (int j = 0; j < CODE_VECTORS; j++) {
            const s32v code = s_add(s_within(s_nearest(v_mul(x[j], inv)), QRNN_MOST_S13), zp);
            upper[j] = s_high(code);
            lower[j] = s_low(code);
        }
        codes_store(high + i, upper);
        codes_store(low + i, lower);
    }
}

#endif
