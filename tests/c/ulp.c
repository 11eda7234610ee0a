/* ulp.c - checks tanh, tanh_exact, sigmoid and relu over the floats, on every instruction set that
 * this CPU has: the scalar results against a reference, the others against the scalar bits.
 *
 *     cc -std=c11 -O3 -Icsrc/core -Icsrc/kernels tests/c/ulp.c csrc/kernels/[a-z]*.c -lm -o ulp
 *     ./ulp             every 1021st float, and all near a power of two: seconds
 *     ./ulp 7           every 7th
 *     ./ulp all         every float: minutes; `./ulp all tanh` only one function
 *
 * An error is |got - true| / ulp, ulp being the distance of floats in the binade of the true value
 * (2^-149 for denormals). Where a double cannot decide, a long double of 64 bits does. Nine floats in ten need
 * neither, since the true value is so near to a limit (`settled`) that a result with its bits is right.
 * Exit status 1 if anything is wrong. */
#include "kernels.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(LDBL_MANT_DIG >= 64, "the reference needs a long double of 64 bits");

enum { BLOCK = 4096 };
#define NAN_BITS 0x7fc00000u

struct function {
    const char *name;
    qrnn_function index;
    double limit;             /* ulp, as poly.h promises; 0.5: correctly rounded; 0: exact */
    int (*settled)(float, float *); /* whether this is the true value, rounded, and within 0.2 ulp */
    double (*fast)(double);   /* relative error below 2^-49 */
    long double (*fine)(long double);
};

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static long double sigmoid_fine(long double x)
{
    return 1.0L / (1.0L + expl(-x));
}

/* -0 stays -0. Not x < 0 ? 0 : x, of which a compiler has made a maximum that makes it +0. */
static double relu(double x)
{
    return signbit(x) && x != 0.0 ? 0.0 : x;
}

static long double relu_fine(long double x)
{
    return signbit(x) && x != 0.0L ? 0.0L : x;
}

/* x - tanh x < x^3 / 3, at most 0.09 ulp below 2^-13; 1 - tanh 10 = 0.07 ulp. */
static int tanh_settled(float x, float *y)
{
    if (fabsf(x) < 0x1p-13f) return *y = x, 1;
    if (fabsf(x) >= 10.0f) return *y = copysignf(1.0f, x), 1;
    return 0;
}

/* 1/2 + x/4 - ..., at most 0.13 ulp from 1/2; 1 - sigmoid 20 = 0.04 ulp; e^-105 = 0.18 ulp of 0. */
static int sigmoid_settled(float x, float *y)
{
    if (fabsf(x) < 0x1p-26f) return *y = 0.5f, 1;
    if (x >= 20.0f) return *y = 1.0f, 1;
    if (x <= -105.0f) return *y = 0.0f, 1;
    return 0;
}

static int relu_settled(float x, float *y)
{
    return *y = signbit(x) && x != 0.0f ? 0.0f : x, x == x;
}

static const struct function functions[] = {
    {"tanh", QRNN_TANH, 1.85, tanh_settled, tanh, tanhl},
    {"tanh_exact", QRNN_TANH_EXACT, 0.5, tanh_settled, tanh, tanhl},
    {"sigmoid", QRNN_SIGMOID, 1.89, sigmoid_settled, sigmoid, sigmoid_fine},
    {"relu", QRNN_RELU, 0.0, relu_settled, relu, relu_fine},
};

static const char *const isa_names[] = {
#define QRNN_ISA(name, needs) #name,
#include "isa.def"
#undef QRNN_ISA
};
enum { ISAS = sizeof isa_names / sizeof isa_names[0] };

static struct qrnn_kernels tables[ISAS];
static int present[ISAS];

/* Of one function */
struct tally {
    double worst;             /* ulp */
    float worst_at;
    unsigned long long floats, wrong, differing[ISAS];
};

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* 1 / ulp of the binade of t */
static double per_ulp(double t)
{
    int exponent;
    frexp(t, &exponent); /* |t| in 2^(exponent - 1) .. 2^exponent */
    return ldexp(1.0, exponent < -125 || t == 0.0 ? 149 : 24 - exponent);
}

static int correctly_rounded(const struct function *f, float x, float got)
{
    const double t = f->fast((double)x), margin = 0x1p-48;
    const float low = (float)(t * (1.0 - margin)), high = (float)(t * (1.0 + margin));
    if (low == high) return got == low;
    const long double fine = f->fine((long double)x), fine_margin = 0x1p-60L;
    const float fine_low = (float)(fine * (1.0L - fine_margin));
    const float fine_high = (float)(fine * (1.0L + fine_margin));
    return fine_low == fine_high && got == fine_low; /* undecided is wrong */
}

/* The result's error if it may matter, else a smaller number. */
static double error_ulp(const struct function *f, float x, float got, double threshold)
{
    const double t = f->fast((double)x), scale = per_ulp(t);
    const double error = fabs((double)got - t) * scale;
    if (error < threshold - 1e-6) return error;
    return (double)fabsl((long double)got - f->fine((long double)x)) * scale;
}

static void check(const struct function *f, float x, float got, struct tally *tally)
{
    int good;
    float y;
    if (f->settled(x, &y) && bits_of(got) == bits_of(y)) return;
    if (x != x) {
        good = bits_of(got) == NAN_BITS;
    } else if (f->limit == 0.0 || x == 0.0f) {
        good = bits_of(got) == bits_of((float)f->fast((double)x));
    } else {
        const double threshold = tally->worst < f->limit ? tally->worst : f->limit;
        const double error = error_ulp(f, x, got, threshold);
        if (error > tally->worst) {
            tally->worst = error;
            tally->worst_at = x;
        }
        good = f->limit == 0.5 ? correctly_rounded(f, x, got) : error <= f->limit;
    }
    if (!good && tally->wrong++ < 5)
        printf("WRONG %s(%a) = %a (0x%08x)\n", f->name, (double)x, (double)got, (unsigned)bits_of(got));
}

static void check_block(const struct function *f, const float *x, size_t n, struct tally *tally)
{
    float expected[BLOCK], got[BLOCK];
    tables[0].map[f->index](x, expected, n);
    for (size_t i = 0; i < n; i++) check(f, x[i], expected[i], tally);
    for (size_t isa = 1; isa < ISAS; isa++) {
        if (!present[isa]) continue;
        memcpy(got, x, n * sizeof *x); /* in place, too */
        tables[isa].map[f->index](got, got, n);
        if (memcmp(got, expected, n * sizeof *got) == 0) continue;
        for (size_t i = 0; i < n; i++) {
            if (bits_of(got[i]) == bits_of(expected[i]) || tally->differing[isa]++ >= 5) continue;
            printf("DIFFERS %s(%a): scalar %a, %s %a\n", f->name, (double)x[i], (double)expected[i], isa_names[isa],
                   (double)got[i]);
        }
    }
    tally->floats += n;
}

/* count floats from bits `first` on, `stride` apart; modulo 2^32 */
static void check_run(const struct function *f, uint32_t first, uint64_t count, uint32_t stride, struct tally *tally)
{
    float x[BLOCK];
    size_t n = 0;
    for (uint64_t i = 0; i < count; i++) {
        x[n++] = float_of(first + (uint32_t)i * stride);
        if (n == BLOCK || i + 1 == count) {
            check_block(f, x, n, tally);
            n = 0;
        }
    }
}

/* Prints a line an instruction set; returns how many of them failed. */
static unsigned report(const struct function *f, const struct tally *tally)
{
    unsigned failed = tally->wrong != 0;
    printf("%-10s %-10s %s, %llu floats", f->name, isa_names[0], failed ? "FAILED" : "ok", tally->floats);
    if (f->limit > 0.0) printf(", worst %.5f ulp at %a", tally->worst, (double)tally->worst_at);
    printf("\n");
    for (size_t isa = 1; isa < ISAS; isa++) {
        if (!present[isa]) continue;
        const int differs = tally->differing[isa] != 0;
        failed += (unsigned)differs;
        printf("%-10s %-10s %s\n", f->name, isa_names[isa], differs ? "FAILED" : "ok, scalar's bits");
    }
    fflush(stdout);
    return failed;
}

int main(int argc, char **argv)
{
    const char *argument = argc > 1 ? argv[1] : "1021";
    const int every = strcmp(argument, "all") == 0;
    const uint32_t stride = every ? 1 : (uint32_t)strtoul(argument, NULL, 10);
    if (stride == 0) {
        fprintf(stderr, "usage: %s [stride | all [function]]\n", argv[0]);
        return 2;
    }
    unsigned sets = 0, done = 0, failed = 0;
    for (size_t isa = 0; isa < ISAS; isa++) {
        present[isa] = qrnn_kernels_init(&tables[isa], isa_names[isa]) != NULL;
        sets += (unsigned)present[isa];
        if (!present[isa]) printf("SKIPPED    %s: not on this CPU\n", isa_names[isa]);
    }
    for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
        struct tally tally = {0};
        if (argc > 2 && strcmp(argv[2], functions[i].name) != 0) continue;
        check_run(&functions[i], 0, ((UINT64_C(1) << 32) + stride - 1) / stride, stride, &tally);
        for (uint32_t power = 0; power < 512; power++) check_run(&functions[i], (power << 23) - 100u, 200, 1, &tally);
        /* arrays shorter than a vector, and with every length of tail */
        for (uint32_t n = 1; n <= 40; n++) check_run(&functions[i], bits_of(0.5f) + n * 1000003u, n, 500009u, &tally);
        failed += report(&functions[i], &tally);
        done += sets;
    }
    printf("%u passed, %u failed\n", done - failed, failed);
    return failed != 0 || done == 0;
}
