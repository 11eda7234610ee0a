/* ends.h - turns products into states: the ends of ends.def over the vocabulary of vec_*.h. Included after poly.h and
 * elementwise.h. Every NaN in a result is 0x7FC00000. */
#ifndef QRNN_ENDS_H
#define QRNN_ENDS_H

enum { TAKES_H = 1, TAKES_C = 2, TAKES_INNER = 4, TAKES_OPTIONS = 8 };

/* Slopes of tanh and of the sigmoid, computed from their values y. */
QRNN_INLINE f32v tanh_slope(f32v y)
{
    return v_fnma(y, y, v_set1(1.0f));
}

QRNN_INLINE f32v sigmoid_slope(f32v y)
{
    return v_fnma(y, y, y);
}

/* The slope of a GRU's h' with respect to what n sums. */
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

/* --- options --- */

/* x where m, else y. */
QRNN_INLINE f32v where(m32v m, f32v x, f32v y)
{
    return v_select(m, x, y);
}

/* 0; NaN if x is NaN */
QRNN_INLINE f32v nothing_of(f32v x)
{
    return v_select(v_is_nan(x), x, v_set1(0.0f));
}

QRNN_INLINE f32v softsign_slope(f32v x)
{
    const f32v y = v_div(v_set1(1.0f), v_add(v_set1(1.0f), v_abs(x)));
    return v_mul(y, y);
}

/* Not inlined: an end uses it several times. */
static QRNN_SMALL f32v activate(const qrnn_activation *a, f32v x)
{
    const f32v alpha = v_set1(a->alpha), beta = v_set1(a->beta), zero = v_set1(0.0f), one = v_set1(1.0f);
    switch (a->function) {
#define QRNN_ACTIVATION(NAME, name, parameters, alpha0, beta0, y, slope) \
    case QRNN_ACTIVATION_##NAME: return y;
#include "activations.def"
#undef QRNN_ACTIVATION
    case QRNN_ACTIVATION_FUNCTIONS: break;
    }
    QRNN_UNREACHABLE();
}

static QRNN_SMALL f32v slope_of(const qrnn_activation *a, f32v x)
{
    const f32v alpha = v_set1(a->alpha), beta = v_set1(a->beta), zero = v_set1(0.0f), one = v_set1(1.0f);
    const f32v half = v_set1(0.5f);
    switch (a->function) {
#define QRNN_ACTIVATION(NAME, name, parameters, alpha0, beta0, y, slope) \
    case QRNN_ACTIVATION_##NAME: return slope;
#include "activations.def"
#undef QRNN_ACTIVATION
    case QRNN_ACTIVATION_FUNCTIONS: break;
    }
    QRNN_UNREACHABLE();
}

QRNN_INLINE f32v limited(float most, f32v x)
{
    return v_max(v_set1(-most), v_min(v_set1(most), x));
}

/* The slope of `limited`. */
QRNN_INLINE f32v within(float most, f32v x)
{
    return v_select(v_lt(v_abs(x), v_set1(most)), v_set1(1.0f), v_set1(0.0f));
}

/* For each gate of a row, the mean of what it sums and 1 / sqrt(variance + epsilon). The numeric contract fixes the
 * order of the sums: 16 sums side by side, which are then added by halves. */
static QRNN_SMALL void measure_gates(const float *row, size_t gates, size_t units, float epsilon, float *norm)
{
    for (size_t gate = 0; gate < gates; gate++) {
        float of_gate[2] = {0.0f, 0.0f};
        for (int pass = 0; pass < 2; pass++) {
            float sums[QRNN_PANEL] = {0.0f};
            for (size_t u = 0; u < units; u++) {
                const float x = row[(u / QRNN_PANEL * gates + gate) * QRNN_PANEL + u % QRNN_PANEL] - of_gate[0];
                sums[u % QRNN_PANEL] += pass ? x * x : x;
            }
            for (size_t width = QRNN_PANEL / 2; width; width /= 2)
                for (size_t j = 0; j < width; j++) sums[j] += sums[j + width];
            of_gate[pass] = sums[0] / (float)units;
        }
        norm[2 * gate] = of_gate[0];
        norm[2 * gate + 1] = 1.0f / sqrtf(of_gate[1] + epsilon);
    }
}

/* x, which a gate sums, normalized by `norm` if there is a gain. */
QRNN_INLINE f32v normalized(const struct qrnn_end_options *o, const float *norm, size_t gate, size_t unit, f32v x)
{
    if (!o->gain) return x;
    const size_t at = gate * o->stride + unit;
    const f32v y = v_mul(v_sub(x, v_set1(norm[2 * gate])), v_set1(norm[2 * gate + 1]));
    return v_fma(y, v_load(o->gain + at), v_load(o->shift + at));
}

/* The slope of `normalized`, with mean and variance taken as constants. */
QRNN_INLINE f32v by_sum(const struct qrnn_end_options *o, const float *norm, size_t gate, size_t unit)
{
    if (!o->gain) return v_set1(1.0f);
    return v_mul(v_load(o->gain + gate * o->stride + unit), v_set1(norm[2 * gate + 1]));
}

/* x plus c times the peephole weights of row `row`: i, f or o. */
QRNN_INLINE f32v peep(const struct qrnn_end_options *o, size_t row, size_t unit, f32v c, f32v x)
{
    return o->peepholes ? v_fma(v_load(o->peepholes + row * o->stride + unit), c, x) : x;
}

/* --- equations --- */

/* A gate in a row of products, from unit i on, a multiple of LANES. */
QRNN_INLINE f32v gate_at(const float *row, size_t gates, size_t gate, size_t i)
{
    return v_load(row + (i / QRNN_PANEL * gates + gate) * QRNN_PANEL + i % QRNN_PANEL);
}

/* The arguments of an equation: rows of products, the unit i in them, the states before, and the sum of squared slopes.
 * Ends with options also get the options, the unit's number in the layer, the result of measure_gates, and whether
 * slopes are wanted. */
typedef f32v equation(const float *ih, const float *hh, const float *inner, size_t i, f32v h, f32v *c, f32v *w,
                      const struct qrnn_end_options *o, size_t unit, const float *norm, int sloped);

#define IH(gate) gate_at(ih, IH_GATES, gate, i)
#define HH(gate) gate_at(hh, HH_GATES, gate, i)
#define INNER gate_at(inner, 1, 0, i)
#define SUM(gate, y) normalized(o, norm, gate, unit, y)
#define BY_SUM(gate) by_sum(o, norm, gate, unit)
#define ACT(place, a) activate(o->activations + (place), limited(o->clip, a))
#define BY(place, a) v_mul(within(o->clip, a), slope_of(o->activations + (place), limited(o->clip, a)))
#define QRNN_END(NAME, name, ih_gates, hh_gates, takes, ...)                                                          \
    enum { name##_takes = (takes) | ((hh_gates) << 8) };                                                              \
    QRNN_INLINE f32v name##_of(const float *ih, const float *hh, const float *inner, size_t i, f32v h, f32v *c,       \
                               f32v *w, const struct qrnn_end_options *o, size_t unit, const float *norm, int sloped) \
    {                                                                                                                 \
        enum { IH_GATES = ih_gates, HH_GATES = hh_gates };                                                            \
        (void)hh, (void)inner, (void)h, (void)c, (void)w, (void)o, (void)unit, (void)norm, (void)sloped;              \
        __VA_ARGS__                                                                                                   \
    }
#include "ends.def"
#undef QRNN_END
#undef IH
#undef HH
#undef INNER
#undef SUM
#undef BY_SUM
#undef ACT
#undef BY
#undef ADD_SLOPE

/* Applies an end to n units from the i-th of the slice on: LANES of them, or fewer in a row's last vector. Lanes past
 * the end hold products of zero weights, so their state is 0, or NaN if the row's is. In an end with options, which has
 * a `norm`, they may be anything. `sloped`: slopes are kept. */
QRNN_INLINE void end_vector(equation *f, int takes, int sloped, const struct qrnn_end_args *e, const float *norm,
                            size_t row, size_t i, size_t n, struct spread *s)
{
    const size_t unit = e->first + i;
    f32v h = v_set1(0.0f), c = h, w = h;
    if (takes & TAKES_H) h = n == LANES ? v_load(e->h[row] + unit) : v_load_n(e->h[row] + unit, n);
    if (takes & TAKES_C) c = n == LANES ? v_load(e->c[row] + unit) : v_load_n(e->c[row] + unit, n);
    h = v_canonical(f(e->ih + row * e->ih_stride, takes >> 8 ? e->hh + row * e->hh_stride : NULL,
                      takes & TAKES_INNER ? e->inner + row * e->inner_stride : NULL, i, h, &c, &w, e->options, unit,
                      norm, sloped));
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
    if (norm && n < LANES) h = v_load_n(e->h_out[row] + unit, n);
    spread_add(s, h);
}

/* Applies an end to all rows. The arguments but `e` are constants: `gates` is 0 for ends without options; `small` makes
 * one copy of a vector's code, for ends whose size matters more than their speed, instead of a second copy for the last
 * vector. */
QRNN_INLINE void end_rows(equation *f, int takes, int sloped, int small, size_t gates, const struct qrnn_end_args *e)
{
    for (size_t row = 0; row < e->rows; row++) {
        struct spread s = spread_none();
        float norm[2 * QRNN_MOST_GATES];
        size_t i = 0;
        if (gates && e->options->gain)
            measure_gates(e->ih + row * e->ih_stride, gates, e->units, e->options->epsilon, norm);
        for (; small && i < e->units; i += LANES)
            end_vector(f, takes, sloped, e, gates ? norm : NULL, row, i, e->units - i < LANES ? e->units - i : LANES,
                       &s);
        for (; !small && i + LANES <= e->units; i += LANES) end_vector(f, takes, sloped, e, NULL, row, i, LANES, &s);
        if (!small && i < e->units) end_vector(f, takes, sloped, e, NULL, row, i, e->units - i, &s);
        if (e->extent) e->extent[row] = spread_extent(&s);
    }
}

/* Ends with options are compiled once, for both entries. */
#define QRNN_END(NAME, name, ih_gates, ...)                                                               \
    static QRNN_SMALL void name##_sloped(const struct qrnn_end_args *e)                                   \
    {                                                                                                     \
        const int options = (name##_takes & TAKES_OPTIONS) != 0;                                          \
        end_rows(name##_of, name##_takes, !options || e->slopes != NULL, 1, options ? (ih_gates) : 0, e); \
    }                                                                                                     \
    static void name##_rows(const struct qrnn_end_args *e)                                                \
    {                                                                                                     \
        if (name##_takes & TAKES_OPTIONS)                                                                 \
            name##_sloped(e);                                                                             \
        else                                                                                              \
            end_rows(name##_of, name##_takes, 0, 0, 0, e);                                                \
    }
#include "ends.def"
#undef QRNN_END

static void use_ends(struct qrnn_kernels *k)
{
    k->row = NULL; /* these contain the ends of another instruction set */
    k->steps = NULL;
#define QRNN_END(NAME, name, ...)          \
    k->end[QRNN_END_##NAME] = name##_rows; \
    k->sloped[QRNN_END_##NAME] = name##_sloped;
#include "ends.def"
#undef QRNN_END
}

#endif
