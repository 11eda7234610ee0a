/* block.c - activations to codes, codes through a matrix; where the working memory of a call lies.
 *
 * In an engine with a scale for each row, a row that is not finite gets the scale NaN (choose.h), and no
 * other row is touched. */
#include "block.h"
#include "team.h"

#include <string.h>

/* --- layout --- */

static void lay_out_operand(const qrnn_module *m, struct qrnn_operand *o, size_t rows, size_t cols,
                            enum qrnn_block_use use, uintptr_t *next)
{
    o->whole = NULL;
    o->code_stride = qrnn_round_up(cols, QRNN_LINE);
    if (m->engine->quantized) {
        o->extent = qrnn_cut(next, rows * sizeof *o->extent);
        o->act = qrnn_cut(next, rows * sizeof *o->act);
        o->codes = qrnn_cut(next, rows * o->code_stride);
    } else if (use == QRNN_BLOCK_SEQUENCE) {
        o->staged = qrnn_cut(next, rows * cols * sizeof(float));
    }
}

static struct qrnn_extents lay_out_extents(size_t slices, size_t rows, uintptr_t *next)
{
    return (struct qrnn_extents){qrnn_cut(next, slices * rows * sizeof(struct qrnn_extent)), slices, rows};
}

/* Panels first .. first + count - 1 of `whole` in slice `slice` of `slices`. */
static void share_panels(size_t whole, size_t slice, size_t slices, size_t *first, size_t *count)
{
    *first = 0;
    *count = whole;
    if (slices == 1) return; /* two divisions less a step */
    *first = whole * slice / slices;
    *count = whole * (slice + 1) / slices - *first;
}

static void lay_out_shared(struct qrnn_block *b, size_t rows, int inner, uintptr_t *next)
{
    const qrnn_module *m = b->m;
    b->zeros = qrnn_cut(next, m->hidden_size * sizeof(float));
    b->before = lay_out_extents(b->slices, rows, next);
    b->after = lay_out_extents(b->slices, rows, next);
    if (!inner) return;
    b->made = qrnn_cut(next, rows * m->hidden_size * sizeof(float));
    b->made_rows = qrnn_cut(next, rows * sizeof *b->made_rows);
    b->made_extents = lay_out_extents(b->slices, rows, next);
}

void qrnn_block_layout(struct qrnn_block *b, const qrnn_module *m, size_t slice, size_t slices, size_t x_rows,
                       size_t rows, enum qrnn_block_use use, const struct qrnn_block *shared, uintptr_t *next)
{
    const struct qrnn_cell *cell = &qrnn_cells[m->kind];
    const int inner = cell->split || m->proj_size;
    const size_t later = m->layers > 1 ? m->directions * m->state_size : 0;
    const int door = use == QRNN_BLOCK_DOOR && m->engine->quantized;
    size_t panel, panels;
    b->m = m;
    b->slice = slice;
    b->slices = slices;
    b->team = NULL;
    b->wants_stop = b->stop = 0;
    b->made_rows = NULL;
    b->before.at = b->after.at = NULL;
    b->acc_ih = b->acc_hh = b->acc_part = NULL;
    share_panels(qrnn_round_up(m->hidden_size, QRNN_PANEL) / QRNN_PANEL, slice, slices, &panel, &panels);
    b->first = panel * QRNN_PANEL;
    b->units = b->first + panels * QRNN_PANEL < m->hidden_size ? panels * QRNN_PANEL : m->hidden_size - b->first;
    b->stride = cell->gates * panels * QRNN_PANEL;
    b->hh_stride = (cell->gates - (size_t)cell->split) * panels * QRNN_PANEL;
    b->part_stride = panels * QRNN_PANEL;
    if (m->proj_size) {
        share_panels(qrnn_round_up(m->proj_size, QRNN_PANEL) / QRNN_PANEL, slice, slices, &panel, &panels);
        b->hr_first = panel * QRNN_PANEL;
        b->part_stride = panels * QRNN_PANEL;
    }
    if (slices > 1) b->sliced = qrnn_cut(next, 4 * sizeof *b->sliced);
    lay_out_operand(m, &b->x, x_rows, m->input_size > later ? m->input_size : later, use, next);
    b->x_from = qrnn_cut(next, x_rows * sizeof *b->x_from);
    b->ih_product = qrnn_cut(next, x_rows * b->stride * sizeof(float));
    if (door) b->acc_ih = qrnn_cut(next, x_rows * b->stride * sizeof(int32_t));
    b->h_to = qrnn_cut(next, rows * sizeof *b->h_to);
    if (!cell->recurrent) return;
    lay_out_operand(m, &b->h, rows, m->state_size, use, next);
    b->h_from = qrnn_cut(next, rows * sizeof *b->h_from);
    b->c_from = qrnn_cut(next, rows * sizeof *b->c_from);
    b->c_to = qrnn_cut(next, rows * sizeof *b->c_to);
    if (cell->keeps_hh) b->hh_product = qrnn_cut(next, rows * b->hh_stride * sizeof(float));
    if (door) b->acc_hh = qrnn_cut(next, rows * b->hh_stride * sizeof(int32_t));
    if (inner) {
        lay_out_operand(m, &b->inner, rows, m->hidden_size, use, next);
        b->part = qrnn_cut(next, rows * b->part_stride * sizeof(float));
        if (door) b->acc_part = qrnn_cut(next, rows * b->part_stride * sizeof(int32_t));
    }
    if (!shared) {
        lay_out_shared(b, rows, inner, next);
    } else {
        b->zeros = shared->zeros;
        b->before = shared->before;
        b->after = shared->after;
        b->made = shared->made;
        b->made_rows = shared->made_rows;
        b->made_extents = shared->made_extents;
    }
}

/* Addresses are read from `at`, not from the copy: a pair of them may lie across two of its stores, and would wait
 * for both to reach the cache. The copy goes by parts that a compiler moves through registers, where one assignment
 * is a `rep movs`: 6 of 152 ns of a call from Python, I = H = 16, result in place (Zen 4). */
#define PLACE(pointer) (b->pointer = (void *)((uintptr_t)at->pointer + by))
#define PLACE_OPERAND(o) (PLACE(o.extent), PLACE(o.act), PLACE(o.codes), PLACE(o.staged))

void qrnn_block_place(struct qrnn_block *b, const struct qrnn_block *at, uintptr_t from, uintptr_t to)
{
    enum { PART = 64, REST = sizeof *b % PART };
    const uintptr_t by = to - from;
    size_t i = 0;
    for (; i + PART <= sizeof *b; i += PART) memcpy((char *)b + i, (const char *)at + i, PART);
    memcpy((char *)b + i, (const char *)at + i, REST);
    PLACE_OPERAND(x);
    PLACE_OPERAND(h);
    PLACE(x_from);
    PLACE(h_from);
    PLACE(c_from);
    PLACE(h_to);
    PLACE(c_to);
    PLACE(ih_product);
    PLACE(hh_product);
    PLACE(zeros);
    if (!at->made_rows) return;
    PLACE_OPERAND(inner);
    PLACE(part);
    PLACE(made);
    PLACE(made_rows);
    PLACE(made_extents.at);
}

/* `count` panels from `first` on. */
struct qrnn_panels qrnn_slice(const struct qrnn_panels *w, size_t first, size_t count)
{
    struct qrnn_panels part = *w;
    part.count = count;
    if (w->codes) {
        part.codes += first * w->quads * QRNN_LINE;
        part.sum += first * QRNN_PANEL;
        part.scale += first * QRNN_PANEL;
    }
    if (w->values) part.values += first * w->cols * QRNN_PANEL;
    if (w->bias) part.bias += first * QRNN_PANEL;
    return part;
}

void qrnn_block_use(struct qrnn_block *b, const struct qrnn_unit *unit)
{
    const struct qrnn_cell *cell = &qrnn_cells[b->m->kind];
    const size_t first = b->first / QRNN_PANEL, hh_gates = cell->gates - (size_t)cell->split;
    b->ih = &unit->ih.panels;
    b->hh = &unit->hh.panels;
    b->hn = &unit->hn.panels;
    b->hr = &unit->hr.panels;
    if (b->slices == 1) return;
    b->sliced[0] = qrnn_slice(b->ih, first * cell->gates, b->stride / QRNN_PANEL);
    b->sliced[1] = qrnn_slice(b->hh, first * hh_gates, b->hh_stride / QRNN_PANEL);
    b->sliced[2] = qrnn_slice(b->hn, first, b->part_stride / QRNN_PANEL);
    b->sliced[3] = qrnn_slice(b->hr, b->hr_first / QRNN_PANEL, b->part_stride / QRNN_PANEL);
    b->ih = &b->sliced[0];
    b->hh = &b->sliced[1];
    b->hn = &b->sliced[2];
    b->hr = &b->sliced[3];
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

static int choose_joined(const qrnn_module *m, size_t rows, const struct qrnn_extent *extent, struct qrnn_act *act)
{
    struct qrnn_extent all = {0.0f, 0.0f, 1};
    for (size_t i = 0; i < rows; i++) join(&all, &extent[i]);
    if (all.finite) m->engine->choose(&all, act);
    return all.finite;
}

int qrnn_choose_whole(const qrnn_module *m, size_t n, const float *v, struct qrnn_act *act)
{
    struct qrnn_extent extent;
    m->kernels.range(1, n, &v, &extent);
    if (extent.finite) m->engine->choose(&extent, act);
    return extent.finite;
}

/* Of the rows over all slices. */
static const struct qrnn_extent *join_slices(struct qrnn_operand *o, size_t rows, const struct qrnn_extents *extents)
{
    if (extents->slices == 1) return extents->at;
    for (size_t i = 0; i < rows; i++) {
        o->extent[i] = extents->at[i];
        for (size_t s = 1; s < extents->slices; s++) join(&o->extent[i], &extents->at[s * extents->rows + i]);
    }
    return o->extent;
}

/* The rows of a float module: where they lie, if at a stride, else gathered. */
static void gather(struct qrnn_operand *o, size_t rows, const float *const *v, size_t n)
{
    const size_t step = rows > 1 ? (size_t)((const char *)v[1] - (const char *)v[0]) : 0;
    size_t i = 1;
    while (i < rows && (const char *)v[i] == (const char *)v[i - 1] + step) i++;
    if (i >= rows && step % sizeof(float) == 0 && step < SIZE_MAX / 2) {
        o->floats = v[0];
        o->float_stride = step / sizeof(float);
        return;
    }
    for (i = 0; i < rows; i++) memcpy(o->staged + i * n, v[i], n * sizeof(float));
    o->floats = o->staged;
    o->float_stride = n;
}

/* One scale for all rows: the given one, or by the extents of all; 0 if one of them is not finite. */
static int choose_for_all(const qrnn_module *m, struct qrnn_operand *o, size_t rows, const struct qrnn_extent *extent)
{
    struct qrnn_act act;
    if (o->whole)
        act = *o->whole;
    else if (!choose_joined(m, rows, extent, &act))
        return 0;
    for (size_t i = 0; i < rows; i++) o->act[i] = act;
    return 1;
}

int qrnn_encode(const qrnn_module *m, struct qrnn_operand *o, size_t rows, size_t n, const float *const *v,
                const struct qrnn_extents *extents)
{
    const struct qrnn_engine *const engine = m->engine;
    if (!engine->quantized) {
        gather(o, rows, v, n);
        return 1;
    }
    const struct qrnn_extent *extent = extents ? join_slices(o, rows, extents) : NULL;
    if (engine->per_row) {
        m->kernels.encode(rows, n, v, extent, o->act, o->codes, o->code_stride);
        return 1;
    }
    if (!choose_for_all(m, o, rows, extent)) return 0;
    m->kernels.quantize(rows, n, v, o->act, engine->rounding, o->codes, o->code_stride);
    return 1;
}

void qrnn_multiply(const qrnn_module *m, const struct qrnn_panels *w, const struct qrnn_operand *o, size_t first,
                   const struct qrnn_product *out)
{
    if (m->engine->quantized)
        m->kernels.product_u8s8(w, o->codes + first * o->code_stride, o->code_stride, o->act + first, out);
    else
        m->kernels.product_f32(w, o->floats + first * o->float_stride, o->float_stride, out);
}
