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
#define PAIRS_F32
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

/* Steps of at most 16 units of a row, whose states, codes and weights stay in registers. A step is one chain of
 * instructions from h to the next h, so what counts is latency:
 *
 *   range   floats that are not negative are ordered like integers, whose maximum takes 1 cycle instead of 4; h and -h
 *           are reduced in the halves of one register
 *   codes   two packs bring quad j of the codes into all of lane j, and one shuffle brings that into all lanes
 *   NaNs    are made one beside the chain: a row with one has the scale NaN whatever its range
 *
 * A step of a sequence takes 58 ns instead of 73 (RNN of 16 units), 94 instead of 109 (LSTM), 84 instead of 100 (GRU),
 * where one kernel a part took the way through memory (Xeon). */

/* The rules of choose_row. Returns 0 if all codes are 0. */
QRNN_INLINE int choose_few(f32v h, f32v *scale, f32v *inv, s32v *zero_point)
{
    const float c = 1.0f / 255.0f;
    const s32v v = _mm512_castps_si512(h), minus = _mm512_xor_si512(v, s_set1(INT32_MIN));
    const s32v m = _mm512_max_epi32(largest_of_both(minus, v), s_set1(0));
    const __m128 below = _mm_castsi128_ps(_mm512_castsi512_si128(m)); /* -min(0, h) */
    const __m128 above = _mm_castsi128_ps(_mm512_extracti32x4_epi32(m, 2));
    const __m128 s = _mm_add_ss(_mm_mul_ss(above, _mm_set_ss(c)), _mm_mul_ss(below, _mm_set_ss(c)));
    const int finite = _mm512_fpclass_ps_mask(h, 0x99) == 0;
    if (!finite || _mm_cvtss_f32(s) < FLT_MIN) {
        *scale = v_set1(finite ? 1.0f : NAN);
        return 0;
    }
    const __m128 one_over = _mm_div_ss(_mm_set_ss(1.0f), s);
    const __m128i zp = _mm_cvtps_epi32(_mm_mul_ss(below, one_over));
    *scale = _mm512_broadcastss_ps(s);
    *inv = _mm512_broadcastss_ps(one_over);
    *zero_point = _mm512_min_epi32(_mm512_broadcastd_epi32(zp), s_set1(255));
    return 1;
}

#define STEPS(name, end, G)                                                                                   \
    static void name(const struct qrnn_panels *w, const struct qrnn_few_units *s)                             \
    {                                                                                                         \
        enum { QUADS = QRNN_PANEL / QRNN_QUAD };                                                              \
        const m32v there = v_first_n(s->units);                                                               \
        const int apart = (end##_takes >> 8) != 0;                                                            \
        s32v weights[G][QUADS], sums[G];                                                                      \
        f32v scale[G], bias[G];                                                                               \
        UNROLL for (int g = 0; g < (G); g++)                                                                  \
        {                                                                                                     \
            const int8_t *const panel = (const int8_t *)w->data + (size_t)g * w->panel_bytes;                 \
            UNROLL for (size_t k = 0; k < QUADS; k++) weights[g][k] =                                         \
                k < w->quads ? s_load(panel + k * QRNN_LINE) : s_set1(0);                                     \
            sums[g] = s_sub(s_set1(0), s_load(w->sum + g * QRNN_PANEL));                                      \
            scale[g] = v_load(w->scale + g * QRNN_PANEL);                                                     \
            bias[g] = v_load(w->bias + g * QRNN_PANEL);                                                       \
        }                                                                                                     \
        f32v h = _mm512_maskz_loadu_ps(there, s->h), c = v_set1(0.0f), slope = c;                             \
        if (end##_takes & TAKES_C) c = _mm512_maskz_loadu_ps(there, s->c);                                    \
        const float *ih = s->ih;                                                                              \
        float *h_to = s->h_to;                                                                                \
        for (size_t step = 0; step < s->steps; step++, ih += s->ih_stride, h_to += s->h_stride) {             \
            f32v act, inv;                                                                                    \
            s32v zp = s_set1(0), bytes = zp;                                                                  \
            if (choose_few(h, &act, &inv, &zp)) {                                                             \
                const s32v codes = code_s32(QRNN_ROUND_PRODUCT, h, inv, inv, zp);                             \
                const s32v words = _mm512_packus_epi32(codes, codes);                                         \
                bytes = _mm512_packus_epi16(words, words);                                                    \
            }                                                                                                 \
            const s32v quad[QUADS] = {                                                                        \
                _mm512_shuffle_i32x4(bytes, bytes, 0x00), _mm512_shuffle_i32x4(bytes, bytes, 0x55),           \
                _mm512_shuffle_i32x4(bytes, bytes, 0xaa), _mm512_shuffle_i32x4(bytes, bytes, 0xff)};          \
            float products[G][QRNN_PANEL];                                                                    \
            UNROLL for (int g = 0; g < (G); g++)                                                              \
            {                                                                                                 \
                const s32v none = s_set1(0), left = dot(0, s_mul(zp, sums[g]), weights[g][0], quad[0]);       \
                const s32v sum =                                                                              \
                    s_add(s_add(left, dot(0, none, weights[g][1], quad[1])),                                  \
                          s_add(dot(0, none, weights[g][2], quad[2]), dot(0, none, weights[g][3], quad[3]))); \
                v_store(products[g], dequantize(QRNN_DEQUANT_FUSED, v_from_s32(sum), act, scale[g], bias[g],  \
                                                apart ? NULL : ih + g * QRNN_PANEL));                         \
            }                                                                                                 \
            h = end##_of(apart ? ih : products[0], products[0], NULL, 0, h, &c, &slope, NULL, 0, NULL, 0);    \
            _mm512_mask_storeu_ps(h_to, there, v_canonical(h));                                               \
        }                                                                                                     \
        if (end##_takes & TAKES_C) _mm512_mask_storeu_ps(s->c_to, there, c);                                  \
    }
STEPS(rnn_tanh_steps, rnn_tanh, 1)
STEPS(rnn_relu_steps, rnn_relu, 1)
STEPS(lstm_steps, lstm, 4)
STEPS(gru_steps, gru, 3)

static qrnn_steps_kernel *const steps[QRNN_PRODUCTS][QRNN_ENDS] = {
    [QRNN_PRODUCT_U8S8] = {[QRNN_END_RNN_TANH] = rnn_tanh_steps,
                           [QRNN_END_RNN_RELU] = rnn_relu_steps,
                           [QRNN_END_LSTM] = lstm_steps,
                           [QRNN_END_GRU] = gru_steps},
};

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
    k->steps = steps;
}

QRNN_REGION_END
#else
void qrnn_use_avx512vnni(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
