/* ends.h - from products to states: the element-wise ends of the cells, written once over the vocabulary
 * of vec_*.h. All gates of a unit meet in registers. Included after poly.h and elementwise.h.
 *
 * "Exact" ends take the correctly rounded tanh. fma rounds once, every other operation too; every NaN
 * comes out as 0x7FC00000.
 */
#ifndef QRNN_ENDS_H
#define QRNN_ENDS_H

/* Gates of a row of products, at unit i, a multiple of LANES. */
QRNN_INLINE f32v gate_at(const float *row, size_t gates, size_t gate, size_t i)
{
    return v_load(row + (i / QRNN_PANEL * gates + gate) * QRNN_PANEL + i % QRNN_PANEL);
}

QRNN_INLINE f32v either_tanh(int exact, f32v x)
{
    return exact ? tanh_exact_f32(x) : tanh_f32(x);
}

/* c' = sig(f) c + sig(i) tanh(g) ;  h' = sig(o) tanh(c') */
QRNN_INLINE f32v lstm_end(int exact, const float *ih, size_t i, f32v *c)
{
    const f32v in = sigmoid_f32(gate_at(ih, 4, 0, i)), forget = sigmoid_f32(gate_at(ih, 4, 1, i));
    const f32v new = either_tanh(exact, gate_at(ih, 4, 2, i)), out = sigmoid_f32(gate_at(ih, 4, 3, i));
    const f32v next = v_fma(forget, *c, v_mul(in, new));
    *c = v_canonical(next);
    return v_mul(out, either_tanh(exact, *c));
}

/* h' = n + z (h - n) */
QRNN_INLINE f32v mix(f32v z, f32v h, f32v n)
{
    return v_fma(z, v_sub(h, n), n);
}

/* r = sig(hh_r + ih_r), z alike ;  n = tanh(ih_n + r hh_n) */
QRNN_INLINE f32v gru_end(int exact, const float *ih, const float *hh, size_t i, f32v h)
{
    const f32v r = sigmoid_f32(v_add(gate_at(hh, 3, 0, i), gate_at(ih, 3, 0, i)));
    const f32v z = sigmoid_f32(v_add(gate_at(hh, 3, 1, i), gate_at(ih, 3, 1, i)));
    const f32v n = either_tanh(exact, v_fma(r, gate_at(hh, 3, 2, i), gate_at(ih, 3, 2, i)));
    return mix(z, h, n);
}

/* r h, where hh holds r and z alone */
QRNN_INLINE f32v reset_end(const float *ih, const float *hh, size_t i, f32v h)
{
    return v_mul(sigmoid_f32(v_add(gate_at(hh, 2, 0, i), gate_at(ih, 3, 0, i))), h);
}

/* n = tanh(hn + ih_n), hn = W_hn (r h) + b_hn */
QRNN_INLINE f32v gru_reset_before_end(const float *ih, const float *hh, const float *hn, size_t i, f32v h)
{
    const f32v z = sigmoid_f32(v_add(gate_at(hh, 2, 1, i), gate_at(ih, 3, 1, i)));
    return mix(z, h, tanh_f32(v_add(gate_at(hn, 1, 0, i), gate_at(ih, 3, 2, i))));
}

QRNN_INLINE f32v end_f32(enum qrnn_end end, const float *ih, const float *hh, const float *hn, size_t i, f32v h,
                         f32v *c)
{
    switch (end) {
    case QRNN_END_LINEAR: return gate_at(ih, 1, 0, i);
    case QRNN_END_RNN_TANH: return tanh_f32(gate_at(ih, 1, 0, i));
    case QRNN_END_RNN_TANH_EXACT: return tanh_exact_f32(gate_at(ih, 1, 0, i));
    case QRNN_END_RNN_RELU: return relu_f32(gate_at(ih, 1, 0, i));
    case QRNN_END_LSTM: return lstm_end(0, ih, i, c);
    case QRNN_END_LSTM_EXACT: return lstm_end(1, ih, i, c);
    case QRNN_END_GRU: return gru_end(0, ih, hh, i, h);
    case QRNN_END_GRU_EXACT: return gru_end(1, ih, hh, i, h);
    case QRNN_END_RESET: return reset_end(ih, hh, i, h);
    default: return gru_reset_before_end(ih, hh, hn, i, h);
    }
}

/* `n` units from the `i`th of the slice on: LANES of them, or, in a row's last vector, fewer. Lanes past
 * the end hold products of zero weights, so their state is 0, or NaN where the row's is. */
QRNN_INLINE void end_vector(enum qrnn_end end, const struct qrnn_ending *e, size_t row, size_t i, size_t n,
                            struct spread *s)
{
    const int has_c = end == QRNN_END_LSTM || end == QRNN_END_LSTM_EXACT;
    const int has_h = end >= QRNN_END_GRU;
    const size_t at = e->first + i;
    f32v h = v_set1(0.0f), c = h;
    if (has_h) h = n == LANES ? v_load(e->h[row] + at) : v_load_n(e->h[row] + at, n);
    if (has_c) c = n == LANES ? v_load(e->c[row] + at) : v_load_n(e->c[row] + at, n);
    h = end_f32(end, e->ih + row * e->ih_stride, has_h ? e->hh + row * e->hh_stride : NULL,
                end == QRNN_END_GRU_RESET_BEFORE ? e->hn + row * e->hn_stride : NULL, i, h, &c);
    h = v_canonical(h);
    if (n == LANES)
        v_store(e->h_out[row] + at, h);
    else
        v_store_n(e->h_out[row] + at, h, n);
    if (has_c && n == LANES)
        v_store(e->c_out[row] + at, c);
    else if (has_c)
        v_store_n(e->c_out[row] + at, c, n);
    spread_add(s, h);
}

QRNN_INLINE void end_rows(enum qrnn_end end, const struct qrnn_ending *e)
{
    for (size_t row = 0; row < e->rows; row++) {
        struct spread s = spread_none();
        size_t i = 0;
        for (; i + LANES <= e->units; i += LANES) end_vector(end, e, row, i, LANES, &s);
        if (i < e->units) end_vector(end, e, row, i, e->units - i, &s);
        if (e->extent) e->extent[row] = spread_extent(&s);
    }
}

#define QRNN_END(NAME, name)                                 \
    static void name##_end_rows(const struct qrnn_ending *e) \
    {                                                        \
        end_rows(QRNN_END_##NAME, e);                        \
    }
#include "ends.def"
#undef QRNN_END

static void use_ends(struct qrnn_kernels *k)
{
#define QRNN_END(NAME, name)                   \
    k->end[QRNN_END_##NAME] = name##_end_rows; \
    k->row[QRNN_END_##NAME] = NULL;
#include "ends.def"
#undef QRNN_END
}

#endif
