/* exported.c - a model that Python has trained and exported, frame by frame, from C alone.
 *
 *   python -c 'import qrnn; qrnn.export_c(qrnn.load("model.safetensors"), "model.h")'
 *   make lib && cc -std=c99 -Ibuild/lib -I. examples/c/exported.c build/lib/libqrnn.a -lm -lpthread -o exported
 *   ./exported <frames.txt
 *
 * Reads numbers, MODEL_INPUT of them a frame, and prints MODEL_OUTPUT numbers for each frame, as Python computes them. */
#define MODEL_IMPLEMENTATION
#include "model.h"

#include <stdio.h>

int main(void)
{
    static model_net net;
    static model_state state;
    float x[MODEL_INPUT], y[MODEL_OUTPUT];
    qrnn_status status = model_init(&net, NULL);
    size_t i = 0;
    model_reset(&state);
    while (status == QRNN_OK && scanf("%f", &x[i]) == 1) {
        if (++i < MODEL_INPUT) continue;
        status = model_step(&net, &state, x, y);
        for (i = 0; i < MODEL_OUTPUT && status == QRNN_OK; i++)
            printf(i + 1 < MODEL_OUTPUT ? "%.9g " : "%.9g\n", (double)y[i]);
        i = 0;
    }
    if (status != QRNN_OK) fprintf(stderr, "exported: %s\n", qrnn_status_text(status));
    model_free(&net);
    return status != QRNN_OK;
}
