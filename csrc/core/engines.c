/* engines.c - the arithmetic of each engine, one row an engine: how the range of the activations
 * becomes scale and zero point, and which rounding and de-quantization the kernels then use. The
 * doubles of PyTorch's arithmetic live here alone. */
#include "module.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* PyTorch's ChooseQuantizationParams for unsigned codes 0..most_code, without its power-of-two and
 * sparsity options (ATen/native/quantized/cpu/QuantUtils.h); lo <= 0 <= hi. */
static double choose_batch(float lo, float hi, int most_code, int32_t *zero_point)
{
    const float small = 6.1e-5f;
    double scale = ((double)hi - (double)lo) / most_code;
    if ((float)scale == 0.0f || isinf(1.0f / (float)scale)) scale = 0.1;
    if (scale < (double)small) {
        const float given = (float)scale;
        scale = (double)small;
        if (lo == 0.0f) {
            hi = small * (float)most_code;
        } else if (hi == 0.0f) {
            lo = -small * (float)most_code;
        } else {
            const float stretch = small / given;
            lo *= stretch;
            hi *= stretch;
        }
    }
    const double from_lo = -(double)lo / scale, from_hi = most_code - (double)hi / scale;
    const double error_lo = -fabs((double)lo / scale), error_hi = most_code - fabs((double)hi / scale);
    const double zp = nearbyint(error_lo < error_hi ? from_lo : from_hi);
    *zero_point = zp < 0.0 ? 0 : zp > most_code ? most_code : (int32_t)zp;
    return scale;
}

/* oneDNN's interface takes reciprocals of scales: each goes through 1/x twice. */
static float through_reciprocal(double scale)
{
    return 1.0f / (float)(1.0 / scale);
}

static float rounded(double scale)
{
    return (float)scale;
}

static void choose_torch(const struct qrnn_extent *extent, int most_code, float (*made)(double), struct qrnn_act *act)
{
    act->scale = made(choose_batch(extent->lo, extent->hi, most_code, &act->zero_point));
    act->inv = 1.0f / act->scale;
}

static void choose_fbgemm(const struct qrnn_extent *extent, struct qrnn_act *act)
{
    choose_torch(extent, 127, rounded, act);
}

static void choose_qnnpack(const struct qrnn_extent *extent, struct qrnn_act *act)
{
    choose_torch(extent, 255, rounded, act);
}

static void choose_onednn(const struct qrnn_extent *extent, struct qrnn_act *act)
{
    choose_torch(extent, 127, through_reciprocal, act);
}

static float factor_same(float scale)
{
    return scale;
}

static float factor_onednn(float scale)
{
    return through_reciprocal((double)scale);
}

/* "qrnn" first: the default. "float32" takes float weights and quantizes nothing.
 * no_bias: adding -0.0f changes no float; QNNPACK adds +0. */
static const struct qrnn_engine engines[] = {
    {"qrnn", 1, 1, 255, QRNN_ROUND_PRODUCT, QRNN_DEQUANT_FUSED, 0, -0.0f, NULL, factor_same},
    {"fbgemm", 1, 0, 128, QRNN_ROUND_FUSED, QRNN_DEQUANT_FUSED, 1, -0.0f, choose_fbgemm, factor_same},
    {"x86", 1, 0, 128, QRNN_ROUND_FUSED, QRNN_DEQUANT_FUSED, 1, -0.0f, choose_fbgemm, factor_same},
    {"qnnpack", 1, 0, 255, QRNN_ROUND_FUSED, QRNN_DEQUANT_TWICE, 1, 0.0f, choose_qnnpack, factor_same},
    {"onednn", 1, 0, 128, QRNN_ROUND_TWICE, QRNN_DEQUANT_THRICE, 1, -0.0f, choose_onednn, factor_onednn},
    {"float32", 0, 1, 0, QRNN_ROUND_PRODUCT, QRNN_DEQUANT_FUSED, 0, -0.0f, NULL, NULL},
};

static const qrnn_engine_info infos[] = {
    {"qrnn", 1, 1, 1, 1, 1},    {"fbgemm", 1, 0, 0, 0, 0}, {"x86", 1, 0, 0, 0, 0},
    {"qnnpack", 1, 0, 0, 0, 0}, {"onednn", 1, 0, 0, 0, 0}, {"float32", 0, 1, 1, 1, 1},
};

enum { ENGINE_COUNT = sizeof engines / sizeof engines[0] };

const qrnn_engine_info *qrnn_engine_get(size_t i)
{
    return i < ENGINE_COUNT ? &infos[i] : NULL;
}

const qrnn_engine_info *qrnn_engine_by_name(const char *name)
{
    for (size_t i = 0; i < ENGINE_COUNT; i++)
        if (name && strcmp(name, infos[i].name) == 0) return &infos[i];
    return NULL;
}

const char *qrnn_engine_name(size_t i)
{
    return i < ENGINE_COUNT ? engines[i].name : NULL;
}

const struct qrnn_engine *qrnn_engine_find(const char *name)
{
    for (size_t i = 0; i < ENGINE_COUNT; i++)
        if (name && strcmp(name, engines[i].name) == 0) return &engines[i];
    return NULL;
}
