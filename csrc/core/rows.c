/* rows.c - the order in which a sequence takes the rows of its batch. */
#include "rows.h"

#include <string.h>

size_t qrnn_row_length(const qrnn_run *run, size_t row)
{
    return run->lengths ? run->lengths[row] : run->steps;
}

/* Longest first, ties in the caller's order: a merge sort by halves of `order`. */
void qrnn_sort_rows(const qrnn_run *run, size_t *order, size_t *spare, size_t n)
{
    if (n < 2 || !run->lengths) return;
    const size_t half = n / 2;
    qrnn_sort_rows(run, order, spare, half);
    qrnn_sort_rows(run, order + half, spare, n - half);
    memcpy(spare, order, half * sizeof *order);
    for (size_t a = 0, b = half, to = 0; a < half; to++) {
        const int take_a = b >= n || qrnn_row_length(run, spare[a]) >= qrnn_row_length(run, order[b]);
        order[to] = take_a ? spare[a++] : order[b++];
    }
}
