/* avxvnni.c - the dot product of AVX-VNNI (vpdpbusd in VEX encoding). All other kernels are those of avx2.c. */
#include "kernels.h"

#if QRNN_X86
#include <immintrin.h>
#include <math.h>

QRNN_REGION("avx2,fma,avxvnni")

#include "vec_avx2.h"
#include "dequantize.h"
#include "ymm.h"

#define DOT_BIAS(form) 0
typedef __m256i codes4;

QRNN_INLINE codes4 codes4_load(int form, const uint8_t *q)
{
    int32_t bytes;
    (void)form;
    memcpy(&bytes, q, sizeof bytes);
    return _mm256_set1_epi32(bytes);
}

QRNN_INLINE s32v dot(int form, s32v acc, s32v w, codes4 q)
{
    (void)form;
    return _mm256_dpbusd_avx_epi32(acc, q, w);
}

#include "sums.h"
#include "product.h"

/* vpdpbusd takes 5 cycles, and two can start in each cycle. So one row is computed with 8 sums side by side, three rows
 * with 12. */
static void product_u8s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
#define TILE(R, P, F) tile_coded(0, 1, R, P, F, &t, panel, row)
    const struct tiled t = tiled_planes(1, w, x, out);
    const size_t fours = out->batch == 1 ? w->count / 4 : 0, twos = (w->count - 4 * fours) / 2;
    size_t panel, row = 0;
    for (size_t i = 0; i < fours; i++) {
        panel = 4 * group_at(out, fours, i);
        TILE(1, 4, 1);
    }
    for (size_t i = 0; i < twos; i++) {
        panel = 4 * fours + 2 * group_at(out, twos, i);
        for (row = 0; row + 3 <= out->batch; row += 3) TILE(3, 2, 1);
        for (; row + 2 <= out->batch; row += 2) TILE(2, 2, 1);
        for (; row < out->batch; row++) TILE(1, 2, 2);
    }
    panel = 4 * fours + 2 * twos;
    if (panel < w->count) {
        for (row = 0; row + 4 <= out->batch; row += 4) TILE(4, 1, 1);
        for (; row < out->batch; row++) TILE(1, 1, 4);
    }
#undef TILE
}

/* A row of 13-bit codes is two rows of a tile. */
static void product_s13s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
#define TILE(R, P, F) tile_coded(0, 2, R, P, F, &t, panel, row)
    const struct tiled t = tiled_planes(2, w, x, out);
    const size_t twos = w->count / 2;
    size_t panel, row;
    for (size_t i = 0; i < twos; i++) {
        panel = 2 * group_at(out, twos, i);
        for (row = 0; row < out->batch; row++) TILE(1, 2, 1);
    }
    panel = 2 * twos;
    if (panel < w->count)
        for (row = 0; row < out->batch; row++) TILE(1, 1, 2);
#undef TILE
}

void qrnn_use_avxvnni(struct qrnn_kernels *k)
{
    k->product[QRNN_PRODUCT_U8S8] = product_u8s8;
    k->product[QRNN_PRODUCT_S13S8] = product_s13s8;
}

QRNN_REGION_END
#else
void qrnn_use_avxvnni(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
