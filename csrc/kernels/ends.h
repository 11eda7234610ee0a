/* ends.h - from products to states: the ends of ends.def over the vocabulary of vec_*.h. Included after poly.h and
 * elementwise.h. Every NaN comes out as 0x7FC00000. */
#ifndef QRNN_ENDS_H
#define QRNN_ENDS_H

enum { TAKES_H = 1, TAKES_C = 2, TAKES_INNER = 4 };

/* Slopes of tanh and of the sigmoid, by their values. */
QRNN_INLINE f32v tanh_slope(f32v y)
{
    return v_fnma(y, y, v_set1(1.0f));
}

QRNN_INLINE f32v sigmoid_slope(f32v y)
{
    return v_fnma(y, y, y);
}

/* Of a GRU's h' by what n sums. */
QRNN_INLINE f32v candidate_slope(f32v z, f32v n)
{
    return v_mul(v_sub(v_set1(1.0f), z), tanh_slope(n));
}

#define ADD_SLOPE(slope)        \
    do {                        \
        const f32v s = (slope); \
        *w = v_fma(s, s, *w);   \
    } while (0)

QRNN_INLINE f32v lstm_equation(int exact, f32v i, f32v f, f32v g, f32v o, f32v *c, f32v *w)
{
    const f32v in = sigmoid_f32(i), forget = sigmoid_f32(f), before = *c;
    const f32v new = exact ? tanh_exact_f32(g) : tanh_f32(g), out = sigmoid_f32(o);
    *c = v_canonical(v_fma(forget, before, v_mul(in, new)));
    const f32v y = exact ? tanh_exact_f32(*c) : tanh_f32(*c), by_c = v_mul(out, tanh_slope(y));
    ADD_SLOPE(v_mul(by_c, v_mul(new, sigmoid_slope(in))));
    ADD_SLOPE(v_mul(by_c, v_mul(before, sigmoid_slope(forget))));
    ADD_SLOPE(v_mul(by_c, v_mul(in, tanh_slope(new))));
    ADD_SLOPE(v_mul(y, sigmoid_slope(out)));
    return v_mul(out, y);
}

/* n + z (h - n) */
QRNN_INLINE f32v between(f32v z, f32v h, f32v n)
{
    return v_fma(z, v_sub(h, n), n);
}

/* A gate of a row of products, at unit i, a multiple of LANES. */
QRNN_INLINE f32v gate_at(const float *row, size_t gates, size_t gate, size_t i)
{
    return v_load(row + (i / QRNN_PANEL * gates + gate) * QRNN_PANEL + i % QRNN_PANEL);
}

/* Rows of products, unit i in them, the states before, and the sum of squared slopes. */
typedef f32v equation(const float *ih, const float *hh, const float *inner, size_t i, f32v h, f32v *c, f32v *w);

#define IH(gate) gate_at(ih, IH_GATES, gate, i)
#define HH(gate) gate_at(hh, HH_GATES, gate, i)
#define INNER gate_at(inner, 1, 0, i)
#define QRNN_END(NAME, name, ih_gates, hh_gates, takes, ...)                                                    \
    enum { name##_takes = (takes) | ((hh_gates) << 8) };                                                        \
    QRNN_INLINE f32v name##_of(const float *ih, const float *hh, const float *inner, size_t i, f32v h, f32v *c, \
                               f32v *w)                                                                         \
    {                                                                                                           \
        enum { IH_GATES = ih_gates, HH_GATES = hh_gates };                                                      \
        (void)hh, (void)inner, (void)h, (void)c, (void)w;                                                       \
        __VA_ARGS__                                                                                             \
    }
#include "ends.def"
#undef QRNN_END
#undef IH
#undef HH
#undef INNER
#undef ADD_SLOPE

/* `n` units from the `i`th of the slice on: LANES of them, or, in a row's last vector, fewer. Lanes past
 * the end hold products of zero weights, so their state is 0, or NaN where the row's is. `sloped`, a constant: whether
 * the slopes are kept. */
QRNN_INLINE void end_vector(equation *f, int takes, int sloped, const struct qrnn_end_args *e, size_t row, size_t i,
                            size_t n, struct spread *s)
{
    const size_t unit = e->first + i;
    f32v h = v_set1(0.0f), c = h, w = h;
    if (takes & TAKES_H) h = n == LANES ? v_load(e->h[row] + unit) : v_load_n(e->h[row] + unit, n);
    if (takes & TAKES_C) c = n == LANES ? v_load(e->c[row] + unit) : v_load_n(e->c[row] + unit, n);
    h = v_canonical(f(e->ih + row * e->ih_stride, takes >> 8 ? e->hh + row * e->hh_stride : NULL,
                      takes & TAKES_INNER ? e->inner + row * e->inner_stride : NULL, i, h, &c, &w));
    if (sloped && n == LANES)
        v_store(e->slopes[row] + unit, v_canonical(w));
    else if (sloped)
        v_store_n(e->slopes[row] + unit, v_canonical(w), n);
    if (n == LANES)
        v_store(e->h_out[row] + unit, h);
    else
        v_store_n(e->h_out[row] + unit, h, n);
    if (takes & TAKES_C && n == LANES)
        v_store(e->c_out[row] + unit, c);
    else if (takes & TAKES_C)
        v_store_n(e->c_out[row] + unit, c, n);
    spread_add(s, h);
}

QRNN_INLINE void end_rows(equation *f, int takes, int sloped, const struct qrnn_end_args *e)
{
    for (size_t row = 0; row < e->rows; row++) {
        struct spread s = spread_none();
        size_t i = 0;
        for (; i + LANES <= e->units; i += LANES) end_vector(f, takes, sloped, e, row, i, LANES, &s);
        if (i < e->units) end_vector(f, takes, sloped, e, row, i, e->units - i, &s);
        if (e->extent) e->extent[row] = spread_extent(&s);
    }
}

#define QRNN_END(NAME, name, ...)                            \
    static void name##_rows(const struct qrnn_end_args *e)   \
    {                                                        \
        end_rows(name##_of, name##_takes, 0, e);             \
    }                                                        \
    static void name##_sloped(const struct qrnn_end_args *e) \
    {                                                        \
        end_rows(name##_of, name##_takes, 1, e);             \
    }
#include "ends.def"
#undef QRNN_END

static void use_ends(struct qrnn_kernels *k)
{
    k->row = NULL; /* which have the ends of another set in them */
#define QRNN_END(NAME, name, ...)          \
    k->end[QRNN_END_##NAME] = name##_rows; \
    k->sloped[QRNN_END_##NAME] = name##_sloped;
#include "ends.def"
#undef QRNN_END
}

#endif
