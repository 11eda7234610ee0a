/* vec_scalar.h - the vector vocabulary with one lane. It defines what the words of every other vec_*.h mean.
 *
 * Each vec_*.h defines f32v (LANES floats, in one of REGISTERS), f64v (half as many doubles, at least one), their masks
 * m32v and m64v, and the operations below, v_ on f32v and d_ on f64v. Each operation is exact or one correctly rounded
 * IEEE operation, so an expression of them has the same bits on every instruction set. poly.h, elementwise.h,
 * dequantize.h and product.h are written in it.
 *
 * A kernel file includes it inside its target region, after kernels.h and <math.h>.
 */
#ifndef QRNN_VEC_H
#define QRNN_VEC_H

#include "fma.h"

#include <string.h>

typedef float f32v;
typedef double f64v;
typedef int m32v;
typedef int m64v;
enum { LANES = 1 };

QRNN_INLINE f32v v_set1(float x)
{
    return x;
}

QRNN_INLINE f32v v_load(const float *p)
{
    return *p;
}

QRNN_INLINE void v_store(float *p, f32v a)
{
    *p = a;
}

/* Loads unsigned bytes. */
QRNN_INLINE f32v v_load_u8(const uint8_t *p)
{
    return (float)*p;
}

/* Loads the first n lanes, 0 < n < LANES; the others become 0, and their memory is not read. With one lane there is no
 * such n. */
QRNN_INLINE f32v v_load_n(const float *p, size_t n)
{
    (void)n;
    return *p;
}

QRNN_INLINE void v_store_n(float *p, f32v a, size_t n)
{
    (void)n;
    *p = a;
}

QRNN_INLINE f32v v_add(f32v a, f32v b)
{
    return a + b;
}

QRNN_INLINE f32v v_sub(f32v a, f32v b)
{
    return a - b;
}

QRNN_INLINE f32v v_mul(f32v a, f32v b)
{
    return a * b;
}

QRNN_INLINE f32v v_div(f32v a, f32v b)
{
    return a / b;
}

/* a * b + c, rounded once */
QRNN_INLINE f32v v_fma(f32v a, f32v b, f32v c)
{
    return qrnn_fma(a, b, c);
}

/* c - a * b, rounded once */
QRNN_INLINE f32v v_fnma(f32v a, f32v b, f32v c)
{
    return qrnn_fma(-a, b, c);
}

/* Keeps a comparison apart from the choice that follows. clang 14 turns the two, as in 0 > x ? 0 : x, into
 * WebAssembly's f32.max, for which +0 is more than -0. */
QRNN_INLINE int apart(int comparison)
{
#if defined(__wasm__)
    __asm__("" : "+r"(comparison));
#endif
    return comparison;
}

/* a < b ? a : b, so b if either is a NaN */
QRNN_INLINE f32v v_min(f32v a, f32v b)
{
    return apart(a < b) ? a : b;
}

/* a > b ? a : b, so b if either is a NaN */
QRNN_INLINE f32v v_max(f32v a, f32v b)
{
    return apart(a > b) ? a : b;
}

QRNN_INLINE f32v v_abs(f32v a)
{
    return fabsf(a);
}

/* a >= 0 with the sign bit of b */
QRNN_INLINE f32v v_copysign(f32v a, f32v b)
{
    return copysignf(a, b);
}

QRNN_INLINE m32v v_lt(f32v a, f32v b)
{
    return a < b;
}

QRNN_INLINE m32v v_is_nan(f32v a)
{
    return a != a;
}

/* m ? a : b */
QRNN_INLINE f32v v_select(m32v m, f32v a, f32v b)
{
    return m ? a : b;
}

/* The smallest lane of `least` and the largest lane of `most`, both without NaN. */
QRNN_INLINE void v_extremes(f32v least, f32v most, float *lo, float *hi)
{
    *lo = least;
    *hi = most;
}

/* The sum of the lanes: the upper half is added to the lower one, and so on. */
QRNN_INLINE float v_total(f32v a)
{
    return a;
}

/* The integer next to x, half to even. */
QRNN_INLINE int32_t nearest_s32(float x)
{
    return (int32_t)qrnn_rint(x);
}

/* Whether any lane is set. */
QRNN_INLINE int m_any(m32v m)
{
    return m;
}

/* 2^e for k = 1.5 * 2^23 + 127 + e, e in -126..127: the low bits of k are the exponent field. */
QRNN_INLINE f32v v_pow2(f32v k)
{
    uint32_t bits;
    memcpy(&bits, &k, sizeof bits);
    bits <<= 23;
    memcpy(&k, &bits, sizeof bits);
    return k;
}

/* The two halves of a vector as doubles, and a vector of two halves rounded to float. With one lane both halves are the
 * whole. */
QRNN_INLINE f64v v_lo_f64(f32v a)
{
    return (double)a;
}

QRNN_INLINE f64v v_hi_f64(f32v a)
{
    return (double)a;
}

QRNN_INLINE f32v v_join_f32(f64v lo, f64v hi)
{
    (void)hi;
    return (float)lo;
}

QRNN_INLINE f64v d_set1(double x)
{
    return x;
}

QRNN_INLINE f64v d_load(const double *p)
{
    return *p;
}

QRNN_INLINE void d_store(double *p, f64v a)
{
    *p = a;
}

QRNN_INLINE f64v d_sub(f64v a, f64v b)
{
    return a - b;
}

QRNN_INLINE f64v d_mul(f64v a, f64v b)
{
    return a * b;
}

QRNN_INLINE f64v d_div(f64v a, f64v b)
{
    return a / b;
}

QRNN_INLINE f64v d_fma(f64v a, f64v b, f64v c)
{
    return fma(a, b, c);
}

QRNN_INLINE f64v d_fnma(f64v a, f64v b, f64v c)
{
    return fma(-a, b, c);
}

QRNN_INLINE f64v d_min(f64v a, f64v b)
{
    return a < b ? a : b;
}

QRNN_INLINE m64v d_lt(f64v a, f64v b)
{
    return a < b;
}

QRNN_INLINE f64v d_select(m64v m, f64v a, f64v b)
{
    return m ? a : b;
}

/* 2^e for k = 1.5 * 2^52 + 1023 + e, e in -1022..1023 */
QRNN_INLINE f64v d_pow2(f64v k)
{
    uint64_t bits;
    memcpy(&bits, &k, sizeof bits);
    bits <<= 52;
    memcpy(&k, &bits, sizeof bits);
    return k;
}

#endif
