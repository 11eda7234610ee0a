/* moments.c - running sums of rows and of their outer products, by which weights are rounded by data. */
#include "kernels.h"

#include <stdlib.h>

/* Rows that are summed at once: so few that their doubles stay in the caches. */
enum { MOST_ROWS = 128 };

qrnn_status qrnn_moments(const char *engine_name, const char *isa, size_t rows, size_t n, const float *v, double *sum,
                         double *outer, size_t *count)
{
    const qrnn_engine_info *const engine = qrnn_engine_by_name(engine_name);
    struct qrnn_kernels k;
    if (!count || (rows && n && (!v || !sum || !outer))) return QRNN_ERR_NULL;
    *count = 0;
    if (!engine || !engine->per_row) return QRNN_ERR_ENGINE;
    if (!qrnn_kernels_init(&k, isa)) return QRNN_ERR_ISA;
    if (n == 0) return QRNN_OK;
    if (n > SIZE_MAX / MOST_ROWS / 64) return QRNN_ERR_MEMORY;
    double *const panels = malloc(MOST_ROWS * qrnn_round_up(n, QRNN_MOMENTS_PANEL) * sizeof *panels);
    float *const seen = malloc(MOST_ROWS * n * sizeof *seen);
    qrnn_status status = panels && seen ? QRNN_OK : QRNN_ERR_MEMORY;
    const uint32_t fp = qrnn_fp_enter();
    for (size_t i = 0; i < rows && status == QRNN_OK; i += MOST_ROWS) {
        const size_t some = rows - i < MOST_ROWS ? rows - i : MOST_ROWS;
        const float *const from = engine->quantized ? seen : v + i * n, *row[MOST_ROWS];
        struct qrnn_extent extent[MOST_ROWS];
        size_t filled = 0;
        if (engine->quantized) status = qrnn_seen(engine_name, isa, some, n, v + i * n, seen);
        if (status != QRNN_OK) break;
        for (size_t r = 0; r < some; r++) row[r] = from + r * n;
        k.range(some, n, row, extent);
        for (size_t r = 0; r < some; r++)
            if (extent[r].finite) row[filled++] = row[r];
        if (filled) k.moments(filled, n, row, sum, outer, panels);
        *count += filled;
    }
    qrnn_fp_leave(fp);
    free(panels);
    free(seen);
    return status;
}
