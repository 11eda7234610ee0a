/* wasm.c - all kernels but `moments` in 128-bit registers, by WebAssembly's simd128. Compiled if the compiler gets
 * -msimd128. */
#include "kernels.h"

#if QRNN_WASM
#include <float.h>
#include <math.h>
#include <string.h>
#include <wasm_simd128.h>

#include "vec_wasm.h"
#include "poly.h"
#include "dequantize.h"
#include "elementwise.h"
#include "ends.h"
#include "tiled.h"

typedef v128_t s32v;

QRNN_INLINE s32v s_load(const void *p)
{
    return wasm_v128_load(p);
}

QRNN_INLINE void s_store(int32_t *p, s32v v)
{
    wasm_v128_store(p, v);
}

QRNN_INLINE s32v s_set1(int32_t v)
{
    return wasm_i32x4_splat(v);
}

QRNN_INLINE s32v s_add(s32v a, s32v b)
{
    return wasm_i32x4_add(a, b);
}

QRNN_INLINE s32v s_sub(s32v a, s32v b)
{
    return wasm_i32x4_sub(a, b);
}

QRNN_INLINE s32v s_mul(s32v a, s32v b)
{
    return wasm_i32x4_mul(a, b);
}

QRNN_INLINE s32v s_shift(s32v v)
{
    return wasm_i32x4_shl(v, QRNN_PLANE_BITS);
}

QRNN_INLINE f32v v_from_s32(s32v v)
{
    return wasm_f32x4_convert_i32x4(v);
}

/* Codes and weights are widened to 16 bits when loaded, and i32x4.dot_i16x8_s sums their products by pairs of inputs.
 * That is exact for codes up to 255 too, so nothing is subtracted from them. */
#define DOT_BIAS(form) 0

/* Multiplies a quad of inputs: V vectors of weights from `line` on by R rows. pairs[2 * i] has the sums of pairs of a
 * vector's rows 0 and 1, pairs[2 * i + 1] those of its rows 2 and 3. */
QRNN_INLINE void quad_of_rows(int R, int V, const int8_t *line, const v128_t *quad, s32v *pairs)
{
    UNROLL for (int v = 0; v < V; v++)
    {
        const v128_t low = wasm_i16x8_load8x8(line + v * LANES * QRNN_QUAD);
        const v128_t high = wasm_i16x8_load8x8(line + v * LANES * QRNN_QUAD + 8);
        UNROLL for (int r = 0; r < R; r++)
        {
            s32v *const sums = pairs + 2 * (r * V + v);
            sums[0] = wasm_i32x4_add(sums[0], wasm_i32x4_dot_i16x8(low, quad[r]));
            sums[1] = wasm_i32x4_add(sums[1], wasm_i32x4_dot_i16x8(high, quad[r]));
        }
    }
}

/* The sums of V vectors of a panel from `first` on. It loads two quads of codes at once; the padding of rows allows
 * that. */
QRNN_INLINE void sum_vectors(int R, int V, int first, const struct tiled *t, size_t panel, size_t row, s32v *acc)
{
    const size_t quads = t->w->quads;
    const uint8_t *q = t->q + row * t->q_stride;
    const int8_t *line = t->codes + panel * quads * QRNN_LINE + first * LANES * QRNN_QUAD;
    s32v pairs[2 * TILE_MAX];
    v128_t quad[TILE_MAX], next[TILE_MAX];
    UNROLL for (int i = 0; i < 2 * R * V; i++) pairs[i] = s_set1(0);
    for (size_t k = 0; k < quads; k += 2, q += 2 * QRNN_QUAD, line += 2 * QRNN_LINE) {
        UNROLL for (int r = 0; r < R; r++)
        {
            const v128_t both = wasm_u16x8_load8x8(q + (size_t)r * t->q_stride);
            quad[r] = wasm_i64x2_shuffle(both, both, 0, 0);
            next[r] = wasm_i64x2_shuffle(both, both, 1, 1);
        }
        quad_of_rows(R, V, line, quad, pairs);
        if (k + 1 < quads) quad_of_rows(R, V, line + QRNN_LINE, next, pairs);
    }
    UNROLL for (int r = 0; r < R; r++) UNROLL for (int v = 0; v < V; v++)
    {
        const s32v *const sums = pairs + 2 * (r * V + v);
        acc[r * VECS + first + v] =
            s_add(wasm_i32x4_shuffle(sums[0], sums[1], 0, 2, 4, 6), wasm_i32x4_shuffle(sums[0], sums[1], 1, 3, 5, 7));
    }
}

/* For two rows it computes half a panel at a time: eight sums of pairs, of the 16 registers that x86 has. */
QRNN_INLINE void sum_tile(int form, int R, int P, int F, const struct tiled *t, size_t panel, size_t row, s32v *acc)
{
    const int V = R > 1 ? VECS / 2 : VECS;
    (void)form, (void)P, (void)F;
    UNROLL for (int v = 0; v < VECS; v += V) sum_vectors(R, V, v, t, panel, row, acc);
}

#include "product.h"

/* Not inlined, because tiles are large. */
#define TILE(name, planes, R)                                                                   \
    static __attribute__((noinline)) void name(const struct tiled *t, size_t panel, size_t row) \
    {                                                                                           \
        const struct tiled local = *t;                                                          \
        tile_coded(0, planes, R, 1, 1, &local, panel, row);                                     \
    }
TILE(tile_1, 1, 1)
TILE(tile_2, 1, 2)
TILE(tile_s13_1, 2, 1)

static void product_u8s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const struct tiled t = tiled_planes(1, w, x, out);
    for (size_t panel = 0, row = 0; panel < w->count; panel++, row = 0) {
        for (; row + 2 <= out->batch; row += 2) tile_2(&t, panel, row);
        if (row < out->batch) tile_1(&t, panel, row);
    }
}

static void product_s13s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const struct tiled t = tiled_planes(2, w, x, out);
    for (size_t panel = 0; panel < w->count; panel++)
        for (size_t row = 0; row < out->batch; row++) tile_s13_1(&t, panel, row);
}

/* Computes one of a panel's four sums after the other. Nearly all time goes to fma, so tiles would gain nothing. */
static void product_f32(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    for (size_t panel = 0; panel < w->count; panel++) {
        const float *const line = (const float *)w->data + panel * w->cols * QRNN_PANEL;
        for (size_t row = 0; row < out->batch; row++) {
            const float *const values = (const float *)x->rows + row * x->stride;
            f32v sum[4][VECS];
            for (size_t j = 0; j < 4; j++) {
                for (int v = 0; v < VECS; v++) sum[j][v] = v_set1(0.0f);
                size_t at = qrnn_float_line(w->cols, j) * QRNN_PANEL;
                for (size_t k = j; k < w->cols; k += 4, at += (size_t)(2 * QRNN_PANEL))
                    for (int v = 0; v < VECS; v++)
                        sum[j][v] = v_fma(v_set1(values[k]), v_load(line + at + v * LANES), sum[j][v]);
            }
            const size_t to = row * out->stride + panel * QRNN_PANEL;
            for (int v = 0; v < VECS; v++)
                v_store(out->y + to + v * LANES,
                        with_bias(v_add(v_add(sum[0][v], sum[1][v]), v_add(sum[2][v], sum[3][v])),
                                  v_load(w->bias + panel * QRNN_PANEL + v * LANES),
                                  out->add ? out->add + to + v * LANES : NULL));
        }
    }
}

/* Rounds half to even for |v| < 2^22, like qrnn_rint: the low bits of the sum are the integer. */
QRNN_INLINE s32v s_nearest(f32v v)
{
    const f32v magic = v_set1(QRNN_ROUNDER);
    return s_sub(v_add(v, magic), magic);
}

QRNN_INLINE s32v s_within(s32v v, int32_t most)
{
    return wasm_i32x4_min(wasm_i32x4_max(v, s_set1(-most)), s_set1(most));
}

QRNN_INLINE s32v s_high(s32v v)
{
    return wasm_i32x4_shr(v, QRNN_PLANE_BITS);
}

QRNN_INLINE s32v s_low(s32v v)
{
    return wasm_v128_and(v, s_set1((1 << QRNN_PLANE_BITS) - 1));
}

QRNN_INLINE void codes_store(uint8_t *q, const s32v *c)
{
    wasm_v128_store(q,
                    wasm_u8x16_narrow_i16x8(wasm_i16x8_narrow_i32x4(c[0], c[1]), wasm_i16x8_narrow_i32x4(c[2], c[3])));
}

#include "codes.h"
#include "choose.h"

void qrnn_use_wasm(struct qrnn_kernels *k)
{
    k->range = range;
    k->quantize = quantize;
    k->encode[QRNN_ACTIVATIONS_U8] = encode_u8;
    k->encode[QRNN_ACTIVATIONS_S13] = encode_s13;
    k->product[QRNN_PRODUCT_U8S8] = product_u8s8;
    k->product[QRNN_PRODUCT_S13S8] = product_s13s8;
    k->product[QRNN_PRODUCT_F32] = product_f32;
    QRNN_USE_ELEMENTWISE(k);
    use_ends(k);
}
#else
void qrnn_use_wasm(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
