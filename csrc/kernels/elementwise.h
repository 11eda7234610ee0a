/* elementwise.h - y[i] = f(x[i]) over arrays, written once over the vocabulary of vec_*.h.
 * Included after poly.h. */
#ifndef QRNN_ELEMENTWISE_H
#define QRNN_ELEMENTWISE_H

/* max(x, 0) as PyTorch has it: -0 stays -0. */
QRNN_INLINE f32v relu_f32(f32v x)
{
    return v_canonical_nan(x, v_max(v_set1(0.0f), x));
}

/* y may be x. The last vector ends at the array's end and may overlap the one before: it is loaded
 * before anything is stored, and a lane's result does not depend on the lane. Vectors need no
 * interleaving by hand: the loop carries nothing over, and the CPU overlaps them by itself. */
QRNN_INLINE void map(f32v (*f)(f32v), const float *x, float *y, size_t n)
{
    if (n < LANES) {
        if (n) v_store_n(y, f(v_load_n(x, n)), n);
        return;
    }
    const size_t end = n - LANES;
    const f32v last = v_load(x + end);
    for (size_t i = 0; i < end; i += LANES) v_store(y + i, f(v_load(x + i)));
    v_store(y + end, f(last));
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
        (k)->map[QRNN_TANH] = tanh_n;             \
        (k)->map[QRNN_TANH_EXACT] = tanh_exact_n; \
        (k)->map[QRNN_SIGMOID] = sigmoid_n;       \
        (k)->map[QRNN_RELU] = relu_n;             \
    } while (0)

#endif
