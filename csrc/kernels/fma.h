/* fma.h - a * b + c in floats, rounded once, for systems where fmaf of the C library cannot be trusted: on Windows
 * mingw's rounds twice, and WebAssembly has no instruction for it. Defining QRNN_OWN_FMA selects this one anywhere. */
#ifndef QRNN_FMA_H
#define QRNN_FMA_H

#include "target.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(_WIN32) || defined(__wasm__)
#define QRNN_OWN_FMA 1
#endif

/* In double the product p is exact: 48 bits. The sum s = p + c is not; e is exactly what it lost (Knuth's two-sum). If
 * the sum lost something and its last bit is even, it is moved one step towards e, so that it becomes odd ("round to
 * odd": Boldo and Melquiond, "Emulation of FMA and correctly rounded sums", 2008). A double has more than two bits more
 * than a float, denormal or not, so rounding the odd sum to a float gives the same as rounding the exact p + c. */
QRNN_INLINE float qrnn_own_fma(float a, float b, float c)
{
    const double p = (double)a * (double)b, d = c;
    double s = p + d;
    const double t = s - p, e = (p - (s - t)) + (d - t);
    int64_t bits;
    memcpy(&bits, &s, sizeof bits);
    if (e == e && e != 0.0 && !(bits & 1)) {
        bits += (e > 0.0) == (s > 0.0) ? 1 : -1; /* s is not zero: |s| > |e| */
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
