/* product.h - the integer product in register tiles, written once for every SIMD file.
 *
 * A tile is R batch rows x P panels of 16 output rows; its sums stay in F * R * P * VECS registers
 * while k runs. The including file gives the vocabulary of vec_*.h and
 *
 *   s32v  s_load  s_store  s_set1  s_add  s_sub  s_mul  v_from_s32
 *   codes4            four activation codes in every lane, in whatever form `dot` wants them
 *   codes4_load(q)    the same, from four bytes
 *   dot(form, acc, w, q)    acc[i] + sum_{j<4} w[4 i + j] * q[j]; exact while the sum fits
 *   DOT_BIAS(form)    what codes4_load takes off each code (128 where the products are signed)
 *
 * R, P, F and form are constants in every instance, so the loops below unroll and the arrays live in
 * registers (checked in the assembly: gcc 12 keeps them there once the loops are unrolled in full).
 */
#include <string.h>

enum { VECS = QRNN_PANEL / LANES, TILE_MAX = 24 };
#define UNROLL QRNN_PRAGMA(GCC unroll 24)

/* One quad of inputs: V weight vectors met by R rows. What there is less of, rows or vectors, waits in
 * registers for the other; the AVX2 tile of 2 x 2 needs it so to fit. */
QRNN_INLINE void quad_u8s8(int form, int R, int V, const int8_t *const *line, size_t k,
                           const uint8_t *q, size_t q_stride, s32v *acc)
{
    if (R <= V) {
        codes4 quad[8];
        UNROLL for (int r = 0; r < R; r++)
            quad[r] = codes4_load(form, q + (size_t)r * q_stride + k * QRNN_QUAD);
        UNROLL for (int v = 0; v < V; v++) {
            const s32v weights = s_load(line[v / VECS] + k * QRNN_LINE + v % VECS * LANES * 4);
            UNROLL for (int r = 0; r < R; r++) acc[r * V + v] = dot(form, acc[r * V + v], weights, quad[r]);
        }
        return;
    }
    s32v weights[8];
    UNROLL for (int v = 0; v < V; v++)
        weights[v] = s_load(line[v / VECS] + k * QRNN_LINE + v % VECS * LANES * 4);
    UNROLL for (int r = 0; r < R; r++) {
        const codes4 quad = codes4_load(form, q + (size_t)r * q_stride + k * QRNN_QUAD);
        UNROLL for (int v = 0; v < V; v++) acc[r * V + v] = dot(form, acc[r * V + v], weights[v], quad);
    }
}

/* The sums of R rows and P panels, less the zero point's share, by one rule, a column's factors read once for all
 * rows: 1.8 ns for 16 sums, 3.3 where the rule is asked for at each and the factors are read for each row (a tile
 * of 4 rows, Zen 4). The sums come through memory: gcc 12 spills the k loop's registers when this is unrolled
 * into it; of one row, where it does not, sums kept in registers gain nothing. */
QRNN_INLINE void finish_by(enum qrnn_dequant rule, int has_add, int bias, size_t R, size_t P,
                           const struct qrnn_panels *w, size_t panel, const int32_t *sums,
                           const struct qrnn_act *act, size_t row, const struct qrnn_product *out)
{
    const size_t first = panel * QRNN_PANEL, width = P * QRNN_PANEL, stride = out->stride;
    float *const y = out->y + row * stride + first;
    const float *const add = has_add ? out->add + row * stride + first : NULL;
    for (size_t i = 0; i < width; i += LANES) {
        const s32v all = s_load(w->sum + first + i);
        const f32v scale = v_load(w->scale + first + i), b = v_load(w->bias + first + i);
        for (size_t r = 0; r < R; r++) {
            const s32v zero = s_set1(act[row + r].zero_point - bias);
            const s32v sum = s_sub(s_load(sums + r * width + i), s_mul(zero, all));
            v_store(y + r * stride + i, dequantise(rule, v_from_s32(sum), v_set1(act[row + r].scale), scale, b,
                                                   has_add ? add + r * stride + i : NULL));
        }
    }
}

/* Sums as the door shows them. */
QRNN_INLINE void keep_sums(int bias, size_t R, size_t P, const struct qrnn_panels *w, size_t panel,
                           const int32_t *sums, const struct qrnn_act *act, size_t row,
                           const struct qrnn_product *out)
{
    for (size_t r = 0; r < R; r++)
        for (size_t i = 0; i < P * QRNN_PANEL; i += LANES) {
            const size_t column = panel * QRNN_PANEL + i;
            const s32v share = s_mul(s_set1(act[row + r].zero_point - bias), s_load(w->sum + column));
            s_store(out->acc + (row + r) * out->stride + column, s_sub(s_load(sums + r * P * QRNN_PANEL + i), share));
        }
}

/* PyTorch's rules, and the door. */
static __attribute__((noinline)) void finish_any(int bias, size_t R, size_t P, const struct qrnn_panels *w,
                                                 size_t panel, const int32_t *sums, const struct qrnn_act *act,
                                                 size_t row, const struct qrnn_product *out)
{
    if (out->acc) keep_sums(bias, R, P, w, panel, sums, act, row, out);
    if (out->add)
        finish_by(w->dequant, 1, bias, R, P, w, panel, sums, act, row, out);
    else
        finish_by(w->dequant, 0, bias, R, P, w, panel, sums, act, row, out);
}

QRNN_INLINE void finish_u8s8(int bias, size_t R, size_t P, const struct qrnn_panels *w, size_t panel,
                             const int32_t *sums, const struct qrnn_act *act, size_t row,
                             const struct qrnn_product *out)
{
    if (w->dequant != QRNN_DEQUANT_FUSED || out->acc)
        finish_any(bias, R, P, w, panel, sums, act, row, out);
    else if (out->add)
        finish_by(QRNN_DEQUANT_FUSED, 1, bias, R, P, w, panel, sums, act, row, out);
    else
        finish_by(QRNN_DEQUANT_FUSED, 0, bias, R, P, w, panel, sums, act, row, out);
}

/* F sets of sums take turns over k, to cover the latency of dot where a tile has few; of the last quads, fewer than
 * F, each goes to a set of its own (one after the other: 2 of 63 ns of a step of I = H = 16). */
QRNN_INLINE void tile_u8s8(int form, int R, int P, int F, const struct qrnn_panels *w, size_t panel,
                           const uint8_t *q, size_t q_stride, const struct qrnn_act *act, size_t row,
                           const struct qrnn_product *out)
{
    const int V = P * VECS, S = R * V;
    const uint8_t *codes = q + row * q_stride;
    const int8_t *line[4];
    s32v acc[TILE_MAX];
    UNROLL for (int p = 0; p < P; p++) line[p] = w->codes + (panel + (size_t)p) * w->quads * QRNN_LINE;
    UNROLL for (int i = 0; i < F * S; i++) acc[i] = s_set1(0);

    size_t k = 0;
    for (; k + (size_t)F <= w->quads; k += (size_t)F) UNROLL for (int f = 0; f < F; f++)
        quad_u8s8(form, R, V, line, k + (size_t)f, codes, q_stride, acc + f * S);
    UNROLL for (int f = 0; f < F - 1; f++)
        if (k + (size_t)f < w->quads) quad_u8s8(form, R, V, line, k + (size_t)f, codes, q_stride, acc + f * S);
    UNROLL for (int f = 1; f < F; f++) UNROLL for (int i = 0; i < S; i++)
        acc[i] = s_add(acc[i], acc[f * S + i]);

    _Alignas(QRNN_LINE) int32_t sums[TILE_MAX * LANES];
    UNROLL for (int i = 0; i < S; i++) s_store(sums + i * LANES, acc[i]);
    finish_u8s8(DOT_BIAS(form), (size_t)R, (size_t)P, w, panel, sums, act, row, out);
}
