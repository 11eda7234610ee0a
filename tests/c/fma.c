/* fma.c - the fused multiply-adds that the core brings for machines and compilers without a right one, against exact
 * integers, and those against the C library's fmaf where that is right: values of chance, and built ones, whose exact
 * sum lies at the middle of two floats or by a hair beside it. WebAssembly with simd128 has one of vectors too.
 *
 *   cc -std=c11 -O2 -Icsrc/core -Icsrc/kernels tests/c/fma.c -lm -o fma && ./fma [rounds]
 *
 * Last line: "N passed, M failed". */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#if QRNN_WASM
#include <wasm_simd128.h>

#include "vec_wasm.h"
#else
#include "fma.h"
#endif

static unsigned long passed, failed;
static uint64_t state = 88172645463325252u;

static uint32_t random_bits(void)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

__extension__ typedef unsigned __int128 wide;

/* x = +-m * 2^*exponent of a finite x. */
static wide parts(float x, int *exponent)
{
    const float m = frexpf(fabsf(x), exponent); /* 24 bits */
    *exponent -= 24;
    return (wide)(uint32_t)ldexpf(m, 24);
}

/* m * 2^exponent of m > 0, rounded to a float. */
static float rounded(wide m, int exponent)
{
    const uint64_t high = (uint64_t)(m >> 64), low = (uint64_t)m;
    const int bits = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll(low);
    const int drop = bits - 24 > -149 - exponent ? bits - 24 : -149 - exponent; /* bits below the last place */
    if (drop <= 0) return ldexpf((float)(uint32_t)m, exponent);
    if (drop > bits + 1) return 0.0f;
    const wide kept = m >> drop, rest = m - (kept << drop), half = (wide)1 << (drop - 1);
    return ldexpf((float)(uint32_t)(kept + (rest > half || (rest == half && (kept & 1)))), exponent + drop);
}

/* In integers: product and c with 48 bits each, and below the larger one's 64 more. What of the smaller one lies further
 * down can but move the sum off a middle, which an odd last bit does too. */
static float exact_fma(float a, float b, float c)
{
    const double product = (double)a * b; /* exact */
    if (!isfinite(product) || !isfinite(c) || product == 0.0 || c == 0.0f) return (float)(product + c);
    int ea, eb, ec;
    wide p = parts(a, &ea) * parts(b, &eb), q = parts(c, &ec) << 24;
    int ep = ea + eb;
    while (!(p >> 47)) p <<= 1, ep--;
    ec -= 24;
    const int higher = ep > ec || (ep == ec && p >= q), gap = higher ? ep - ec : ec - ep, lost = gap > 111 ? 111 : gap;
    const wide big = (higher ? p : q) << 64, whole = (higher ? q : p) << 64;
    const wide small = (whole >> lost) | ((whole & (((wide)1 << lost) - 1)) != 0);
    const wide sum = (product < 0.0) == !!signbit(c) ? big + small : big - small;
    if (!sum) return 0.0f;
    const float y = rounded(sum, (higher ? ep : ec) - 64);
    return (higher ? product < 0.0 : !!signbit(c)) ? -y : y;
}

static void compare(const char *name, float a, float b, float c, float got, float want)
{
    uint32_t w, g;
    memcpy(&w, &want, sizeof w);
    memcpy(&g, &got, sizeof g);
    const int right = w == g || (want != want && got != got);
    passed += (unsigned long)right;
    failed += (unsigned long)!right;
    if (!right && failed < 20)
        printf("FAILED: %s: %a * %a + %a: %a, should be %a\n", name, (double)a, (double)b, (double)c, (double)got,
               (double)want);
}

#if QRNN_WASM
/* Four at a time, as they come. */
static void check_vectors(float a, float b, float c)
{
    static float of[3][LANES];
    static int filled;
    float got[2][LANES];
    of[0][filled] = a, of[1][filled] = b, of[2][filled] = c;
    if (++filled < LANES) return;
    filled = 0;
    v_store(got[0], v_fma(v_load(of[0]), v_load(of[1]), v_load(of[2])));
    v_store(got[1], v_fnma(v_load(of[0]), v_load(of[1]), v_load(of[2])));
    for (int i = 0; i < LANES; i++) {
        compare("v_fma", of[0][i], of[1][i], of[2][i], got[0][i], exact_fma(of[0][i], of[1][i], of[2][i]));
        compare("v_fnma", of[0][i], of[1][i], of[2][i], got[1][i], exact_fma(-of[0][i], of[1][i], of[2][i]));
    }
}
#endif

static void check(float a, float b, float c)
{
    const float want = exact_fma(a, b, c);
    compare("qrnn_own_fma", a, b, c, qrnn_own_fma(a, b, c), want);
#if !defined(QRNN_OWN_FMA)
    compare("the integers", a, b, c, want, fmaf(a, b, c));
#endif
#if QRNN_WASM
    check_vectors(a, b, c);
#endif
}

/* A float of few bits, so that products and sums of two are often exact or a tie. */
static float short_float(void)
{
    const int bits = 1 + (int)(random_bits() % 24), exponent = (int)(random_bits() % 60) - 30;
    const float m = (float)((random_bits() >> 8) >> (24 - bits));
    return ldexpf(random_bits() & 1 ? m : -m, exponent);
}

/* The middle of two floats, and what lies one double beside it, as a product plus a float: of every binade. */
static void check_middles(int exponent)
{
    const float big = ldexpf(1.0f + (float)(random_bits() >> 9) * 0x1p-23f, exponent);
    const float half = ldexpf(1.0f, exponent - 24);
    for (int k = -60; k <= 60; k++) {
        const float near = 1.0f + (float)k * 0x1p-23f;
        for (int sign = 0; sign < 4; sign++) {
            const float b = sign & 1 ? -big : big, h = sign & 2 ? -half : half;
            check(h, near, b);
            check(h, near * 0x1p-1f, b);
            check(b, near, h);
            check(b, near, -b);
        }
    }
}

int main(int argc, char **argv)
{
    const long rounds = argc > 1 ? atol(argv[1]) : 2000000;
    for (long i = 0; i < rounds; i++) {
        check(float_of(random_bits()), float_of(random_bits()), float_of(random_bits()));
        check(short_float(), short_float(), short_float());
        const float a = short_float(), b = short_float(); /* what nearly cancels */
        check(a, b, float_of((uint32_t)(random_bits() % 9) - 4 + 0x3f800000) * -(a * b));
    }
    for (int exponent = -148; exponent < 127; exponent++) check_middles(exponent);
    static const float ends[] = {0.0f,      -0.0f,      INFINITY,        -INFINITY, NAN,
                                 0x1p-149f, -0x1p-149f, 0x1.fffffep127f, 1.0f,      -1.0f};
    enum { ENDS = sizeof ends / sizeof ends[0] };
    for (int i = 0; i < ENDS * ENDS * ENDS; i++) check(ends[i % ENDS], ends[i / ENDS % ENDS], ends[i / ENDS / ENDS]);
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
