/* qrnn.c - life of a module: check, pack, share, destroy; what it is made of. */
#include "module.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Fewest bytes a module can outgrow: sizes whose products stay below this cannot overflow. */
#define SIZE_LIMIT ((size_t)1 << (sizeof(size_t) * 8 - 8))

static int all_finite(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i])) return 0;
    return 1;
}

static qrnn_status check_weight(const struct qrnn_engine *engine, size_t rows, size_t cols,
                                const qrnn_weight *w)
{
    if (cols > SIZE_LIMIT / sizeof(float) / (rows + QRNN_PANEL)) return QRNN_ERR_SIZE;
    if (!engine->quantised) return QRNN_OK;
    if (cols > QRNN_MAX_DEPTH) return QRNN_ERR_DEPTH;
    if (w->n_scale != 1 && w->n_scale != rows) return QRNN_ERR_SIZE;
    for (size_t i = 0; i < w->n_scale; i++)
        if (!isfinite(w->scale[i]) || w->scale[i] <= 0.0f) return QRNN_ERR_SCALE;
    if (w->bias && !all_finite(w->bias, rows)) return QRNN_ERR_WEIGHT;
    return QRNN_OK;
}

static qrnn_status check_spec(const qrnn_spec *spec, const struct qrnn_engine *engine, size_t *rows,
                              int *matrix)
{
    *matrix = 0;
    if ((unsigned)spec->kind >= QRNN_KINDS || spec->hidden_size < 1) return QRNN_ERR_SIZE;
    const struct qrnn_cell *cell = &qrnn_cells[spec->kind];
    if (spec->hidden_size > SIZE_LIMIT / cell->gates) return QRNN_ERR_SIZE;
    *rows = cell->gates * spec->hidden_size;
    const qrnn_status status = check_weight(engine, *rows, spec->input_size, &spec->ih);
    if (status != QRNN_OK || !cell->recurrent) return status;
    *matrix = 1;
    return check_weight(engine, *rows, spec->hidden_size, &spec->hh);
}

qrnn_status qrnn_module_new(const qrnn_spec *spec, qrnn_module **out, int *matrix)
{
    size_t rows;
    int at;
    *out = NULL;
    if (!matrix) matrix = &at;
    *matrix = 0;
    const struct qrnn_engine *engine = qrnn_engine_find(spec->engine);
    if (!engine) return QRNN_ERR_ENGINE;
    const qrnn_status status = check_spec(spec, engine, &rows, matrix);
    if (status != QRNN_OK) return status;

    const int recurrent = qrnn_cells[spec->kind].recurrent;
    const size_t head = qrnn_round_up(sizeof(qrnn_module), QRNN_LINE);
    const size_t ih = qrnn_pack_bytes(engine, rows, spec->input_size, &spec->ih);
    const size_t hh = recurrent ? qrnn_pack_bytes(engine, rows, spec->hidden_size, &spec->hh) : 0;
    unsigned char *memory = aligned_alloc(QRNN_LINE, head + ih + hh);
    if (!memory) return QRNN_ERR_MEMORY;
    qrnn_module *m = (qrnn_module *)(void *)memory;
    memset(m, 0, sizeof *m);
    m->isa = qrnn_kernels_init(&m->kernels, spec->isa);
    if (!m->isa) {
        free(memory);
        return QRNN_ERR_ISA;
    }
    m->kind = spec->kind;
    m->engine = engine;
    m->input_size = spec->input_size;
    m->hidden_size = spec->hidden_size;
    m->bytes = head + ih + hh;
    qrnn_pack(engine, rows, spec->input_size, &spec->ih, memory + head, &m->matrix[0]);
    if (recurrent) qrnn_pack(engine, rows, spec->hidden_size, &spec->hh, memory + head + ih, &m->matrix[1]);
    atomic_init(&m->references, 1);
    *out = m;
    return QRNN_OK;
}

void qrnn_module_ref(qrnn_module *m)
{
    atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
}

void qrnn_module_unref(qrnn_module *m)
{
    if (m && atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) == 1) free(m);
}

qrnn_kind qrnn_module_kind(const qrnn_module *m)
{
    return m->kind;
}

const char *qrnn_module_engine(const qrnn_module *m)
{
    return m->engine->name;
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

size_t qrnn_module_bytes(const qrnn_module *m)
{
    return m->bytes;
}

size_t qrnn_module_rows(const qrnn_module *m, int matrix)
{
    return m->matrix[matrix].panels.rows;
}

size_t qrnn_module_cols(const qrnn_module *m, int matrix)
{
    return m->matrix[matrix].panels.cols;
}

size_t qrnn_module_n_scale(const qrnn_module *m, int matrix)
{
    return m->matrix[matrix].n_scale;
}

int qrnn_module_has_bias(const qrnn_module *m, int matrix)
{
    return m->matrix[matrix].has_bias;
}
