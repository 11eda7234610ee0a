/* elementwise.h - y[i] = f(x[i]) over arrays, written once over the vocabulary of vec_*.h.
 * Included after poly.h. */
#ifndef QRNN_ELEMENTWISE_H
#define QRNN_ELEMENTWISE_H

/* The smallest and the largest value so far; `wrong` is +0, or NaN once a value was not finite. */
struct spread {
    f32v least, most, wrong;
};

QRNN_INLINE struct spread spread_none(void)
{
    return (struct spread){v_set1(0.0f), v_set1(0.0f), v_set1(0.0f)};
}

QRNN_INLINE void spread_add(struct spread *s, f32v x)
{
    s->least = v_min(s->least, x);
    s->most = v_max(s->most, x);
    s->wrong = v_add(s->wrong, v_sub(x, x));
}

QRNN_INLINE struct qrnn_extent spread_extent(const struct spread *s)
{
    struct qrnn_extent e;
    v_extremes(s->least, s->most, &e.lo, &e.hi);
    e.finite = !m_any(v_is_nan(s->wrong));
    return e;
}

/* The extent of n values; x == NULL stands for zeros. */
QRNN_INLINE struct qrnn_extent extent_of(const float *x, size_t n)
{
    struct spread s = spread_none();
    size_t k = 0;
    if (!x) return (struct qrnn_extent){0.0f, 0.0f, 1};
    for (; k + LANES <= n; k += LANES) spread_add(&s, v_load(x + k));
    if (k < n) spread_add(&s, v_load_n(x + k, n - k));
    return spread_extent(&s);
}

static void range(size_t rows, size_t n, const float *const *v, struct qrnn_extent *extent)
{
    for (size_t row = 0; row < rows; row++) extent[row] = extent_of(v[row], n);
}

static float sum(size_t n, const float *x)
{
    enum { VECTORS = QRNN_SUM_LANES / LANES };
    f32v s[VECTORS];
    for (size_t i = 0; i < VECTORS; i++) s[i] = v_set1(0.0f);
    for (size_t k = 0; k < n; k += QRNN_SUM_LANES)
        for (size_t i = 0; i < VECTORS; i++) {
            const size_t at = k + i * LANES;
            if (at + LANES <= n)
                s[i] = v_add(s[i], v_load(x + at));
            else if (at < n)
                s[i] = v_add(s[i], v_load_n(x + at, n - at));
        }
    for (size_t half = VECTORS / 2; half > 0; half /= 2)
        for (size_t i = 0; i < half; i++) s[i] = v_add(s[i], s[i + half]);
    return v_total(s[0]);
}

/* Decodes LANES values from the k-th on. With two planes, 128 * high + low is exact. */
QRNN_INLINE f32v decoded(const uint8_t *codes, const uint8_t *low, const struct qrnn_decoding *by, size_t k)
{
    f32v code = v_load_u8(codes + k);
    if (low) code = v_fma(code, v_set1(1 << QRNN_PLANE_BITS), v_load_u8(low + k));
    return v_mul(v_set1(by->root), v_mul(v_sub(code, v_set1(by->zero_point)), v_set1(by->factor)));
}

static void decode(size_t n, const uint8_t *codes, const uint8_t *low, const struct qrnn_decoding *by, float *to)
{
    size_t k = 0;
    for (; k + LANES <= n; k += LANES) v_store(to + k, decoded(codes, low, by, k));
    if (k < n) v_store_n(to + k, decoded(codes, low, by, k), n - k);
}

/* y may be x. The last vector ends at the array's end and may overlap the one before. So it is loaded before anything
 * is stored, and a value's result does not depend on its lane. The loop is not unrolled by hand: its iterations are
 * independent, and the CPU overlaps them. */
QRNN_INLINE void map(f32v (*f)(f32v), const float *x, float *y, size_t n)
{
    if (n < LANES) {
        if (n) v_store_n(y, v_canonical(f(v_load_n(x, n))), n);
        return;
    }
    const size_t end = n - LANES;
    const f32v last = v_load(x + end);
    for (size_t i = 0; i < end; i += LANES) v_store(y + i, v_canonical(f(v_load(x + i))));
    v_store(y + end, v_canonical(f(last)));
}

static void tanh_n(const float *x, float *y, size_t n)
{
    map(tanh_f32, x, y, n);
}

static void tanh_exact_n(const float *x, float *y, size_t n)
{
    map(tanh_exact_f32, x, y, n);
}

static void sigmoid_n(const float *x, float *y, size_t n)
{
    map(sigmoid_f32, x, y, n);
}

static void relu_n(const float *x, float *y, size_t n)
{
    map(relu_f32, x, y, n);
}

#define QRNN_USE_ELEMENTWISE(k)                   \
    do {                                          \
        (k)->sum = sum;                           \
        (k)->decode = decode;                     \
        (k)->map[QRNN_TANH] = tanh_n;             \
        (k)->map[QRNN_TANH_EXACT] = tanh_exact_n; \
        (k)->map[QRNN_SIGMOID] = sigmoid_n;       \
        (k)->map[QRNN_RELU] = relu_n;             \
    } while (0)

#endif
