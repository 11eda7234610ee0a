/* step.c - a step of a cell whose matrices have formats of their own, as ctypes can call it (matrices.py). */
#include "qrnn.h"

#include <string.h>

struct arrays {
    const float *values;
    const int8_t *codes;
    const float *scale, *bias;
    const char *format, *activations;
};

static qrnn_weight weight_of(const struct arrays *a, size_t n_scale)
{
    return (qrnn_weight){
        .values = a->values,
        .codes = a->codes,
        .scale = a->scale,
        .n_scale = a->codes ? n_scale : 0,
        .bias = a->bias,
        .format = a->format,
        .activations = a->activations,
    };
}

/* h_out is h' of one step, ih the values of the first matrix, unpacked. Returns a qrnn_status, or -1 of no such kind. */
int errand_step(const char *kind, const char *isa, const size_t *sizes, const struct arrays *matrices, const float *x,
                const float *h, float *h_out, float *ih);
int errand_step(const char *kind, const char *isa, const size_t *sizes, const struct arrays *matrices, const float *x,
                const float *h, float *h_out, float *ih)
{
    const size_t batch = sizes[0], inputs = sizes[1], hidden = sizes[2];
    qrnn_spec spec = {.engine = "qrnn", .isa = isa, .input_size = inputs, .hidden_size = hidden};
    while (qrnn_kind_get(spec.kind) && strcmp(qrnn_kind_get(spec.kind)->name, kind) != 0) spec.kind++;
    if (!qrnn_kind_get(spec.kind)) return -1;
    const size_t rows = qrnn_kind_get(spec.kind)->gates * hidden;
    const qrnn_weight weights[] = {weight_of(&matrices[0], rows), weight_of(&matrices[1], rows)};
    spec.layers = spec.directions = 1;
    spec.weights = weights;
    qrnn_module *module;
    qrnn_status status = qrnn_module_new(&spec, &module, NULL);
    if (status == QRNN_OK) status = qrnn_step(module, batch, x, h, NULL, h_out, NULL);
    if (status == QRNN_OK) qrnn_module_unpack(module, 0, ih, NULL, NULL, NULL);
    qrnn_module_unref(module);
    return (int)status;
}
