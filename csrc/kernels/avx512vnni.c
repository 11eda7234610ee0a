/* avx512vnni.c - all kernels in 512-bit registers, by AVX-512 with VNNI (vpdpbusd in EVEX encoding). */
#include "kernels.h"

#if QRNN_X86
#include <immintrin.h>
#include <math.h>
#include <string.h>

QRNN_REGION("avx2,fma,avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")

#include "vec_avx512.h"
#include "poly.h"
#include "dequantize.h"
#include "elementwise.h"
#include "ends.h"
#include "zmm.h"
#include "sums.h"
#include "product.h"
#include "product_f32.h"

/* Divides the rows of P panels into tiles of at most 6 x 4 (24 sums, 4 weights and 1 broadcast, in 32 registers). Tiles
 * have about equal height, so that none is thin: 8 rows are 4 + 4, not 6 + 2. vpdpbusd takes 4 to 5 cycles, and up to
 * two can start in each cycle, so small tiles use several sets of sums in turns. */
#define PHASES(sums) ((sums) >= 8 ? 1 : (sums) >= 4 ? 2 : (sums) == 3 ? 3 : (sums) == 2 ? 4 : 8)
#define TILE(planes, R, P) tile_coded(0, planes, R, P, PHASES((planes) * (R) * (P)), t, panel, row)
#define PANELS(P)                                                                                                    \
    static void panels_##P(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out, \
                           size_t panel)                                                                             \
    {                                                                                                                \
        const struct tiled local = tiled_planes(1, w, x, out), *const t = &local;                                    \
        size_t row = 0;                                                                                              \
        for (size_t tiles = (out->batch + 5) / 6; tiles > 0; tiles--) {                                              \
            const size_t rows = (out->batch - row + tiles - 1) / tiles;                                              \
            switch (rows) {                                                                                          \
            case 6: TILE(1, 6, P); break;                                                                            \
            case 5: TILE(1, 5, P); break;                                                                            \
            case 4: TILE(1, 4, P); break;                                                                            \
            case 3: TILE(1, 3, P); break;                                                                            \
            case 2: TILE(1, 2, P); break;                                                                            \
            case 1: TILE(1, 1, P); break;                                                                            \
            }                                                                                                        \
            row += rows;                                                                                             \
        }                                                                                                            \
    }
PANELS(1)
PANELS(2)
PANELS(3)
PANELS(4)

void qrnn_u8s8_avx512vnni(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const size_t fours = w->count / 4, panel = 4 * fours;
    for (size_t i = 0; i < fours; i++) panels_4(w, x, out, 4 * group_at(out, fours, i));
    switch (w->count % 4) {
    case 3: panels_3(w, x, out, panel); break;
    case 2: panels_2(w, x, out, panel); break;
    case 1: panels_1(w, x, out, panel); break;
    }
}

/* A row of 13-bit codes is two rows of a tile. */
#define ROWS_S13(P)                                                   \
    do {                                                              \
        for (row = 0; row + 3 <= out->batch; row += 3) TILE(2, 3, P); \
        if (row + 2 == out->batch) TILE(2, 2, P);                     \
        if (row + 1 == out->batch) TILE(2, 1, P);                     \
    } while (0)

void qrnn_s13s8_avx512vnni(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const struct tiled local = tiled_planes(2, w, x, out), *const t = &local;
    const size_t fours = w->count / 4;
    size_t panel, row;
    for (size_t i = 0; i < fours; i++) {
        panel = 4 * group_at(out, fours, i);
        ROWS_S13(4);
    }
    for (panel = 4 * fours; panel < w->count; panel++) ROWS_S13(1);
}

/* Computes the product of one row and its end in turns. The product waits for its loads and the end for its divisions,
 * so each runs while the other waits (LSTM in a sequence, a step of 64 units: 0.42 us instead of 0.45; of 128: 1.24
 * instead of 1.39). A turn is all gates of 16 units, or of 64 units where there is one gate. */
#define ROW(name, end, planes, G, P)                                                                              \
    static void name(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out,    \
                     const struct qrnn_end_args *e)                                                               \
    {                                                                                                             \
        const struct tiled local = tiled_planes(planes, w, x, out), *const t = &local;                            \
        const size_t turn = (P) / (G) * QRNN_PANEL, turns = w->count / (P), row = 0;                              \
        struct spread s = spread_none();                                                                          \
        for (size_t k = 0; k < turns; k++) {                                                                      \
            const size_t group = group_at(out, turns, k), panel = group * (P), first = group * turn;              \
            TILE(planes, 1, P);                                                                                   \
            const size_t stop = first + turn < e->units ? first + turn : e->units;                                \
            for (size_t i = first; i < stop; i += LANES)                                                          \
                end_vector(end##_of, end##_takes, 0, e, NULL, 0, i, stop - i < LANES ? stop - i : LANES, &s);     \
        }                                                                                                         \
        for (size_t panel = turns * (P), i = turns * turn; panel < w->count; panel++) {                           \
            TILE(planes, 1, 1);                                                                                   \
            end_vector(end##_of, end##_takes, 0, e, NULL, 0, i, e->units - i < LANES ? e->units - i : LANES, &s); \
            i += LANES;                                                                                           \
        }                                                                                                         \
        if (e->extent) e->extent[0] = spread_extent(&s);                                                          \
    }
ROW(rnn_tanh_u8s8, rnn_tanh, 1, 1, 4)
ROW(rnn_relu_u8s8, rnn_relu, 1, 1, 4)
ROW(lstm_u8s8, lstm, 1, 4, 4)
ROW(gru_u8s8, gru, 1, 3, 3)
ROW(rnn_tanh_s13s8, rnn_tanh, 2, 1, 4)
ROW(rnn_relu_s13s8, rnn_relu, 2, 1, 4)
ROW(lstm_s13s8, lstm, 2, 4, 4)
ROW(gru_s13s8, gru, 2, 3, 3)

QRNN_INLINE __m512i code_s32(enum qrnn_rounding rounding, __m512 v, __m512 inv, __m512 zp, __m512i zp_s32)
{
    switch (rounding) {
    case QRNN_ROUND_PRODUCT: return _mm512_add_epi32(_mm512_cvtps_epi32(_mm512_mul_ps(v, inv)), zp_s32);
    case QRNN_ROUND_FUSED: return _mm512_cvtps_epi32(_mm512_fmadd_ps(v, inv, zp));
    case QRNN_ROUND_TWICE: return _mm512_cvtps_epi32(_mm512_add_ps(_mm512_mul_ps(v, inv), zp));
    }
    QRNN_UNREACHABLE();
}

QRNN_INLINE void quantize_s13(const float *v, size_t n, const struct qrnn_act *act, uint8_t *high, uint8_t *low)
{
    const __m512 inv = _mm512_set1_ps(act->inv);
    const __m512i most = _mm512_set1_epi32(QRNN_MOST_S13), zp = _mm512_set1_epi32(QRNN_ZERO_S13);
    const __m512i least = _mm512_set1_epi32(-QRNN_MOST_S13), bits = _mm512_set1_epi32((1 << QRNN_PLANE_BITS) - 1);
    for (size_t i = 0; i < n; i += 16) {
        const __m512 x = _mm512_maskz_loadu_ps(v_first_n(n - i < 16 ? n - i : 16), v + i);
        const __m512i c = _mm512_cvtps_epi32(_mm512_mul_ps(x, inv));
        const __m512i code = _mm512_add_epi32(_mm512_min_epi32(_mm512_max_epi32(c, least), most), zp);
        _mm_store_si128((__m128i *)(void *)(high + i), _mm512_cvtepi32_epi8(_mm512_srli_epi32(code, QRNN_PLANE_BITS)));
        _mm_store_si128((__m128i *)(void *)(low + i), _mm512_cvtepi32_epi8(_mm512_and_si512(code, bits)));
    }
}

QRNN_INLINE void quantize_by(enum qrnn_rounding rounding, const float *v, size_t n, const struct qrnn_act *act,
                             uint8_t *q)
{
    const __m512 inv = _mm512_set1_ps(act->inv), zp = _mm512_set1_ps((float)act->zero_point);
    const __m512i zp_s32 = _mm512_set1_epi32(act->zero_point), none = _mm512_setzero_si512();
    for (size_t i = 0; i < n; i += 16) {
        const __mmask16 there = v_first_n(n - i < 16 ? n - i : 16);
        const __m512 x = _mm512_maskz_loadu_ps(there, v + i);
        const __m512i codes = _mm512_max_epi32(code_s32(rounding, x, inv, zp, zp_s32), none);
        _mm_store_si128((__m128i *)(void *)(q + i), _mm512_cvtusepi32_epi8(codes));
    }
}

#include "choose.h"
#include "moments.h"

static qrnn_row_kernel *const rows[QRNN_PRODUCTS][QRNN_ENDS] = {
    [QRNN_PRODUCT_U8S8] = {[QRNN_END_RNN_TANH] = rnn_tanh_u8s8,
                           [QRNN_END_RNN_RELU] = rnn_relu_u8s8,
                           [QRNN_END_LSTM] = lstm_u8s8,
                           [QRNN_END_GRU] = gru_u8s8},
    [QRNN_PRODUCT_S13S8] = {[QRNN_END_RNN_TANH] = rnn_tanh_s13s8,
                            [QRNN_END_RNN_RELU] = rnn_relu_s13s8,
                            [QRNN_END_LSTM] = lstm_s13s8,
                            [QRNN_END_GRU] = gru_s13s8},
};

void qrnn_use_avx512vnni(struct qrnn_kernels *k)
{
    k->range = range;
    k->quantize = quantize;
    k->encode[QRNN_ACTIVATIONS_U8] = encode_u8;
    k->encode[QRNN_ACTIVATIONS_S13] = encode_s13;
    k->product[QRNN_PRODUCT_U8S8] = qrnn_u8s8_avx512vnni;
    k->product[QRNN_PRODUCT_S13S8] = qrnn_s13s8_avx512vnni;
    k->product[QRNN_PRODUCT_F32] = product_f32;
    k->moments = moments;
    QRNN_USE_ELEMENTWISE(k);
    use_ends(k);
    k->row = rows;
}

QRNN_REGION_END
#else
void qrnn_use_avx512vnni(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
