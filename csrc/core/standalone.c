/* standalone.c - what works without a module: activation codes, element-wise functions. */
#include "block.h"

#include <stdlib.h>
#include <string.h>

/* The codes of one row at a time, by the way that calls take. */
static qrnn_status quantize_rows(const struct qrnn_module *m, const struct qrnn_activations *activations, size_t batch,
                                 size_t n, const float *v, uint8_t *codes, float *scale, int32_t *zero_point)
{
    struct qrnn_act given, act;
    struct qrnn_extent extent;
    const struct qrnn_matrix matrix = {.activations = activations, .encode = m->kernels.encode[activations->format]};
    struct qrnn_operand o = {.extent = &extent, .act = &act, .coded.stride = qrnn_round_up(n, QRNN_LINE)};
    o.codes = qrnn_scratch(o.coded.stride + QRNN_LINE);
    if (!o.codes) return QRNN_ERR_MEMORY;
    if (qrnn_activations_share_scale(activations)) {
        o.given = &given;
        if (!qrnn_choose_scale(m, activations, batch * n, v, &given)) return QRNN_ERR_INPUT_RANGE;
    }
    for (size_t i = 0; i < batch; i++) {
        const float *const row = v + i * n;
        qrnn_encode(m, &matrix, &o, 1, n, &row, NULL);
        memcpy(codes + i * n, o.codes, n);
        scale[i] = act.scale;
        zero_point[i] = act.zero_point;
    }
    return QRNN_OK;
}

qrnn_status qrnn_quantize(const char *engine_name, const char *isa, size_t batch, size_t n, const float *v,
                          uint8_t *codes, float *scale, int32_t *zero_point)
{
    qrnn_module m = {.engine = qrnn_engine_find(engine_name)};
    if (batch && ((n && (!v || !codes)) || !scale || !zero_point)) return QRNN_ERR_NULL;
    if (!m.engine || !m.engine->info.quantized) return QRNN_ERR_ENGINE;
    if (!qrnn_kernels_init(&m.kernels, isa)) return QRNN_ERR_ISA;
    const struct qrnn_activations *const activations = qrnn_activations_row(m.engine->activations);
    const uint32_t fp = qrnn_fp_enter();
    const qrnn_status status = quantize_rows(&m, activations, batch, n, v, codes, scale, zero_point);
    qrnn_fp_leave(fp);
    return status;
}

qrnn_status qrnn_seen(const char *engine_name, const char *isa, size_t batch, size_t n, const float *v, float *seen)
{
    const struct qrnn_engine *const engine = qrnn_engine_find(engine_name);
    if (batch == 0 || n == 0) return engine && engine->info.quantized ? QRNN_OK : QRNN_ERR_ENGINE;
    if (!v || !seen) return QRNN_ERR_NULL;
    if (batch > SIZE_MAX / n / 16) return QRNN_ERR_MEMORY;
    uint8_t *const codes = malloc(batch * n);
    float *const scale = malloc(batch * sizeof *scale);
    int32_t *const zero_point = malloc(batch * sizeof *zero_point);
    qrnn_status status = QRNN_ERR_MEMORY;
    if (codes && scale && zero_point) status = qrnn_quantize(engine_name, isa, batch, n, v, codes, scale, zero_point);
    const uint32_t fp = qrnn_fp_enter();
    for (size_t i = 0; status == QRNN_OK && i < batch; i++) {
        const float factor = engine->factor(scale[i]);
        for (size_t k = 0; k < n; k++) seen[i * n + k] = (float)(codes[i * n + k] - zero_point[i]) * factor;
    }
    qrnn_fp_leave(fp);
    free(codes);
    free(scale);
    free(zero_point);
    return status;
}

qrnn_status qrnn_apply(qrnn_function f, const char *isa, size_t n, const float *x, float *y)
{
    struct qrnn_kernels k;
    if ((unsigned)f >= QRNN_FUNCTIONS) return QRNN_ERR_KIND;
    if (n && (!x || !y)) return QRNN_ERR_NULL;
    if (!qrnn_kernels_init(&k, isa)) return QRNN_ERR_ISA;
    const uint32_t fp = qrnn_fp_enter();
    k.map[f](x, y, n);
    qrnn_fp_leave(fp);
    return QRNN_OK;
}
