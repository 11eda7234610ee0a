/* product_f32.h - the float product in register tiles. Included after product.h and built like it: R, P and all that
 * follows from them are constants, so the loops unroll and the sums live in registers.
 *
 * The including file defines PAIRS_F32 if a panel is one register. Tiles then have two panels, so that a value of x,
 * once loaded, serves two products. With one panel a product takes a load of its own, and two loads start in a cycle as
 * two products do: 6 rows take 7 loads for 6 products, with two panels 8 for 12 (0.82 of the time for 6 rows of 512 x
 * 256, 0.77 for 4 of 256 x 256; Xeon). */

/* The most rows of a tile, and the registers for its sums: 24 of 32, or 12 of 16. */
enum { ROWS_F32 = 6, SUMS_F32 = REGISTERS * 3 / 4 };

/* Multiplies one column of inputs: V weight vectors, from `at` in each panel, by the values of R rows. */
QRNN_INLINE void column_f32(int R, int V, const float *const *panel, size_t at, const float *const *x, size_t k,
                            f32v *sum)
{
    f32v weights[TILE_MAX];
    UNROLL for (int v = 0; v < V; v++)
    {
        weights[v] = v_load(panel[v / VECS] + at + v % VECS * LANES);
        /* Without this, gcc 12 loads the weights again for each of up to 3 rows, at half the speed. */
        if (R > 1) QRNN_IN_REGISTER(weights[v]);
    }
    UNROLL for (int r = 0; r < R; r++)
    {
        const f32v value = v_set1(x[r][k]);
        UNROLL for (int v = 0; v < V; v++) sum[r * V + v] = v_fma(value, weights[v], sum[r * V + v]);
    }
}

/* Computes the four partial sums of R rows and P panels in 4 / F passes over k, each with as many of them as fit the
 * registers. With a pace it prefetches into the second-level cache: from `ahead` on as much as a panel (1) or half a
 * panel (2). What a pass leaves is added to the passes before in registers (tiles of 4 and 6 rows, 32 outputs, 64
 * columns: 0.95 of the time of adding all through memory; Xeon). */
QRNN_INLINE void tile_f32(int R, int P, int pace, const struct qrnn_panels *w, const struct qrnn_inputs *x,
                          const struct qrnn_product *out, size_t panel, size_t row, const float *ahead)
{
    const int V = P * VECS, S = R * V, F = 4 * S <= SUMS_F32 ? 4 : 2 * S <= SUMS_F32 ? 2 : 1;
    const float *rows[ROWS_F32], *data[4];
    const size_t half = qrnn_float_half(w->cols) * QRNN_PANEL;
    const size_t from[4] = {0, QRNN_PANEL, half, half + QRNN_PANEL}; /* of the first of four columns, in floats */
    /* Locals, which a store of a vector does not make the compiler read again. */
    const size_t stride = out->stride, first = panel * QRNN_PANEL, start = row * stride + first;
    const float *const bias = w->bias + first, *const add = out->add ? out->add + start : NULL;
    float *const y = out->y + start;
    f32v sum[TILE_MAX], part[2][TILE_MAX];
    if (F < 4) QRNN_WRITTEN(part);
    UNROLL for (int r = 0; r < R; r++) rows[r] = (const float *)x->rows + (row + (size_t)r) * x->stride;
    UNROLL for (int p = 0; p < P; p++) data[p] = (const float *)w->data + (panel + (size_t)p) * w->cols * QRNN_PANEL;
    for (int j = 0;; j += F) {
        UNROLL for (int i = 0; i < F * S; i++) sum[i] = v_set1(0.0f);
        size_t k = (size_t)j, at = qrnn_float_line(w->cols, k) * QRNN_PANEL;
        for (; k + (size_t)F <= w->cols; k += 4, at += (size_t)(2 * QRNN_PANEL)) {
            if (pace) __builtin_prefetch(ahead + at / (size_t)pace, 0, 2);
            UNROLL for (int f = 0; f < F; f++) column_f32(R, V, data, at + from[f], rows, k + (size_t)f, sum + f * S);
        }
        UNROLL for (int f = 0; f < F - 1; f++) if (k + (size_t)f < w->cols)
            column_f32(R, V, data, at + from[f], rows, k + (size_t)f, sum + f * S);
        /* Of (s_0 + s_1) + (s_2 + s_3), as much as this pass has. */
        if (F >= 2) UNROLL for (int i = 0; i < S; i++) sum[i] = v_add(sum[i], sum[S + i]);
        if (F == 4) UNROLL for (int i = 0; i < S; i++) sum[i] = v_add(sum[i], v_add(sum[2 * S + i], sum[3 * S + i]));
        if (j + F == 4) break;
        if (F == 1 && j == 1)
            UNROLL for (int i = 0; i < S; i++) part[0][i] = v_add(part[0][i], sum[i]);
        else
            UNROLL for (int i = 0; i < S; i++) part[j / 2][i] = sum[i];
    }
    UNROLL for (int v = 0; v < V; v++)
    {
        const f32v b = v_load(bias + v * LANES);
        UNROLL for (int r = 0; r < R; r++)
        {
            const int i = r * V + v;
            const size_t to = (size_t)r * stride + (size_t)(v * LANES);
            if (F == 1) sum[i] = v_add(part[1][i], sum[i]);
            if (F < 4) sum[i] = v_add(part[0][i], sum[i]);
            v_store(y + to, with_bias(sum[i], b, add ? add + to : NULL));
        }
    }
}

/* Where the panel begins that comes after this one, if there is one. Where a panel is several registers, tiles of 4 rows
 * and more prefetch it (4 rows of 2048 x 512 with AVX2, from the third-level cache: 0.9 of the time; Xeon). */
QRNN_INLINE const float *panel_after(const struct qrnn_panels *w, const struct qrnn_product *out, size_t panel)
{
    const uintptr_t at = (uintptr_t)w->data + panel * w->panel_bytes;
    return (const float *)(out->backwards ? at - w->panel_bytes : at + w->panel_bytes);
}

/* How rows are divided into tiles of at most 6 and of about equal height, so that no tile is thin: 8 rows are 4 + 4, not
 * 6 + 2. The first `higher` tiles have a row more than the others. */
struct heights {
    size_t tiles, least, higher;
};

/* Multiplies the rows from tile `tile` on, before which all tiles have 6, by P panels. Tiles are not inlined: gcc 12 runs
 * out of registers for the rows' addresses. */
#define TILE_F32(R, P)                                                                                                 \
    static __attribute__((noinline)) void tile_f32_##R##x##P(const struct qrnn_panels *w, const struct qrnn_inputs *x, \
                                                             const struct qrnn_product *out, size_t panel, size_t row) \
    {                                                                                                                  \
        tile_f32(R, P, R >= 4 && VECS > 1, w, x, out, panel, row, panel_after(w, out, panel));                         \
    }
#define PANELS_F32(P)                                                                                               \
    TILE_F32(2, P)                                                                                                  \
    TILE_F32(3, P)                                                                                                  \
    TILE_F32(4, P)                                                                                                  \
    TILE_F32(5, P)                                                                                                  \
    TILE_F32(6, P)                                                                                                  \
    static void panels_f32_##P(const struct qrnn_panels *w, const struct qrnn_inputs *x,                            \
                               const struct qrnn_product *out, const struct heights *by, size_t tile, size_t panel) \
    {                                                                                                               \
        for (size_t row = tile * ROWS_F32; tile < by->tiles; tile++) {                                              \
            const size_t rows = by->least + (tile < by->higher);                                                    \
            switch (rows) {                                                                                         \
            case 6: tile_f32_6x##P(w, x, out, panel, row); break;                                                   \
            case 5: tile_f32_5x##P(w, x, out, panel, row); break;                                                   \
            case 4: tile_f32_4x##P(w, x, out, panel, row); break;                                                   \
            case 3: tile_f32_3x##P(w, x, out, panel, row); break;                                                   \
            case 2: tile_f32_2x##P(w, x, out, panel, row); break;                                                   \
            }                                                                                                       \
            row += rows;                                                                                            \
        }                                                                                                           \
    }
PANELS_F32(1)
#ifdef PAIRS_F32
PANELS_F32(2)

/* The tile that prefetches: half a panel of floats from `ahead` on. */
static __attribute__((noinline)) void tile_f32_ahead(const struct qrnn_panels *w, const struct qrnn_inputs *x,
                                                     const struct qrnn_product *out, size_t panel, size_t row,
                                                     const float *ahead)
{
    tile_f32(ROWS_F32, 2, 2, w, x, out, panel, row, ahead);
}

/* From this size of a matrix on, more than the second-level cache may hold of it, the first tiles of 6 rows prefetch the
 * pair of panels that comes next, up to four of them half a panel each. At a line in 24 products that takes 0.84 of the
 * time for 24 rows of 1024 x 1024, 0.94 for 64, 0.88 for 12, 0.95 for 32 (Xeon); as much in two tiles is no gain. */
enum { AHEAD_BYTES = 3 << 19 };

static void pairs_f32(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out,
                      const struct heights *by)
{
    const size_t pairs = w->count / 2, floats = w->cols * QRNN_PANEL;
    const size_t tall = by->least == ROWS_F32 ? by->tiles : by->least == ROWS_F32 - 1 ? by->higher : 0;
    const size_t most = w->count * w->panel_bytes < AHEAD_BYTES ? 0 : tall < 4 ? tall : 4;
    for (size_t i = 0; i < pairs; i++) {
        const size_t panel = 2 * group_at(out, pairs, i), next = 2 * group_at(out, pairs, i + 1 < pairs ? i + 1 : i);
        for (size_t tile = 0; tile < most; tile++)
            tile_f32_ahead(w, x, out, panel, tile * ROWS_F32,
                           (const float *)w->data + next * floats + tile * (w->cols / 2) * QRNN_PANEL);
        panels_f32_2(w, x, out, by, most, panel);
    }
}
#endif

/* Multiplies one row. Where a panel is one register, it takes several panels together: the four sums of one panel
 * barely cover the latency of fma. */
static void row_f32(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const size_t fours = VECS == 1 ? w->count / 4 : 0, ones = VECS == 1 ? 0 : w->count;
    for (size_t i = 0; i < fours; i++) tile_f32(1, 4, 0, w, x, out, 4 * group_at(out, fours, i), 0, NULL);
    for (size_t i = 0; i < ones; i++) tile_f32(1, 1, 0, w, x, out, group_at(out, ones, i), 0, NULL);
    if (VECS > 1) return;
    size_t panel = 4 * fours;
    if (panel + 2 <= w->count) {
        tile_f32(1, 2, 0, w, x, out, panel, 0, NULL);
        panel += 2;
    }
    if (panel < w->count) tile_f32(1, 1, 0, w, x, out, panel, 0, NULL);
}

static void product_f32(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    if (out->batch < 2) {
        row_f32(w, x, out);
        return;
    }
    const size_t tiles = (out->batch + ROWS_F32 - 1) / ROWS_F32;
    const struct heights by = {tiles, out->batch / tiles, out->batch % tiles};
#ifdef PAIRS_F32
    pairs_f32(w, x, out, &by);
    if (w->count % 2) panels_f32_1(w, x, out, &by, 0, w->count - 1);
#else
    for (size_t i = 0; i < w->count; i++) panels_f32_1(w, x, out, &by, 0, group_at(out, w->count, i));
#endif
}
