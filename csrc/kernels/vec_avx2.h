/* vec_avx2.h - the vector vocabulary (defined in vec_scalar.h) in 8 lanes of AVX2 and FMA. A kernel file includes it
 * inside its region, after kernels.h and <immintrin.h>. */
#ifndef QRNN_VEC_H
#define QRNN_VEC_H

typedef __m256 f32v;
typedef __m256d f64v;
typedef __m256 m32v;
typedef __m256d m64v;
enum { LANES = 8, REGISTERS = 16 };

QRNN_INLINE f32v v_set1(float x)
{
    return _mm256_set1_ps(x);
}

QRNN_INLINE f32v v_load(const float *p)
{
    return _mm256_loadu_ps(p);
}

QRNN_INLINE void v_store(float *p, f32v a)
{
    _mm256_storeu_ps(p, a);
}

QRNN_INLINE f32v v_load_u8(const uint8_t *p)
{
    return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)p)));
}

QRNN_INLINE f32v v_load_n(const float *p, size_t n)
{
    const __m256i lane = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_maskload_ps(p, _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), lane));
}

/* Stores parts of 4, 2 and 1 lanes, because a masked store is microcode on AMD (5 ns more on Zen 3). */
QRNN_INLINE void v_store_n(float *p, f32v a, size_t n)
{
    __m128 part = _mm256_castps256_ps128(a);
    if (n & 4) {
        _mm_storeu_ps(p, part);
        part = _mm256_extractf128_ps(a, 1);
        p += 4;
    }
    if (n & 2) {
        _mm_storel_pi((__m64 *)(void *)p, part);
        part = _mm_movehl_ps(part, part);
        p += 2;
    }
    if (n & 1) _mm_store_ss(p, part);
}

QRNN_INLINE f32v v_add(f32v a, f32v b)
{
    return _mm256_add_ps(a, b);
}

QRNN_INLINE f32v v_sub(f32v a, f32v b)
{
    return _mm256_sub_ps(a, b);
}

QRNN_INLINE f32v v_mul(f32v a, f32v b)
{
    return _mm256_mul_ps(a, b);
}

QRNN_INLINE f32v v_div(f32v a, f32v b)
{
    return _mm256_div_ps(a, b);
}

QRNN_INLINE f32v v_fma(f32v a, f32v b, f32v c)
{
    return _mm256_fmadd_ps(a, b, c);
}

QRNN_INLINE f32v v_fnma(f32v a, f32v b, f32v c)
{
    return _mm256_fnmadd_ps(a, b, c);
}

QRNN_INLINE f32v v_min(f32v a, f32v b)
{
    return _mm256_min_ps(a, b);
}

QRNN_INLINE f32v v_max(f32v a, f32v b)
{
    return _mm256_max_ps(a, b);
}

QRNN_INLINE f32v v_abs(f32v a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}

QRNN_INLINE f32v v_copysign(f32v a, f32v b)
{
    return _mm256_or_ps(a, _mm256_and_ps(_mm256_set1_ps(-0.0f), b));
}

QRNN_INLINE m32v v_lt(f32v a, f32v b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}

QRNN_INLINE m32v v_is_nan(f32v a)
{
    return _mm256_cmp_ps(a, a, _CMP_UNORD_Q);
}

QRNN_INLINE f32v v_select(m32v m, f32v a, f32v b)
{
    return _mm256_blendv_ps(b, a, m);
}

/* One reduction for -least, in the lower half, and most, in the upper. Floats that are not negative are ordered like
 * integers, whose maximum takes 1 cycle instead of 4. */
QRNN_INLINE void v_extremes(f32v least, f32v most, float *lo, float *hi)
{
    const __m256i minus = _mm256_castps_si256(_mm256_xor_ps(least, _mm256_set1_ps(-0.0f)));
    const __m256i plus = _mm256_castps_si256(most);
    __m256i both =
        _mm256_max_epi32(_mm256_permute2x128_si256(minus, plus, 0x20), _mm256_permute2x128_si256(minus, plus, 0x31));
    both = _mm256_max_epi32(both, _mm256_shuffle_epi32(both, 0x4e));
    both = _mm256_max_epi32(both, _mm256_shuffle_epi32(both, 0xb1));
    *lo = -_mm256_cvtss_f32(_mm256_castsi256_ps(both));
    *hi = _mm_cvtss_f32(_mm_castsi128_ps(_mm256_extracti128_si256(both, 1)));
}

QRNN_INLINE float v_total(f32v a)
{
    a = _mm256_add_ps(a, _mm256_permute2f128_ps(a, a, 0x01));
    a = _mm256_add_ps(a, _mm256_permute_ps(a, 0x4e));
    a = _mm256_add_ps(a, _mm256_permute_ps(a, 0xb1));
    return _mm256_cvtss_f32(a);
}

QRNN_INLINE int32_t nearest_s32(float x)
{
    return _mm_cvtss_si32(_mm_set_ss(x));
}

QRNN_INLINE int m_any(m32v m)
{
    return _mm256_movemask_ps(m) != 0;
}

QRNN_INLINE f32v v_pow2(f32v k)
{
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_castps_si256(k), 23));
}

QRNN_INLINE f64v v_lo_f64(f32v a)
{
    return _mm256_cvtps_pd(_mm256_castps256_ps128(a));
}

QRNN_INLINE f64v v_hi_f64(f32v a)
{
    return _mm256_cvtps_pd(_mm256_extractf128_ps(a, 1));
}

QRNN_INLINE f32v v_join_f32(f64v lo, f64v hi)
{
    return _mm256_set_m128(_mm256_cvtpd_ps(hi), _mm256_cvtpd_ps(lo));
}

QRNN_INLINE f64v d_set1(double x)
{
    return _mm256_set1_pd(x);
}

QRNN_INLINE f64v d_load(const double *p)
{
    return _mm256_loadu_pd(p);
}

/* Loads floats as doubles. */
QRNN_INLINE f64v d_load_f32(const float *p)
{
    return _mm256_cvtps_pd(_mm_loadu_ps(p));
}

QRNN_INLINE void d_store(double *p, f64v a)
{
    _mm256_storeu_pd(p, a);
}

QRNN_INLINE f64v d_sub(f64v a, f64v b)
{
    return _mm256_sub_pd(a, b);
}

QRNN_INLINE f64v d_mul(f64v a, f64v b)
{
    return _mm256_mul_pd(a, b);
}

QRNN_INLINE f64v d_div(f64v a, f64v b)
{
    return _mm256_div_pd(a, b);
}

QRNN_INLINE f64v d_fma(f64v a, f64v b, f64v c)
{
    return _mm256_fmadd_pd(a, b, c);
}

QRNN_INLINE f64v d_fnma(f64v a, f64v b, f64v c)
{
    return _mm256_fnmadd_pd(a, b, c);
}

QRNN_INLINE f64v d_min(f64v a, f64v b)
{
    return _mm256_min_pd(a, b);
}

QRNN_INLINE m64v d_lt(f64v a, f64v b)
{
    return _mm256_cmp_pd(a, b, _CMP_LT_OQ);
}

QRNN_INLINE f64v d_select(m64v m, f64v a, f64v b)
{
    return _mm256_blendv_pd(b, a, m);
}

QRNN_INLINE f64v d_pow2(f64v k)
{
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_castpd_si256(k), 52));
}

#endif
