/* ymm.h - the integer vocabulary of product.h in 256-bit registers, for avx2.c and avxvnni.c. */
#ifndef QRNN_YMM_H
#define QRNN_YMM_H

#include <string.h>

typedef __m256i s32v;

QRNN_INLINE s32v s_load(const void *p)
{
    return _mm256_loadu_si256((const __m256i *)p);
}

QRNN_INLINE void s_store(int32_t *p, s32v v)
{
    _mm256_storeu_si256((__m256i *)(void *)p, v);
}

QRNN_INLINE s32v s_set1(int32_t v)
{
    return _mm256_set1_epi32(v);
}

QRNN_INLINE s32v s_add(s32v a, s32v b)
{
    return _mm256_add_epi32(a, b);
}

QRNN_INLINE s32v s_sub(s32v a, s32v b)
{
    return _mm256_sub_epi32(a, b);
}

QRNN_INLINE s32v s_mul(s32v a, s32v b)
{
    return _mm256_mullo_epi32(a, b);
}

QRNN_INLINE s32v s_shift(s32v v)
{
    return _mm256_slli_epi32(v, QRNN_PLANE_BITS);
}

QRNN_INLINE f32v v_from_s32(s32v v)
{
    return _mm256_cvtepi32_ps(v);
}

#endif
