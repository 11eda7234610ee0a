/* zmm.h - the integer vocabulary of product.h in 512-bit registers, for avx512vnni.c and amx.c. */
#ifndef QRNN_ZMM_H
#define QRNN_ZMM_H

#include <string.h>

typedef __m512i s32v;

QRNN_INLINE s32v s_load(const void *p)
{
    return _mm512_loadu_si512(p);
}

QRNN_INLINE void s_store(int32_t *p, s32v v)
{
    _mm512_storeu_si512(p, v);
}

QRNN_INLINE s32v s_set1(int32_t v)
{
    return _mm512_set1_epi32(v);
}

QRNN_INLINE s32v s_add(s32v a, s32v b)
{
    return _mm512_add_epi32(a, b);
}

QRNN_INLINE s32v s_sub(s32v a, s32v b)
{
    return _mm512_sub_epi32(a, b);
}

QRNN_INLINE s32v s_mul(s32v a, s32v b)
{
    return _mm512_mullo_epi32(a, b);
}

QRNN_INLINE s32v s_shift(s32v v)
{
    return _mm512_slli_epi32(v, QRNN_PLANE_BITS);
}

QRNN_INLINE f32v v_from_s32(s32v v)
{
    return _mm512_cvtepi32_ps(v);
}

typedef __m512i codes4;
#define DOT_BIAS(form) 0

QRNN_INLINE codes4 codes4_load(int form, const uint8_t *q)
{
    int32_t bytes;
    (void)form;
    memcpy(&bytes, q, sizeof bytes);
    return _mm512_set1_epi32(bytes);
}

QRNN_INLINE s32v dot(int form, s32v acc, s32v w, codes4 q)
{
    (void)form;
    return _mm512_dpbusd_epi32(acc, q, w);
}

#endif
