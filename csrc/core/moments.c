/* moments.c - running sums of weighted rows and of their outer products, by which weights are rounded by data. */
#include "block.h"

#include <float.h>
#include <math.h>

/* Rows that are summed at once: so few that their doubles stay in the caches. */
enum { MOST_ROWS = 128 };

/* Working memory of a call; each part begins at a line. */
struct rooms {
    double *panels;           /* [MOST_ROWS][n rounded up], what the kernel works in */
    float *seen;              /* [MOST_ROWS][n], the rows as a product sees them, times the roots of their weights */
    double *unused;           /* [n], sums of those */
    uint8_t *codes;
};

/* What a call adds to. */
struct sums {
    double *weight, *sum, *outer;
};

/* Where it is, in this thread's scratch; 0 without memory. */
static int open_rooms(struct rooms *r, size_t n)
{
    if (n > SIZE_MAX / MOST_ROWS / 64) return 0;
    const size_t panels = MOST_ROWS * qrnn_round_up(n, QRNN_MOMENTS_PANEL) * sizeof *r->panels;
    const size_t seen = MOST_ROWS * n * sizeof *r->seen, unused = qrnn_round_up(n * sizeof *r->unused, QRNN_LINE);
    unsigned char *const memory = qrnn_scratch(panels + seen + unused + qrnn_codes_room(n));
    if (!memory) return 0;
    unsigned char *const after = memory + panels + seen;
    *r = (struct rooms){(double *)memory, (float *)(memory + panels), (double *)(void *)after, after + unused};
    return 1;
}

/* A row times the root of its weight, so that its outer product is the weighted one; w v to `sum`, w and w^2 to
 * `weight`. 0, and nothing is added, if anything is not finite. */
static int weigh(const struct qrnn_module *m, size_t n, const float *v, float weight, float *to, const struct sums *s)
{
    const float root = sqrtf(weight), *const scaled = to;
    const double w = (double)root * root;
    struct qrnn_extent extent;
    if (!(weight >= 0.0f && weight <= FLT_MAX)) return 0;
    for (size_t k = 0; k < n; k++) to[k] = root * v[k];
    m->kernels.range(1, n, &scaled, &extent);
    if (!extent.finite) return 0;
    for (size_t k = 0; k < n; k++) s->sum[k] += (double)root * scaled[k];
    s->weight[0] += w;
    s->weight[1] += w * w;
    return 1;
}

/* Of at most MOST_ROWS rows; returns how many were finite. */
static size_t add_rows(const struct qrnn_module *m, const struct rooms *r, size_t rows, size_t n, const float *v,
                       const float *weights, const struct sums *s)
{
    const float *row[MOST_ROWS];
    float bound[MOST_ROWS];
    size_t finite = 0;
    if (m->engine->info.quantized) {
        qrnn_seen_rows(m, rows, n, v, r->seen, bound, r->codes);
        v = r->seen;
    }
    for (size_t i = 0; i < rows; i++) {
        struct qrnn_extent extent = {0.0f, 0.0f, 1};
        row[finite] = weights ? r->seen + i * n : v + i * n;
        if (weights)
            extent.finite = weigh(m, n, v + i * n, weights[i], r->seen + i * n, s);
        else if (!m->engine->info.quantized || !(bound[i] <= FLT_MAX))
            m->kernels.range(1, n, &row[finite], &extent);
        finite += extent.finite != 0;
    }
    if (finite) m->kernels.moments(finite, n, row, weights ? r->unused : s->sum, s->outer, r->panels);
    if (!weights) {
        s->weight[0] += (double)finite;
        s->weight[1] += (double)finite;
    }
    return finite;
}

qrnn_status qrnn_moments(const char *engine_name, const char *isa, size_t batch, size_t n, const float *v,
                         const float *weights, double *weight, double *sum, double *outer, size_t *count)
{
    const struct sums sums = {weight, sum, outer};
    struct qrnn_module m = {.engine = qrnn_engine_find(engine_name)};
    struct rooms rooms;
    if (!count || (batch && n && (!v || !weight || !sum || !outer))) return QRNN_ERR_NULL;
    *count = 0;
    if (!m.engine || !m.engine->info.per_row) return QRNN_ERR_ENGINE;
    if (!qrnn_kernels_init(&m.kernels, isa)) return QRNN_ERR_ISA;
    if (n == 0) return QRNN_OK;
    if (!open_rooms(&rooms, n)) return QRNN_ERR_MEMORY;
    const uint32_t fp = qrnn_fp_enter();
    for (size_t i = 0; i < batch; i += MOST_ROWS) {
        const size_t rows = batch - i < MOST_ROWS ? batch - i : MOST_ROWS;
        *count += add_rows(&m, &rooms, rows, n, v + i * n, weights ? weights + i : NULL, &sums);
    }
    qrnn_fp_leave(fp);
    return QRNN_OK;
}
