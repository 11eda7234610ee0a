/* amx.c - products of several rows by AMX, whose registers are tiles of up to 16 rows of 64 bytes. One instruction
 * (tdpbusd) multiplies 16 rows of 64 codes by 64 x 16 weights. All other kernels, and products of few rows, are those of
 * avx512vnni.c.
 *
 * A tile of weights is 16 consecutive lines of a panel as it is packed (kernels.h): row j of the tile holds inputs
 * 4 j .. 4 j + 3 of the panel's 16 outputs. A tile of codes is 64 bytes of up to 16 rows, as they are. */
#include "kernels.h"

#if QRNN_AMX
#include <immintrin.h>
#include <math.h>

QRNN_REGION("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni,amx-tile,amx-int8")

#include "vec_avx512.h"
#include "dequantize.h"
#include "zmm.h"
#include "sums.h"
#include "product.h"

/* The registers: sums and codes of two tiles of rows, weights, and codes and weights of the last inputs, which are fewer
 * than 64. Names of registers have to be literals. */
#define SUMS_0 0
#define SUMS_1 1
#define CODES_0 2
#define CODES_1 3
#define WEIGHTS 4
#define LAST_CODES 5
#define LAST_WEIGHTS 6

/* Rows and bytes of a row of a tile, and lines of a tile of weights. */
enum { TILE_ROWS = 16, TILE_BYTES = 64, TILE_LINES = TILE_BYTES / QRNN_QUAD, TILE_SUMS = TILE_ROWS * QRNN_PANEL };

/* What ldtilecfg reads, and its only palette. */
struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
};

/* Sets the shapes of all registers for tiles of `height` rows of codes. */
QRNN_INLINE void shape_tiles(size_t quads, size_t height)
{
    const size_t last = quads % TILE_LINES;
    struct tile_shapes s = {.palette = 1};
    for (int i = SUMS_0; i <= CODES_1; i++) {
        s.rows[i] = (uint8_t)height;
        s.bytes[i] = TILE_BYTES;
    }
    s.rows[WEIGHTS] = TILE_LINES;
    s.rows[LAST_CODES] = (uint8_t)(last ? height : 0);
    s.rows[LAST_WEIGHTS] = (uint8_t)last;
    s.bytes[WEIGHTS] = TILE_BYTES;
    s.bytes[LAST_CODES] = (uint16_t)(last * QRNN_QUAD);
    s.bytes[LAST_WEIGHTS] = last ? TILE_BYTES : 0;
    /* gcc's intrinsic names only the first bytes of what it reads. */
    __asm__ volatile("" : : "r"(&s) : "memory");
    _tile_loadconfig(&s);
}

/* The sums of a panel and of one or two tiles of rows, which begin at rows[0] and rows[1]. */
QRNN_INLINE void sum_tiles(int tiles, const struct tiled *t, size_t panel, const size_t *rows, int32_t *sums)
{
    const size_t quads = t->w->quads, whole = quads / TILE_LINES, stride = t->q_stride;
    const int8_t *w = t->codes + panel * quads * QRNN_LINE;
    const uint8_t *q0 = t->q + rows[0] * stride, *q1 = t->q + rows[tiles - 1] * stride;
    _tile_zero(SUMS_0);
    if (tiles == 2) _tile_zero(SUMS_1);
    for (size_t k = 0; k < whole; k++, w += TILE_LINES * QRNN_LINE, q0 += TILE_BYTES, q1 += TILE_BYTES) {
        _tile_loadd(WEIGHTS, w, QRNN_LINE);
        _tile_loadd(CODES_0, q0, stride);
        _tile_dpbusd(SUMS_0, CODES_0, WEIGHTS);
        if (tiles == 1) continue;
        _tile_loadd(CODES_1, q1, stride);
        _tile_dpbusd(SUMS_1, CODES_1, WEIGHTS);
    }
    if (quads % TILE_LINES) {
        _tile_loadd(LAST_WEIGHTS, w, QRNN_LINE);
        _tile_loadd(LAST_CODES, q0, stride);
        _tile_dpbusd(SUMS_0, LAST_CODES, LAST_WEIGHTS);
        if (tiles == 2) {
            _tile_loadd(LAST_CODES, q1, stride);
            _tile_dpbusd(SUMS_1, LAST_CODES, LAST_WEIGHTS);
        }
    }
    _tile_stored(SUMS_0, sums, QRNN_LINE);
    if (tiles == 2) _tile_stored(SUMS_1, sums + TILE_SUMS, QRNN_LINE);
}

/* De-quantizes `rows` rows of sums, which begin at row `row` of the product. */
QRNN_INLINE void finish_rows(size_t planes, const struct tiled *t, size_t panel, size_t row, size_t rows, int32_t *sums)
{
    if (planes == 2 && t->w->cols > QRNN_DEPTH_S13) {
        finish_deep(rows, 1, t, panel, sums, row);
        return;
    }
    if (planes == 2)
        for (size_t i = 0; i < rows; i++)
            s_store(sums + i * LANES, s_add(s_shift(s_load(sums + 2 * i * LANES)), s_load(sums + (2 * i + 1) * LANES)));
    if (t->w->dequant != QRNN_DEQUANT_FUSED || t->out->acc) {
        finish_stored(0, rows, 1, t, panel, sums, row);
        return;
    }
    enum { FEW = 4 };
    for (; rows >= FEW; rows -= FEW, row += FEW, sums += FEW * LANES) {
        s32v acc[FEW];
        UNROLL for (int i = 0; i < FEW; i++) acc[i] = s_load(sums + i * LANES);
        if (t->out->add)
            finish_sums(1, 0, FEW, 1, acc, t, panel, row);
        else
            finish_sums(0, 0, FEW, 1, acc, t, panel, row);
    }
    for (; rows > 0; rows--, row++, sums += LANES) {
        s32v acc = s_load(sums);
        finish_sums(t->out->add != NULL, 0, 1, 1, &acc, t, panel, row);
    }
}

/* Where the tile that begins at `row` is read from. */
QRNN_INLINE size_t tile_start(size_t row, size_t height, size_t all)
{
    return row + height <= all ? row : all - height;
}

/* Divides the rows of codes into tiles of equal height. The last one begins so early that it is full: it computes some
 * rows once more, whose sums are not used, as their results may have been added to already. */
static void multiply(size_t planes, const struct qrnn_panels *w, const struct qrnn_inputs *x,
                     const struct qrnn_product *out)
{
    const struct tiled local = tiled_planes(planes, w, x, out), *const t = &local;
    const size_t all = planes * out->batch, count = (all + TILE_ROWS - 1) / TILE_ROWS;
    const size_t height = qrnn_round_up((all + count - 1) / count, planes);
    _Alignas(QRNN_LINE) int32_t sums[2 * TILE_SUMS];
    shape_tiles(w->quads, height);
    for (size_t i = 0; i < w->count; i++) {
        const size_t panel = group_at(out, w->count, i);
        for (size_t first = 0; first < all; first += 2 * height) {
            const size_t rows[2] = {tile_start(first, height, all), tile_start(first + height, height, all)};
            if (first + height < all)
                sum_tiles(2, t, panel, rows, sums);
            else
                sum_tiles(1, t, panel, rows, sums);
            for (size_t j = 0, row = first; j < 2 && row < all; j++, row += height) {
                const size_t known = row - rows[j], fresh = height - known;
                finish_rows(planes, t, panel, row / planes, fresh / planes, sums + j * TILE_SUMS + known * LANES);
            }
        }
    }
    _tile_release();
}

/* Whether vpdpbusd multiplies these rows in less time. Setting the shapes and giving the registers back takes 57 ns, and
 * a tile's sums go through memory. Sequences of RNNs and LSTMs take, of their time without tiles: 64 inputs, 8 rows 1.0,
 * 32 rows 0.9 to 1.0; 128 inputs, 2 rows 1.1, 4 rows 0.95, 32 rows 0.75; 256 inputs, 2 rows 0.9, 32 rows 0.6; from 512
 * inputs on 0.5 with 8 rows and more; 32 inputs 1.05 and more (Xeon). Tests multiply all rows by tiles. */
QRNN_INLINE int few(size_t quads, size_t batch)
{
#ifdef QRNN_SMALL_LIMITS
    (void)quads, (void)batch;
    return 0;
#else
    return batch < 2 || quads < 16 || quads * quads * batch < 4096;
#endif
}

static void product_u8s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    if (few(w->quads, out->batch))
        qrnn_u8s8_avx512vnni(w, x, out);
    else
        multiply(1, w, x, out);
}

static void product_s13s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    if (few(w->quads, out->batch))
        qrnn_s13s8_avx512vnni(w, x, out);
    else
        multiply(2, w, x, out);
}

void qrnn_use_amx(struct qrnn_kernels *k)
{
    k->product[QRNN_PRODUCT_U8S8] = product_u8s8;
    k->product[QRNN_PRODUCT_S13S8] = product_s13s8;
}

QRNN_REGION_END
#else
void qrnn_use_amx(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
