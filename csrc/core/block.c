/* block.c - turns activations into codes, and lays out the working memory of a call.
 *
 * In a format with a scale for each row, a row that is not finite gets the scale NaN (choose.h). This does not affect
 * other rows. */
#include "block.h"
#include "team.h"

#include <string.h>

/* --- rooms --- */

/* The bytes that a row of an operand needs. */
struct operand_bytes {
    size_t is;                /* 1: the block has this operand */
    size_t act, codes, staged;
};

/* The sizes that layout.h's list of rooms names, in bytes for a row. */
struct room_bytes {
    struct operand_bytes x, h, inner;
    size_t sequence, probe;   /* 1 or 0 */
    size_t ih_product, hh_product, hh_sums, inner_product, zeros, extents;
};

size_t qrnn_widest_input(const qrnn_module *m)
{
    const size_t later = m->layers > 1 ? m->directions * m->state_size : 0;
    return m->input_size > later ? m->input_size : later;
}

/* The bytes of an operand with rows of `cols` values: the most that any cell's matrix needs. The matrix is the member
 * of struct qrnn_cell at `offset`. */
static struct operand_bytes measure_operand(const qrnn_module *m, size_t offset, size_t cols)
{
    struct operand_bytes bytes = {.is = 1};
    for (size_t i = 0; i < m->layers * m->directions; i++) {
        const struct qrnn_matrix *const matrix = (const void *)((const char *)&m->cells[i] + offset);
        if (matrix->activations->most_code) {
            bytes.act = sizeof(struct qrnn_act);
            bytes.codes = bytes.codes < matrix->code_stride ? matrix->code_stride : bytes.codes;
        } else {
            bytes.staged = cols * sizeof(float);
        }
    }
    return bytes;
}

static size_t blocks_of(size_t units)
{
    return qrnn_round_up(units, QRNN_PANEL) / QRNN_PANEL;
}

/* The panels of one gate in the largest slice. */
static size_t most_panels(size_t units, size_t slices)
{
    return (blocks_of(units) + slices - 1) / slices;
}

/* How many gates of hh multiply h. The others multiply what an end makes. */
static size_t hh_gates(const qrnn_module *m)
{
    return m->kind->info.gates - (m->kind->inner != QRNN_ENDS);
}

void qrnn_rooms_make(const qrnn_module *m, size_t slices, enum qrnn_purpose purpose, struct qrnn_rooms *rooms)
{
    const size_t gate = most_panels(m->hidden_size, slices) * QRNN_PANEL * sizeof(float);
    const size_t inner_gate =
        most_panels(m->proj_size ? m->proj_size : m->hidden_size, slices) * QRNN_PANEL * sizeof(float);
    struct room_bytes bytes = {0}, *const z = &bytes;
    z->sequence = purpose == QRNN_FOR_SEQUENCE;
    z->probe = purpose == QRNN_FOR_PROBE;
    z->x = measure_operand(m, offsetof(struct qrnn_cell, ih), qrnn_widest_input(m));
    z->ih_product = m->kind->info.gates * gate;
    z->zeros = m->hidden_size * sizeof(float);
    z->extents = slices * sizeof(struct qrnn_extent);
    if (m->kind->info.states) {
        z->h = measure_operand(m, offsetof(struct qrnn_cell, hh), m->state_size);
        z->hh_sums = hh_gates(m) * gate;
        z->hh_product = m->kind->hh_apart ? z->hh_sums : 0;
    }
    if (m->has_inner) {
        z->inner = measure_operand(m, offsetof(struct qrnn_cell, inner), m->hidden_size);
        z->inner_product = inner_gate;
    }
    memset(rooms, 0, sizeof *rooms);
#define ROOM(field, fixed, x_row, row) *room++ = (struct qrnn_room){fixed, x_row, row};
#define GROUP(name, ROOMS, there)             \
    if (there) {                              \
        struct qrnn_room *room = rooms->name; \
        ROOMS(ROOM)                           \
    }
    QRNN_ROOM_GROUPS(GROUP)
#undef GROUP
#undef ROOM
}

/* --- blocks --- */

/* The panels of slice `slice` of `slices`, out of `whole`: *count of them from *first on. */
QRNN_INLINE void divide_panels(size_t whole, size_t slice, size_t slices, size_t *first, size_t *count)
{
    *first = 0;
    *count = whole;
    if (slices == 1) return; /* saves two divisions in a step */
    *first = whole * slice / slices;
    *count = whole * (slice + 1) / slices - *first;
}

/* The hidden units of the block's slice: *count of them from *first on. Returns how many panels they fill. */
QRNN_INLINE size_t divide_units(size_t units, const struct qrnn_block *b, size_t *first, size_t *count)
{
    size_t panel, panels;
    divide_panels(blocks_of(units), b->slice, b->slices, &panel, &panels);
    *first = panel * QRNN_PANEL;
    *count = *first + panels * QRNN_PANEL < units ? panels * QRNN_PANEL : units - *first;
    return panels;
}

#define ROOM(field, fixed, x_row, row) b->field = (void *)(memory + *offset++);
#define OPEN(name, ROOMS)                    \
    do {                                     \
        const size_t *offset = layout->name; \
        ROOMS(ROOM)                          \
    } while (0)

/* The rooms that only sequences and the probe have. */
static void open_more(struct qrnn_block *b, const struct qrnn_layout *layout, enum qrnn_purpose purpose, size_t rows,
                      unsigned char *own, unsigned char *shared)
{
    unsigned char *memory = own;
    if (purpose == QRNN_FOR_PROBE) OPEN(probe, QRNN_PROBE_ROOMS);
    if (purpose != QRNN_FOR_SEQUENCE) return;
    OPEN(sequence, QRNN_SEQUENCE_ROOMS);
    memory = shared;
    OPEN(shared_sequence, QRNN_SHARED_SEQUENCE_ROOMS);
    b->before.slices = b->after.slices = b->slices;
    b->before.rows = b->after.rows = rows;
}

static void open_inner(struct qrnn_block *b, const struct qrnn_layout *layout, size_t rows, unsigned char *own,
                       unsigned char *shared)
{
    const qrnn_module *m = b->m;
    unsigned char *memory = own;
    OPEN(inner, QRNN_INNER_ROOMS);
    memory = shared;
    OPEN(shared_inner, QRNN_SHARED_INNER_ROOMS);
    b->inner.given = NULL;
    b->inner.coded = (struct qrnn_inputs){b->inner.codes, 0, b->inner.act};
    b->inner_extents.slices = b->slices;
    b->inner_extents.rows = rows;
    const size_t units = m->proj_size ? m->proj_size : m->hidden_size;
    b->inner_stride = divide_units(units, b, &b->inner_first, &b->inner_units) * QRNN_PANEL;
}

void qrnn_block_open(struct qrnn_block *b, const qrnn_module *m, size_t slice, size_t slices,
                     const struct qrnn_layout *layout, size_t rows, enum qrnn_purpose purpose, unsigned char *own,
                     unsigned char *shared)
{
    b->m = m;
    b->slice = slice;
    b->slices = slices;
    b->team = NULL;
    b->wants_stop = b->stop = b->backwards = 0;
    b->x.given = b->h.given = NULL;
    b->acc_ih = b->acc_hh = b->acc_inner = NULL;
    b->before.extent = b->after.extent = NULL;
    b->slopes = NULL;
    const size_t panels = divide_units(m->hidden_size, b, &b->first, &b->units);
    b->stride = m->kind->info.gates * panels * QRNN_PANEL;
    b->hh_stride = hh_gates(m) * panels * QRNN_PANEL;
    unsigned char *memory = shared;
    OPEN(shared, QRNN_SHARED_ROOMS);
    memory = own;
    OPEN(step, QRNN_STEP_ROOMS);
    b->x.coded = (struct qrnn_inputs){b->x.codes, 0, b->x.act}; /* qrnn_block_set_cell sets the strides */
    b->h.coded = (struct qrnn_inputs){b->h.codes, 0, b->h.act};
    if (m->has_inner) open_inner(b, layout, rows, own, shared);
    if (purpose != QRNN_FOR_STEP) open_more(b, layout, purpose, rows, own, shared);
}
#undef OPEN
#undef ROOM

void qrnn_block_clear_shared(const struct qrnn_block *b, size_t rows)
{
    memset(b->zeros, 0, b->m->hidden_size * sizeof(float));
    if (!b->m->has_inner) return;
    for (size_t i = 0; i < rows; i++) b->inner_rows[i] = b->inner_values + i * b->m->hidden_size;
}

struct qrnn_panels qrnn_slice(const struct qrnn_panels *w, size_t first, size_t count)
{
    struct qrnn_panels some = *w;
    some.count = count;
    some.data = (const unsigned char *)w->data + first * w->panel_bytes;
    some.bias += first * QRNN_PANEL;
    if (!w->scale) return some;
    some.sum += first * QRNN_PANEL;
    some.scale += first * QRNN_PANEL;
    return some;
}

void qrnn_block_set_cell(struct qrnn_block *b, const struct qrnn_cell *cell)
{
    const size_t first = b->first / QRNN_PANEL;
    b->cell = cell;
    b->ih = &cell->ih.panels;
    b->hh = &cell->hh.panels;
    b->inner_weights = &cell->inner.panels;
    b->x.coded.stride = cell->ih.code_stride;
    b->h.coded.stride = cell->hh.code_stride;
    b->inner.coded.stride = cell->inner.code_stride;
    if (b->slices == 1) return;
    b->sliced[0] = qrnn_slice(b->ih, first * b->m->kind->info.gates, b->stride / QRNN_PANEL);
    b->sliced[1] = qrnn_slice(b->hh, first * hh_gates(b->m), b->hh_stride / QRNN_PANEL);
    b->ih = &b->sliced[0];
    b->hh = &b->sliced[1];
    if (!b->m->has_inner) return;
    b->sliced[2] = qrnn_slice(b->inner_weights, b->inner_first / QRNN_PANEL, b->inner_stride / QRNN_PANEL);
    b->inner_weights = &b->sliced[2];
}

void qrnn_block_meet(struct qrnn_block *b)
{
    b->stop = b->team ? qrnn_team_meet(b->team, b->wants_stop) : b->wants_stop;
}

/* --- codes --- */

static void join(struct qrnn_extent *e, const struct qrnn_extent *other)
{
    e->lo = other->lo < e->lo ? other->lo : e->lo;
    e->hi = other->hi > e->hi ? other->hi : e->hi;
    e->finite &= other->finite;
}

int qrnn_choose_scale(const qrnn_module *m, const struct qrnn_activations *activations, size_t n, const float *v,
                      struct qrnn_act *act)
{
    struct qrnn_extent extent;
    m->kernels.range(1, n, &v, &extent);
    if (extent.finite) activations->choose(&extent, act);
    return extent.finite;
}

/* The extents of the rows over all units, joined from those of the slices. */
static const struct qrnn_extent *join_slices(struct qrnn_operand *o, size_t rows, const struct qrnn_extents *extents)
{
    if (extents->slices == 1) return extents->extent;
    for (size_t i = 0; i < rows; i++) {
        o->extent[i] = extents->extent[i];
        for (size_t s = 1; s < extents->slices; s++) join(&o->extent[i], &extents->extent[s * extents->rows + i]);
    }
    return o->extent;
}

/* Whether rows of floats lie at equal distances, and at which *stride, in floats. */
static int find_stride(size_t rows, const float *const *v, size_t *stride)
{
    const size_t step = (size_t)((const char *)v[1] - (const char *)v[0]);
    size_t i = 1;
    while (i < rows && (const char *)v[i] == (const char *)v[i - 1] + step) i++;
    *stride = step / sizeof(float);
    return i >= rows && step % sizeof(float) == 0 && step < SIZE_MAX / 2;
}

/* Sets o->floats to the rows: where they lie if their distances are equal, else a copy. */
static void gather(struct qrnn_operand *o, size_t rows, const float *const *v, size_t n)
{
    o->floats = (struct qrnn_inputs){v[0], 0, NULL};
    if (rows <= 1 || find_stride(rows, v, &o->floats.stride)) return;
    for (size_t i = 0; i < rows; i++) memcpy(o->staged + i * n, v[i], n * sizeof(float));
    o->floats = (struct qrnn_inputs){o->staged, n, NULL};
}

/* Sets one scale for all rows: the given one, or one chosen from all extents. Returns 0 if a row is not finite. */
static int choose_for_all(const struct qrnn_activations *activations, struct qrnn_operand *o, size_t rows,
                          const struct qrnn_extent *extent)
{
    struct qrnn_act act;
    if (o->given) {
        act = *o->given;
    } else {
        struct qrnn_extent all = {0.0f, 0.0f, 1};
        for (size_t i = 0; i < rows; i++) join(&all, &extent[i]);
        if (!all.finite) return 0;
        activations->choose(&all, &act);
    }
    for (size_t i = 0; i < rows; i++) o->act[i] = act;
    return 1;
}

int qrnn_encode(const qrnn_module *m, const struct qrnn_matrix *matrix, struct qrnn_operand *o, size_t rows, size_t n,
                const float *const *v, const struct qrnn_extents *extents)
{
    if (matrix->encode) {
        const struct qrnn_extent *const extent = extents ? join_slices(o, rows, extents) : NULL;
        matrix->encode(rows, n, v, extent, o->act, o->codes, o->coded.stride);
        return 1;
    }
    const struct qrnn_activations *const activations = matrix->activations;
    if (!activations->most_code) {
        gather(o, rows, v, n);
        return 1;
    }
    if (!choose_for_all(activations, o, rows, extents ? join_slices(o, rows, extents) : NULL)) return 0;
    m->kernels.quantize(rows, n, v, o->act, activations->rounding, o->codes, o->coded.stride);
    return 1;
}

struct qrnn_inputs qrnn_inputs_from(const struct qrnn_operand *o, const struct qrnn_matrix *matrix, size_t first)
{
    const struct qrnn_inputs all = *qrnn_inputs_of(o, matrix);
    if (!all.act) return (struct qrnn_inputs){(const float *)all.rows + first * all.stride, all.stride, NULL};
    return (struct qrnn_inputs){(const uint8_t *)all.rows + first * all.stride, all.stride, all.act + first};
}
