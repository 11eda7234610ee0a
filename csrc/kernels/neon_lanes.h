/* neon_lanes.h - the sums of a tile of product.h on CPUs that multiply a vector of weights by one of the four quads of
 * codes in a register: for neondot.c and neoni8mm.c.
 *
 * The including file defines the vocabulary of neon.h and
 *
 *   codes16               four quads of codes of a row
 *   codes16_load(form, q) loads them from memory
 *   dot(form, acc, w, q, lane)    acc[i] + sum_{j<4} w[4 i + j] * q[4 lane + j]; exact while the sum fits */
#ifndef QRNN_NEON_LANES_H
#define QRNN_NEON_LANES_H

/* Multiplies quad `lane` of the inputs: V vectors of weights by R rows. One instruction loads two vectors, just before
 * they are used, because the registers are needed for sums. */
QRNN_INLINE void lane_of_rows(int form, int R, int V, const int8_t *const *line, int lane, const codes16 *q, s32v *acc)
{
    UNROLL for (int v = 0; v < V; v += 2)
    {
        int8x16_t w[2];
        QRNN_LOADS_STAY();
        UNROLL for (int i = 0; i < 2; i++) w[i] = vld1q_s8(line[v / VECS] + lane * QRNN_LINE + (v + i) % VECS * CODES);
        /* Without this both use one register in turns, with a load for each. */
        UNROLL for (int i = 0; i < 2; i++) QRNN_IN_REGISTER(w[i]);
        UNROLL for (int i = 0; i < 2; i++) UNROLL for (int r = 0; r < R; r++) acc[r * V + v + i] =
            dot(form, acc[r * V + v + i], w[i], q[r], lane);
    }
}

/* Where a tile has few sums, F sets of them are used in turns over the lanes, to cover the latency of dot. */
QRNN_INLINE void sum_by_lanes(int form, int R, int P, int F, const struct tiled *t, size_t panel, size_t row, s32v *acc)
{
    const int V = P * VECS, S = R * V;
    const size_t quads = t->w->quads;
    const uint8_t *at = t->q + row * t->q_stride;
    const int8_t *line[4];
    codes16 q[TILE_MAX];
    UNROLL for (int p = 0; p < P; p++) line[p] = t->codes + (panel + (size_t)p) * quads * QRNN_LINE;
    UNROLL for (int i = 0; i < F * S; i++) acc[i] = s_set1(0);

    for (size_t n = quads / QUADS; n > 0; n--) {
        UNROLL for (int r = 0; r < R; r++) q[r] = codes16_load(form, at + (size_t)r * t->q_stride);
        UNROLL for (int j = 0; j < QUADS; j++) lane_of_rows(form, R, V, line, j, q, acc + j % F * S);
        UNROLL for (int p = 0; p < P; p++) line[p] += QUADS * QRNN_LINE;
        at += CODES;
    }
    const int left = (int)(quads % QUADS);
    if (left) {
        UNROLL for (int r = 0; r < R; r++) q[r] = codes16_load(form, at + (size_t)r * t->q_stride);
        UNROLL for (int j = 0; j < QUADS - 1; j++) if (j < left) lane_of_rows(form, R, V, line, j, q, acc + j % F * S);
    }
    UNROLL for (int f = 1; f < F; f++) UNROLL for (int i = 0; i < S; i++) acc[i] = s_add(acc[i], acc[f * S + i]);
}

#endif
