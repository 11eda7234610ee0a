/* scalar.c - the specification: plain C for any CPU. Every other file returns the same bits. */
#include "kernels.h"

#include <math.h>
#include <string.h>

#include "vec_scalar.h"
#include "poly.h"
#include "dequantize.h"
#include "elementwise.h"
#include "ends.h"

static float code_of(enum qrnn_rounding rounding, float v, const struct qrnn_act *act)
{
    const float zp = (float)act->zero_point;
    switch (rounding) {
    case QRNN_ROUND_FUSED: return qrnn_rint(fmaf(v, act->inv, zp));
    case QRNN_ROUND_TWICE: return qrnn_rint(v * act->inv + zp);
    default: return qrnn_rint(v * act->inv) + zp;
    }
}

static void quantize_by(enum qrnn_rounding rounding, const float *v, size_t n, const struct qrnn_act *act, uint8_t *q)
{
    for (size_t k = 0; k < n; k++) {
        const float code = code_of(rounding, v[k], act);
        q[k] = (uint8_t)(code > 0.0f ? code < 255.0f ? code : 255.0f : 0.0f); /* NaN: a caller wrote one meanwhile */
    }
    memset(q + n, 0, qrnn_round_up(n, QRNN_LINE) - n);
}

#include "choose.h"

/* The running sum may pass 2^31 before the zero point is taken off; the final one cannot
 * (QRNN_MAX_DEPTH): unsigned arithmetic, which wraps, is exact. */
static void product_u8s8(const struct qrnn_panels *w, const uint8_t *q, size_t q_stride, const struct qrnn_act *act,
                         const struct qrnn_product *out)
{
    for (size_t i = 0; i < out->batch; i++) {
        for (size_t r = 0; r < w->count * QRNN_PANEL; r++) {
            const int8_t *line = w->codes + r / QRNN_PANEL * w->quads * QRNN_LINE + r % QRNN_PANEL * QRNN_QUAD;
            uint32_t acc = 0;
            for (size_t k = 0; k < w->quads; k++, line += QRNN_LINE)
                for (size_t j = 0; j < QRNN_QUAD; j++) acc += (uint32_t)(q[i * q_stride + k * QRNN_QUAD + j] * line[j]);
            acc -= (uint32_t)act[i].zero_point * (uint32_t)w->sum[r];
            const int32_t sum = (int32_t)acc;
            const size_t at = i * out->stride + r;
            if (out->acc) out->acc[at] = sum;
            out->y[at] = dequantize(w->dequant, (float)sum, act[i].scale, w->scale[r], w->bias[r],
                                    out->add ? out->add + at : NULL);
        }
    }
}

static void product_f32(const struct qrnn_panels *w, const float *x, size_t x_stride, const struct qrnn_product *out)
{
    for (size_t i = 0; i < out->batch; i++) {
        for (size_t r = 0; r < w->count * QRNN_PANEL; r++) {
            const float *column = w->values + r / QRNN_PANEL * w->cols * QRNN_PANEL + r % QRNN_PANEL;
            float s[4] = {0.0f, 0.0f, 0.0f, 0.0f};
            for (size_t k = 0; k < w->cols; k++) s[k % 4] = fmaf(x[i * x_stride + k], column[k * QRNN_PANEL], s[k % 4]);
            const size_t at = i * out->stride + r;
            out->y[at] = with_bias((s[0] + s[1]) + (s[2] + s[3]), w->bias[r], out->add ? out->add + at : NULL);
        }
    }
}

void qrnn_use_scalar(struct qrnn_kernels *k)
{
    k->range = range;
    k->quantize = quantize;
    k->encode = encode;
    k->product_u8s8 = product_u8s8;
    k->product_f32 = product_f32;
    QRNN_USE_ELEMENTWISE(k);
    use_ends(k);
}
