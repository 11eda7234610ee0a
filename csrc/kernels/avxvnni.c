/* avxvnni.c - the dot product of AVX-VNNI (VEX encoded vpdpbusd); all else is avx2.c's. */
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

#include "product.h"

/* vpdpbusd takes 5 cycles and two can start in each: a lone row runs 8 sums abreast, three rows 12. */
static void product_u8s8(const struct qrnn_panels *w, const uint8_t *q, size_t q_stride, const struct qrnn_act *act,
                         const struct qrnn_product *out)
{
    size_t panel = 0;
    if (out->batch == 1)
        for (; panel + 4 <= w->count; panel += 4) tile_u8s8(0, 1, 4, 1, w, panel, q, q_stride, NULL, act, 0, out);
    for (; panel + 2 <= w->count; panel += 2) {
        size_t row = 0;
        for (; row + 3 <= out->batch; row += 3) tile_u8s8(0, 3, 2, 1, w, panel, q, q_stride, NULL, act, row, out);
        for (; row + 2 <= out->batch; row += 2) tile_u8s8(0, 2, 2, 1, w, panel, q, q_stride, NULL, act, row, out);
        for (; row < out->batch; row++) tile_u8s8(0, 1, 2, 2, w, panel, q, q_stride, NULL, act, row, out);
    }
    if (panel < w->count) {
        size_t row = 0;
        for (; row + 4 <= out->batch; row += 4) tile_u8s8(0, 4, 1, 1, w, panel, q, q_stride, NULL, act, row, out);
        for (; row < out->batch; row++) tile_u8s8(0, 1, 1, 4, w, panel, q, q_stride, NULL, act, row, out);
    }
}

void qrnn_use_avxvnni(struct qrnn_kernels *k)
{
    k->product_u8s8 = product_u8s8;
}

QRNN_REGION_END
#else
void qrnn_use_avxvnni(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
