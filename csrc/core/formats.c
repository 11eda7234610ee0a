/* formats.c - the tables of formats and products, made from formats.def, and how the range of activations becomes a
 * scale and a zero point where rows share them. The doubles of PyTorch's arithmetic occur only here and in
 * engines.c. */
#include "formats.h"

#include <math.h>
#include <string.h>

/* PyTorch's ChooseQuantizationParams for unsigned codes 0..most_code, without its power-of-two and
 * sparsity options (ATen/native/quantized/cpu/QuantUtils.h); lo <= 0 <= hi. */
static double choose_scale(float lo, float hi, int most_code, int32_t *zero_point)
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

static void choose_rounded(const struct qrnn_extent *extent, int most_code, struct qrnn_act *act)
{
    act->scale = (float)choose_scale(extent->lo, extent->hi, most_code, &act->zero_point);
    act->inv = 1.0f / act->scale;
}

static void choose_fbgemm(const struct qrnn_extent *extent, struct qrnn_act *act)
{
    choose_rounded(extent, 127, act);
}

static void choose_qnnpack(const struct qrnn_extent *extent, struct qrnn_act *act)
{
    choose_rounded(extent, 255, act);
}

static void choose_onednn(const struct qrnn_extent *extent, struct qrnn_act *act)
{
    act->scale = qrnn_through_reciprocal(choose_scale(extent->lo, extent->hi, 127, &act->zero_point));
    act->inv = 1.0f / act->scale;
}

static const struct qrnn_weights weight_rows[] = {
#define QRNN_WEIGHTS(NAME, name, coded) {#name, coded},
#include "formats.def"
};

const struct qrnn_weights *qrnn_weights_row(enum qrnn_weight_format format)
{
    return &weight_rows[format];
}

const char *qrnn_weights_name(size_t i)
{
    return i < QRNN_WEIGHT_FORMATS ? weight_rows[i].name : NULL;
}

static const struct qrnn_activations activation_rows[] = {
#define QRNN_ACTIVATIONS(NAME, name, most, planes, per_row, rounding, choose) \
    {#name, QRNN_ACTIVATIONS_##NAME, most, planes, per_row, QRNN_ROUND_##rounding, choose},
#include "formats.def"
};

const struct qrnn_activations *qrnn_activations_row(enum qrnn_activation_format format)
{
    return &activation_rows[format];
}

const struct qrnn_activations *qrnn_activations_find(const char *name)
{
    for (int i = 0; i < QRNN_ACTIVATION_FORMATS; i++)
        if (strcmp(activation_rows[i].name, name) == 0) return &activation_rows[i];
    return NULL;
}

const char *qrnn_activations_name(size_t i)
{
    return i < QRNN_ACTIVATION_FORMATS ? activation_rows[i].name : NULL;
}

static const size_t depths[] = {
#define QRNN_PRODUCT(NAME, name, depth) depth,
#include "formats.def"
};

size_t qrnn_product_depth(enum qrnn_product_kernel product)
{
    return depths[product];
}

enum qrnn_product_kernel qrnn_product_of(enum qrnn_weight_format weights, enum qrnn_activation_format with)
{
    static const struct {
        enum qrnn_weight_format weights;
        enum qrnn_activation_format activations;
        enum qrnn_product_kernel product;
    } products[] = {
#define QRNN_MULTIPLIES(WEIGHTS, ACTIVATIONS, PRODUCT) \
    {QRNN_WEIGHTS_##WEIGHTS, QRNN_ACTIVATIONS_##ACTIVATIONS, QRNN_PRODUCT_##PRODUCT},
#include "formats.def"
    };
    for (size_t i = 0; i < sizeof products / sizeof products[0]; i++)
        if (products[i].weights == weights && products[i].activations == with) return products[i].product;
    return QRNN_PRODUCTS;
}
