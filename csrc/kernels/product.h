/* product.h - the integer product in register tiles, written once for all SIMD files.
 *
 * A tile is R batch rows x P panels of 16 output rows. Its sums stay in F * R * P * VECS registers while k runs. The
 * including file defines the vocabulary of vec_*.h and
 *
 *   s32v  s_load  s_store  s_set1  s_add  s_sub  s_mul  v_from_s32
 *   s_shift(v)        v << QRNN_PLANE_BITS
 *   sum_tile(form, R, P, F, t, panel, row, acc)    the sums of a tile, of codes minus DOT_BIAS: sums.h, neon_lanes.h
 *   DOT_BIAS(form)    what sum_tile subtracts from each code (128 where the products are signed, else 0)
 *
 * R, P, F and form are constants in every instance, so the loops below unroll and the arrays live in registers (the
 * assembly shows it: gcc 12 keeps them there if the loops unroll completely).
 */
#include "tiled.h"

/* Subtracts the zero point's share from a tile's sums and de-quantizes them by engine qrnn's rule, from register to
 * register. The factors of a column are read once for all rows (16 sums of a tile of 4 rows take 1.4 ns; through memory
 * and row by row they took 3.3 ns, Zen 4). */
QRNN_INLINE void finish_sums(int has_add, int bias, int R, int V, s32v *acc, const struct tiled *t, size_t panel,
                             size_t row)
{
    const struct qrnn_panels *const w = t->w;
    const struct qrnn_product *const out = t->out;
    const size_t first = panel * QRNN_PANEL, start = row * out->stride + first;
    float *const y = out->y + start;
    const float *const add = has_add ? out->add + start : NULL;
    UNROLL for (int v = 0; v < V; v++)
    {
        const size_t i = (size_t)v * LANES;
        const s32v all = s_load(w->sum + first + i);
        const f32v scale = v_load(w->scale + first + i), b = v_load(w->bias + first + i);
        UNROLL for (int r = 0; r < R; r++)
        {
            const struct qrnn_act *const a = t->act + row + (size_t)r;
            const size_t to = (size_t)r * out->stride + i;
            const s32v sum = s_sub(acc[r * V + v], s_mul(s_set1(a->zero_point - bias), all));
            v_store(y + to, dequantize(QRNN_DEQUANT_FUSED, v_from_s32(sum), v_set1(a->scale), scale, b,
                                       has_add ? add + to : NULL));
        }
    }
}

/* The same by any rule, and for the probe, which stores the integer sums. */
static __attribute__((noinline)) void finish_stored(int bias, size_t R, size_t P, const struct tiled *t, size_t panel,
                                                    const int32_t *sums, size_t row)
{
    const struct qrnn_panels *const w = t->w;
    const struct qrnn_product *const out = t->out;
    const size_t first = panel * QRNN_PANEL, width = P * QRNN_PANEL;
    for (size_t i = 0; i < width; i += LANES) {
        const s32v all = s_load(w->sum + first + i);
        const f32v scale = v_load(w->scale + first + i), b = v_load(w->bias + first + i);
        for (size_t r = 0; r < R; r++) {
            const struct qrnn_act *const a = t->act + row + r;
            const size_t to = (row + r) * out->stride + first + i;
            const s32v sum = s_sub(s_load(sums + r * width + i), s_mul(s_set1(a->zero_point - bias), all));
            if (out->acc) s_store(out->acc + to, sum);
            v_store(out->y + to, dequantize(w->dequant, v_from_s32(sum), v_set1(a->scale), scale, b,
                                            out->add ? out->add + to : NULL));
        }
    }
}

/* The same for codes in two planes with so many columns that sums need more than 32 bits: 128 * high + low, minus the
 * zero point's share. `sums` has R rows of each plane. The exact integer is below 2^53 and becomes a float by one
 * rounding. */
static QRNN_SMALL void finish_deep(size_t R, size_t P, const struct tiled *t, size_t panel, const int32_t *sums,
                                   size_t row)
{
    const struct qrnn_panels *const w = t->w;
    const struct qrnn_product *const out = t->out;
    const size_t first = panel * QRNN_PANEL, width = P * QRNN_PANEL;
    for (size_t r = 0; r < R; r++) {
        const struct qrnn_act *const a = t->act + row + r;
        const size_t to = (row + r) * out->stride + first;
        const int32_t *const high = sums + 2 * r * width, *const low = high + width;
        _Alignas(QRNN_LINE) float sum[QRNN_PANEL * 4];
        for (size_t i = 0; i < width; i++) {
            const int64_t exact =
                ((int64_t)high[i] << QRNN_PLANE_BITS) + low[i] - (int64_t)a->zero_point * w->sum[first + i];
            sum[i] = (float)exact;
            if (out->acc) out->acc[to + i] = (int32_t)(uint32_t)exact;
        }
        for (size_t i = 0; i < width; i += LANES)
            v_store(out->y + to + i,
                    dequantize(w->dequant, v_load(sum + i), v_set1(a->scale), v_load(w->scale + first + i),
                               v_load(w->bias + first + i), out->add ? out->add + to + i : NULL));
    }
}

/* A tile of R rows of codes in `planes` planes each. The planes of a row are consecutive rows of bytes, which are
 * multiplied by the same weights. So sum_tile sees planes * R rows, and the sums of a row's planes are added
 * afterwards. */
QRNN_INLINE void tile_coded(int form, int planes, int R, int P, int F, const struct tiled *t, size_t panel, size_t row)
{
    const int V = P * VECS, S = R * V;
    s32v acc[TILE_MAX];
    sum_tile(form, planes * R, P, F, t, panel, (size_t)planes * row, acc);
    if (planes == 2 && t->w->cols > QRNN_DEPTH_S13) {
        _Alignas(QRNN_LINE) int32_t sums[TILE_MAX * LANES];
        UNROLL for (int i = 0; i < 2 * S; i++) s_store(sums + i * LANES, acc[i]);
        const struct tiled copy = *t;
        finish_deep((size_t)R, (size_t)P, &copy, panel, sums, row);
        return;
    }
    if (planes == 2) /* modulo 2^32; the whole sum fits 32 bits */
        UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < V; v++) acc[r * V + v] =
            s_add(s_shift(acc[2 * r * V + v]), acc[(2 * r + 1) * V + v]);
    if (t->w->dequant == QRNN_DEQUANT_FUSED && !t->out->acc) {
        if (t->out->add)
            finish_sums(1, DOT_BIAS(form), R, V, acc, t, panel, row);
        else
            finish_sums(0, DOT_BIAS(form), R, V, acc, t, panel, row);
        return;
    }
    _Alignas(QRNN_LINE) int32_t sums[TILE_MAX * LANES];
    UNROLL for (int i = 0; i < S; i++) s_store(sums + i * LANES, acc[i]);
    const struct tiled copy = *t; /* its address is taken here, so that `t` itself stays in registers */
    finish_stored(DOT_BIAS(form), (size_t)R, (size_t)P, &copy, panel, sums, row);
}
