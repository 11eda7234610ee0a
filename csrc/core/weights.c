/* weights.c - float weights to int8 codes and scales, for programs without Python. */
#include "module.h"

#include <float.h>
#include <math.h>

static int are_finite(const float *v, size_t n)
{
    int finite = 1;
    for (size_t i = 0; i < n; i++) finite &= isfinite(v[i]) != 0;
    return finite;
}

static float largest_of(const float *v, size_t n)
{
    float most = 0.0f;
    for (size_t i = 0; i < n; i++) most = fabsf(v[i]) > most ? fabsf(v[i]) : most;
    return most;
}

static int8_t code_of(float v, float least, float most)
{
    const float code = qrnn_rint(v);
    return (int8_t)(code < least ? least : code > most ? most : code);
}

/* s = max |w| / 127, code = rint(w / s), so the largest weight is represented exactly. A row with s < FLT_MIN gets
 * codes 0 and scale 1. */
static void quantize_row(size_t cols, const float *w, int8_t *codes, float *scale)
{
    const float s = largest_of(w, cols) / 127.0f;
    const int zero = s < FLT_MIN;
    *scale = zero ? 1.0f : s;
    for (size_t k = 0; k < cols; k++) codes[k] = zero ? 0 : code_of(w[k] / s, -127.0f, 127.0f);
}

/* PyTorch's observer of a whole tensor: s = max(max |w| / 127.5, FLT_EPSILON), code = rint(w * (1 / s)) clamped to
 * -128..127. */
static void quantize_tensor(size_t count, const float *w, int8_t *codes, float *scale)
{
    const float s = largest_of(w, count) / 127.5f;
    *scale = count == 0 ? 1.0f : s > FLT_EPSILON ? s : FLT_EPSILON;
    const float inverse = 1.0f / *scale;
    for (size_t i = 0; i < count; i++) codes[i] = code_of(w[i] * inverse, -128.0f, 127.0f);
}

qrnn_status qrnn_quantize_weights(const char *engine, size_t rows, size_t cols, const float *values, int8_t *codes,
                                  float *scale, size_t *n_scale)
{
    const struct qrnn_engine *const e = qrnn_engine_find(engine);
    if (!e || !e->info.quantized) return QRNN_ERR_ENGINE;
    if (!n_scale || !scale || (rows && cols && (!values || !codes))) return QRNN_ERR_NULL;
    if (cols && rows > SIZE_MAX / sizeof(float) / cols) return QRNN_ERR_SIZE;
    if (!are_finite(values, rows * cols)) return QRNN_ERR_VALUE;
    const uint32_t fp = qrnn_fp_enter();
    *n_scale = e->info.scale_per_row ? rows : 1;
    if (e->info.scale_per_row)
        for (size_t i = 0; i < rows; i++) quantize_row(cols, values + i * cols, codes + i * cols, scale + i);
    else
        quantize_tensor(rows * cols, values, codes, scale);
    qrnn_fp_leave(fp);
    return QRNN_OK;
}
