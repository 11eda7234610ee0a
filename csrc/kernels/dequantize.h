/* dequantize.h - the last step of the integer and the float product, written once over the vocabulary of vec_*.h. */
#ifndef QRNN_DEQUANTIZE_ONCE /* included once by each kernel file */
#define QRNN_DEQUANTIZE_ONCE

/* sum + bias (+ add) */
QRNN_INLINE f32v with_bias(f32v sum, f32v bias, const float *add)
{
    f32v y = v_add(sum, bias);
    return add ? v_add(y, v_load(add)) : y;
}

/* The rules of enum qrnn_dequant, then + add. */
QRNN_INLINE f32v dequantize(enum qrnn_dequant rule, f32v acc, f32v a, f32v s, f32v b, const float *add)
{
    f32v y = b;
    switch (rule) {
    case QRNN_DEQUANT_FUSED: y = v_fma(acc, v_mul(a, s), b); break;
    case QRNN_DEQUANT_TWICE: y = v_add(v_mul(acc, v_mul(a, s)), b); break;
    case QRNN_DEQUANT_THRICE: y = v_add(v_mul(v_mul(acc, a), s), b); break;
    }
    return add ? v_add(y, v_load(add)) : y;
}

#endif
