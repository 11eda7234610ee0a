/* moments.h - running sums of rows and of their outer products, in register tiles; after a vec_*.h of more than one
 * lane.
 *
 * A tile is HALF rows by up to 3 * HALF columns of `outer`: its sums stay in registers while the rows of v go by (24
 * of 32 registers, 12 of 16). The rows of v become doubles in panels of as many columns as a tile has, so that a tile
 * reads one after the other. */
#include <string.h>

enum { HALF = LANES / 2, TILE_VECTORS = 3, TILE_COLUMNS = TILE_VECTORS * HALF };

#define UNROLL_TILE QRNN_PRAGMA(GCC unroll 8)

/* V vectors of HALF columns of the panel's rows at `wide`, times HALF values of those at `tall`. */
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

/* A tile that reaches over the edge of `outer`. */
static void moments_edge(size_t rows, const double *tall, const double *wide, double *outer, size_t n, size_t height,
                         size_t width)
{
    double part[HALF * TILE_COLUMNS] = {0};
    for (size_t i = 0; i < height; i++) memcpy(part + i * TILE_COLUMNS, outer + i * n, width * sizeof *part);
    moments_any_tile((width + HALF - 1) / HALF, rows, tall, wide, part, TILE_COLUMNS);
    for (size_t i = 0; i < height; i++) memcpy(outer + i * n, part + i * TILE_COLUMNS, width * sizeof *part);
}

/* The doubles of `width` columns from j on, with zeros up to a panel, and the sums of the columns. */
QRNN_INLINE void moments_panel(size_t width, size_t rows, size_t j, const float *const *v, double *sum, double *panel)
{
    double total[TILE_COLUMNS] = {0};
    memcpy(total, sum + j, width * sizeof *total);
    for (size_t r = 0; r < rows; r++) {
        double *const row = panel + r * TILE_COLUMNS;
        const float *const from = v[r] + j;
        for (size_t k = 0; k < width; k++) total[k] += row[k] = from[k];
        for (size_t k = width; k < TILE_COLUMNS; k++) row[k] = 0.0;
    }
    memcpy(sum + j, total, width * sizeof *total);
}

static void moments(size_t rows, size_t n, const float *const *v, double *sum, double *outer, double *panels)
{
    for (size_t first = 0; first < n; first += TILE_COLUMNS) {
        const size_t end = n - first < TILE_COLUMNS ? n : first + TILE_COLUMNS;
        double *const panel = panels + first * rows;
        if (end - first == TILE_COLUMNS)
            moments_panel(TILE_COLUMNS, rows, first, v, sum, panel); /* whose loops unroll */
        else
            moments_panel(end - first, rows, first, v, sum, panel);
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
