/* The AVX-512 intrinsics that csrc/kernels/avx512vnni.c uses, in plain C, lane by lane, after Intel's
 * Intrinsics Guide. Found before the compiler's header, it lets that file run, and be compared with
 * scalar.c, on a CPU without AVX-512. It proves what the file computes, not how it is encoded. */
#ifndef EMULATED_IMMINTRIN_H
#define EMULATED_IMMINTRIN_H

#include <emmintrin.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#undef QRNN_REGION
#undef QRNN_REGION_END
#define QRNN_REGION(features)
#define QRNN_REGION_END
#undef QRNN_IN_REGISTER
#define QRNN_IN_REGISTER(vector) ((void)0)
/* Inlined by force, the loops below take the compiler eighteen times as long. */
#undef QRNN_INLINE
#define QRNN_INLINE static inline __attribute__((unused))

#define E static inline __attribute__((unused))
#define EACH(n) for (int i = 0; i < (n); i++)

typedef struct {
    float f[16];
} e_m512;
typedef struct {
    double d[8];
} e_m512d;
typedef union {
    int32_t s[16];
    uint32_t u[16];
    int8_t b[64];
    uint8_t c[64];
    uint64_t q[8];
} e_m512i;
typedef struct {
    float f[8];
} e_m256;
typedef uint16_t e_mask16;
typedef uint8_t e_mask8;
#define __m512 e_m512
#define __m512d e_m512d
#define __m512i e_m512i
#define __m256 e_m256
#define __mmask16 e_mask16
#define __mmask8 e_mask8
#define _CMP_LT_OQ 0x11
#define _CMP_UNORD_Q 0x03

/* --- casts, loads, stores --- */
#define CAST(name, to, from)      \
    E to name(from a)             \
    {                             \
        to r;                     \
        memcpy(&r, &a, sizeof r); \
        return r;                 \
    }
CAST(_mm512_castps_si512, __m512i, __m512)
CAST(_mm512_castsi512_ps, __m512, __m512i)
CAST(_mm512_castsi512_pd, __m512d, __m512i)
CAST(_mm512_castpd_si512, __m512i, __m512d)
CAST(_mm512_castps512_ps256, __m256, __m512)
E __m512 _mm512_castps256_ps512(__m256 a)
{
    __m512 r = {{0}};
    memcpy(&r, &a, sizeof a);
    return r;
}
E __m512 _mm512_loadu_ps(const void *p)
{
    __m512 r;
    memcpy(&r, p, 64);
    return r;
}
E __m512i _mm512_loadu_si512(const void *p)
{
    __m512i r;
    memcpy(&r, p, 64);
    return r;
}
E __m256 _mm256_loadu_ps(const void *p)
{
    __m256 r;
    memcpy(&r, p, sizeof r);
    return r;
}
E __m512d _mm512_loadu_pd(const void *p)
{
    __m512d r;
    memcpy(&r, p, 64);
    return r;
}
E void _mm512_storeu_pd(void *p, __m512d a)
{
    memcpy(p, &a, 64);
}
E void _mm512_storeu_ps(void *p, __m512 a)
{
    memcpy(p, &a, 64);
}
E void _mm512_storeu_si512(void *p, __m512i a)
{
    memcpy(p, &a, 64);
}
E __m512 _mm512_mask_loadu_ps(__m512 old, __mmask16 m, const float *p)
{
    EACH(16) if (m >> i & 1) old.f[i] = p[i];
    return old;
}
E __m512 _mm512_maskz_loadu_ps(__mmask16 m, const float *p)
{
    const __m512 zero = {{0}};
    return _mm512_mask_loadu_ps(zero, m, p);
}
E void _mm512_mask_storeu_ps(float *p, __mmask16 m, __m512 a)
{
    EACH(16) if (m >> i & 1) p[i] = a.f[i];
}
E __m512 _mm512_set1_ps(float x)
{
    __m512 r;
    EACH(16) r.f[i] = x;
    return r;
}
E __m512d _mm512_set1_pd(double x)
{
    __m512d r;
    EACH(8) r.d[i] = x;
    return r;
}
E __m512i _mm512_set1_epi32(int x)
{
    __m512i r;
    EACH(16) r.s[i] = x;
    return r;
}
E __m512i _mm512_setzero_si512(void)
{
    return _mm512_set1_epi32(0);
}

/* --- floats; min and max return the second operand where one is NaN or both are zero --- */
#define F2(name, x)                   \
    E __m512 name(__m512 a, __m512 b) \
    {                                 \
        EACH(16) a.f[i] = x;          \
        return a;                     \
    }
#define D2(name, x)                      \
    E __m512d name(__m512d a, __m512d b) \
    {                                    \
        EACH(8) a.d[i] = x;              \
        return a;                        \
    }
F2(_mm512_add_ps, a.f[i] + b.f[i])
F2(_mm512_sub_ps, a.f[i] - b.f[i])
F2(_mm512_mul_ps, a.f[i] * b.f[i])
F2(_mm512_div_ps, a.f[i] / b.f[i])
F2(_mm512_min_ps, a.f[i] < b.f[i] ? a.f[i] : b.f[i])
F2(_mm512_max_ps, a.f[i] > b.f[i] ? a.f[i] : b.f[i])
D2(_mm512_add_pd, a.d[i] + b.d[i])
D2(_mm512_sub_pd, a.d[i] - b.d[i])
D2(_mm512_mul_pd, a.d[i] * b.d[i])
D2(_mm512_div_pd, a.d[i] / b.d[i])
D2(_mm512_min_pd, a.d[i] < b.d[i] ? a.d[i] : b.d[i])
E __m512 _mm512_fmadd_ps(__m512 a, __m512 b, __m512 c)
{
    EACH(16) a.f[i] = fmaf(a.f[i], b.f[i], c.f[i]);
    return a;
}
E __m512 _mm512_fnmadd_ps(__m512 a, __m512 b, __m512 c)
{
    EACH(16) a.f[i] = fmaf(-a.f[i], b.f[i], c.f[i]);
    return a;
}
E __m512d _mm512_fmadd_pd(__m512d a, __m512d b, __m512d c)
{
    EACH(8) a.d[i] = fma(a.d[i], b.d[i], c.d[i]);
    return a;
}
E __m512d _mm512_fnmadd_pd(__m512d a, __m512d b, __m512d c)
{
    EACH(8) a.d[i] = fma(-a.d[i], b.d[i], c.d[i]);
    return a;
}
E __mmask16 _mm512_cmp_ps_mask(__m512 a, __m512 b, int how)
{
    unsigned m = 0;
    EACH(16) m |= (unsigned)(how == _CMP_LT_OQ ? a.f[i] < b.f[i] : a.f[i] != a.f[i] || b.f[i] != b.f[i]) << i;
    return (__mmask16)m;
}
E __mmask8 _mm512_cmp_pd_mask(__m512d a, __m512d b, int how)
{
    unsigned m = 0;
    EACH(8) m |= (unsigned)(how == _CMP_LT_OQ ? a.d[i] < b.d[i] : a.d[i] != a.d[i] || b.d[i] != b.d[i]) << i;
    return (__mmask8)m;
}
E __m512 _mm512_mask_blend_ps(__mmask16 m, __m512 a, __m512 b)
{
    EACH(16) if (m >> i & 1) a.f[i] = b.f[i];
    return a;
}
E __m512d _mm512_mask_blend_pd(__mmask8 m, __m512d a, __m512d b)
{
    EACH(8) if (m >> i & 1) a.d[i] = b.d[i];
    return a;
}
E __m512d _mm512_cvtps_pd(__m256 a)
{
    __m512d r;
    EACH(8) r.d[i] = (double)a.f[i];
    return r;
}
E __m256 _mm512_cvtpd_ps(__m512d a)
{
    __m256 r;
    EACH(8) r.f[i] = (float)a.d[i];
    return r;
}
E __m256 _mm512_extractf32x8_ps(__m512 a, int half)
{
    __m256 r;
    memcpy(&r, a.f + 8 * half, 32);
    return r;
}
E __m128 _mm512_extractf32x4_ps(__m512 a, int quarter)
{
    return _mm_loadu_ps(a.f + 4 * quarter);
}
E float _mm512_cvtss_f32(__m512 a)
{
    return a.f[0];
}
/* Quarters by two bits each: two of a, then two of b; within quarters the same of one vector. */
E __m512 _mm512_shuffle_f32x4(__m512 a, __m512 b, int which)
{
    __m512 r;
    EACH(16) r.f[i] = (i < 8 ? a : b).f[(which >> i / 4 * 2 & 3) * 4 + i % 4];
    return r;
}
E __m512 _mm512_permute_ps(__m512 a, int which)
{
    __m512 r;
    EACH(16) r.f[i] = a.f[i / 4 * 4 + (which >> i % 4 * 2 & 3)];
    return r;
}
E __m512 _mm512_insertf32x8(__m512 a, __m256 b, int half)
{
    memcpy(a.f + 8 * half, &b, 32);
    return a;
}

/* --- bits and integers --- */
#define U2(name, x)                      \
    E __m512i name(__m512i a, __m512i b) \
    {                                    \
        EACH(16) a.u[i] = x;             \
        return a;                        \
    }
#define BITS(name, integer)                                                                  \
    E __m512 name(__m512 a, __m512 b)                                                        \
    {                                                                                        \
        return _mm512_castsi512_ps(integer(_mm512_castps_si512(a), _mm512_castps_si512(b))); \
    }
U2(_mm512_add_epi32, a.u[i] + b.u[i])
U2(_mm512_sub_epi32, a.u[i] - b.u[i])
U2(_mm512_mullo_epi32, a.u[i] * b.u[i])
U2(_mm512_or_si512, a.u[i] | b.u[i])
U2(_mm512_and_si512, a.u[i] & b.u[i])
U2(e_and, a.u[i] & b.u[i])
U2(e_andnot, ~a.u[i] & b.u[i])
U2(e_xor, a.u[i] ^ b.u[i])
BITS(_mm512_or_ps, _mm512_or_si512)
BITS(_mm512_xor_ps, e_xor)
BITS(_mm512_and_ps, e_and)
BITS(_mm512_andnot_ps, e_andnot)
E __m512i _mm512_max_epi32(__m512i a, __m512i b)
{
    EACH(16) a.s[i] = a.s[i] > b.s[i] ? a.s[i] : b.s[i];
    return a;
}
E __m512i _mm512_min_epi32(__m512i a, __m512i b)
{
    EACH(16) a.s[i] = a.s[i] < b.s[i] ? a.s[i] : b.s[i];
    return a;
}
E __m512i _mm512_srli_epi32(__m512i a, unsigned n)
{
    EACH(16) a.u[i] >>= n;
    return a;
}
E __m512i _mm512_slli_epi32(__m512i a, unsigned n)
{
    EACH(16) a.u[i] <<= n;
    return a;
}
E __m512i _mm512_slli_epi64(__m512i a, unsigned n)
{
    EACH(8) a.q[i] <<= n;
    return a;
}
E __mmask16 _mm512_test_epi32_mask(__m512i a, __m512i b)
{
    unsigned m = 0;
    EACH(16) m |= (unsigned)((a.u[i] & b.u[i]) != 0) << i;
    return (__mmask16)m;
}
/* Out of range and NaN give INT_MIN. */
E __m512i _mm512_cvtps_epi32(__m512 a)
{
    __m512i r;
    EACH(16) r.s[i] = fabsf(a.f[i]) < 2147483648.0f ? (int32_t)lrintf(a.f[i]) : INT32_MIN;
    return r;
}
E __m512 _mm512_cvtepi32_ps(__m512i a)
{
    __m512 r;
    EACH(16) r.f[i] = (float)a.s[i];
    return r;
}
E __m512i _mm512_cvtepu8_epi32(__m128i a)
{
    uint8_t bytes[16];
    __m512i r;
    _mm_storeu_si128((__m128i *)(void *)bytes, a);
    EACH(16) r.u[i] = bytes[i];
    return r;
}
/* The lowest byte of each. */
E __m128i _mm512_cvtepi32_epi8(__m512i a)
{
    uint8_t bytes[16];
    EACH(16) bytes[i] = (uint8_t)a.u[i];
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}
/* Unsigned saturation. */
E __m128i _mm512_cvtusepi32_epi8(__m512i a)
{
    uint8_t bytes[16];
    EACH(16) bytes[i] = a.u[i] > 255 ? 255 : (uint8_t)a.u[i];
    return _mm_loadu_si128((const __m128i *)(const void *)bytes);
}
E __m512i _mm512_xor_si512(__m512i a, __m512i b)
{
    return e_xor(a, b);
}
/* Lane 0 everywhere. */
E __m512i _mm512_broadcastd_epi32(__m128i a)
{
    __m512i r;
    EACH(16) r.s[i] = _mm_cvtsi128_si32(a);
    return r;
}
E __m512 _mm512_broadcastss_ps(__m128 a)
{
    return _mm512_set1_ps(_mm_cvtss_f32(a));
}
E __m128i _mm512_extracti32x4_epi32(__m512i a, int quarter)
{
    __m128i r;
    memcpy(&r, &a.s[4 * quarter], sizeof r);
    return r;
}
E __m128i _mm512_castsi512_si128(__m512i a)
{
    return _mm512_extracti32x4_epi32(a, 0);
}
E __m512i _mm512_shuffle_i32x4(__m512i a, __m512i b, int which)
{
    return _mm512_castps_si512(_mm512_shuffle_f32x4(_mm512_castsi512_ps(a), _mm512_castsi512_ps(b), which));
}
typedef int _MM_PERM_ENUM;
E __m512i _mm512_shuffle_epi32(__m512i a, _MM_PERM_ENUM which)
{
    return _mm512_castps_si512(_mm512_permute_ps(_mm512_castsi512_ps(a), which));
}
E int e_within(int x, int most)
{
    return x < 0 ? 0 : x > most ? most : x;
}
/* In each quarter, four numbers of a and four of b, with saturation. */
E __m512i _mm512_packus_epi32(__m512i a, __m512i b)
{
    uint16_t words[32];
    __m512i r;
    EACH(32) words[i] = (uint16_t)e_within((i & 4 ? b : a).s[i / 8 * 4 + i % 4], 65535);
    memcpy(&r, words, sizeof r);
    return r;
}
E __m512i _mm512_packus_epi16(__m512i a, __m512i b)
{
    int16_t words[2][32];
    __m512i r;
    memcpy(words[0], &a, sizeof a);
    memcpy(words[1], &b, sizeof b);
    EACH(64) r.c[i] = (uint8_t)e_within(words[i >> 3 & 1][i / 16 * 8 + i % 8], 255);
    return r;
}
/* For 0x99: NaN or infinite. */
E __mmask16 _mm512_fpclass_ps_mask(__m512 a, int classes)
{
    unsigned m = 0;
    if (classes != 0x99) abort();
    EACH(16) m |= (unsigned)!isfinite(a.f[i]) << i;
    return (__mmask16)m;
}
/* acc[i] + sum of four products of unsigned bytes of `a` with signed bytes of `b`, wrapping. */
E __m512i _mm512_dpbusd_epi32(__m512i acc, __m512i a, __m512i b)
{
    EACH(64) acc.u[i / 4] += (uint32_t)((int32_t)a.c[i] * (int32_t)b.b[i]);
    return acc;
}

#undef E
#undef EACH
#undef CAST
#undef F2
#undef D2
#undef U2
#undef BITS

#endif
