/* getters.c - what a module was made of, except its matrices (qrnn.c). */
#include "module.h"

qrnn_kind qrnn_module_kind(const qrnn_module *m)
{
    return m->kind_number;
}

const char *qrnn_module_engine(const qrnn_module *m)
{
    return m->engine->info.name;
}

const char *qrnn_module_isa(const qrnn_module *m)
{
    return m->isa;
}

size_t qrnn_module_input_size(const qrnn_module *m)
{
    return m->input_size;
}

size_t qrnn_module_hidden_size(const qrnn_module *m)
{
    return m->hidden_size;
}

size_t qrnn_module_proj_size(const qrnn_module *m)
{
    return m->proj_size;
}

size_t qrnn_module_state_size(const qrnn_module *m)
{
    return m->state_size;
}

size_t qrnn_module_layers(const qrnn_module *m)
{
    return m->layers;
}

size_t qrnn_module_directions(const qrnn_module *m)
{
    return m->directions;
}

size_t qrnn_module_bytes(const qrnn_module *m)
{
    return m->bytes;
}

int qrnn_module_shares_scale(const qrnn_module *m)
{
    return m->shares_scale;
}

const qrnn_options *qrnn_module_options(const qrnn_module *m)
{
    return m->has_options ? &m->options : NULL;
}
