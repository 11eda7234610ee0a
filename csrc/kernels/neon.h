/* neon.h - the integer vocabulary of product.h in 128-bit registers, for neon.c, neondot.c and neoni8mm.c. */
#ifndef QRNN_NEON_H
#define QRNN_NEON_H

#include "tiled.h"

typedef int32x4_t s32v;

QRNN_INLINE s32v s_load(const void *p)
{
    return vld1q_s32(p);
}

QRNN_INLINE void s_store(int32_t *p, s32v v)
{
    vst1q_s32(p, v);
}

QRNN_INLINE s32v s_set1(int32_t v)
{
    return vdupq_n_s32(v);
}

QRNN_INLINE s32v s_add(s32v a, s32v b)
{
    return vaddq_s32(a, b);
}

QRNN_INLINE s32v s_sub(s32v a, s32v b)
{
    return vsubq_s32(a, b);
}

QRNN_INLINE s32v s_mul(s32v a, s32v b)
{
    return vmulq_s32(a, b);
}

QRNN_INLINE s32v s_shift(s32v v)
{
    return vshlq_n_s32(v, QRNN_PLANE_BITS);
}

QRNN_INLINE f32v v_from_s32(s32v v)
{
    return vcvtq_f32_s32(v);
}

/* What neon.c and neon_lanes.h load at once: four quads of codes of a row; and four rows of a quad of weights. */
enum { CODES = 16, QUADS = CODES / QRNN_QUAD };

/* Loads codes and subtracts `bias`, which makes them fit signed bytes. Rows are padded to whole lines. */
QRNN_INLINE int8x16_t codes_load(int bias, const uint8_t *q)
{
    const uint8x16_t codes = vld1q_u8(q);
    return vreinterpretq_s8_u8(bias ? vsubq_u8(codes, vdupq_n_u8((uint8_t)bias)) : codes);
}

/* A tile of product.h. Not inlined: gcc 12 runs out of registers for the addresses around it. */
#define QRNN_TILE(name, form, planes, R, P, F)                                                  \
    static __attribute__((noinline)) void name(const struct tiled *t, size_t panel, size_t row) \
    {                                                                                           \
        const struct tiled local = *t;                                                          \
        tile_coded(form, planes, R, P, F, &local, panel, row);                                  \
    }

#endif
