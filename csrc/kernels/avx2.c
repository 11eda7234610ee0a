/* avx2.c - all kernels in 256-bit registers, by AVX2 and FMA. */
#include "kernels.h"

#if QRNN_X86
#include <immintrin.h>
#include <math.h>

QRNN_REGION("avx2,fma")

#include "vec_avx2.h"
#include "poly.h"
#include "dequantize.h"
#include "elementwise.h"
#include "ends.h"
#include "ymm.h"

/* AVX2 has no exact u8 x s8 dot product: vpmaddubsw saturates the sum of a pair at 16 bits. Two forms are exact:
 *
 *   NARROW    codes are at most 128: pairs within 2 * 128 * -128 = -32768 .. 2 * 128 * 127 = 32512
 *   FLIPPED   a = q - 128, m = a < 0 ? -1 : 0. As -w = (w ^ -1) + 1,
 *
 *                 a w = |a| (w ^ m) + |a| [a < 0]
 *
 *             in pairs with the same bounds: |a| = 128 multiplies only w ^ -1. The second term is the same for all
 *             columns: left_out, added once for each tile.
 *
 *   READY     the same, with |a| and m computed once for a row of up to READY_BYTES codes, READY_APART from each other,
 *             where FLIPPED computes them for every tile: sequences take 0.89 to 0.92 of the time at batch 1 and
 *             H = 128 to 1024, 0.87 at batch 4 to 8; an RNN of 16 units 1.02 (Xeon without its VNNI)
 *
 * vpsignb could apply the sign of a in one instruction too, but it runs in the units of the two multiplications (a step
 * takes 1.22 times as long in sequences, H >= 256, Zen 4; 1.08 at 64; 0.93 at 16, where FLIPPED waits for left_out). */
enum { NARROW, FLIPPED, READY };
enum { READY_BYTES = 16384, READY_APART = READY_BYTES + QRNN_LINE };
#define DOT_BIAS(form) ((form) == NARROW ? 0 : 128)

typedef struct {
    __m256i size, flip;
} codes4;

QRNN_INLINE __m256i four_bytes(const uint8_t *q)
{
    int32_t bytes;
    memcpy(&bytes, q, sizeof bytes);
    return _mm256_set1_epi32(bytes);
}

QRNN_INLINE codes4 flipped(__m256i q)
{
    const __m256i a = _mm256_xor_si256(q, _mm256_set1_epi8(-128));
    return (codes4){_mm256_abs_epi8(a), _mm256_cmpgt_epi8(_mm256_setzero_si256(), a)};
}

QRNN_INLINE codes4 codes4_load(int form, const uint8_t *q)
{
    const __m256i all = four_bytes(q);
    if (form == READY) return (codes4){all, four_bytes(q + READY_APART)};
    return form == NARROW ? (codes4){all, all} : flipped(all);
}

QRNN_INLINE s32v dot(int form, s32v acc, s32v w, codes4 q)
{
    if (form != NARROW) w = _mm256_xor_si256(w, q.flip);
    const __m256i pairs = _mm256_maddubs_epi16(q.size, w);
    return _mm256_add_epi32(acc, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}

#include "sums.h"
#include "product.h"
#include "product_f32.h"

/* Tiles of 1 x 4 and 2 x 2: eight sums, the weights, the codes and a constant fit the 16 registers. */
QRNN_INLINE void product_form(int form, const struct tiled *t)
{
#define TILE(R, P) tile_coded(form, 1, R, P, 1, t, panel, row)
    const size_t count = t->w->count, batch = t->out->batch;
    const size_t fours = batch == 1 ? count / 4 : 0, twos = (count - 4 * fours) / 2;
    size_t panel, row = 0;
    for (size_t i = 0; i < fours; i++) {
        panel = 4 * group_at(t->out, fours, i);
        TILE(1, 4);
    }
    for (size_t i = 0; i < twos; i++) {
        panel = 4 * fours + 2 * group_at(t->out, twos, i);
        for (row = 0; row + 2 <= batch; row += 2) TILE(2, 2);
        if (row < batch) TILE(1, 2);
    }
    panel = 4 * fours + 2 * twos;
    if (panel < count) {
        for (row = 0; row + 4 <= batch; row += 4) TILE(4, 1);
        for (; row < batch; row++) TILE(1, 1);
    }
#undef TILE
}

static void product_narrow(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const struct tiled t = tiled_planes(1, w, x, out);
    product_form(NARROW, &t);
}

/* Stores what `flipped` makes of the codes of a row, if `ready` is not NULL; returns the sum of |a| [a < 0] over the codes
 * of all quads. It reads them in the pieces in which quantize_by wrote them, because a load across two stores waits
 * until both reach the cache. */
static int32_t make_ready(const uint8_t *q, size_t quads, uint8_t *ready)
{
    static const uint8_t first[32] = {255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    const size_t n = quads * QRNN_QUAD;
    __m256i sums = _mm256_setzero_si256();
    size_t k = 0;
    for (; k + 32 <= n; k += 32) {
        const codes4 a = flipped(_mm256_load_si256((const __m256i *)(const void *)(q + k)));
        sums = _mm256_add_epi64(sums, _mm256_sad_epu8(_mm256_and_si256(a.size, a.flip), _mm256_setzero_si256()));
        if (!ready) continue;
        _mm256_store_si256((__m256i *)(void *)(ready + k), a.size);
        _mm256_store_si256((__m256i *)(void *)(ready + READY_APART + k), a.flip);
    }
    __m128i sum = _mm_add_epi64(_mm256_castsi256_si128(sums), _mm256_extracti128_si256(sums, 1));
    for (; k < n; k += 16) {
        const size_t left = n - k < 16 ? n - k : 16;
        const __m128i there = _mm_loadu_si128((const __m128i *)(const void *)(first + 16 - left));
        const codes4 both = flipped(_mm256_castsi128_si256(_mm_load_si128((const __m128i *)(const void *)(q + k))));
        const __m128i size = _mm256_castsi256_si128(both.size), flip = _mm256_castsi256_si128(both.flip);
        sum = _mm_add_epi64(sum, _mm_sad_epu8(_mm_and_si128(_mm_and_si128(size, flip), there), _mm_setzero_si128()));
        if (!ready) continue;
        _mm_store_si128((__m128i *)(void *)(ready + k), size);
        _mm_store_si128((__m128i *)(void *)(ready + READY_APART + k), flip);
    }
    return _mm_cvtsi128_si32(_mm_add_epi64(sum, _mm_unpackhi_epi64(sum, sum)));
}

/* Multiplies a row with more codes than `ready` has room for. */
static QRNN_SMALL void product_deep(const struct tiled *t)
{
    for (size_t panel = 0; panel < t->w->count; panel++) tile_coded(FLIPPED, 1, 1, 1, 1, t, panel, 0);
}

/* Multiplies some rows at a time, so that `ready` fits the stack. */
static void product_flipped(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    enum { ROWS = 64 };
    _Alignas(QRNN_LINE) uint8_t ready[READY_APART + READY_BYTES];
    int32_t left_out[ROWS];
    const size_t stride = qrnn_round_up(w->quads * QRNN_QUAD, QRNN_LINE);
    const size_t fit = stride <= READY_BYTES / ROWS ? ROWS : READY_BYTES / stride, most = fit ? fit : 1;
    for (size_t row = 0; row < out->batch; row += most) {
        const size_t rows = out->batch - row < most ? out->batch - row : most, start = row * out->stride;
        struct qrnn_product some = *out;
        some.batch = rows;
        some.y += start;
        some.add = out->add ? out->add + start : NULL;
        some.acc = out->acc ? out->acc + start : NULL;
        struct tiled t = tiled_planes(1, w, x, &some);
        t.q += row * t.q_stride;
        t.act += row;
        t.left_out = left_out;
        for (size_t i = 0; i < rows; i++)
            left_out[i] = make_ready(t.q + i * t.q_stride, w->quads, fit ? ready + i * stride : NULL);
        if (!fit) {
            product_deep(&t);
            continue;
        }
        t.q = ready;
        t.q_stride = stride;
        product_form(READY, &t);
    }
}

static void product_u8s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    if (w->most_code <= 128)
        product_narrow(w, x, out);
    else
        product_flipped(w, x, out);
}

/* A row of 13-bit codes is two rows of a tile, with codes of 7 bits, so the form is NARROW. */
static void product_s13s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
#define TILE(R, P) tile_coded(NARROW, 2, R, P, 1, &t, panel, row)
    const struct tiled t = tiled_planes(2, w, x, out);
    const size_t twos = w->count / 2;
    size_t panel, row;
    for (size_t i = 0; i < twos; i++) {
        panel = 2 * group_at(out, twos, i);
        for (row = 0; row < out->batch; row++) TILE(1, 2);
    }
    panel = 2 * twos;
    if (panel < w->count)
        for (row = 0; row < out->batch; row++) TILE(1, 1);
#undef TILE
}

QRNN_INLINE __m256i code_s32(enum qrnn_rounding rounding, __m256 v, __m256 inv, __m256 zp, __m256i zp_s32)
{
    switch (rounding) {
    case QRNN_ROUND_PRODUCT: return _mm256_add_epi32(_mm256_cvtps_epi32(_mm256_mul_ps(v, inv)), zp_s32);
    case QRNN_ROUND_FUSED: return _mm256_cvtps_epi32(_mm256_fmadd_ps(v, inv, zp));
    case QRNN_ROUND_TWICE: return _mm256_cvtps_epi32(_mm256_add_ps(_mm256_mul_ps(v, inv), zp));
    }
    QRNN_UNREACHABLE();
}

/* The two saturating packs clamp to 0..255. The codes before them are far within +-2^15. */
QRNN_INLINE void quantize_by(enum qrnn_rounding rounding, const float *v, size_t n, const struct qrnn_act *act,
                             uint8_t *q)
{
    const __m256 inv = _mm256_set1_ps(act->inv), zp = _mm256_set1_ps((float)act->zero_point);
    const __m256i zp_s32 = _mm256_set1_epi32(act->zero_point);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
    size_t i = 0;
    for (; i + 32 <= n; i += 32) {
        const __m256i a = code_s32(rounding, _mm256_loadu_ps(v + i), inv, zp, zp_s32);
        const __m256i b = code_s32(rounding, _mm256_loadu_ps(v + i + 8), inv, zp, zp_s32);
        const __m256i c = code_s32(rounding, _mm256_loadu_ps(v + i + 16), inv, zp, zp_s32);
        const __m256i d = code_s32(rounding, _mm256_loadu_ps(v + i + 24), inv, zp, zp_s32);
        const __m256i bytes = _mm256_packus_epi16(_mm256_packs_epi32(a, b), _mm256_packs_epi32(c, d));
        _mm256_store_si256((__m256i *)(void *)(q + i), _mm256_permutevar8x32_epi32(bytes, order));
    }
    for (; i + 16 <= n; i += 16) {
        const __m256i a = code_s32(rounding, _mm256_loadu_ps(v + i), inv, zp, zp_s32);
        const __m256i b = code_s32(rounding, _mm256_loadu_ps(v + i + 8), inv, zp, zp_s32);
        const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a, b), 0xd8);
        _mm_store_si128((__m128i *)(void *)(q + i),
                        _mm_packus_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1)));
    }
    for (; i < n; i += 8) {
        const __m256 x = i + 8 <= n ? _mm256_loadu_ps(v + i) : v_load_n(v + i, n - i);
        const __m256i a = code_s32(rounding, x, inv, zp, zp_s32);
        const __m128i words = _mm_packs_epi32(_mm256_castsi256_si128(a), _mm256_extracti128_si256(a, 1));
        _mm_storel_epi64((__m128i *)(void *)(q + i), _mm_packus_epi16(words, words));
    }
}

QRNN_INLINE void quantize_s13(const float *v, size_t n, const struct qrnn_act *act, uint8_t *high, uint8_t *low)
{
    const __m256 inv = _mm256_set1_ps(act->inv);
    const __m256i most = _mm256_set1_epi32(QRNN_MOST_S13), zp = _mm256_set1_epi32(QRNN_ZERO_S13);
    const __m256i least = _mm256_set1_epi32(-QRNN_MOST_S13), bits = _mm256_set1_epi32((1 << QRNN_PLANE_BITS) - 1);
    const __m256i lowest = _mm256_setr_epi8(0, 4, 8, 12, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0, 4, 8, 12,
                                            -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 1, 1, 1, 1, 1);
    for (size_t i = 0; i < n; i += 8) {
        const __m256 x = i + 8 <= n ? _mm256_loadu_ps(v + i) : v_load_n(v + i, n - i);
        const __m256i c = _mm256_cvtps_epi32(_mm256_mul_ps(x, inv));
        const __m256i code = _mm256_add_epi32(_mm256_min_epi32(_mm256_max_epi32(c, least), most), zp);
        const __m256i planes[2] = {_mm256_srli_epi32(code, QRNN_PLANE_BITS), _mm256_and_si256(code, bits)};
        uint8_t *const to[2] = {high + i, low + i};
        for (int p = 0; p < 2; p++) {
            const __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_shuffle_epi8(planes[p], lowest), order);
            _mm_storel_epi64((__m128i *)(void *)to[p], _mm256_castsi256_si128(bytes));
        }
    }
}

#include "choose.h"
#include "moments.h"

void qrnn_use_avx2(struct qrnn_kernels *k)
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

QRNN_REGION_END
#else
void qrnn_use_avx2(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
