/* sums.h - the sums of a tile of product.h on CPUs that multiply a vector of weights by a broadcast of four codes.
 *
 * The including file defines the vocabulary of vec_*.h and
 *
 *   s32v  s_load  s_set1  s_add
 *   codes4            four activation codes, repeated in every lane, in the form that `dot` takes
 *   codes4_load(q)    loads them from four bytes
 *   dot(form, acc, w, q)    acc[i] + sum_{j<4} w[4 i + j] * q[j]; exact while the sum fits
 *   DOT_BIAS(form)    what codes4_load subtracts from each code
 *   t->left_out[row]  if it subtracts anything: the part of the row's sums that `dot` leaves out */
#include <string.h>

#include "tiled.h"

/* Multiplies one quad of inputs: V weight vectors by the codes of R rows. If there are fewer rows than vectors, the
 * codes of all rows stay in registers, else the weights do; the AVX2 tile of 2 x 2 fits its registers only this way. */
QRNN_INLINE void quad_u8s8(int form, int R, int V, const int8_t *const *line, size_t k, const uint8_t *q,
                           size_t q_stride, s32v *acc)
{
    if (R <= V) {
        codes4 quad[8];
        UNROLL for (int r = 0; r < R; r++) quad[r] = codes4_load(form, q + (size_t)r * q_stride + k * QRNN_QUAD);
        UNROLL for (int v = 0; v < V; v++)
        {
            s32v weights = s_load(line[v / VECS] + k * QRNN_LINE + v % VECS * LANES * 4);
            if (R > 1) QRNN_IN_REGISTER(weights); /* without it gcc 12 loads them again for each row */
            UNROLL for (int r = 0; r < R; r++) acc[r * V + v] = dot(form, acc[r * V + v], weights, quad[r]);
        }
        return;
    }
    s32v weights[8];
    UNROLL for (int v = 0; v < V; v++) weights[v] = s_load(line[v / VECS] + k * QRNN_LINE + v % VECS * LANES * 4);
    UNROLL for (int r = 0; r < R; r++)
    {
        const codes4 quad = codes4_load(form, q + (size_t)r * q_stride + k * QRNN_QUAD);
        UNROLL for (int v = 0; v < V; v++) acc[r * V + v] = dot(form, acc[r * V + v], weights[v], quad);
    }
}

/* The sums of a tile. Where a tile has few sums, F sets of them are used in turns over k, to cover the latency of dot.
 * The last quads, fewer than F, go to a set each (all to one set cost 2 of 63 ns of a step of I = H = 16). */
QRNN_INLINE void sum_tile(int form, int R, int P, int F, const struct tiled *t, size_t panel, size_t row, s32v *acc)
{
    const int V = P * VECS, S = R * V;
    const size_t quads = t->w->quads;
    const uint8_t *const q = t->q + row * t->q_stride;
    const int8_t *line[4];
    UNROLL for (int p = 0; p < P; p++) line[p] = t->codes + (panel + (size_t)p) * quads * QRNN_LINE;
    UNROLL for (int i = 0; i < F * S; i++) acc[i] = s_set1(0);

    size_t k = 0;
    for (; k + (size_t)F <= quads; k += (size_t)F)
        UNROLL for (int f = 0; f < F; f++) quad_u8s8(form, R, V, line, k + (size_t)f, q, t->q_stride, acc + f * S);
    UNROLL for (int f = 0; f < F - 1; f++) if (k + (size_t)f < quads)
        quad_u8s8(form, R, V, line, k + (size_t)f, q, t->q_stride, acc + f * S);
    UNROLL for (int f = 1; f < F; f++) UNROLL for (int i = 0; i < S; i++) acc[i] = s_add(acc[i], acc[f * S + i]);
    /* Without this gcc 12 keeps some of them on the stack in the k loop, because the code after it needs registers. */
    UNROLL for (int i = 0; i < S; i++) QRNN_IN_REGISTER(acc[i]);
    if (DOT_BIAS(form))
        UNROLL for (int i = 0; i < S; i++) acc[i] = s_add(acc[i], s_set1(t->left_out[row + (size_t)(i / V)]));
}
