/* product_f32.h - the float product in register tiles. Included after product.h and built like it: R, P and all that
 * follows from them are constants, so the loops unroll and the sums live in registers. */

/* The most rows of a tile, and the registers for its sums: 24 of 32, or 12 of 16. */
enum { ROWS_F32 = 6, SUMS_F32 = REGISTERS * 3 / 4 };

/* Multiplies one column of inputs: V weight vectors by the values of R rows. */
QRNN_INLINE void column_f32(int R, int V, int ahead, const float *const *line, size_t cols, const float *const *x,
                            size_t k, f32v *sum)
{
    f32v weights[TILE_MAX];
    UNROLL for (int v = 0; v < V; v++)
    {
        const float *const at = line[v / VECS] + k * QRNN_PANEL + v % VECS * LANES;
        weights[v] = v_load(at);
        /* Without this, gcc 12 loads the weights again for each of up to 3 rows, at half the speed. */
        if (R > 1) QRNN_IN_REGISTER(weights[v]);
        if (ahead && v % VECS == 0) __builtin_prefetch((const void *)((uintptr_t)at + cols * QRNN_LINE), 0, 2);
    }
    UNROLL for (int r = 0; r < R; r++)
    {
        const f32v value = v_set1(x[r][k]);
        UNROLL for (int v = 0; v < V; v++) sum[r * V + v] = v_fma(value, weights[v], sum[r * V + v]);
    }
}

/* Computes the four partial sums of R rows and P panels in 4 / F passes over k, each with as many of them as fit the
 * registers. With all four, weights are read in order. From 4 rows on there is time to prefetch the next panel into the
 * second-level cache (1.15 times the speed where weights come from the third level, 16 MiB; no gain elsewhere). */
QRNN_INLINE void tile_f32(int R, int P, const struct qrnn_panels *w, const struct qrnn_inputs *x,
                          const struct qrnn_product *out, size_t panel, size_t row)
{
    const int V = P * VECS, S = R * V, F = 4 * S <= SUMS_F32 ? 4 : 2 * S <= SUMS_F32 ? 2 : 1;
    const float *rows[ROWS_F32], *line[4];
    f32v part[4][TILE_MAX];
    UNROLL for (int r = 0; r < R; r++) rows[r] = (const float *)x->rows + (row + (size_t)r) * x->stride;
    UNROLL for (int p = 0; p < P; p++) line[p] = (const float *)w->data + (panel + (size_t)p) * w->cols * QRNN_PANEL;
    for (int j = 0; j < 4; j += F) {
        f32v sum[TILE_MAX];
        UNROLL for (int i = 0; i < F * S; i++) sum[i] = v_set1(0.0f);
        size_t k = (size_t)j;
        for (; k + (size_t)F <= w->cols; k += 4)
            UNROLL for (int f = 0; f < F; f++)
                column_f32(R, V, R >= 4, line, w->cols, rows, k + (size_t)f, sum + f * S);
        UNROLL for (int f = 0; f < F - 1; f++) if (k + (size_t)f < w->cols)
            column_f32(R, V, 0, line, w->cols, rows, k + (size_t)f, sum + f * S);
        UNROLL for (int i = 0; i < F * S; i++) part[j + i / S][i % S] = sum[i];
    }
    UNROLL for (int i = 0; i < S; i++)
    {
        const size_t first = panel * QRNN_PANEL + (size_t)(i % V * LANES);
        const size_t at = (row + (size_t)(i / V)) * out->stride + first;
        const f32v sum = v_add(v_add(part[0][i], part[1][i]), v_add(part[2][i], part[3][i]));
        v_store(out->y + at, with_bias(sum, v_load(w->bias + first), out->add ? out->add + at : NULL));
    }
}

/* Not inlined: gcc 12 runs out of registers for the rows' addresses. */
#define QRNN_TILE_F32(R)                                                                                         \
    static __attribute__((noinline)) void tile_f32_##R(const struct qrnn_panels *w, const struct qrnn_inputs *x, \
                                                       const struct qrnn_product *out, size_t panel, size_t row) \
    {                                                                                                            \
        tile_f32(R, 1, w, x, out, panel, row);                                                                   \
    }
QRNN_TILE_F32(2)
QRNN_TILE_F32(3)
QRNN_TILE_F32(4)
QRNN_TILE_F32(5)
QRNN_TILE_F32(6)

/* Multiplies one row. Where a panel is one register, it takes several panels together: the four sums of one panel
 * barely cover the latency of fma. */
static void row_f32(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const size_t fours = VECS == 1 ? w->count / 4 : 0, ones = VECS == 1 ? 0 : w->count;
    for (size_t i = 0; i < fours; i++) tile_f32(1, 4, w, x, out, 4 * group_at(out, fours, i), 0);
    for (size_t i = 0; i < ones; i++) tile_f32(1, 1, w, x, out, group_at(out, ones, i), 0);
    if (VECS > 1) return;
    size_t panel = 4 * fours;
    if (panel + 2 <= w->count) {
        tile_f32(1, 2, w, x, out, panel, 0);
        panel += 2;
    }
    if (panel < w->count) tile_f32(1, 1, w, x, out, panel, 0);
}

/* Divides the rows into tiles of at most 6, of about equal height, so that no tile is thin: 8 rows are 4 + 4, not 6 +
 * 2. */
static void product_f32(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    if (out->batch < 2) {
        row_f32(w, x, out);
        return;
    }
    const size_t tiles = (out->batch + ROWS_F32 - 1) / ROWS_F32;
    const size_t least = out->batch / tiles, higher = out->batch % tiles;
    for (size_t i = 0; i < w->count; i++)
        for (size_t tile = 0, row = 0, panel = group_at(out, w->count, i); tile < tiles; tile++) {
            const size_t rows = least + (tile < higher);
            switch (rows) {
            case 6: tile_f32_6(w, x, out, panel, row); break;
            case 5: tile_f32_5(w, x, out, panel, row); break;
            case 4: tile_f32_4(w, x, out, panel, row); break;
            case 3: tile_f32_3(w, x, out, panel, row); break;
            case 2: tile_f32_2(w, x, out, panel, row); break;
            }
            row += rows;
        }
}
