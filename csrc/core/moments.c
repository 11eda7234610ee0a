/* moments.c - running sums of weighted rows and of their outer products, from which calibration rounds weights. */
#include "block.h"

#include <float.h>
#include <math.h>

/* How many rows are added at once: few enough for their doubles to stay in the caches. */
enum { MOST_ROWS = 128 };

/* Working memory of a call; each part begins at a cache line. */
struct rooms {
    double *panels;           /* [MOST_ROWS][n rounded up] the kernel's working memory */
    float *seen;              /* [MOST_ROWS][n] the rows as a product takes them, times the roots of their weights */
    uint8_t *codes;
};

/* The caller's sums. */
struct sums {
    double *weight, *sum, *outer;
};

/* The rows to add next: only those with a valid weight. */
struct rows {
    size_t count;
    const float *v[MOST_ROWS];
    float root[MOST_ROWS];    /* the roots of their weights */
};

/* Lays it out in this thread's scratch memory; returns 0 if there is no memory. */
static int open_rooms(struct rooms *r, size_t n)
{
    if (n > SIZE_MAX / MOST_ROWS / 64) return 0;
    const size_t panels = MOST_ROWS * qrnn_round_up(n, QRNN_MOMENTS_PANEL) * sizeof *r->panels;
    const size_t seen = MOST_ROWS * n * sizeof *r->seen;
    unsigned char *const memory = qrnn_scratch(panels + seen + qrnn_codes_room(n));
    if (!memory) return 0;
    *r = (struct rooms){(double *)memory, (float *)(memory + panels), memory + panels + seen};
    return 1;
}

/* Writes the values of `rows` times the roots of their weights, so that an outer product has the weight as a factor.
 * `bounds` is as in qrnn_see_rows. */
static void see(const struct qrnn_module *m, const struct rooms *r, size_t n, const struct rows *rows, float *bounds)
{
    if (m->engine->info.quantized) {
        qrnn_see_rows(m, rows->count, n, rows->v, rows->root, r->seen, bounds, r->codes);
        return;
    }
    for (size_t i = 0; i < rows->count; i++) {
        for (size_t k = 0; k < n; k++) r->seen[i * n + k] = rows->root[i] * rows->v[i][k];
        bounds[i] = INFINITY;
    }
}

/* Adds the rows that are finite, and returns how many; `rows` is empty afterwards. */
static size_t add_rows(const struct qrnn_module *m, const struct rooms *r, size_t n, struct rows *rows,
                       const struct sums *s)
{
    const float *row[MOST_ROWS];
    float bounds[MOST_ROWS];
    size_t finite = 0;
    see(m, r, n, rows, bounds);
    for (size_t i = 0; i < rows->count; i++) {
        struct qrnn_extent extent = {0.0f, 0.0f, 1};
        row[finite] = r->seen + i * n;
        if (!(bounds[i] <= FLT_MAX)) m->kernels.range(1, n, &row[finite], &extent);
        if (!extent.finite) continue;
        const double weight = (double)rows->root[i] * rows->root[i];
        s->weight[0] += weight;
        s->weight[1] += weight * weight;
        rows->root[finite++] = rows->root[i];
    }
    rows->count = 0;
    if (finite) m->kernels.moments(finite, n, row, rows->root, s->sum, s->outer, r->panels);
    return finite;
}

qrnn_status qrnn_moments(const char *engine_name, const char *isa, size_t batch, size_t n, const float *v,
                         const float *weights, double *weight, double *sum, double *outer, size_t *count)
{
    const struct sums sums = {weight, sum, outer};
    struct qrnn_module m = {.engine = qrnn_engine_find(engine_name)};
    struct rooms rooms;
    struct rows rows = {.count = 0};
    if (!count || (batch && n && (!v || !weight || !sum || !outer))) return QRNN_ERR_NULL;
    *count = 0;
    if (!m.engine || !m.engine->info.per_row) return QRNN_ERR_ENGINE;
    if (!qrnn_kernels_init(&m.kernels, isa)) return QRNN_ERR_ISA;
    if (n == 0) return QRNN_OK;
    if (!open_rooms(&rooms, n)) return QRNN_ERR_MEMORY;
    const uint32_t fp = qrnn_fp_enter();
    for (size_t i = 0; i < batch; i++) {
        const float each = weights ? weights[i] : 1.0f;
        if (!(each >= 0.0f && each <= FLT_MAX)) continue;
        rows.v[rows.count] = v + i * n;
        rows.root[rows.count++] = sqrtf(each);
        if (rows.count == MOST_ROWS) *count += add_rows(&m, &rooms, n, &rows, &sums);
    }
    *count += add_rows(&m, &rooms, n, &rows, &sums);
    qrnn_fp_leave(fp);
    return QRNN_OK;
}
