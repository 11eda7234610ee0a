/* fma.h - a * b + c in floats, rounded once, where the C library's fmaf cannot be trusted: Windows', of which
 * mingw's rounds twice; WebAssembly has no instruction for it. Whoever defines QRNN_OWN_FMA gets this one anywhere. */
#ifndef QRNN_FMA_H
#define QRNN_FMA_H

#include "target.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32) || defined(__wasm__)
#define QRNN_OWN_FMA 1
#endif

/* In double the product is exact: 48 bits. The sum s = p + c is not; e is what it lost, exactly (Knuth's two-sum).
 * A sum that lost something is made odd in its last bit, by a step towards e where it is even ("round to odd": Boldo
 * and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). A double has more than two bits beyond a float,
 * denormal or not, so that rounding the odd sum to a float is rounding p + c. */
QRNN_INLINE float qrnn_own_fma(float a, float b, float c)
{
    const double p = (double)a * (double)b, d = c;
    double s = p + d;
    const double t = s - p, e = (p - (s - t)) + (d - t);
    int64_t bits;
    memcpy(&bits, &s, sizeof bits);
    if (e == e && e != 0.0 && !(bits & 1)) {
        bits += (e > 0.0) == (s > 0.0) ? 1 : -1; /* s is no zero: |s| > |e| */
        memcpy(&s, &bits, sizeof s);
    }
    return (float)s;
}

QRNN_INLINE float qrnn_fma(float a, float b, float c)
{
#if defined(QRNN_OWN_FMA)
    return qrnn_own_fma(a, b, c);
#else
    return fmaf(a, b, c);
#endif
}

#endif
