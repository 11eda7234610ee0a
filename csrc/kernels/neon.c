/* neon.c - all kernels in 128-bit registers, by the NEON that every 64-bit ARM CPU has. */
#include "kernels.h"

#if QRNN_ARM
#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "vec_neon.h"
#include "poly.h"
#include "dequantize.h"
#include "elementwise.h"
#include "ends.h"
#include "neon.h"

/* A 16-bit sum holds one product of signed bytes. It holds two if they cannot both be -128 * -128:
 *
 *   codes of planes             0 .. 127        2 * 127 * -128 = -32512
 *   codes up to 128, minus 64   -64 .. 64       2 * -64 * -128 = 16384
 *   codes minus 128             -128 .. 127     2 * -128 * 127 = -32512 if no weight is -128, else one at a time
 *
 * A form is the number that is subtracted from codes, plus ALONE where products are summed one at a time. */
enum { ALONE = 256 };
#define DOT_BIAS(form) ((form) & (ALONE - 1))

QRNN_INLINE int8x16_t quad_of(int8x16_t codes, int quad)
{
    const int32x4_t quads = vreinterpretq_s32_s8(codes);
    switch (quad) { /* an immediate operand, also where nothing is inlined */
    case 0: return vreinterpretq_s8_s32(vdupq_laneq_s32(quads, 0));
    case 1: return vreinterpretq_s8_s32(vdupq_laneq_s32(quads, 1));
    case 2: return vreinterpretq_s8_s32(vdupq_laneq_s32(quads, 2));
    case 3: return vreinterpretq_s8_s32(vdupq_laneq_s32(quads, 3));
    }
    QRNN_UNREACHABLE();
}

/* Multiplies one quad and sums the products by pairs of inputs: two sums of 4 x 32 bits, for rows 0 and 1 and for rows
 * 2 and 3. */
QRNN_INLINE void quad_alone(int8x16_t w, int8x16_t q, s32v *pairs)
{
    pairs[0] = vpadalq_s16(pairs[0], vmull_s8(vget_low_s8(w), vget_low_s8(q)));
    pairs[1] = vpadalq_s16(pairs[1], vmull_high_s8(w, q));
}

/* The same for two quads at once. */
QRNN_INLINE void quads_paired(const int8x16_t *w, const int8x16_t *q, s32v *pairs)
{
    const int16x8_t low =
        vmlal_s8(vmull_s8(vget_low_s8(w[0]), vget_low_s8(q[0])), vget_low_s8(w[1]), vget_low_s8(q[1]));
    pairs[0] = vpadalq_s16(pairs[0], low);
    pairs[1] = vpadalq_s16(pairs[1], vmlal_high_s8(vmull_high_s8(w[0], q[0]), w[1], q[1]));
}

/* Multiplies n quads, one or two, of R rows, from quad `first` of the loaded codes on. */
QRNN_INLINE void quads_of_rows(int form, int n, int R, int V, const int8_t *const *line, size_t k,
                               const int8x16_t *codes, int first, s32v *pairs)
{
    int8x16_t q[TILE_MAX][2];
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int j = 0; j < n; j++) q[r][j] = quad_of(codes[r], first + j);
    UNROLL for (int v = 0; v < V; v += 2)
    {
        int8x16_t w[2][2];
        QRNN_LOADS_STAY();
        UNROLL for (int j = 0; j < n; j++) UNROLL for (int i = 0; i < 2; i++) w[i][j] =
            vld1q_s8(line[v / VECS] + (k + (size_t)j) * QRNN_LINE + (v + i) % VECS * LANES * QRNN_QUAD);
        QRNN_LOADS_STAY();
        UNROLL for (int i = 0; i < 2; i++) UNROLL for (int r = 0; r < R; r++)
        {
            s32v *const sums = pairs + 2 * (r * V + v + i);
            if (n == 2 && !(form & ALONE))
                quads_paired(w[i], q[r], sums);
            else
                UNROLL for (int j = 0; j < n; j++) quad_alone(w[i][j], q[r][j], sums);
            QRNN_IN_REGISTER(sums[0]);
            QRNN_IN_REGISTER(sums[1]);
        }
    }
}

QRNN_INLINE void sum_tile(int form, int R, int P, int F, const struct tiled *t, size_t panel, size_t row, s32v *acc)
{
    const int V = P * VECS, S = R * V;
    const size_t quads = t->w->quads;
    const uint8_t *const q = t->q + row * t->q_stride;
    const int8_t *line[4];
    s32v pairs[2 * TILE_MAX];
    int8x16_t codes[TILE_MAX];
    (void)F;
    UNROLL for (int p = 0; p < P; p++) line[p] = t->codes + (panel + (size_t)p) * quads * QRNN_LINE;
    UNROLL for (int i = 0; i < 2 * S; i++) pairs[i] = s_set1(0);

    size_t k = 0;
    for (; k + QUADS <= quads; k += QUADS) {
        UNROLL for (int r = 0; r < R; r++) codes[r] =
            codes_load(DOT_BIAS(form), q + (size_t)r * t->q_stride + k * QRNN_QUAD);
        quads_of_rows(form, 2, R, V, line, k, codes, 0, pairs);
        quads_of_rows(form, 2, R, V, line, k + 2, codes, 2, pairs);
    }
    if (k < quads) {
        const size_t left = quads - k;
        UNROLL for (int r = 0; r < R; r++) codes[r] =
            codes_load(DOT_BIAS(form), q + (size_t)r * t->q_stride + k * QRNN_QUAD);
        if (left >= 2) quads_of_rows(form, 2, R, V, line, k, codes, 0, pairs);
        if (left == 1) quads_of_rows(form, 1, R, V, line, k, codes, 0, pairs);
        if (left == 3) quads_of_rows(form, 1, R, V, line, k + 2, codes, 2, pairs);
    }
    UNROLL for (int i = 0; i < S; i++) acc[i] = vpaddq_s32(pairs[2 * i], pairs[2 * i + 1]);
}

#include "product.h"
#include "product_f32.h"

/* A tile has 16 sums of pairs, of 32 registers: two rows (of codes or of planes) or two panels. */
#define PRODUCT(name, form)                                                                                    \
    QRNN_TILE(name##_1x2, form, 1, 1, 2, 1)                                                                    \
    QRNN_TILE(name##_1, form, 1, 1, 1, 1)                                                                      \
    QRNN_TILE(name##_2, form, 1, 2, 1, 1)                                                                      \
    static void name(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out) \
    {                                                                                                          \
        const struct tiled t = tiled_planes(1, w, x, out);                                                     \
        size_t panel = 0, row = 0;                                                                             \
        if (out->batch == 1)                                                                                   \
            for (; panel + 2 <= w->count; panel += 2) name##_1x2(&t, panel, 0);                                \
        for (; panel < w->count; panel++) {                                                                    \
            for (row = 0; row + 2 <= out->batch; row += 2) name##_2(&t, panel, row);                           \
            if (row < out->batch) name##_1(&t, panel, row);                                                    \
        }                                                                                                      \
    }
PRODUCT(narrow, 64)
PRODUCT(paired, 128)
PRODUCT(alone, 128 | ALONE)

static void product_u8s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    if (w->most_code <= 128)
        narrow(w, x, out);
    else if (!w->has_least)
        paired(w, x, out);
    else
        alone(w, x, out);
}

QRNN_TILE(tile_s13_1, 0, 2, 1, 1, 1)

static void product_s13s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const struct tiled t = tiled_planes(2, w, x, out);
    for (size_t panel = 0; panel < w->count; panel++)
        for (size_t row = 0; row < out->batch; row++) tile_s13_1(&t, panel, row);
}

QRNN_INLINE s32v s_nearest(f32v v)
{
    return vcvtnq_s32_f32(v);
}

QRNN_INLINE s32v s_within(s32v v, int32_t most)
{
    return vminq_s32(vmaxq_s32(v, s_set1(-most)), s_set1(most));
}

QRNN_INLINE s32v s_high(s32v v)
{
    return vshrq_n_s32(v, QRNN_PLANE_BITS);
}

QRNN_INLINE s32v s_low(s32v v)
{
    return vandq_s32(v, s_set1((1 << QRNN_PLANE_BITS) - 1));
}

QRNN_INLINE void codes_store(uint8_t *q, const s32v *c)
{
    const int16x8_t low = vqmovn_high_s32(vqmovn_s32(c[0]), c[1]), high = vqmovn_high_s32(vqmovn_s32(c[2]), c[3]);
    vst1q_u8(q, vqmovun_high_s16(vqmovun_s16(low), high));
}

#include "codes.h"
#include "choose.h"
#include "moments.h"

void qrnn_use_neon(struct qrnn_kernels *k)
{
    k->range = range;
    k->quantize = quantize;
    k->encode[QRNN_ACTIVATIONS_U8] = encode_u8;
    k->encode[QRNN_ACTIVATIONS_S13] = encode_s13;
    k->product[QRNN_PRODUCT_U8S8] = product_u8s8;
    k->product[QRNN_PRODUCT_S13S8] = product_s13s8;
    k->product[QRNN_PRODUCT_F32] = product_f32;
    k->moments = moments;
    QRNN_USE_ELEMENTWISE(k);
    use_ends(k);
}
#else
void qrnn_use_neon(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
