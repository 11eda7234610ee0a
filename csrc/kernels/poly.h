/* poly.h - tanh, sigmoid and the functions of other activations, written once over the vocabulary of vec_*.h. Each is
 * one sequence of correctly rounded operations, so it gives the same bits on every instruction set.
 *
 *                   error in ulp of the true value, over all floats (tests/c/ulp.c checks every float)
 *   tanh_f32        at most 1.85
 *   tanh_exact_f32  correctly rounded
 *   sigmoid_f32     at most 1.89, denormal results too
 *
 *                   the same over one float in 211 (tests/core/test_options.py checks fewer)
 *   expm1_f32       at most 2.6, for x <= 0
 *   softplus_f32    at most 3.4, denormal results too
 *
 * All have these properties: a NaN gives a NaN, tanh keeps the sign of zero, |tanh| and sigmoid are at most 1, and
 * there are no branches. Clamps and relu have the constant as the first operand: if an operand is a NaN, v_min and
 * v_max return the second one, so a NaN passes. tools/fit_poly.py makes the tables.
 *
 * The time of an end depends on the number of operations, not on divisions (LSTM on Zen 4: 27.7 ns for 16 units with
 * five divisions, 27.6 with three). So tanh and sigmoid compute e^w as a quotient of few operations and divide once:
 *
 *   e^t = s e^w,   s = 2^n,   w = t - n ln2,   e^w = (a + w) / (a - w),   a = w coth(w/2) = 2 + w^2/6 - ...
 *
 * Adding 1.5 * 2^23 (doubles: 1.5 * 2^52) rounds to an integer and leaves that integer in the low bits, which v_pow2
 * uses. */
#ifndef QRNN_POLY_H
#define QRNN_POLY_H

#define QRNN_ROUNDER 12582912.0f         /* 1.5 * 2^23 */
#define QRNN_ROUNDER_F64 6755399441055744.0 /* 1.5 * 2^52 */
#define QRNN_LOG2_E 0x1.715476p+0f
#define QRNN_LOG2_E_F64 0x1.71547652b82fep+0
#define QRNN_LN2 0x1.62e43p-1f
#define QRNN_LN2_HIGH 0x1.62e4p-1f       /* 16 bits, so n * QRNN_LN2_HIGH is exact for |n| < 256 */
#define QRNN_LN2_LOW 0x1.7f7d1cp-20f
#define QRNN_HALF_LN2_F64 0x1.62e42fefa39efp-2

#define QRNN_TANH_ONE 10.0f              /* tanh rounds to 1 from 9.0109 on */

/* a as a polynomial of w^2, |w| <= 0.512; error 0.38 * 2^-24 of w / a. */
static const float qrnn_coth[] = {
    0x1p+1f,
    0x1.555452p-3f,
    -0x1.68f38ep-9f,
};

/* D(z) in tanh x = x - x^3 / D(x^2), 0 <= z <= 1: 3 + 6/5 z - ..., which is almost a straight line. Error 0.0048 *
 * 2^-53 of tanh. */
static const double qrnn_exact_near[] = {
    0x1.8000000000001p+1, 0x1.33333333332d4p+0,   -0x1.767dce42f02cap-8, 0x1.0a4e155c51535p-12,  -0x1.997ca41b8f1b6p-17,
    0x1.4172b4cff0b3p-21, -0x1.fb59038813eb4p-26, 0x1.89ca058f96aa4p-30, -0x1.f663de25d4244p-35,
};

/* q(v) in (e^2v - 1)/2 = v + v^2 q(v), |v| <= ln2/4. Error 9.9e-05 * 2^-53 of tanh for x >= 1. */
static const double qrnn_exact_far[] = {
    0x1p+0,
    0x1.555555555555ap-1,
    0x1.555555555553ep-2,
    0x1.111111110f167p-3,
    0x1.6c16c16c21e23p-5,
    0x1.a01a01b1e2a11p-7,
    0x1.a01a016886536p-9,
    0x1.71ddf39123e0dp-11,
    0x1.27e5645e75b2p-13,
    0x1.af66a4131fc97p-16,
    0x1.1e9d58966cbfdp-18,
};

/* Turns every NaN into the one NaN of results, 0x7FC00000. */
QRNN_INLINE f32v v_canonical(f32v y)
{
    return v_select(v_is_nan(y), v_set1(NAN), y);
}

/* max(x, 0) as PyTorch has it: -0 stays -0. */
QRNN_INLINE f32v relu_f32(f32v x)
{
    return v_max(v_set1(0.0f), x);
}

/* w coth(w/2) for z = w^2 */
QRNN_INLINE f32v coth_f32(f32v z)
{
    const float *c = qrnn_coth;
    return v_fma(z, v_fma(z, v_set1(c[2]), v_set1(c[1])), v_set1(c[0]));
}

/* With t = 2 min(|x|, 10) and r = (s - 1)/2:
 *
 *   tanh = num / den,   num = (e^t - 1) (a - w)/2 = r (a + w) + w,   den = (e^t + 1) (a - w)/2 = num + (a - w)
 *
 * den is not less than num even when rounded, so the result is at most 1. Near 1, what num lost by rounding is lost in
 * both. n = rint(t log2 e - 61/256), so that n is 0 up to |x| = 0.2558, where num is just w (with plain rint n is 0
 * only up to 0.1733, and the error is 2.36 ulp below tanh = 1/4, the end of a binade). */
QRNN_INLINE f32v tanh_f32(f32v x)
{
    const f32v half = v_set1(0.5f), bias = v_set1(QRNN_ROUNDER + 126.0f);
    const f32v held = v_min(v_set1(QRNN_TANH_ONE), v_abs(x)), t = v_add(held, held);

    const f32v k = v_add(v_fma(held, v_set1(2.0f * QRNN_LOG2_E), v_set1(-0x1.e8p-3f)), bias);
    const f32v n = v_sub(k, bias), r = v_sub(v_pow2(k), half);
    const f32v w = v_fnma(n, v_set1(QRNN_LN2), t), a = coth_f32(v_mul(w, w));
    const f32v num = v_fma(r, v_add(a, w), w);
    return v_copysign(v_div(num, v_add(num, v_sub(a, w))), x);
}

/* 1 / (1 + e^-x), with numerator and denominator times c = 2^-64. This keeps e^-x in range down to the last denormal,
 * with x clamped to -105..20 (results 0 and 1):
 *
 *   c e^-x = S (a - w) / (a + w),   S = c 2^n,   w = x + n ln2,   M = a + w
 *
 *   sigmoid = c M / (c M + S (a - w)) = c M / ((c + S) M - 2 w S)
 *
 * So what rounding M loses is lost in both. c + S is not exact for |n| > 23: what its rounding lost, times 2 in place
 * of M, is added to -2 w S (without that the error is 2.22 ulp at x = -16.8; with S (a - w) it is 2.47, with 5
 * operations less and 2.6 % less time for an LSTM's step of 64 units). */
QRNN_INLINE f32v sigmoid_f32(f32v x)
{
    const f32v c = v_set1(0x1p-64f), bias = v_set1(QRNN_ROUNDER + 127.0f - 64.0f);
    const f32v held = v_max(v_set1(-105.0f), v_min(v_set1(20.0f), x));

    const f32v k = v_fma(held, v_set1(-QRNN_LOG2_E), bias);
    const f32v n = v_sub(k, bias), S = v_pow2(k);
    const f32v w = v_fma(n, v_set1(QRNN_LN2_LOW), v_fma(n, v_set1(QRNN_LN2_HIGH), held));
    const f32v M = v_add(coth_f32(v_mul(w, w)), w);

    const f32v sum = v_add(c, S), lost = v_sub(c, v_sub(sum, S));
    const f32v rest = v_fnma(S, v_add(w, w), v_add(lost, lost));
    return v_div(v_mul(c, M), v_fma(sum, M, rest));
}

/* e^x for x <= 0, clamped to -105, where e^x is 0. It computes 2^64 e^x, which is never denormal, and multiplies by
 * 2^-64. */
QRNN_INLINE f32v exp_f32(f32v x)
{
    const f32v bias = v_set1(QRNN_ROUNDER + 127.0f + 64.0f);
    const f32v held = v_max(v_set1(-105.0f), v_min(v_set1(0.0f), x));

    const f32v k = v_fma(held, v_set1(QRNN_LOG2_E), bias);
    const f32v n = v_sub(k, bias);
    const f32v w = v_fnma(n, v_set1(QRNN_LN2_LOW), v_fnma(n, v_set1(QRNN_LN2_HIGH), held));
    const f32v a = coth_f32(v_mul(w, w));
    return v_mul(v_mul(v_pow2(k), v_div(v_add(a, w), v_sub(a, w))), v_set1(0x1p-64f));
}

/* e^x - 1 for x <= 0, clamped to -20, where it is -1: twice the num of tanh(x/2), divided by a - w. */
QRNN_INLINE f32v expm1_f32(f32v x)
{
    const f32v half = v_set1(0.5f), bias = v_set1(QRNN_ROUNDER + 126.0f);
    const f32v t = v_max(v_set1(-20.0f), v_min(v_set1(0.0f), x));

    const f32v k = v_add(v_fma(t, v_set1(QRNN_LOG2_E), v_set1(0x1.e8p-3f)), bias);
    const f32v n = v_sub(k, bias), r = v_sub(v_pow2(k), half);
    const f32v w = v_fnma(n, v_set1(QRNN_LN2), t), a = coth_f32(v_mul(w, w));
    const f32v num = v_fma(r, v_add(a, w), w);
    return v_div(v_add(num, num), v_sub(a, w));
}

/* log(1 + e^x) = max(x, 0) + log(1 + u), u = e^-|x|: log(1 + u) = 2 artanh(v/2) = v + v z (1/3 + z/5 + ... + z^6/15),
 * v = u / (1 + u/2), z = v^2/4 <= 1/9. */
QRNN_INLINE f32v softplus_f32(f32v x)
{
    const f32v u = exp_f32(v_sub(v_set1(0.0f), v_abs(x)));
    const f32v v = v_div(u, v_fma(u, v_set1(0.5f), v_set1(1.0f))), z = v_mul(v_mul(v, v), v_set1(0.25f));
    f32v p = v_set1(1.0f / 15.0f);
    for (int odd = 13; odd >= 3; odd -= 2) p = v_fma(p, z, v_set1(1.0f / (float)odd));
    return v_add(v_max(v_set1(0.0f), x), v_fma(v_mul(v, z), p, v));
}

/* c[0] + c[1] x + ... + c[count - 1] x^(count - 1), for odd `count`. Even and odd powers are summed side by side. */
QRNN_INLINE f64v d_poly(const double *c, int count, f64v x)
{
    const f64v xx = d_mul(x, x);
    f64v even = d_set1(c[count - 1]), odd = d_set1(c[count - 2]);
    for (int i = count - 3; i > 0; i -= 2) {
        even = d_fma(even, xx, d_set1(c[i]));
        odd = d_fma(odd, xx, d_set1(c[i - 1]));
    }
    return d_fma(odd, x, d_fma(even, xx, d_set1(c[0])));
}

/* tanh in double, for floats 0 <= a <= 10; error at most 1.08 ulp of a double. Rounded to float it is the correctly
 * rounded tanh of every float, because no float's tanh is within 5 ulp of a double of the middle of two floats (the
 * closest, tanh 0x1.86fbc4p-10, is 5.04 away; all were tried). */
QRNN_INLINE f64v tanh_f64(f64v a)
{
    const f64v one = d_set1(1.0), half = d_set1(0.5);
    const f64v bias = d_set1(QRNN_ROUNDER_F64 + 1023.0);

    const f64v k = d_fma(a, d_set1(2.0 * QRNN_LOG2_E_F64), bias);
    const f64v n = d_sub(k, bias), s = d_pow2(k);
    const f64v v = d_fnma(n, d_set1(QRNN_HALF_LN2_F64), a);
    const f64v E = d_fma(d_mul(v, v), d_poly(qrnn_exact_far, 11, v), v);
    const f64v far_c = d_fma(s, E, d_fma(s, half, half));

    const f64v A = d_min(one, a), z = d_mul(A, A);
    const f64v C = d_select(d_lt(a, one), d_poly(qrnn_exact_near, 9, z), far_c);
    return d_sub(A, d_div(d_mul(z, A), C));
}

QRNN_INLINE f32v tanh_exact_f32(f32v x)
{
    const f32v a = v_min(v_set1(QRNN_TANH_ONE), v_abs(x));
    const f32v t = v_join_f32(tanh_f64(v_lo_f64(a)), tanh_f64(v_hi_f64(a)));
    return v_copysign(t, x);
}

#endif
