/* vec_neon.h - the vector vocabulary (defined in vec_scalar.h) in 4 lanes of NEON. A kernel file includes it inside its
 * region, after kernels.h and <arm_neon.h>. */
#ifndef QRNN_VEC_H
#define QRNN_VEC_H

#include <string.h>

typedef float32x4_t f32v;
typedef float64x2_t f64v;
typedef uint32x4_t m32v;
typedef uint64x2_t m64v;
enum { LANES = 4, REGISTERS = 32 };

QRNN_INLINE f32v v_set1(float x)
{
    return vdupq_n_f32(x);
}

QRNN_INLINE f32v v_load(const float *p)
{
    return vld1q_f32(p);
}

QRNN_INLINE void v_store(float *p, f32v a)
{
    vst1q_f32(p, a);
}

QRNN_INLINE f32v v_load_u8(const uint8_t *p)
{
    uint32_t bytes;
    memcpy(&bytes, p, sizeof bytes);
    return vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(bytes)))));
}

QRNN_INLINE f32v v_load_n(const float *p, size_t n)
{
    const float32x2_t none = vdup_n_f32(0.0f);
    if (n == 1) return vcombine_f32(vld1_lane_f32(p, none, 0), none);
    return vcombine_f32(vld1_f32(p), n == 2 ? none : vld1_lane_f32(p + 2, none, 0));
}

QRNN_INLINE void v_store_n(float *p, f32v a, size_t n)
{
    if (n & 2) vst1_f32(p, vget_low_f32(a));
    if (n == 3) vst1q_lane_f32(p + 2, a, 2);
    if (n == 1) vst1q_lane_f32(p, a, 0);
}

QRNN_INLINE f32v v_add(f32v a, f32v b)
{
    return vaddq_f32(a, b);
}

QRNN_INLINE f32v v_sub(f32v a, f32v b)
{
    return vsubq_f32(a, b);
}

QRNN_INLINE f32v v_mul(f32v a, f32v b)
{
    return vmulq_f32(a, b);
}

QRNN_INLINE f32v v_div(f32v a, f32v b)
{
    return vdivq_f32(a, b);
}

QRNN_INLINE f32v v_fma(f32v a, f32v b, f32v c)
{
    return vfmaq_f32(c, a, b);
}

QRNN_INLINE f32v v_fnma(f32v a, f32v b, f32v c)
{
    return vfmsq_f32(c, a, b);
}

QRNN_INLINE m32v v_lt(f32v a, f32v b)
{
    return vcltq_f32(a, b);
}

QRNN_INLINE f32v v_select(m32v m, f32v a, f32v b)
{
    return vbslq_f32(m, a, b);
}

/* By comparison and choice, because fmin and fmax return the NaN of either operand. */
QRNN_INLINE f32v v_min(f32v a, f32v b)
{
    return vbslq_f32(vcltq_f32(a, b), a, b);
}

QRNN_INLINE f32v v_max(f32v a, f32v b)
{
    return vbslq_f32(vcgtq_f32(a, b), a, b);
}

QRNN_INLINE f32v v_abs(f32v a)
{
    return vabsq_f32(a);
}

QRNN_INLINE f32v v_copysign(f32v a, f32v b)
{
    return vbslq_f32(vdupq_n_u32(1u << 31), b, a);
}

QRNN_INLINE m32v v_is_nan(f32v a)
{
    return vmvnq_u32(vceqq_f32(a, a));
}

QRNN_INLINE void v_extremes(f32v least, f32v most, float *lo, float *hi)
{
    *lo = vminvq_f32(least);
    *hi = vmaxvq_f32(most);
}

QRNN_INLINE float v_total(f32v a)
{
    const float32x2_t half = vadd_f32(vget_low_f32(a), vget_high_f32(a));
    return vget_lane_f32(half, 0) + vget_lane_f32(half, 1);
}

QRNN_INLINE int32_t nearest_s32(float x)
{
    return vcvtns_s32_f32(x);
}

QRNN_INLINE int m_any(m32v m)
{
    return vmaxvq_u32(m) != 0;
}

QRNN_INLINE f32v v_pow2(f32v k)
{
    return vreinterpretq_f32_s32(vshlq_n_s32(vreinterpretq_s32_f32(k), 23));
}

QRNN_INLINE f64v v_lo_f64(f32v a)
{
    return vcvt_f64_f32(vget_low_f32(a));
}

QRNN_INLINE f64v v_hi_f64(f32v a)
{
    return vcvt_high_f64_f32(a);
}

QRNN_INLINE f32v v_join_f32(f64v lo, f64v hi)
{
    return vcvt_high_f32_f64(vcvt_f32_f64(lo), hi);
}

QRNN_INLINE f64v d_set1(double x)
{
    return vdupq_n_f64(x);
}

QRNN_INLINE f64v d_load(const double *p)
{
    return vld1q_f64(p);
}

/* Loads floats as doubles. */
QRNN_INLINE f64v d_load_f32(const float *p)
{
    return vcvt_f64_f32(vld1_f32(p));
}

QRNN_INLINE void d_store(double *p, f64v a)
{
    vst1q_f64(p, a);
}

QRNN_INLINE f64v d_sub(f64v a, f64v b)
{
    return vsubq_f64(a, b);
}

QRNN_INLINE f64v d_mul(f64v a, f64v b)
{
    return vmulq_f64(a, b);
}

QRNN_INLINE f64v d_div(f64v a, f64v b)
{
    return vdivq_f64(a, b);
}

QRNN_INLINE f64v d_fma(f64v a, f64v b, f64v c)
{
    return vfmaq_f64(c, a, b);
}

QRNN_INLINE f64v d_fnma(f64v a, f64v b, f64v c)
{
    return vfmsq_f64(c, a, b);
}

QRNN_INLINE f64v d_min(f64v a, f64v b)
{
    return vbslq_f64(vcltq_f64(a, b), a, b);
}

QRNN_INLINE m64v d_lt(f64v a, f64v b)
{
    return vcltq_f64(a, b);
}

QRNN_INLINE f64v d_select(m64v m, f64v a, f64v b)
{
    return vbslq_f64(m, a, b);
}

QRNN_INLINE f64v d_pow2(f64v k)
{
    return vreinterpretq_f64_s64(vshlq_n_s64(vreinterpretq_s64_f64(k), 52));
}

#endif
