/* qrnn.c - the life of a module: check, pack, share, destroy; and what its matrices are. */
#include "block.h"
#include "system.h"
#include "tuning.h"

#include <math.h>
#include <string.h>

/* Sizes whose product is below this cannot overflow. With 32-bit sizes, a matrix of floats may have 256 MiB. */
#define SIZE_LIMIT ((size_t)1 << (sizeof(size_t) < 8 ? 28 : 56))

/* The most hidden units and the most inputs: a row of all gates has to fit a 32-bit number of words (layout.h). */
#define MOST_UNITS (UINT32_MAX / 64 < SIZE_LIMIT / 16 ? UINT32_MAX / 64 : SIZE_LIMIT / 16)

/* --- pieces --- */

/* A matrix of the specification, or a part of one that is packed by itself: the gates from first_gate on. Most matrices
 * are one piece. hh has two in a kind whose last gate multiplies something other than h. */
struct piece {
    qrnn_matrix_info info;    /* of the whole matrix */
    enum qrnn_role role;
    size_t index;             /* in spec->weights */
    size_t first_gate, gates, rows;
    int last;                 /* 1: the second piece */
};

static int pieces_of(const qrnn_spec *spec, enum qrnn_role role)
{
    return role == QRNN_HH && qrnn_kind_row(spec->kind)->inner != QRNN_ENDS ? 2 : 1;
}

static void find_piece(const qrnn_spec *spec, size_t index, int last, struct piece *p)
{
    const size_t gates = qrnn_kind_row(spec->kind)->info.gates;
    qrnn_spec_matrix(spec, index, &p->info);
    p->role = qrnn_spec_role(spec, index);
    p->index = index;
    p->last = last;
    p->gates = p->role >= QRNN_HR || last ? 1 : gates - (size_t)(pieces_of(spec, p->role) - 1);
    p->first_gate = last ? gates - 1 : 0;
    p->rows = p->role >= QRNN_HR ? p->info.rows : p->gates * spec->hidden_size;
}

/* Calls `f` for every piece until it returns anything but QRNN_OK. */
static qrnn_status for_pieces(const qrnn_spec *spec, qrnn_status (*f)(const qrnn_spec *, const struct piece *, void *),
                              void *context)
{
    for (size_t index = 0; index < qrnn_spec_matrices(spec); index++)
        for (int last = 0; last < pieces_of(spec, qrnn_spec_role(spec, index)); last++) {
            struct piece p;
            find_piece(spec, index, last, &p);
            const qrnn_status status = f(spec, &p, context);
            if (status != QRNN_OK) return status;
        }
    return QRNN_OK;
}

/* What checking and packing pass along. */
struct work {
    const struct qrnn_engine *engine;
    size_t *matrix;           /* the matrix at hand, for the caller */
    size_t bytes;
    qrnn_module *m;
    unsigned char *memory;
};

/* --- formats of a matrix --- */

static int is_given(const qrnn_weight *w, enum qrnn_weight_format format)
{
    return qrnn_weights_row(format)->coded ? w->codes != NULL : w->values != NULL;
}

/* Finds the format of a matrix's weights: the one it names; else the engine's; else the first that takes what is
 * given. */
static qrnn_status find_format(const struct work *work, const qrnn_weight *w, enum qrnn_weight_format *format)
{
    *format = work->engine->weights;
    for (int other = 0; other < QRNN_WEIGHT_FORMATS; other++) {
        const char *const name = qrnn_weights_row((enum qrnn_weight_format)other)->name;
        if (w->format ? strcmp(name, w->format) == 0
                      : !is_given(w, *format) && is_given(w, (enum qrnn_weight_format)other))
            *format = (enum qrnn_weight_format)other;
    }
    return w->format && strcmp(qrnn_weights_row(*format)->name, w->format) != 0 ? QRNN_ERR_FORMAT : QRNN_OK;
}

/* Finds the format of the activations it multiplies, and the kernel for the two. */
static qrnn_status find_product(const struct work *work, const qrnn_weight *w, enum qrnn_weight_format format,
                                const struct qrnn_activations **activations, enum qrnn_product_kernel *product)
{
    const struct qrnn_engine *const engine = work->engine;
    *activations =
        qrnn_activations_row(qrnn_weights_row(format)->coded ? engine->activations : QRNN_ACTIVATIONS_FLOAT32);
    if (w->activations) *activations = qrnn_activations_find(w->activations);
    if (!*activations) return QRNN_ERR_FORMAT;
    *product = qrnn_product_of(format, (*activations)->format);
    return *product == QRNN_PRODUCTS ? QRNN_ERR_FORMAT : QRNN_OK;
}

/* --- checks --- */

static int all_finite(const float *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(v[i])) return 0;
    return 1;
}

/* How many scales a piece has; 0 for floats. */
static size_t scales_of(const qrnn_weight *w, enum qrnn_weight_format format, const struct piece *p)
{
    return !qrnn_weights_row(format)->coded ? 0 : w->n_scale > 1 ? p->rows : w->n_scale;
}

static qrnn_status check_scales(const qrnn_weight *w, const struct piece *p)
{
    if (w->n_scale != 1 && w->n_scale != p->info.rows) return QRNN_ERR_SIZE;
    if (!w->scale) return QRNN_ERR_NULL;
    for (size_t i = 0; i < w->n_scale; i++)
        if (!isfinite(w->scale[i]) || w->scale[i] <= 0.0f) return QRNN_ERR_SCALE;
    return w->bias && !all_finite(w->bias, p->info.rows) ? QRNN_ERR_WEIGHT : QRNN_OK;
}

static struct qrnn_packing packing_of(const struct work *work, enum qrnn_weight_format format, const struct piece *p)
{
    return (struct qrnn_packing){work->engine, format, p->gates, p->rows, p->info.cols};
}

/* --- what options add --- */

/* Floats from one row to the next. Ends read whole panels, so rows are padded, except learned states, which are laid
 * out like a call's states. */
static size_t added_stride(const struct piece *p)
{
    return p->role >= QRNN_H0 ? p->info.cols : qrnn_round_up(p->info.cols, QRNN_PANEL);
}

static size_t added_bytes(const struct piece *p)
{
    return qrnn_round_up(p->info.rows * added_stride(p) * sizeof(float), QRNN_LINE);
}

static qrnn_status check_added(const struct piece *p, const qrnn_weight *w)
{
    if (w->codes || w->bias || (p->info.rows && p->info.cols && !w->values)) return QRNN_ERR_FORMAT;
    return QRNN_OK;
}

/* The module's pointer to such a matrix. */
static const float **added_at(qrnn_module *m, const struct piece *p)
{
    struct qrnn_end_options *const o = &m->cells[p->info.layer * m->directions + p->info.direction].options;
    switch (p->role) {
    case QRNN_PEEPHOLES: return &o->peepholes;
    case QRNN_GAIN: return &o->gain;
    case QRNN_SHIFT: return &o->shift;
    case QRNN_H0: return &m->learned_h;
    default: return &m->learned_c;
    }
}

static void pack_added(struct work *work, const struct piece *p, const qrnn_weight *w)
{
    const size_t cols = p->info.cols, stride = added_stride(p);
    float *const to = (float *)(void *)work->memory;
    memset(to, 0, added_bytes(p));
    for (size_t row = 0; cols && row < p->info.rows; row++)
        memcpy(to + row * stride, w->values + row * cols, cols * sizeof(float));
    *added_at(work->m, p) = to;
    work->memory += added_bytes(p);
}

/* Adds the bytes of a matrix. The sum may exceed the address space, because the caller's matrices may share their
 * arrays. */
static qrnn_status add_bytes(struct work *work, size_t bytes)
{
    if (bytes > SIZE_MAX / 2 - work->bytes) return QRNN_ERR_MEMORY;
    work->bytes += bytes;
    return QRNN_OK;
}

static qrnn_status check_piece(const qrnn_spec *spec, const struct piece *p, void *context)
{
    struct work *const work = context;
    const qrnn_weight *const w = &spec->weights[p->index];
    enum qrnn_weight_format format;
    const struct qrnn_activations *activations;
    enum qrnn_product_kernel product;
    *work->matrix = p->index;
    if (p->info.cols > SIZE_LIMIT / sizeof(float) / (p->info.rows + QRNN_PANEL * p->gates)) return QRNN_ERR_SIZE;
    if (qrnn_role_is_added(p->role)) {
        const qrnn_status added = check_added(p, w);
        return added == QRNN_OK ? add_bytes(work, added_bytes(p)) : added;
    }
    qrnn_status status = find_format(work, w, &format);
    if (status == QRNN_OK) status = find_product(work, w, format, &activations, &product);
    if (status != QRNN_OK) return status;
    const size_t depth = qrnn_product_depth(product);
    if (depth && p->info.cols > depth) return QRNN_ERR_DEPTH;
    if (p->info.cols && p->info.rows && !is_given(w, format)) return QRNN_ERR_FORMAT;
    if (qrnn_weights_row(format)->coded) status = check_scales(w, p);
    const struct qrnn_packing packing = packing_of(work, format, p);
    return status == QRNN_OK ? add_bytes(work, qrnn_pack_bytes(&packing, scales_of(w, format, p))) : status;
}

static qrnn_status check_sizes(const qrnn_spec *spec, const struct qrnn_engine *engine)
{
    const qrnn_kind_info *const kind = qrnn_kind_get(spec->kind);
    if (!kind) return QRNN_ERR_KIND;
    if (spec->hidden_size < 1 && (spec->sequence || spec->layers != 1 || spec->directions != 1)) return QRNN_ERR_SIZE;
    if (spec->hidden_size > MOST_UNITS || spec->input_size > MOST_UNITS) return QRNN_ERR_SIZE;
    if (spec->layers < 1 || spec->layers > QRNN_MAX_LAYERS || spec->directions < 1 || spec->directions > 2)
        return QRNN_ERR_SIZE;
    if (!kind->states && spec->layers * spec->directions != 1) return QRNN_ERR_SIZE;
    if (spec->proj_size && (!kind->projects || spec->proj_size >= spec->hidden_size)) return QRNN_ERR_SIZE;
    if ((kind->resets_before && !engine->info.resets_before) || (spec->proj_size && !engine->info.projects)
        || (spec->options && !engine->info.options))
        return QRNN_ERR_UNSUPPORTED;
    if (!qrnn_options_fit(spec)) return QRNN_ERR_OPTIONS;
    return spec->weights ? QRNN_OK : QRNN_ERR_NULL;
}

/* --- life --- */

static struct qrnn_matrix *matrix_at(struct qrnn_cell *cell, enum qrnn_role role, int last)
{
    return role == QRNN_IH ? &cell->ih : role == QRNN_HR || last ? &cell->inner : &cell->hh;
}

/* The end that makes the next state. */
static enum qrnn_end last_end(const qrnn_module *m)
{
    return m->changes_end ? m->kind->end_options : m->kind->end[m->engine->exact];
}

/* The end that takes the product of hh. */
static enum qrnn_end first_end(const qrnn_module *m)
{
    if (m->kind->inner == QRNN_ENDS) return last_end(m);
    return m->changes_end ? m->kind->inner_options : m->kind->inner;
}

/* Packs a piece of a specification that has been checked. */
static qrnn_status pack_piece(const qrnn_spec *spec, const struct piece *p, void *context)
{
    struct work *const work = context;
    qrnn_module *const m = work->m;
    const qrnn_weight *const w = &spec->weights[p->index];
    struct qrnn_cell *const cell = &m->cells[p->info.layer * spec->directions + p->info.direction];
    if (qrnn_role_is_added(p->role)) {
        pack_added(work, p, w);
        return QRNN_OK;
    }
    struct qrnn_matrix *const out = matrix_at(cell, p->role, p->last);
    enum qrnn_weight_format format;
    enum qrnn_product_kernel product = QRNN_PRODUCTS;
    find_format(work, w, &format);
    find_product(work, w, format, &out->activations, &product);
    out->multiply = m->kernels.product[product];
    out->code_stride = qrnn_code_stride(out->activations, p->info.cols);
    out->encode = out->activations->most_code ? m->kernels.encode[out->activations->format] : NULL;
    const size_t first = p->first_gate * spec->hidden_size, skipped = first * p->info.cols;
    const qrnn_weight rows = {
        .values = w->values ? w->values + skipped : NULL,
        .codes = w->codes ? w->codes + skipped : NULL,
        .scale = w->n_scale > 1 ? w->scale + first : w->scale,
        .n_scale = scales_of(w, format, p),
        .bias = w->bias ? w->bias + first : NULL,
    };
    const struct qrnn_packing packing = packing_of(work, format, p);
    qrnn_pack(&packing, &rows, work->memory, out);
    out->panels.most_code = out->activations->most_code;
    m->shares_scale |= qrnn_activations_share_scale(out->activations);
    if (p->role == QRNN_HH && !p->last && m->kernels.row) cell->row = m->kernels.row[product][first_end(m)];
    if (p->role == QRNN_HH && !m->has_inner && m->kernels.steps && spec->hidden_size <= QRNN_PANEL
        && out->encode == m->kernels.encode[QRNN_ACTIVATIONS_U8] && out->panels.dequant == QRNN_DEQUANT_FUSED)
        cell->steps = m->kernels.steps[product][first_end(m)];
    work->memory += qrnn_pack_bytes(&packing, rows.n_scale);
    return QRNN_OK;
}

/* Allocates a module. A step of one row reads all weights once. If they exceed what the last-level cache holds well,
 * address translation with small pages costs as much as the reads; so large modules ask for huge pages (a step of a
 * float32 LSTM of I = H = 1024 then takes 0.75 to 0.80 of the time, a sequence 0.68 to 0.78, on Zen 4). */
static void *allocate(size_t bytes)
{
    if (bytes < QRNN_HUGE_BYTES) return qrnn_memory_take(QRNN_LINE, bytes);
    void *const memory = qrnn_memory_take(QRNN_HUGE_PAGE, qrnn_round_up(bytes, QRNN_HUGE_PAGE));
    if (memory) qrnn_memory_advise_huge(memory, bytes);
    return memory;
}

static float limit_of(float value)
{
    return value > 0.0f ? value : INFINITY;
}

/* Sets the options, and the form of them that ends read. */
static void set_options(qrnn_module *m, const qrnn_spec *spec)
{
    qrnn_options own;
    qrnn_options_init(spec->kind, &own);
    m->options = spec->options ? *spec->options : own;
    m->has_options = spec->options != NULL;
    m->changes_end = qrnn_options_change_end(spec->kind, spec->options);
    for (size_t i = 0; i < m->layers * m->directions; i++)
        m->cells[i].options = (struct qrnn_end_options){
            .activations = m->options.activations[i % m->directions],
            .clip = limit_of(m->options.clip),
            .cell_clip = limit_of(m->options.cell_clip),
            .proj_clip = limit_of(m->options.proj_clip),
            .epsilon = m->options.layer_norm,
            .input_forget = m->options.input_forget,
            .stride = qrnn_round_up(m->hidden_size, QRNN_PANEL),
        };
}

static void set_sizes(qrnn_module *m, const qrnn_spec *spec)
{
    m->kind = qrnn_kind_row(spec->kind);
    m->kind_number = spec->kind;
    m->input_size = spec->input_size;
    m->hidden_size = spec->hidden_size;
    m->proj_size = spec->proj_size;
    m->state_size = spec->proj_size ? spec->proj_size : spec->hidden_size;
    m->layers = spec->layers;
    m->directions = spec->directions;
    m->has_inner = spec->proj_size || m->kind->inner != QRNN_ENDS;
    m->matrices = qrnn_spec_matrices(spec);
    set_options(m, spec);
    m->end = m->kernels.end[last_end(m)];
    m->inner_end = m->kernels.end[first_end(m)];
    m->sloped = m->kernels.sloped[last_end(m)];
    m->proj_end = m->kernels.end[m->options.proj_clip > 0.0f ? QRNN_END_CLIPPED : QRNN_END_LINEAR];
}

qrnn_status qrnn_module_new(const qrnn_spec *spec, qrnn_module **out, size_t *matrix)
{
    size_t unused;
    struct qrnn_kernels kernels;
    struct work work = {.matrix = matrix ? matrix : &unused};
    *work.matrix = 0;
    if (out) *out = NULL;
    if (!spec || !out) return QRNN_ERR_NULL;
    work.engine = qrnn_engine_find(spec->engine);
    if (!work.engine) return QRNN_ERR_ENGINE;
    qrnn_status status = check_sizes(spec, work.engine);
    if (status == QRNN_OK) status = for_pieces(spec, check_piece, &work);
    if (status != QRNN_OK) return status;
    const char *isa = qrnn_kernels_init(&kernels, spec->isa);
    if (!isa) return QRNN_ERR_ISA;

    const size_t cells = spec->layers * spec->directions;
    const size_t head = qrnn_round_up(sizeof(qrnn_module) + cells * sizeof(struct qrnn_cell), QRNN_LINE);
    unsigned char *memory = allocate(head + work.bytes);
    if (!memory) return QRNN_ERR_MEMORY;
    memset(memory, 0, head);
    qrnn_module *m = (qrnn_module *)(void *)memory;
    m->engine = work.engine;
    m->isa = isa;
    m->kernels = kernels;
    m->bytes = head + work.bytes;
    atomic_init(&m->references, 1);
    set_sizes(m, spec);
    work.m = m;
    work.memory = memory + head;
    for_pieces(spec, pack_piece, &work);
    struct qrnn_rooms rooms;
    qrnn_rooms_make(m, 1, QRNN_FOR_STEP, &rooms);
    qrnn_step_words(&rooms, m->step_words);
    qrnn_layout_scale(&rooms, 1, 1, &m->one_row);
    *out = m;
    return QRNN_OK;
}

void qrnn_module_ref(qrnn_module *m)
{
    if (m) atomic_fetch_add_explicit(&m->references, 1, memory_order_relaxed);
}

void qrnn_module_unref(qrnn_module *m)
{
    if (m && atomic_fetch_sub_explicit(&m->references, 1, memory_order_acq_rel) == 1) qrnn_memory_give(m);
}

/* --- what a module is made of --- */

/* The specification of a module, without its weights. */
static qrnn_spec spec_of(const qrnn_module *m)
{
    return (qrnn_spec){.kind = m->kind_number,
                       .input_size = m->input_size,
                       .hidden_size = m->hidden_size,
                       .proj_size = m->proj_size,
                       .layers = m->layers,
                       .directions = m->directions,
                       .options = m->has_options ? &m->options : NULL};
}

/* Finds a matrix that no product uses; returns 0 if the index is of another matrix or past the end. */
static int find_added(const qrnn_module *m, size_t matrix, struct piece *p)
{
    const qrnn_spec spec = spec_of(m);
    if (matrix >= m->matrices || !qrnn_role_is_added(qrnn_spec_role(&spec, matrix))) return 0;
    find_piece(&spec, matrix, 0, p);
    return 1;
}

/* The packed matrix at an index, or its first piece; *last becomes its second piece, or NULL. Returns a matrix without
 * rows past the end and for a matrix that no product uses. */
static const struct qrnn_matrix *packed_matrix(const qrnn_module *m, size_t matrix, const struct qrnn_matrix **last)
{
    static const struct qrnn_matrix none;
    const qrnn_spec spec = spec_of(m);
    *last = NULL;
    if (matrix >= m->matrices || qrnn_role_is_added(qrnn_spec_role(&spec, matrix))) return &none;
    struct piece p;
    find_piece(&spec, matrix, 0, &p);
    const struct qrnn_cell *const cell = &m->cells[p.info.layer * m->directions + p.info.direction];
    if (p.role == QRNN_HH && m->kind->inner != QRNN_ENDS) *last = &cell->inner;
    return p.role == QRNN_IH ? &cell->ih : p.role == QRNN_HH ? &cell->hh : &cell->inner;
}

size_t qrnn_module_rows(const qrnn_module *m, size_t matrix)
{
    struct piece p;
    if (find_added(m, matrix, &p)) return p.info.rows;
    const struct qrnn_matrix *last, *first = packed_matrix(m, matrix, &last);
    return first->panels.rows + (last ? last->panels.rows : 0);
}

size_t qrnn_module_cols(const qrnn_module *m, size_t matrix)
{
    struct piece p;
    if (find_added(m, matrix, &p)) return p.info.cols;
    const struct qrnn_matrix *last;
    return packed_matrix(m, matrix, &last)->panels.cols;
}

const char *qrnn_module_activations(const qrnn_module *m, size_t matrix)
{
    const struct qrnn_matrix *last;
    const struct qrnn_activations *const activations = packed_matrix(m, matrix, &last)->activations;
    if (activations) return activations->name;
    return matrix < m->matrices ? qrnn_activations_name(QRNN_ACTIVATIONS_FLOAT32) : NULL;
}

int qrnn_module_is_coded(const qrnn_module *m, size_t matrix)
{
    const struct qrnn_matrix *last, *const first = packed_matrix(m, matrix, &last);
    return first->activations && qrnn_weights_row(first->format)->coded;
}

size_t qrnn_module_n_scale(const qrnn_module *m, size_t matrix)
{
    const struct qrnn_matrix *last, *first = packed_matrix(m, matrix, &last);
    return first->n_scale + (last && first->n_scale > 1 ? last->n_scale : 0);
}

int qrnn_module_has_bias(const qrnn_module *m, size_t matrix)
{
    const struct qrnn_matrix *last;
    return packed_matrix(m, matrix, &last)->has_bias;
}

void qrnn_module_unpack(const qrnn_module *m, size_t matrix, float *values, int8_t *codes, float *scale, float *bias)
{
    struct piece p;
    if (find_added(m, matrix, &p)) {
        const float *const from = *added_at((qrnn_module *)(uintptr_t)m, &p);
        const size_t cols = p.info.cols, stride = added_stride(&p);
        for (size_t row = 0; values && cols && row < p.info.rows; row++)
            memcpy(values + row * cols, from + row * stride, cols * sizeof(float));
        return;
    }
    const struct qrnn_matrix *last, *first = packed_matrix(m, matrix, &last);
    qrnn_unpack(first, values, codes, scale, bias);
    if (!last) return;
    const size_t rows = first->panels.rows, cells = rows * first->panels.cols;
    qrnn_unpack(last, values ? values + cells : NULL, codes ? codes + cells : NULL,
                scale && first->n_scale > 1 ? scale + rows : NULL, bias ? bias + rows : NULL);
}
