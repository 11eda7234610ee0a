/* neoni8mm.c - products of 2 x 8 by 8 x 2 bytes, usmmla, and the dot product of signed by unsigned bytes, sudot (I8MM).
 * All other kernels are those of neon.c. */
#include "kernels.h"

#if QRNN_ARM_REGIONS
#include <arm_neon.h>
#include <math.h>

QRNN_REGION("arch=armv8.2-a+dotprod+i8mm")

#include "vec_neon.h"
#include "dequantize.h"
#include "neon.h"

/* Nothing is subtracted from codes. A form is the way to multiply: by lanes, or by matrices of two rows. */
enum { BY_LANES, BY_MATRICES };
#define DOT_BIAS(form) 0
typedef uint8x16_t codes16;

QRNN_INLINE codes16 codes16_load(int form, const uint8_t *q)
{
    (void)form;
    return vld1q_u8(q);
}

QRNN_INLINE s32v dot(int form, s32v acc, int8x16_t w, codes16 q, int lane)
{
    (void)form;
    switch (lane) { /* an immediate operand, also where nothing is inlined */
    case 0: return vsudotq_laneq_s32(acc, w, q, 0);
    case 1: return vsudotq_laneq_s32(acc, w, q, 1);
    case 2: return vsudotq_laneq_s32(acc, w, q, 2);
    case 3: return vsudotq_laneq_s32(acc, w, q, 3);
    }
    QRNN_UNREACHABLE();
}

#include "neon_lanes.h"

/* Loads 16 codes of each of R rows: codes[r] has the first 8 of rows r and r + 1, codes[r + 1] the other 8. */
QRNN_INLINE void codes_by_two(int R, const uint8_t *q, size_t q_stride, codes16 *codes)
{
    UNROLL for (int r = 0; r < R; r += 2)
    {
        const uint64x2_t first = vreinterpretq_u64_u8(vld1q_u8(q + (size_t)r * q_stride));
        const uint64x2_t second = vreinterpretq_u64_u8(vld1q_u8(q + (size_t)(r + 1) * q_stride));
        codes[r] = vreinterpretq_u8_u64(vzip1q_u64(first, second));
        codes[r + 1] = vreinterpretq_u8_u64(vzip2q_u64(first, second));
    }
}

/* Multiplies two quads of inputs, half `half` of the loaded codes: V vectors of weights by R rows, two at a time. A
 * vector has four output rows and becomes two matrices: of its rows 0 and 1, and of its rows 2 and 3. If `both` is 0
 * there is no second quad, and its weights count as 0. */
QRNN_INLINE void quads_by_matrices(int both, int R, int V, const int8_t *line, int half, const codes16 *codes,
                                   s32v *blocks)
{
    enum { TOGETHER = 2 }; /* vectors: one instruction loads two that lie beside one another */
    UNROLL for (int v = 0; v < V; v += TOGETHER)
    {
        s32v w[2][TOGETHER];
        QRNN_LOADS_STAY();
        UNROLL for (int j = 0; j < 2; j++) UNROLL for (int i = 0; i < TOGETHER; i++) w[j][i] =
            j && !both ? s_set1(0) : s_load(line + (2 * half + j) * QRNN_LINE + (v + i) * CODES);
        UNROLL for (int i = 0; i < TOGETHER; i++)
        {
            const int8x16_t low = vreinterpretq_s8_s32(vzip1q_s32(w[0][i], w[1][i]));
            const int8x16_t high = vreinterpretq_s8_s32(vzip2q_s32(w[0][i], w[1][i]));
            UNROLL for (int r = 0; r < R; r += 2)
            {
                s32v *const block = blocks + r * V + 2 * (v + i);
                block[0] = vusmmlaq_s32(block[0], codes[r + half], low);
                block[1] = vusmmlaq_s32(block[1], codes[r + half], high);
            }
        }
    }
}

/* The sums of V vectors of a panel from `first` on. A block is the sums of two rows by two output rows; two neighboring
 * blocks hold one vector for each of the rows. */
QRNN_INLINE void vectors_by_matrices(int R, int V, int first, const struct tiled *t, size_t panel, size_t row,
                                     s32v *acc)
{
    const size_t quads = t->w->quads;
    const uint8_t *q = t->q + row * t->q_stride;
    const int8_t *line = t->codes + panel * quads * QRNN_LINE + first * CODES;
    codes16 codes[TILE_MAX];
    s32v blocks[TILE_MAX];
    UNROLL for (int i = 0; i < R * V; i++) blocks[i] = s_set1(0);
    for (size_t n = quads / QUADS; n > 0; n--) {
        codes_by_two(R, q, t->q_stride, codes);
        quads_by_matrices(1, R, V, line, 0, codes, blocks);
        quads_by_matrices(1, R, V, line, 1, codes, blocks);
        line += QUADS * QRNN_LINE;
        q += CODES;
    }
    const size_t left = quads % QUADS;
    if (left) {
        codes_by_two(R, q, t->q_stride, codes);
        if (left >= 2) quads_by_matrices(1, R, V, line, 0, codes, blocks);
        if (left == 1) quads_by_matrices(0, R, V, line, 0, codes, blocks);
        if (left == 3) quads_by_matrices(0, R, V, line, 1, codes, blocks);
    }
    UNROLL for (int r = 0; r < R; r += 2) UNROLL for (int v = 0; v < V; v++)
    {
        const int64x2_t low = vreinterpretq_s64_s32(blocks[r * V + 2 * v]);
        const int64x2_t high = vreinterpretq_s64_s32(blocks[r * V + 2 * v + 1]);
        acc[r * VECS + first + v] = vreinterpretq_s32_s64(vzip1q_s64(low, high));
        acc[(r + 1) * VECS + first + v] = vreinterpretq_s32_s64(vzip2q_s64(low, high));
    }
}

/* For more than four rows it computes half a panel at a time: 16 sums, the codes of 8 rows and 4 vectors of weights fit
 * 32 registers. */
QRNN_INLINE void sum_by_matrices(int R, const struct tiled *t, size_t panel, size_t row, s32v *acc)
{
    const int V = R > 4 ? VECS / 2 : VECS;
    UNROLL for (int v = 0; v < VECS; v += V) vectors_by_matrices(R, V, v, t, panel, row, acc);
}

QRNN_INLINE void sum_tile(int form, int R, int P, int F, const struct tiled *t, size_t panel, size_t row, s32v *acc)
{
    if (form == BY_MATRICES)
        sum_by_matrices(R, t, panel, row, acc);
    else
        sum_by_lanes(form, R, P, F, t, panel, row, acc);
}

#include "product.h"

QRNN_TILE(tile_1x4, BY_LANES, 1, 1, 4, 1)
QRNN_TILE(tile_1, BY_LANES, 1, 1, 1, 4)
QRNN_TILE(tile_2, BY_LANES, 1, 2, 1, 2)
QRNN_TILE(tile_3, BY_LANES, 1, 3, 1, 2)
QRNN_TILE(tile_4, BY_MATRICES, 1, 4, 1, 1)
QRNN_TILE(tile_6, BY_MATRICES, 1, 6, 1, 1)
QRNN_TILE(tile_8, BY_MATRICES, 1, 8, 1, 1)

/* Up to three rows are multiplied by lanes, which takes no more instructions there. */
static void product_u8s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const struct tiled t = tiled_planes(1, w, x, out);
    size_t panel = 0;
    if (out->batch == 1)
        for (; panel + 4 <= w->count; panel += 4) tile_1x4(&t, panel, 0);
    for (; panel < w->count; panel++)
        for (size_t row = 0, rows; row < out->batch; row += rows) {
            const size_t left = out->batch - row;
            rows = left >= 8 ? 8 : left >= 6 ? 6 : left >= 4 ? 4 : left;
            switch (rows) {
            case 8: tile_8(&t, panel, row); break;
            case 6: tile_6(&t, panel, row); break;
            case 4: tile_4(&t, panel, row); break;
            case 3: tile_3(&t, panel, row); break;
            case 2: tile_2(&t, panel, row); break;
            case 1: tile_1(&t, panel, row); break;
            }
        }
}

/* A row of 13-bit codes is two rows of a tile. */
QRNN_TILE(tile_s13_1x2, BY_LANES, 2, 1, 2, 1)
QRNN_TILE(tile_s13_1, BY_LANES, 2, 1, 1, 2)
QRNN_TILE(tile_s13_2, BY_MATRICES, 2, 2, 1, 1)
QRNN_TILE(tile_s13_3, BY_MATRICES, 2, 3, 1, 1)
QRNN_TILE(tile_s13_4, BY_MATRICES, 2, 4, 1, 1)

static void product_s13s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const struct tiled t = tiled_planes(2, w, x, out);
    size_t panel = 0, row = 0;
    if (out->batch == 1)
        for (; panel + 2 <= w->count; panel += 2) tile_s13_1x2(&t, panel, 0);
    for (; panel < w->count; panel++) {
        for (row = 0; row + 4 <= out->batch; row += 4) tile_s13_4(&t, panel, row);
        if (row + 3 == out->batch) tile_s13_3(&t, panel, row);
        if (row + 2 == out->batch) tile_s13_2(&t, panel, row);
        if (row + 1 == out->batch) tile_s13_1(&t, panel, row);
    }
}

void qrnn_use_neoni8mm(struct qrnn_kernels *k)
{
    k->product[QRNN_PRODUCT_U8S8] = product_u8s8;
    k->product[QRNN_PRODUCT_S13S8] = product_s13s8;
}

QRNN_REGION_END
#else
void qrnn_use_neoni8mm(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
