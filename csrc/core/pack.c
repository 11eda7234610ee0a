/* pack.c - weights to panels and row sums, and back. The only code that knows how panels are made. */
#include "module.h"

#include <string.h>

/* The packed row of row r: gates are interleaved by 16 units (see kernels.h). */
static size_t packed_row(const struct qrnn_panels *w, size_t r)
{
    const size_t units = w->rows / w->gates, gate = r / units, unit = r % units;
    return (unit / QRNN_PANEL * w->gates + gate) * QRNN_PANEL + unit % QRNN_PANEL;
}

/* Where column k of packed row r stands among codes, and among floats. */
static size_t code_at(const struct qrnn_panels *w, size_t r, size_t k)
{
    return (r / QRNN_PANEL * w->quads + k / QRNN_QUAD) * QRNN_LINE + r % QRNN_PANEL * QRNN_QUAD + k % QRNN_QUAD;
}

static size_t value_at(const struct qrnn_panels *w, size_t r, size_t k)
{
    return (r / QRNN_PANEL * w->cols + k) * QRNN_PANEL + r % QRNN_PANEL;
}

/* Rows of the packed matrix. */
static size_t padded_rows(size_t gates, size_t rows)
{
    return gates * qrnn_round_up(rows / gates, QRNN_PANEL);
}

/* Parts of a matrix's memory, in order; each starts on a line. */
struct layout {
    size_t weights, sum, scale, bias, given_scale, end;
};

static struct layout lay_out(const struct qrnn_engine *engine, size_t padded, size_t cols, size_t n_scale)
{
    const size_t row_bytes = padded * sizeof(float);
    struct layout at = {0};
    if (engine->quantized) {
        at.sum = padded * qrnn_round_up(cols, QRNN_QUAD);
        at.scale = at.sum + row_bytes;
        at.bias = at.scale + row_bytes;
        at.given_scale = at.bias + row_bytes;
        at.end = at.given_scale + qrnn_round_up(n_scale * sizeof(float), QRNN_LINE);
    } else {
        at.bias = padded * cols * sizeof(float);
        at.end = at.bias + row_bytes;
    }
    return at;
}

size_t qrnn_pack_bytes(const struct qrnn_engine *engine, size_t gates, size_t rows, size_t cols, size_t n_scale)
{
    return lay_out(engine, padded_rows(gates, rows), cols, n_scale).end;
}

static void pack_values(const qrnn_weight *weight, const struct qrnn_panels *w, float *values)
{
    for (size_t r = 0; r < w->rows; r++) {
        const size_t packed = packed_row(w, r);
        for (size_t k = 0; k < w->cols; k++) values[value_at(w, packed, k)] = weight->values[r * w->cols + k];
    }
}

static void pack_codes(const struct qrnn_engine *engine, const qrnn_weight *weight, struct qrnn_panels *w,
                       int8_t *codes, int32_t *sums, float *scale)
{
    for (size_t r = 0; r < w->count * QRNN_PANEL; r++) scale[r] = 1.0f;
    for (size_t r = 0; r < w->rows; r++) {
        const size_t packed = packed_row(w, r);
        int32_t sum = 0;
        for (size_t k = 0; k < w->cols; k++) {
            const int8_t code = weight->codes[r * w->cols + k];
            codes[code_at(w, packed, k)] = code;
            sum += code;
        }
        sums[packed] = sum;
        scale[packed] = engine->factor(weight->scale[weight->n_scale == 1 ? 0 : r]);
    }
}

void qrnn_pack(const struct qrnn_engine *engine, size_t gates, size_t rows, size_t cols, const qrnn_weight *weight,
               unsigned char *memory, struct qrnn_matrix *out)
{
    const size_t padded = padded_rows(gates, rows);
    const struct layout at = lay_out(engine, padded, cols, weight->n_scale);
    struct qrnn_panels *w = &out->panels;
    float *bias = (float *)(void *)(memory + at.bias);
    memset(memory, 0, at.end);
    w->rows = rows;
    w->cols = cols;
    w->gates = gates;
    w->count = padded / QRNN_PANEL;
    w->quads = qrnn_round_up(cols, QRNN_QUAD) / QRNN_QUAD;
    w->bias = bias;
    w->dequant = engine->dequant;
    w->max_code = engine->max_code;
    out->has_bias = weight->bias != NULL;
    for (size_t r = 0; r < rows; r++) bias[packed_row(w, r)] = weight->bias ? weight->bias[r] : engine->no_bias;

    if (!engine->quantized) {
        w->values = (const float *)(const void *)memory;
        pack_values(weight, w, (float *)(void *)memory);
        return;
    }
    float *given = (float *)(void *)(memory + at.given_scale);
    w->codes = (const int8_t *)memory;
    w->sum = (const int32_t *)(const void *)(memory + at.sum);
    w->scale = (const float *)(const void *)(memory + at.scale);
    pack_codes(engine, weight, w, (int8_t *)memory, (int32_t *)(void *)(memory + at.sum),
               (float *)(void *)(memory + at.scale));
    out->n_scale = weight->n_scale;
    out->given_scale = given;
    memcpy(given, weight->scale, weight->n_scale * sizeof(float));
}

void qrnn_unpack(const struct qrnn_matrix *from, float *values, int8_t *codes, float *scale, float *bias)
{
    const struct qrnn_panels *w = &from->panels;
    for (size_t r = 0; r < w->rows; r++) {
        const size_t packed = packed_row(w, r);
        for (size_t k = 0; k < w->cols; k++) {
            if (values && w->values) values[r * w->cols + k] = w->values[value_at(w, packed, k)];
            if (codes && w->codes) codes[r * w->cols + k] = w->codes[code_at(w, packed, k)];
        }
        if (bias && from->has_bias) bias[r] = w->bias[packed];
    }
    if (scale && from->n_scale) memcpy(scale, from->given_scale, from->n_scale * sizeof(float));
}
