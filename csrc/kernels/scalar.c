/* scalar.c - the specification: plain C for any CPU. Every other file returns the same bits. */
#include "kernels.h"

#include <math.h>
#include <string.h>

QRNN_NO_VECTORS

#include "vec_scalar.h"
#include "poly.h"
#include "dequantize.h"
#include "elementwise.h"
#include "ends.h"

static float code_of(enum qrnn_rounding rounding, float v, const struct qrnn_act *act)
{
    const float zp = (float)act->zero_point;
    switch (rounding) {
    case QRNN_ROUND_PRODUCT: return qrnn_rint(v * act->inv) + zp;
    case QRNN_ROUND_FUSED: return qrnn_rint(qrnn_fma(v, act->inv, zp));
    case QRNN_ROUND_TWICE: return qrnn_rint(v * act->inv + zp);
    }
    QRNN_UNREACHABLE();
}

static void quantize_by(enum qrnn_rounding rounding, const float *v, size_t n, const struct qrnn_act *act, uint8_t *q)
{
    for (size_t k = 0; k < n; k++) {
        const float code = code_of(rounding, v[k], act);
        q[k] = (uint8_t)(code > 0.0f ? code < 255.0f ? code : 255.0f : 0.0f); /* v[k] may be NaN if the caller
                                                                                 changes it meanwhile */
    }
    memset(q + n, 0, qrnn_round_up(n, QRNN_LINE) - n);
}

static void quantize_s13(const float *v, size_t n, const struct qrnn_act *act, uint8_t *high, uint8_t *low)
{
    const float most = QRNN_MOST_S13;
    for (size_t k = 0; k < n; k++) {
        const float c = qrnn_rint(v[k] * act->inv);
        const int code = QRNN_ZERO_S13 + (int)(c > -most ? c < most ? c : most : -most);
        high[k] = (uint8_t)(code >> QRNN_PLANE_BITS);
        low[k] = (uint8_t)(code & ((1 << QRNN_PLANE_BITS) - 1));
    }
    memset(high + n, 0, qrnn_round_up(n, QRNN_LINE) - n);
    memset(low + n, 0, qrnn_round_up(n, QRNN_LINE) - n);
}

#include "choose.h"

/* The running sum may exceed 2^31 before the zero point's share is subtracted; the final one cannot (QRNN_MAX_DEPTH).
 * Unsigned arithmetic wraps, so it is exact. */
static void product_u8s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    for (size_t i = 0; i < out->batch; i++) {
        const uint8_t *const q = (const uint8_t *)x->rows + i * x->stride;
        for (size_t r = 0; r < w->count * QRNN_PANEL; r++) {
            const int8_t *line = (const int8_t *)w->data + r / QRNN_PANEL * w->panel_bytes + r % QRNN_PANEL * QRNN_QUAD;
            uint32_t acc = 0;
            for (size_t k = 0; k < w->quads; k++, line += QRNN_LINE)
                for (size_t j = 0; j < QRNN_QUAD; j++) acc += (uint32_t)(q[k * QRNN_QUAD + j] * line[j]);
            acc -= (uint32_t)x->act[i].zero_point * (uint32_t)w->sum[r];
            const int32_t sum = (int32_t)acc;
            const size_t to = i * out->stride + r;
            if (out->acc) out->acc[to] = sum;
            out->y[to] = dequantize(w->dequant, (float)sum, x->act[i].scale, w->scale[r], w->bias[r],
                                    out->add ? out->add + to : NULL);
        }
    }
}

static void product_s13s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    for (size_t i = 0; i < out->batch; i++) {
        const uint8_t *const high = (const uint8_t *)x->rows + i * x->stride, *const low = high + x->stride / 2;
        for (size_t r = 0; r < w->count * QRNN_PANEL; r++) {
            const int8_t *line = (const int8_t *)w->data + r / QRNN_PANEL * w->panel_bytes + r % QRNN_PANEL * QRNN_QUAD;
            int64_t acc = -(int64_t)x->act[i].zero_point * w->sum[r];
            for (size_t k = 0; k < w->quads * QRNN_QUAD; k++)
                acc += ((high[k] << QRNN_PLANE_BITS) + low[k]) * line[k / QRNN_QUAD * QRNN_LINE + k % QRNN_QUAD];
            const size_t to = i * out->stride + r;
            if (out->acc) out->acc[to] = (int32_t)(uint32_t)acc;
            out->y[to] = dequantize(w->dequant, (float)acc, x->act[i].scale, w->scale[r], w->bias[r],
                                    out->add ? out->add + to : NULL);
        }
    }
}

static void product_f32(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    for (size_t i = 0; i < out->batch; i++) {
        const float *const row = (const float *)x->rows + i * x->stride;
        for (size_t r = 0; r < w->count * QRNN_PANEL; r++) {
            const float *const column = (const float *)w->data + r / QRNN_PANEL * w->cols * QRNN_PANEL + r % QRNN_PANEL;
            float s[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (size_t k = 0; k < w->cols; k++) {
                const float value = column[qrnn_float_line(w->cols, k) * QRNN_PANEL];
                s[k % 4] = qrnn_fma(row[k], value, s[k % 4]);
            }
            const size_t to = i * out->stride + r;
            out->y[to] = with_bias((s[0] + s[1]) + (s[2] + s[3]), w->bias[r], out->add ? out->add + to : NULL);
        }
    }
}

static void moments(size_t rows, size_t n, const float *const *v, const float *roots, double *sum, double *outer,
                    double *panels)
{
    (void)panels;
    for (size_t r = 0; r < rows; r++)
        for (size_t i = 0; i < n; i++) {
            sum[i] += (double)roots[r] * v[r][i];
            for (size_t j = i; j < n; j++) outer[i * n + j] += (double)v[r][i] * v[r][j];
        }
}

void qrnn_use_scalar(struct qrnn_kernels *k)
{
    k->range = range;
    k->quantize = quantize;
    k->encode[QRNN_ACTIVATIONS_U8] = encode_u8;
    k->encode[QRNN_ACTIVATIONS_S13] = encode_s13;
    k->product[QRNN_PRODUCT_U8S8] = product_u8s8;
    k->product[QRNN_PRODUCT_S13S8] = product_s13s8;
    k->product[QRNN_PRODUCT_F32] = product_f32;
    k->moments = moments;
    QRNN_USE_ELEMENTWISE(k);
    use_ends(k);
}

QRNN_NO_VECTORS_END
