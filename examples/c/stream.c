/* stream.c - a quantized LSTM that reads a signal frame by frame, from C alone.
 *
 *   make lib && cc -std=c99 -Ibuild/lib examples/c/stream.c build/lib/libqrnn.a -lm -lpthread -o stream && ./stream
 *
 * Float weights become int8 codes and scales, the module is packed for the CPU it runs on, and each frame is one
 * step, which allocates nothing. Prints the hidden state after the last frame. */
#include <qrnn.h>

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { INPUT = 8, HIDDEN = 16, ROWS = 4 * HIDDEN, FRAMES = 100 };

/* Weights and signal of this example, -1 .. 1; yours come from training. */
static float next_value(uint32_t *state)
{
    *state = *state * 1664525u + 1013904223u;
    return (float)(*state >> 8) / 8388608.0f - 1.0f;
}

static void check(qrnn_status status, const char *what)
{
    if (status == QRNN_OK) return;
    fprintf(stderr, "%s: %s\n", what, qrnn_status_text(status));
    exit(1);
}

/* One matrix, [ROWS][cols], quantized as the engine has it. */
static void make_weight(qrnn_weight *weight, size_t cols, uint32_t *state, int8_t *codes, float *scale, float *bias)
{
    static float values[ROWS * (INPUT > HIDDEN ? INPUT : HIDDEN)];
    size_t i;
    for (i = 0; i < ROWS * cols; i++) values[i] = 0.3f * next_value(state);
    for (i = 0; i < ROWS; i++) bias[i] = 0.1f * next_value(state);
    check(qrnn_quantize_weights("qrnn", ROWS, cols, values, codes, scale, &weight->n_scale), "qrnn_quantize_weights");
    weight->codes = codes;
    weight->scale = scale;
    weight->bias = bias;
}

int main(void)
{
    static int8_t codes_ih[ROWS * INPUT], codes_hh[ROWS * HIDDEN];
    static float scale_ih[ROWS], scale_hh[ROWS], bias_ih[ROWS], bias_hh[ROWS];
    float x[INPUT], h[HIDDEN] = {0}, c[HIDDEN] = {0};
    uint32_t state = 1;
    qrnn_weight weights[2];
    qrnn_spec spec;
    qrnn_module *module;
    int frame, i;

    memset(weights, 0, sizeof weights);
    memset(&spec, 0, sizeof spec);
    make_weight(&weights[0], INPUT, &state, codes_ih, scale_ih, bias_ih);
    make_weight(&weights[1], HIDDEN, &state, codes_hh, scale_hh, bias_hh);
    spec.kind = QRNN_LSTM;
    spec.engine = "qrnn";
    spec.input_size = INPUT;
    spec.hidden_size = HIDDEN;
    spec.layers = spec.directions = 1;
    spec.weights = weights;
    check(qrnn_module_new(&spec, &module, NULL), "qrnn_module_new");

    for (frame = 0; frame < FRAMES; frame++) {
        for (i = 0; i < INPUT; i++) x[i] = next_value(&state);
        check(qrnn_step(module, 1, x, h, c, h, c), "qrnn_step"); /* states are updated in place */
    }
    for (i = 0; i < HIDDEN; i++) printf("%.9g\n", (double)h[i]);
    qrnn_module_unref(module);
    return 0;
}
