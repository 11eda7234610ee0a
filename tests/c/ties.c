/* ties.c - the correctly rounded tanh against MPFR, for every float whose tanh lies so near the middle of two
 * floats that the error of a double could decide.
 *
 *   cc -std=c11 -O3 -Icsrc/core -Icsrc/kernels tests/c/ties.c csrc/core/?*.c csrc/kernels/?*.c -lmpfr -lm \
 *      -lpthread -o ties
 *   ./ties [every how many floats]       1: every one
 *
 * Far from a tie a double of 2^-50 relative error rounds rightly, which ulp.c checks. Last line:
 * "N passed, M failed", of results of instruction sets. */
#include "qrnn.h"

#include <math.h>
#include <mpfr.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCK = 4096 };

static unsigned long long passed, failed;
static mpfr_t wide, narrow;

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Whether t, a double's tanh, is within 2^-36 of the middle of two floats: far more than its error. */
static int near_tie(double t)
{
    const double margin = 0x1p-36;
    return (float)(t * (1.0 - margin)) != (float)(t * (1.0 + margin));
}

/* Rounded once: 24 bits and the exponents of a float. */
static float by_mpfr(float x)
{
    mpfr_set_flt(wide, x, MPFR_RNDN);
    const int inexact = mpfr_tanh(narrow, wide, MPFR_RNDN);
    mpfr_subnormalize(narrow, inexact, MPFR_RNDN);
    return mpfr_get_flt(narrow, MPFR_RNDN);
}

static void check(const float *x, const float *want, size_t n, const char *isa)
{
    static float got[BLOCK];
    qrnn_apply(QRNN_TANH_EXACT, isa, n, x, got);
    for (size_t i = 0; i < n; i++) {
        const int right = got[i] == want[i];
        passed += (unsigned)right;
        failed += (unsigned)!right;
        if (!right && failed < 20) printf("WRONG %s: tanh(%a) = %a\n", isa, (double)x[i], (double)got[i]);
    }
}

static void check_all(const float *x, size_t n)
{
    static float want[BLOCK];
    for (size_t i = 0; i < n; i++) want[i] = by_mpfr(x[i]);
    for (size_t i = 0; qrnn_isa_name(i); i++)
        if (qrnn_isa_supported(i)) check(x, want, n, qrnn_isa_name(i));
}

int main(int argc, char **argv)
{
    const uint32_t every = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 1;
    static float x[BLOCK];
    size_t n = 0;
    mpfr_set_emin(-148); /* of floats, denormals included */
    mpfr_set_emax(128);
    mpfr_init2(wide, 24);
    mpfr_init2(narrow, 24);
    /* tanh is odd, x itself below 2^-13 to within a quarter of an ulp, and 1 above 9.02. */
    for (uint32_t bits = 0x39000000u; bits < 0x41110000u; bits += every ? every : 1) {
        const float v = float_of(bits);
        if (!near_tie(tanh((double)v))) continue;
        x[n++] = v;
        if (n == BLOCK) {
            check_all(x, n);
            n = 0;
        }
    }
    check_all(x, n);
    printf("%llu passed, %llu failed\n", passed, failed);
    return failed != 0 || passed == 0;
}
