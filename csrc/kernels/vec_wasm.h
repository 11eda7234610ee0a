/* vec_wasm.h - the vector vocabulary (defined in vec_scalar.h) in 4 lanes of WebAssembly's simd128, without the words
 * that only moments.h uses. A kernel file includes it after kernels.h, <float.h>, <math.h> and <wasm_simd128.h>. */
#ifndef QRNN_VEC_H
#define QRNN_VEC_H

#include "fma.h"

typedef v128_t f32v;
typedef v128_t f64v;
typedef v128_t m32v;
typedef v128_t m64v;
enum { LANES = 4, REGISTERS = 16 };

QRNN_INLINE f32v v_set1(float x)
{
    return wasm_f32x4_splat(x);
}

QRNN_INLINE f32v v_load(const float *p)
{
    return wasm_v128_load(p);
}

QRNN_INLINE void v_store(float *p, f32v a)
{
    wasm_v128_store(p, a);
}

QRNN_INLINE f32v v_load_u8(const uint8_t *p)
{
    return wasm_f32x4_convert_u32x4(wasm_u32x4_extend_low_u16x8(wasm_u16x8_extend_low_u8x16(wasm_v128_load32_zero(p))));
}

QRNN_INLINE f32v v_load_n(const float *p, size_t n)
{
    if (n == 1) return wasm_v128_load32_zero(p);
    const f32v pair = wasm_v128_load64_zero(p);
    return n == 2 ? pair : wasm_v128_load32_lane(p + 2, pair, 2);
}

QRNN_INLINE void v_store_n(float *p, f32v a, size_t n)
{
    if (n & 2) wasm_v128_store64_lane(p, a, 0);
    if (n == 3) wasm_v128_store32_lane(p + 2, a, 2);
    if (n == 1) wasm_v128_store32_lane(p, a, 0);
}

QRNN_INLINE f32v v_add(f32v a, f32v b)
{
    return wasm_f32x4_add(a, b);
}

QRNN_INLINE f32v v_sub(f32v a, f32v b)
{
    return wasm_f32x4_sub(a, b);
}

QRNN_INLINE f32v v_mul(f32v a, f32v b)
{
    return wasm_f32x4_mul(a, b);
}

QRNN_INLINE f32v v_div(f32v a, f32v b)
{
    return wasm_f32x4_div(a, b);
}

QRNN_INLINE f64v v_lo_f64(f32v a)
{
    return wasm_f64x2_promote_low_f32x4(a);
}

QRNN_INLINE f64v v_hi_f64(f32v a)
{
    return wasm_f64x2_promote_low_f32x4(wasm_i64x2_shuffle(a, a, 1, 1));
}

QRNN_INLINE f32v v_join_f32(f64v lo, f64v hi)
{
    return wasm_i64x2_shuffle(wasm_f32x4_demote_f64x2_zero(lo), wasm_f32x4_demote_f64x2_zero(hi), 0, 2);
}

/* a * b + c, made odd if the sum lost something, as in qrnn_own_fma (fma.h); two at a time. */
QRNN_INLINE f64v d_odd_sum(f64v a, f64v b, f64v c)
{
    const f64v p = wasm_f64x2_mul(a, b), s = wasm_f64x2_add(p, c), t = wasm_f64x2_sub(s, p);
    const f64v e = wasm_f64x2_add(wasm_f64x2_sub(p, wasm_f64x2_sub(s, t)), wasm_f64x2_sub(c, t));
    const f64v zero = wasm_f64x2_const_splat(0.0), one = wasm_i64x2_const_splat(1);
    const m64v up = wasm_f64x2_gt(e, zero), lost = wasm_v128_or(up, wasm_f64x2_lt(e, zero));
    const m64v even = wasm_i64x2_eq(wasm_v128_and(s, one), wasm_i64x2_const_splat(0));
    const f64v step = wasm_v128_or(wasm_v128_xor(up, wasm_f64x2_gt(s, zero)), one); /* 1, or -1 towards zero */
    return wasm_i64x2_add(s, wasm_v128_and(step, wasm_v128_and(even, lost)));
}

static __attribute__((noinline)) f32v v_odd_fma(f32v a, f32v b, f32v c)
{
    return v_join_f32(d_odd_sum(v_lo_f64(a), v_lo_f64(b), v_lo_f64(c)),
                      d_odd_sum(v_hi_f64(a), v_hi_f64(b), v_hi_f64(c)));
}

/* WebAssembly has no instruction for it. The exact product plus c is rounded to double. This rounding never crosses the
 * middle of two floats, so rounding the double to float gives the right result, unless the double is such a middle
 * itself. The middle of two normal floats has these 29 last bits; a tiny value may be a middle with other bits. */
QRNN_INLINE f32v v_fma(f32v a, f32v b, f32v c)
{
    const f64v lo = wasm_f64x2_add(wasm_f64x2_mul(v_lo_f64(a), v_lo_f64(b)), v_lo_f64(c));
    const f64v hi = wasm_f64x2_add(wasm_f64x2_mul(v_hi_f64(a), v_hi_f64(b)), v_hi_f64(c));
    const f32v y = v_join_f32(lo, hi);
    const v128_t last = wasm_v128_and(wasm_i32x4_shuffle(lo, hi, 0, 2, 4, 6), wasm_i32x4_const_splat(0x1fffffff));
    const m32v middle = wasm_i32x4_eq(last, wasm_i32x4_const_splat(0x10000000));
    const m32v tiny = wasm_f32x4_le(wasm_f32x4_abs(y), wasm_f32x4_const_splat(FLT_MIN));
    if (__builtin_expect(wasm_v128_any_true(wasm_v128_or(middle, tiny)), 0)) return v_odd_fma(a, b, c);
    return y;
}

QRNN_INLINE f32v v_fnma(f32v a, f32v b, f32v c)
{
    return v_fma(wasm_f32x4_neg(a), b, c);
}

QRNN_INLINE m32v v_lt(f32v a, f32v b)
{
    return wasm_f32x4_lt(a, b);
}

QRNN_INLINE f32v v_select(m32v m, f32v a, f32v b)
{
    return wasm_v128_bitselect(a, b, m);
}

/* pmin(x, y) is y < x ? y : x. */
QRNN_INLINE f32v v_min(f32v a, f32v b)
{
    return wasm_f32x4_pmin(b, a);
}

/* pmax(x, y) is x < y ? y : x. */
QRNN_INLINE f32v v_max(f32v a, f32v b)
{
    return wasm_f32x4_pmax(b, a);
}

QRNN_INLINE f32v v_abs(f32v a)
{
    return wasm_f32x4_abs(a);
}

QRNN_INLINE f32v v_copysign(f32v a, f32v b)
{
    return wasm_v128_or(a, wasm_v128_and(b, wasm_f32x4_const_splat(-0.0f)));
}

QRNN_INLINE m32v v_is_nan(f32v a)
{
    return wasm_f32x4_ne(a, a);
}

QRNN_INLINE void v_extremes(f32v least, f32v most, float *lo, float *hi)
{
    least = v_min(least, wasm_i64x2_shuffle(least, least, 1, 0));
    most = v_max(most, wasm_i64x2_shuffle(most, most, 1, 0));
    *lo = wasm_f32x4_extract_lane(v_min(least, wasm_i32x4_shuffle(least, least, 1, 0, 3, 2)), 0);
    *hi = wasm_f32x4_extract_lane(v_max(most, wasm_i32x4_shuffle(most, most, 1, 0, 3, 2)), 0);
}

QRNN_INLINE float v_total(f32v a)
{
    const f32v half = v_add(a, wasm_i64x2_shuffle(a, a, 1, 1));
    return wasm_f32x4_extract_lane(half, 0) + wasm_f32x4_extract_lane(half, 1);
}

QRNN_INLINE int32_t nearest_s32(float x)
{
    return (int32_t)qrnn_rint(x);
}

QRNN_INLINE int m_any(m32v m)
{
    return wasm_v128_any_true(m);
}

QRNN_INLINE f32v v_pow2(f32v k)
{
    return wasm_i32x4_shl(k, 23);
}

QRNN_INLINE f64v d_set1(double x)
{
    return wasm_f64x2_splat(x);
}

QRNN_INLINE f64v d_sub(f64v a, f64v b)
{
    return wasm_f64x2_sub(a, b);
}

QRNN_INLINE f64v d_mul(f64v a, f64v b)
{
    return wasm_f64x2_mul(a, b);
}

QRNN_INLINE f64v d_div(f64v a, f64v b)
{
    return wasm_f64x2_div(a, b);
}

/* By the C library, one lane after the other: only the exact tanh uses it. */
static __attribute__((noinline)) f64v d_fma(f64v a, f64v b, f64v c)
{
    return wasm_f64x2_make(
        fma(wasm_f64x2_extract_lane(a, 0), wasm_f64x2_extract_lane(b, 0), wasm_f64x2_extract_lane(c, 0)),
        fma(wasm_f64x2_extract_lane(a, 1), wasm_f64x2_extract_lane(b, 1), wasm_f64x2_extract_lane(c, 1)));
}

QRNN_INLINE f64v d_fnma(f64v a, f64v b, f64v c)
{
    return d_fma(wasm_f64x2_neg(a), b, c);
}

QRNN_INLINE f64v d_min(f64v a, f64v b)
{
    return wasm_f64x2_pmin(b, a);
}

QRNN_INLINE m64v d_lt(f64v a, f64v b)
{
    return wasm_f64x2_lt(a, b);
}

QRNN_INLINE f64v d_select(m64v m, f64v a, f64v b)
{
    return wasm_v128_bitselect(a, b, m);
}

QRNN_INLINE f64v d_pow2(f64v k)
{
    return wasm_i64x2_shl(k, 52);
}

#endif
