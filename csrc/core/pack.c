/* pack.c - packs weights into panels and row sums, and unpacks them. No other file knows how panels are made. */
#include "module.h"

#include <string.h>

/* The row that row r has in the packed matrix: gates are interleaved by 16 units (kernels.h). */
static size_t packed_row(const struct qrnn_panels *w, size_t r)
{
    const size_t units = w->rows / w->gates, gate = r / units, unit = r % units;
    return (unit / QRNN_PANEL * w->gates + gate) * QRNN_PANEL + unit % QRNN_PANEL;
}

/* --- formats: where column k of packed row r stands, in elements; the format's panel; its values --- */

static size_t element_int8(const struct qrnn_panels *w, size_t r, size_t k)
{
    return (r / QRNN_PANEL * w->quads + k / QRNN_QUAD) * QRNN_LINE + r % QRNN_PANEL * QRNN_QUAD + k % QRNN_QUAD;
}

static size_t element_float32(const struct qrnn_panels *w, size_t r, size_t k)
{
    return (r / QRNN_PANEL * w->cols + qrnn_float_line(w->cols, k)) * QRNN_PANEL + r % QRNN_PANEL;
}

static size_t panel_bytes_int8(size_t cols)
{
    return qrnn_round_up(cols, QRNN_QUAD) * QRNN_PANEL;
}

static size_t panel_bytes_float32(size_t cols)
{
    return cols * QRNN_PANEL * sizeof(float);
}

/* Packs row r of `weight` into row `packed`; returns the sum of its codes. */
static int32_t pack_row_int8(const struct qrnn_panels *w, const qrnn_weight *weight, size_t r, size_t packed,
                             void *data)
{
    int32_t sum = 0;
    for (size_t k = 0; k < w->cols; k++) {
        const int8_t code = weight->codes[r * w->cols + k];
        ((int8_t *)data)[element_int8(w, packed, k)] = code;
        sum += code;
    }
    return sum;
}

static int32_t pack_row_float32(const struct qrnn_panels *w, const qrnn_weight *weight, size_t r, size_t packed,
                                void *data)
{
    for (size_t k = 0; k < w->cols; k++)
        ((float *)data)[element_float32(w, packed, k)] = weight->values[r * w->cols + k];
    return 0;
}

static void unpack_row_int8(const struct qrnn_panels *w, size_t packed, size_t r, float *values, int8_t *codes)
{
    (void)values;
    for (size_t k = 0; codes && k < w->cols; k++)
        codes[r * w->cols + k] = ((const int8_t *)w->data)[element_int8(w, packed, k)];
}

static void unpack_row_float32(const struct qrnn_panels *w, size_t packed, size_t r, float *values, int8_t *codes)
{
    (void)codes;
    for (size_t k = 0; values && k < w->cols; k++)
        values[r * w->cols + k] = ((const float *)w->data)[element_float32(w, packed, k)];
}

static const struct weight_format {
    size_t (*panel_bytes)(size_t cols);
    int32_t (*pack_row)(const struct qrnn_panels *w, const qrnn_weight *weight, size_t r, size_t packed, void *data);
    void (*unpack_row)(const struct qrnn_panels *w, size_t packed, size_t r, float *values, int8_t *codes);
} formats[] = {
#define QRNN_WEIGHTS(NAME, name, coded) {panel_bytes_##name, pack_row_##name, unpack_row_##name},
#include "formats.def"
};

/* --- a matrix's memory --- */

/* Where the parts of a packed matrix begin, each on a cache line. Without scales there are no sums and no given
 * scales. */
struct parts {
    size_t data, sum, scale, bias, given_scale, end;
};

/* Rows of the packed matrix, with padding. */
static size_t padded_rows(const struct qrnn_packing *p)
{
    return p->gates * qrnn_round_up(p->rows / p->gates, QRNN_PANEL);
}

static struct parts parts_of(const struct qrnn_packing *p, size_t n_scale)
{
    const size_t padded = padded_rows(p), row_bytes = padded * sizeof(float), coded_bytes = n_scale ? row_bytes : 0;
    struct parts parts = {0};
    parts.sum = padded / QRNN_PANEL * formats[p->format].panel_bytes(p->cols);
    parts.scale = parts.sum + coded_bytes;
    parts.bias = parts.scale + coded_bytes;
    parts.given_scale = parts.bias + row_bytes;
    parts.end = parts.given_scale + qrnn_round_up(n_scale * sizeof(float), QRNN_LINE);
    return parts;
}

size_t qrnn_pack_bytes(const struct qrnn_packing *packing, size_t n_scale)
{
    return parts_of(packing, n_scale).end;
}

static void pack_rows(const struct qrnn_packing *packing, const qrnn_weight *weight, const struct parts *parts,
                      unsigned char *memory, const struct qrnn_panels *w)
{
    int32_t *const sums = (int32_t *)(void *)(memory + parts->sum);
    float *const scale = (float *)(void *)(memory + parts->scale), *const bias =
                                                                       (float *)(void *)(memory + parts->bias);
    for (size_t r = 0; weight->n_scale && r < w->count * QRNN_PANEL; r++) scale[r] = 1.0f;
    for (size_t r = 0; r < w->rows; r++) {
        const size_t packed = packed_row(w, r);
        const int32_t sum = formats[packing->format].pack_row(w, weight, r, packed, memory + parts->data);
        bias[packed] = weight->bias ? weight->bias[r] : packing->engine->no_bias;
        if (!weight->n_scale) continue;
        sums[packed] = sum;
        scale[packed] = packing->engine->factor(weight->scale[weight->n_scale == 1 ? 0 : r]);
    }
}

void qrnn_pack(const struct qrnn_packing *packing, const qrnn_weight *weight, unsigned char *memory,
               struct qrnn_matrix *out)
{
    const struct parts parts = parts_of(packing, weight->n_scale);
    struct qrnn_panels *const w = &out->panels;
    float *const given = (float *)(void *)(memory + parts.given_scale);
    memset(memory, 0, parts.end);
    w->rows = packing->rows;
    w->cols = packing->cols;
    w->gates = packing->gates;
    w->count = padded_rows(packing) / QRNN_PANEL;
    w->quads = qrnn_round_up(w->cols, QRNN_QUAD) / QRNN_QUAD;
    w->data = memory + parts.data;
    w->panel_bytes = formats[packing->format].panel_bytes(w->cols);
    w->bias = (const float *)(const void *)(memory + parts.bias);
    w->dequant = packing->engine->dequant;
    w->has_least = weight->codes && memchr(weight->codes, INT8_MIN & 0xff, w->rows * w->cols);
    pack_rows(packing, weight, &parts, memory, w);
    out->format = packing->format;
    out->has_bias = weight->bias != NULL;
    out->n_scale = weight->n_scale;
    if (!weight->n_scale) return;
    w->sum = (const int32_t *)(const void *)(memory + parts.sum);
    w->scale = (const float *)(const void *)(memory + parts.scale);
    out->given_scale = given;
    memcpy(given, weight->scale, weight->n_scale * sizeof(float));
}

void qrnn_unpack(const struct qrnn_matrix *from, float *values, int8_t *codes, float *scale, float *bias)
{
    const struct qrnn_panels *w = &from->panels;
    for (size_t r = 0; r < w->rows; r++) {
        const size_t packed = packed_row(w, r);
        formats[from->format].unpack_row(w, packed, r, values, codes);
        if (bias && from->has_bias) bias[r] = w->bias[packed];
    }
    if (scale && from->n_scale) memcpy(scale, from->given_scale, from->n_scale * sizeof(float));
}
