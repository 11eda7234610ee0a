/* vpdpbusd of AVX-VNNI in plain C, beside the compiler's AVX2, so that csrc/kernels/avxvnni.c can run
 * on a CPU that has AVX2 alone. It proves what the file computes, not how it is encoded. */
#ifndef EMULATED_IMMINTRIN_H
#define EMULATED_IMMINTRIN_H

#include_next <immintrin.h>
#include <stdint.h>
#include <string.h>

#undef QRNN_REGION
#define QRNN_REGION(features) QRNN_PRAGMA(GCC push_options) QRNN_PRAGMA(GCC target("avx2,fma"))
#define _mm256_dpbusd_avx_epi32 emulated_dpbusd

/* acc[i] + sum of four products of unsigned bytes of `a` with signed bytes of `b`, wrapping. */
__attribute__((target("avx2,fma"))) static inline __m256i emulated_dpbusd(__m256i acc, __m256i a, __m256i b)
{
    uint32_t sum[8];
    uint8_t unsigned_bytes[32];
    int8_t signed_bytes[32];
    memcpy(sum, &acc, 32);
    memcpy(unsigned_bytes, &a, 32);
    memcpy(signed_bytes, &b, 32);
    for (int i = 0; i < 32; i++) sum[i / 4] += (uint32_t)((int32_t)unsigned_bytes[i] * (int32_t)signed_bytes[i]);
    memcpy(&acc, sum, 32);
    return acc;
}

#endif
