/* moments.h - running sums of rows and of their outer products, in register tiles. Included after a vec_*.h with more
 * than one lane.
 *
 * A tile is HALF rows by up to 3 * HALF columns of `outer`. Its sums stay in registers while all rows of v are added
 * (24 of 32 registers, or 12 of 16). First the rows of v are converted to doubles, in panels of as many columns as a
 * tile has, so that a tile reads consecutive memory. */
#include <string.h>

enum { HALF = LANES / 2, TILE_VECTORS = 3, TILE_COLUMNS = TILE_VECTORS * HALF };

#define UNROLL_TILE QRNN_UNROLL(8)

/* For each row, adds the products of V vectors of HALF columns at `wide` and HALF values at `tall`. */
QRNN_INLINE void moments_tile(int V, size_t rows, const double *tall, const double *wide, double *outer, size_t stride)
{
    f64v sum[HALF * TILE_VECTORS];
    UNROLL_TILE for (int i = 0; i < HALF; i++) UNROLL_TILE for (int j = 0; j < V; j++) sum[i * V + j] =
        d_load(outer + (size_t)i * stride + (size_t)(j * HALF));
    for (size_t r = 0; r < rows; r++, tall += TILE_COLUMNS, wide += TILE_COLUMNS) {
        f64v column[TILE_VECTORS];
        UNROLL_TILE for (int j = 0; j < V; j++) column[j] = d_load(wide + j * HALF);
        UNROLL_TILE for (int i = 0; i < HALF; i++)
        {
            const f64v value = d_set1(tall[i]);
            UNROLL_TILE for (int j = 0; j < V; j++) sum[i * V + j] = d_fma(value, column[j], sum[i * V + j]);
        }
    }
    UNROLL_TILE for (int i = 0; i < HALF; i++) UNROLL_TILE for (int j = 0; j < V; j++)
        d_store(outer + (size_t)i * stride + (size_t)(j * HALF), sum[i * V + j]);
}

/* Not inlined: gcc 12 runs out of registers for the addresses around it. */
static __attribute__((noinline)) void moments_any_tile(size_t vectors, size_t rows, const double *tall,
                                                       const double *wide, double *outer, size_t stride)
{
    switch (vectors) {
    case 3: moments_tile(3, rows, tall, wide, outer, stride); break;
    case 2: moments_tile(2, rows, tall, wide, outer, stride); break;
    case 1: moments_tile(1, rows, tall, wide, outer, stride); break;
    }
}

/* A tile that extends beyond the edge of `outer`. */
static void moments_edge(size_t rows, const double *tall, const double *wide, double *outer, size_t n, size_t height,
                         size_t width)
{
    double part[HALF * TILE_COLUMNS] = {0};
    for (size_t i = 0; i < height; i++) memcpy(part + i * TILE_COLUMNS, outer + i * n, width * sizeof *part);
    moments_any_tile((width + HALF - 1) / HALF, rows, tall, wide, part, TILE_COLUMNS);
    for (size_t i = 0; i < height; i++) memcpy(outer + i * n, part + i * TILE_COLUMNS, width * sizeof *part);
}

/* Converts V vectors of columns, from column j on, to doubles, and adds up the columns. */
QRNN_INLINE void moments_panel(int V, size_t rows, size_t j, const float *const *v, const float *roots, double *sum,
                               double *panel)
{
    f64v total[TILE_VECTORS];
    UNROLL_TILE for (int k = 0; k < V; k++) total[k] = d_load(sum + j + (size_t)(k * HALF));
    for (size_t r = 0; r < rows; r++, panel += TILE_COLUMNS) {
        const f64v root = d_set1(roots[r]);
        UNROLL_TILE for (int k = 0; k < V; k++)
        {
            const f64v value = d_load_f32(v[r] + j + (size_t)(k * HALF));
            d_store(panel + k * HALF, value);
            total[k] = d_fma(root, value, total[k]);
        }
    }
    UNROLL_TILE for (int k = 0; k < V; k++) d_store(sum + j + (size_t)(k * HALF), total[k]);
}

/* The same for `width` columns, padded with zeros to a whole vector. */
static void moments_any_panel(size_t width, size_t rows, size_t j, const float *const *v, const float *roots,
                              double *sum, double *panel)
{
    switch (width) {
    case 3 * HALF: moments_panel(3, rows, j, v, roots, sum, panel); return;
    case 2 * HALF: moments_panel(2, rows, j, v, roots, sum, panel); return;
    case HALF: moments_panel(1, rows, j, v, roots, sum, panel); return;
    }
    for (size_t r = 0; r < rows; r++, panel += TILE_COLUMNS) {
        for (size_t k = 0; k < width; k++) sum[j + k] += roots[r] * (panel[k] = v[r][j + k]);
        for (size_t k = width; k % HALF != 0; k++) panel[k] = 0.0;
    }
}

static void moments(size_t rows, size_t n, const float *const *v, const float *roots, double *sum, double *outer,
                    double *panels)
{
    for (size_t first = 0; first < n; first += TILE_COLUMNS) {
        const size_t end = n - first < TILE_COLUMNS ? n : first + TILE_COLUMNS;
        double *const panel = panels + first * rows;
        moments_any_panel(end - first, rows, first, v, roots, sum, panel);
        for (size_t i = 0; i < end; i += HALF) {
            const size_t j = i > first ? i : first, width = end - j, height = n - i < HALF ? n - i : HALF;
            const double *const tall = panels + i / TILE_COLUMNS * TILE_COLUMNS * rows + i % TILE_COLUMNS;
            const double *const wide = panel + (j - first);
            if (height == HALF && width % HALF == 0)
                moments_any_tile(width / HALF, rows, tall, wide, outer + i * n + j, n);
            else
                moments_edge(rows, tall, wide, outer + i * n + j, n, height, width);
        }
    }
}
