/* vec_avx512.h - the vector vocabulary (defined in vec_scalar.h) in 16 lanes of AVX-512F and DQ. A kernel file includes
 * it inside its target region, after kernels.h and <immintrin.h>. */
#ifndef QRNN_VEC_H
#define QRNN_VEC_H

typedef __m512 f32v;
typedef __m512d f64v;
typedef __mmask16 m32v;
typedef __mmask8 m64v;
enum { LANES = 16, REGISTERS = 32 };

QRNN_INLINE f32v v_set1(float x)
{
    return _mm512_set1_ps(x);
}

QRNN_INLINE f32v v_load(const float *p)
{
    return _mm512_loadu_ps(p);
}

QRNN_INLINE void v_store(float *p, f32v a)
{
    _mm512_storeu_ps(p, a);
}

QRNN_INLINE f32v v_load_u8(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

/* The mask of lanes 0 .. n - 1. */
QRNN_INLINE m32v v_first_n(size_t n)
{
    return (m32v)((1u << n) - 1u);
}

QRNN_INLINE f32v v_load_n(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(v_first_n(n), p);
}

QRNN_INLINE void v_store_n(float *p, f32v a, size_t n)
{
    _mm512_mask_storeu_ps(p, v_first_n(n), a);
}

QRNN_INLINE f32v v_add(f32v a, f32v b)
{
    return _mm512_add_ps(a, b);
}

QRNN_INLINE f32v v_sub(f32v a, f32v b)
{
    return _mm512_sub_ps(a, b);
}

QRNN_INLINE f32v v_mul(f32v a, f32v b)
{
    return _mm512_mul_ps(a, b);
}

QRNN_INLINE f32v v_div(f32v a, f32v b)
{
    return _mm512_div_ps(a, b);
}

QRNN_INLINE f32v v_fma(f32v a, f32v b, f32v c)
{
    return _mm512_fmadd_ps(a, b, c);
}

QRNN_INLINE f32v v_fnma(f32v a, f32v b, f32v c)
{
    return _mm512_fnmadd_ps(a, b, c);
}

QRNN_INLINE f32v v_min(f32v a, f32v b)
{
    return _mm512_min_ps(a, b);
}

QRNN_INLINE f32v v_max(f32v a, f32v b)
{
    return _mm512_max_ps(a, b);
}

QRNN_INLINE f32v v_abs(f32v a)
{
    return _mm512_andnot_ps(_mm512_set1_ps(-0.0f), a);
}

QRNN_INLINE f32v v_copysign(f32v a, f32v b)
{
    return _mm512_or_ps(a, _mm512_and_ps(_mm512_set1_ps(-0.0f), b));
}

QRNN_INLINE m32v v_lt(f32v a, f32v b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}

QRNN_INLINE m32v v_is_nan(f32v a)
{
    return _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
}

QRNN_INLINE f32v v_select(m32v m, f32v a, f32v b)
{
    return _mm512_mask_blend_ps(m, b, a);
}

/* The largest of 16 integers each, of `low` in the lower eight lanes and of `high` in the upper eight. Floats that are
 * not negative are ordered like integers, whose maximum takes 1 cycle instead of 4. */
QRNN_INLINE __m512i largest_of_both(__m512i low, __m512i high)
{
    __m512i both = _mm512_max_epi32(_mm512_shuffle_i32x4(low, high, 0x44), _mm512_shuffle_i32x4(low, high, 0xee));
    both = _mm512_max_epi32(both, _mm512_shuffle_i32x4(both, both, 0xb1));
    both = _mm512_max_epi32(both, _mm512_shuffle_epi32(both, (_MM_PERM_ENUM)0x4e));
    return _mm512_max_epi32(both, _mm512_shuffle_epi32(both, (_MM_PERM_ENUM)0xb1));
}

/* One reduction for -least and most. */
QRNN_INLINE void v_extremes(f32v least, f32v most, float *lo, float *hi)
{
    const __m512i minus = _mm512_xor_si512(_mm512_castps_si512(least), _mm512_set1_epi32(INT32_MIN));
    const __m512i both = largest_of_both(minus, _mm512_castps_si512(most));
    *lo = -_mm512_cvtss_f32(_mm512_castsi512_ps(both));
    *hi = _mm512_cvtss_f32(_mm512_castsi512_ps(_mm512_shuffle_i32x4(both, both, 0xee)));
}

QRNN_INLINE float v_total(f32v a)
{
    a = _mm512_add_ps(a, _mm512_shuffle_f32x4(a, a, 0x4e));
    a = _mm512_add_ps(a, _mm512_shuffle_f32x4(a, a, 0xb1));
    a = _mm512_add_ps(a, _mm512_permute_ps(a, 0x4e));
    a = _mm512_add_ps(a, _mm512_permute_ps(a, 0xb1));
    return _mm512_cvtss_f32(a);
}

QRNN_INLINE int32_t nearest_s32(float x)
{
    return _mm_cvtss_si32(_mm_set_ss(x));
}

QRNN_INLINE int m_any(m32v m)
{
    return m != 0;
}

QRNN_INLINE f32v v_pow2(f32v k)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_castps_si512(k), 23));
}

QRNN_INLINE f64v v_lo_f64(f32v a)
{
    return _mm512_cvtps_pd(_mm512_castps512_ps256(a));
}

QRNN_INLINE f64v v_hi_f64(f32v a)
{
    return _mm512_cvtps_pd(_mm512_extractf32x8_ps(a, 1));
}

QRNN_INLINE f32v v_join_f32(f64v lo, f64v hi)
{
    return _mm512_insertf32x8(_mm512_castps256_ps512(_mm512_cvtpd_ps(lo)), _mm512_cvtpd_ps(hi), 1);
}

QRNN_INLINE f64v d_set1(double x)
{
    return _mm512_set1_pd(x);
}

QRNN_INLINE f64v d_load(const double *p)
{
    return _mm512_loadu_pd(p);
}

/* Loads floats as doubles. */
QRNN_INLINE f64v d_load_f32(const float *p)
{
    return _mm512_cvtps_pd(_mm256_loadu_ps(p));
}

QRNN_INLINE void d_store(double *p, f64v a)
{
    _mm512_storeu_pd(p, a);
}

QRNN_INLINE f64v d_sub(f64v a, f64v b)
{
    return _mm512_sub_pd(a, b);
}

QRNN_INLINE f64v d_mul(f64v a, f64v b)
{
    return _mm512_mul_pd(a, b);
}

QRNN_INLINE f64v d_div(f64v a, f64v b)
{
    return _mm512_div_pd(a, b);
}

QRNN_INLINE f64v d_fma(f64v a, f64v b, f64v c)
{
    return _mm512_fmadd_pd(a, b, c);
}

QRNN_INLINE f64v d_fnma(f64v a, f64v b, f64v c)
{
    return _mm512_fnmadd_pd(a, b, c);
}

QRNN_INLINE f64v d_min(f64v a, f64v b)
{
    return _mm512_min_pd(a, b);
}

QRNN_INLINE m64v d_lt(f64v a, f64v b)
{
    return _mm512_cmp_pd_mask(a, b, _CMP_LT_OQ);
}

QRNN_INLINE f64v d_select(m64v m, f64v a, f64v b)
{
    return _mm512_mask_blend_pd(m, b, a);
}

QRNN_INLINE f64v d_pow2(f64v k)
{
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_castpd_si512(k), 52));
}

#endif
