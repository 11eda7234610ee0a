/* engines.c - the table of engines: one row for each arithmetic. */
#include "module.h"

#include <string.h>

static float factor_same(float scale)
{
    return scale;
}

static float factor_onednn(float scale)
{
    return qrnn_through_reciprocal((double)scale);
}

/* The first engine, "qrnn", is the default. Columns: the members of qrnn_engine_info; formats of weights and of
 * activations; de-quantization, exact, no_bias, factor. no_bias is -0.0f because adding it changes no float; QNNPACK
 * adds +0. PyTorch has neither projections nor a GRU that resets before the product, so its engines have none
 * either. */
static const struct qrnn_engine engines[] = {
    {{"qrnn", 1, 1, 1, 1, 1, 1}, QRNN_WEIGHTS_INT8, QRNN_ACTIVATIONS_U8, QRNN_DEQUANT_FUSED, 0, -0.0f, factor_same},
    {{"qrnn13", 1, 1, 1, 1, 1, 1}, QRNN_WEIGHTS_INT8, QRNN_ACTIVATIONS_S13, QRNN_DEQUANT_FUSED, 0, -0.0f, factor_same},
    {{"fbgemm", 1, 0, 0, 0, 0, 0},
     QRNN_WEIGHTS_INT8,
     QRNN_ACTIVATIONS_FBGEMM,
     QRNN_DEQUANT_FUSED,
     1,
     -0.0f,
     factor_same},
    {{"x86", 1, 0, 0, 0, 0, 0}, QRNN_WEIGHTS_INT8, QRNN_ACTIVATIONS_FBGEMM, QRNN_DEQUANT_FUSED, 1, -0.0f, factor_same},
    {{"qnnpack", 1, 0, 0, 0, 0, 0},
     QRNN_WEIGHTS_INT8,
     QRNN_ACTIVATIONS_QNNPACK,
     QRNN_DEQUANT_TWICE,
     1,
     0.0f,
     factor_same},
    {{"onednn", 1, 0, 0, 0, 0, 0},
     QRNN_WEIGHTS_INT8,
     QRNN_ACTIVATIONS_ONEDNN,
     QRNN_DEQUANT_THRICE,
     1,
     -0.0f,
     factor_onednn},
    {{"float32", 0, 1, 1, 1, 1, 1},
     QRNN_WEIGHTS_FLOAT32,
     QRNN_ACTIVATIONS_FLOAT32,
     QRNN_DEQUANT_FUSED,
     0,
     -0.0f,
     factor_same},
};

enum { ENGINE_COUNT = sizeof engines / sizeof engines[0] };

const qrnn_engine_info *qrnn_engine_get(size_t i)
{
    return i < ENGINE_COUNT ? &engines[i].info : NULL;
}

const char *qrnn_engine_name(size_t i)
{
    return i < ENGINE_COUNT ? engines[i].info.name : NULL;
}

const char *qrnn_engine_activations(size_t i)
{
    return i < ENGINE_COUNT ? qrnn_activations_row(engines[i].activations)->name : NULL;
}

const struct qrnn_engine *qrnn_engine_find(const char *name)
{
    for (size_t i = 0; i < ENGINE_COUNT; i++)
        if (name && strcmp(name, engines[i].info.name) == 0) return &engines[i];
    return NULL;
}

const qrnn_engine_info *qrnn_engine_by_name(const char *name)
{
    const struct qrnn_engine *const engine = qrnn_engine_find(name);
    return engine ? &engine->info : NULL;
}
