/* qrnn.c - life of a module: check, pack, share, destroy; what it is made of. */
#define _DEFAULT_SOURCE /* madvise, in strict C11 */

#include "block.h"
#include "tuning.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

/* Sizes whose products stay below this cannot overflow. */
#define SIZE_LIMIT ((size_t)1 << (sizeof(size_t) * 8 - 8))

enum { IH, HH, HR };

static size_t matrices_of(qrnn_kind kind, size_t proj_size)
{
    return qrnn_spec_matrices(&(const qrnn_spec){.kind = kind, .proj_size = proj_size, .layers = 1, .directions = 1});
}

/* A matrix of the specification, or the part of one that is packed as a matrix of its own: its gates from
 * first_gate on. */
struct part {
    size_t unit, which;
    int second;
    size_t at;                /* index in spec->weights */
    size_t first_gate, gates, rows, cols;
    size_t all_rows;          /* of the matrix */
};

static struct part part_of(const qrnn_spec *spec, size_t unit, size_t which, int second)
{
    const struct qrnn_cell *cell = &qrnn_cells[spec->kind];
    const size_t state = spec->proj_size ? spec->proj_size : spec->hidden_size;
    const size_t inputs = unit < spec->directions ? spec->input_size : spec->directions * state;
    const int splits = which == HH && cell->split;
    struct part p = {.unit = unit, .which = which, .second = second};
    p.at = unit * matrices_of(spec->kind, spec->proj_size) + which;
    p.all_rows = which == HR ? spec->proj_size : cell->gates * spec->hidden_size;
    p.gates = which == HR || second ? 1 : cell->gates - (size_t)splits;
    p.first_gate = second ? cell->gates - 1 : 0;
    p.rows = which == HR ? spec->proj_size : p.gates * spec->hidden_size;
    p.cols = which == IH ? inputs : which == HH ? state : spec->hidden_size;
    return p;
}

/* Calls `f` for every part until it returns something else than QRNN_OK. */
static qrnn_status for_parts(const qrnn_spec *spec, qrnn_status (*f)(const qrnn_spec *, const struct part *, void *),
                             void *context)
{
    for (size_t unit = 0; unit < spec->layers * spec->directions; unit++)
        for (size_t which = 0; which < matrices_of(spec->kind, spec->proj_size); which++)
            for (int second = 0; second <= (which == HH && qrnn_cells[spec->kind].split); second++) {
                const struct part p = part_of(spec, unit, which, second);
                const qrnn_status status = f(spec, &p, context);
                if (status != QRNN_OK) return status;
            }
    return QRNN_OK;
}

/* --- checks --- */

static int all_finite(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i])) return 0;
    return 1;
}

/* What checking and packing carry along. */
struct packing {
    const struct qrnn_engine *engine;
    size_t *matrix;           /* the one at hand */
    size_t bytes;
    struct qrnn_unit *units;
    unsigned char *memory;
};

static size_t scales_of(const qrnn_weight *w, const struct part *p)
{
    return w->n_scale > 1 ? p->rows : w->n_scale;
}

static qrnn_status check_part(const qrnn_spec *spec, const struct part *p, void *context)
{
    struct packing *packing = context;
    const qrnn_weight *w = &spec->weights[p->at];
    *packing->matrix = p->at;
    if (p->cols > SIZE_LIMIT / sizeof(float) / (p->all_rows + QRNN_PANEL * p->gates)) return QRNN_ERR_SIZE;
    if (packing->engine->quantized) {
        if (p->cols > QRNN_MAX_DEPTH) return QRNN_ERR_DEPTH;
        if (w->n_scale != 1 && w->n_scale != p->all_rows) return QRNN_ERR_SIZE;
        for (size_t i = 0; i < w->n_scale; i++)
            if (!isfinite(w->scale[i]) || w->scale[i] <= 0.0f) return QRNN_ERR_SCALE;
        if (w->bias && !all_finite(w->bias, p->all_rows)) return QRNN_ERR_WEIGHT;
    }
    packing->bytes += qrnn_pack_bytes(packing->engine, p->gates, p->rows, p->cols, scales_of(w, p));
    return QRNN_OK;
}

static qrnn_status check_sizes(const qrnn_spec *spec, const struct qrnn_engine *engine)
{
    if ((unsigned)spec->kind >= QRNN_KINDS || spec->hidden_size < 1) return QRNN_ERR_SIZE;
    const struct qrnn_cell *cell = &qrnn_cells[spec->kind];
    if (spec->hidden_size > SIZE_LIMIT / 16 || spec->input_size > SIZE_LIMIT / 16) return QRNN_ERR_SIZE;
    if (spec->layers < 1 || spec->layers > QRNN_MAX_LAYERS || spec->directions < 1 || spec->directions > 2)
        return QRNN_ERR_SIZE;
    if (!cell->recurrent && spec->layers * spec->directions != 1) return QRNN_ERR_SIZE;
    if (spec->proj_size && (!cell->cell_state || spec->proj_size >= spec->hidden_size)) return QRNN_ERR_SIZE;
    if ((cell->split || spec->proj_size) && qrnn_engine_is_whole(engine)) return QRNN_ERR_UNSUPPORTED;
    return QRNN_OK;
}

/* --- life --- */

static struct qrnn_matrix *place_of(struct qrnn_unit *unit, const struct part *p)
{
    return p->which == IH ? &unit->ih : p->which == HR ? &unit->hr : p->second ? &unit->hn : &unit->hh;
}

static qrnn_status pack_part(const qrnn_spec *spec, const struct part *p, void *context)
{
    struct packing *packing = context;
    const qrnn_weight *w = &spec->weights[p->at];
    const size_t first = p->first_gate * spec->hidden_size, cell = first * p->cols;
    const qrnn_weight rows = {
        .values = w->values ? w->values + cell : NULL,
        .codes = w->codes ? w->codes + cell : NULL,
        .scale = w->n_scale > 1 ? w->scale + first : w->scale,
        .n_scale = scales_of(w, p),
        .bias = w->bias ? w->bias + first : NULL,
    };
    qrnn_pack(packing->engine, p->gates, p->rows, p->cols, &rows, packing->memory,
              place_of(&packing->units[p->unit], p));
    packing->memory += qrnn_pack_bytes(packing->engine, p->gates, p->rows, p->cols, rows.n_scale);
    return QRNN_OK;
}

/* Memory of a module. One row's step reads all weights once; of more than the last-level cache holds well, the
 * walks through the table of small pages cost as much as the reads. With huge ones a step of a float32 LSTM of
 * I = H = 1024 takes 0.75 to 0.80 of the time, of a sequence 0.68 to 0.78 (Zen 4). */
static void *allocate(size_t bytes)
{
    if (bytes < QRNN_HUGE_BYTES) return aligned_alloc(QRNN_LINE, bytes);
    void *const memory = aligned_alloc(QRNN_HUGE_PAGE, qrnn_round_up(bytes, QRNN_HUGE_PAGE));
#if defined(MADV_HUGEPAGE)
    if (memory) (void)madvise(memory, bytes, MADV_HUGEPAGE); /* advice: without such pages all stays as it is */
#endif
    return memory;
}

qrnn_status qrnn_module_new(const qrnn_spec *spec, qrnn_module **out, size_t *matrix)
{
    size_t at;
    struct qrnn_kernels kernels;
    struct packing packing = {.engine = qrnn_engine_find(spec->engine), .matrix = matrix ? matrix : &at};
    *out = NULL;
    *packing.matrix = 0;
    if (!packing.engine) return QRNN_ERR_ENGINE;
    qrnn_status status = check_sizes(spec, packing.engine);
    if (status != QRNN_OK) return status;
    status = for_parts(spec, check_part, &packing);
    if (status != QRNN_OK) return status;
    const char *isa = qrnn_kernels_init(&kernels, spec->isa);
    if (!isa) return QRNN_ERR_ISA;

    const size_t units = spec->layers * spec->directions;
    const size_t units_end = qrnn_round_up(sizeof(qrnn_module) + units * sizeof(struct qrnn_unit), QRNN_LINE);
    const size_t head = units_end + qrnn_round_up(sizeof(struct qrnn_block), QRNN_LINE);
    unsigned char *memory = allocate(head + packing.bytes);
    if (!memory) return QRNN_ERR_MEMORY;
    memset(memory, 0, head);
    qrnn_module *m = (qrnn_module *)(void *)memory;
    m->kind = spec->kind;
    m->engine = packing.engine;
    m->isa = isa;
    m->kernels = kernels;
    m->input_size = spec->input_size;
    m->hidden_size = spec->hidden_size;
    m->proj_size = spec->proj_size;
    m->state_size = spec->proj_size ? spec->proj_size : spec->hidden_size;
    m->layers = spec->layers;
    m->directions = spec->directions;
    m->bytes = head + packing.bytes;
    atomic_init(&m->references, 1);
    packing.units = m->units;
    packing.memory = memory + head;
    for_parts(spec, pack_part, &packing);
    m->row = (struct qrnn_block *)(void *)(memory + units_end);
    qrnn_step_prepare(m);
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

/* --- what a module is made of --- */

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

/* The packed matrix of an index, or its first part; *second is the other, or NULL. */
static const struct qrnn_matrix *matrix_of(const qrnn_module *m, size_t matrix, const struct qrnn_matrix **second)
{
    const size_t matrices = matrices_of(m->kind, m->proj_size), which = matrix % matrices;
    const struct qrnn_unit *unit = &m->units[matrix / matrices];
    *second = which == HH && qrnn_cells[m->kind].split ? &unit->hn : NULL;
    return which == IH ? &unit->ih : which == HH ? &unit->hh : &unit->hr;
}

size_t qrnn_module_rows(const qrnn_module *m, size_t matrix)
{
    const struct qrnn_matrix *second, *first = matrix_of(m, matrix, &second);
    return first->panels.rows + (second ? second->panels.rows : 0);
}

size_t qrnn_module_cols(const qrnn_module *m, size_t matrix)
{
    const struct qrnn_matrix *second;
    return matrix_of(m, matrix, &second)->panels.cols;
}

size_t qrnn_module_n_scale(const qrnn_module *m, size_t matrix)
{
    const struct qrnn_matrix *second, *first = matrix_of(m, matrix, &second);
    return first->n_scale + (second && first->n_scale > 1 ? second->n_scale : 0);
}

int qrnn_module_has_bias(const qrnn_module *m, size_t matrix)
{
    const struct qrnn_matrix *second;
    return matrix_of(m, matrix, &second)->has_bias;
}

void qrnn_module_unpack(const qrnn_module *m, size_t matrix, float *values, int8_t *codes, float *scale, float *bias)
{
    const struct qrnn_matrix *second, *first = matrix_of(m, matrix, &second);
    qrnn_unpack(first, values, codes, scale, bias);
    if (!second) return;
    const size_t rows = first->panels.rows, cells = rows * first->panels.cols;
    qrnn_unpack(second, values ? values + cells : NULL, codes ? codes + cells : NULL,
                scale && first->n_scale > 1 ? scale + rows : NULL, bias ? bias + rows : NULL);
}
