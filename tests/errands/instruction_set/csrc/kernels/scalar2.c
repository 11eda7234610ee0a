/* scalar2.c - an instruction set that every CPU has: the ranges of rows in one pass without vectors; all else is
 * scalar.c's. */
#include "kernels.h"

static void range(size_t rows, size_t n, const float *const *v, struct qrnn_extent *extent)
{
    for (size_t i = 0; i < rows; i++) {
        struct qrnn_extent e = {0.0f, 0.0f, 1};
        for (size_t k = 0; v[i] && k < n; k++) {
            const float x = v[i][k];
            if (x < e.lo) e.lo = x;
            if (x > e.hi) e.hi = x;
            e.finite &= x - x == 0.0f;
        }
        extent[i] = e;
    }
}

void qrnn_use_scalar2(struct qrnn_kernels *k)
{
    k->range = range;
}
