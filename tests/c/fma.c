/* fma.c - the fused multiply-add that the core brings for machines and compilers without a right one, against a right
 * fmaf: values of chance, and built ones, whose exact sum lies at the middle of two floats or by a hair beside it.
 *
 *   cc -std=c11 -O2 -Icsrc/core -Icsrc/kernels tests/c/fma.c -lm -o fma && ./fma [rounds]
 *
 * Last line: "N passed, M failed". */
#include "fma.h"

#include <stdio.h>
#include <stdlib.h>

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

static void check(float a, float b, float c)
{
    const float want = fmaf(a, b, c), got = qrnn_own_fma(a, b, c);
    uint32_t w, g;
    memcpy(&w, &want, sizeof w);
    memcpy(&g, &got, sizeof g);
    const int right = w == g || (want != want && got != got);
    passed += (unsigned long)right;
    failed += (unsigned long)!right;
    if (!right && failed < 20) printf("FAILED: %a * %a + %a: %a, should be %a\n", a, b, c, got, want);
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
