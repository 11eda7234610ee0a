/* poly.h - tanh and sigmoid, written once over the vocabulary of vec_*.h: one sequence of correctly
 * rounded operations, so the same bits on every instruction set.
 *
 *                   of all floats, in ulp of the true value (tests/c/ulp.c checks every float)
 *   tanh_f32        within 1.07; 98 % of |x| in 2^-13 .. 9 correctly rounded
 *   tanh_exact_f32  correctly rounded
 *   sigmoid_f32     within 1.72, denormal results too
 *
 * All three: a NaN gives a NaN, tanh keeps the sign of zero, and there are no branches. The clamps name
 * the constant first: v_min and v_max give the second operand where one is a NaN, so a NaN passes. A
 * relu alike.
 * tools/fit_poly.py makes the tables.
 *
 * With e^2y = 2^n e^2v, n = rint(2y log2 e) and v = y - n ln2/2, so |v| <= ln2/4:
 *
 *   e^2y = s (1 + 2 E),   s = 2^n,   E = (e^2v - 1)/2 = v + v^2 q(v)
 *
 * Adding 1.5 * 2^23 (doubles: 1.5 * 2^52) rounds to an integer, and leaves that integer in the low
 * bits, where v_pow2 takes it from. */
#ifndef QRNN_POLY_H
#define QRNN_POLY_H

#define QRNN_ROUNDER 12582912.0f         /* 1.5 * 2^23 */
#define QRNN_ROUNDER_F64 6755399441055744.0 /* 1.5 * 2^52 */
#define QRNN_LOG2_E 0x1.715476p+0f
#define QRNN_LOG2_E_F64 0x1.71547652b82fep+0
#define QRNN_HALF_LN2 0x1.62e43p-2f
#define QRNN_HALF_LN2_F64 0x1.62e42fefa39efp-2
#define QRNN_HALF_LN2_HIGH 0x1.62e4p-2f  /* 16 bits: n times it is exact for |n| < 256 */
#define QRNN_HALF_LN2_LOW 0x1.7f7d1cp-21f

#define QRNN_TANH_ONE 10.0f              /* from here on (9.0109 in fact) tanh rounds to 1 */

/* D(z) of tanh x = x - x^3 / D(x^2), 0 <= z <= 1: 3 + 6/5 z - ..., next to a straight line.
 * Error 0.039 * 2^-24 of tanh. */
static const float qrnn_tanh_near[] = {
    0x1.800006p+1f,
    0x1.3332bap+0f,
    -0x1.750566p-8f,
    0x1.dad2a2p-13f,
};

/* q(v), its error weighted by what tanh takes of it for x >= 1: 0.29 * 2^-24 of tanh. */
static const float qrnn_tanh_far[] = {
    0x1.fffdd2p-1f,
    0x1.55571ap-1f,
    0x1.57365p-2f,
    0x1.10b4d4p-3f,
};

/* q(v): 0.053 * 2^-24 of e^2v. */
static const float qrnn_sigmoid[] = {
    0x1.fffffcp-1f,
    0x1.555494p-1f,
    0x1.5558bep-2f,
    0x1.123856p-3f,
    0x1.6a3d0cp-5f,
};

/* D(z): 0.0048 * 2^-53 of tanh. */
static const double qrnn_exact_near[] = {
    0x1.8000000000001p+1,
    0x1.33333333332d4p+0,
    -0x1.767dce42f02cap-8,
    0x1.0a4e155c51535p-12,
    -0x1.997ca41b8f1b6p-17,
    0x1.4172b4cff0b3p-21,
    -0x1.fb59038813eb4p-26,
    0x1.89ca058f96aa4p-30,
    -0x1.f663de25d4244p-35,
};

/* q(v): 9.9e-05 * 2^-53 of tanh for x >= 1. */
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

/* The one NaN that leaves: 0x7FC00000. */
QRNN_INLINE f32v v_canonical(f32v y)
{
    return v_select(v_is_nan(y), v_set1(NAN), y);
}

/* max(x, 0) as PyTorch has it: -0 stays -0. */
QRNN_INLINE f32v relu_f32(f32v x)
{
    return v_max(v_set1(0.0f), x);
}

/* With a = min(|x|, 10) and A = min(a, 1):
 *
 *   tanh a = A - A^3 / C,   C = D(A^2) for a < 1, else (1 + e^2a)/2 = (1 + s)/2 + s v + s v^2 q(v)
 *
 * so one division serves both forms, and what it rounds is at most a third of the result. q by
 * pairs and s v^2 beside it: the longest way through is some 40 cycles on Zen 3, 10 of them the
 * division. */
QRNN_INLINE f32v tanh_f32(f32v x)
{
    const float *d = qrnn_tanh_near, *q = qrnn_tanh_far;
    const f32v one = v_set1(1.0f), half = v_set1(0.5f);
    const f32v bias = v_set1(QRNN_ROUNDER + 127.0f);
    const f32v a = v_min(v_set1(QRNN_TANH_ONE), v_abs(x));

    const f32v k = v_fma(a, v_set1(2.0f * QRNN_LOG2_E), bias);
    const f32v n = v_sub(k, bias), s = v_pow2(k);
    const f32v v = v_fnma(n, v_set1(QRNN_HALF_LN2), a), vv = v_mul(v, v);
    const f32v q01 = v_fma(v, v_set1(q[1]), v_set1(q[0]));
    const f32v q23 = v_fma(v, v_set1(q[3]), v_set1(q[2]));
    const f32v linear = v_fma(s, v, v_fma(s, half, half));
    const f32v far_c = v_fma(v_mul(s, vv), v_fma(vv, q23, q01), linear);

    const f32v A = v_min(one, a), z = v_mul(A, A);
    const f32v d23 = v_fma(z, v_set1(d[3]), v_set1(d[2]));
    const f32v near_c = v_fma(z, v_fma(z, d23, v_set1(d[1])), v_set1(d[0]));

    const f32v C = v_select(v_lt(a, one), near_c, far_c);
    return v_copysign(v_sub(A, v_div(v_mul(z, A), C)), x);
}

/* 1 / (1 + e^-x), both sides times c = 2^-64, which keeps e^-x in range down to the last denormal:
 *
 *   c / (c + S/2 + S E),   S = 2 c s,   y = -x/2,   x held in -105..20 (results 0 and 1)
 *
 * S E is exact. c + S/2 is not for |n| > 23: what its rounding lost is added to S E (without that,
 * 2.33 ulp at x = -16.6). */
QRNN_INLINE f32v sigmoid_f32(f32v x)
{
    const float *q = qrnn_sigmoid;
    const f32v c = v_set1(0x1p-64f), half = v_set1(0.5f);
    const f32v bias = v_set1(QRNN_ROUNDER + 127.0f - 63.0f);
    const f32v held = v_max(v_set1(-105.0f), v_min(v_set1(20.0f), x));

    const f32v k = v_fma(held, v_set1(-QRNN_LOG2_E), bias);
    const f32v n = v_sub(k, bias), S = v_pow2(k);
    const f32v y = v_mul(held, v_set1(-0.5f));
    const f32v v = v_fnma(n, v_set1(QRNN_HALF_LN2_LOW), v_fnma(n, v_set1(QRNN_HALF_LN2_HIGH), y));
    const f32v vv = v_mul(v, v);
    const f32v q01 = v_fma(v, v_set1(q[1]), v_set1(q[0]));
    const f32v q23 = v_fma(v, v_set1(q[3]), v_set1(q[2]));
    const f32v E = v_fma(vv, v_fma(vv, v_fma(vv, v_set1(q[4]), q23), q01), v);

    const f32v sum = v_fma(S, half, c), lost = v_sub(c, v_fnma(S, half, sum));
    return v_div(c, v_add(sum, v_fma(S, E, lost)));
}

/* c[0] + c[1] x + ... + c[count - 1] x^(count - 1), count odd, even and odd powers side by side. */
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

/* The same in double, for floats 0 <= a <= 10: within 1.08 ulp of a double. Rounded to float that
 * is the correctly rounded tanh of every float, because no float's tanh lies within 5 ulp of a
 * double of the middle between two floats (closest: tanh 0x1.86fbc4p-10, 5.04; all were tried). */
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
