/* sequence.c - computes a whole sequence: layers, directions, lengths, and the input's product of many steps at once.
 *
 * Rows are sorted by length, longest first, so the rows that take part in a step are always the first `active` ones. In
 * the forward direction a row leaves at its end; in reverse it joins there, with its initial state. PyTorch's packed
 * sequences have the same order, and the one scale that all active rows may share depends on it.
 *
 * For a layer and direction:   chunk of steps:  rows of x --encode--> W_ih --> ih [rows of the chunk]
 *                              each step:       the cell's step on its rows of ih, from the last
 *                                               step's row of `out` to this one's
 *
 * States are never copied: h is a row of the output. A layer of one direction overwrites the output of the layer below
 * in `out`; it has read the rows of a chunk before it writes them. Two directions read the same rows, so layers write
 * to `kept` and `out` in turns. If the caller wants no `out`, layers below the last write to `kept`, and the last layer
 * keeps only the rows of a step and of the step before.
 *
 * Where each row has its own scale, the batch is divided into groups of at most QRNN_BLOCK_ROWS rows, and each group
 * goes through all layers and steps. Where rows share a scale, the whole batch is one group. Threads divide the hidden
 * units (team.h). Each encodes all rows for itself, which is cheap, and they meet once in a step.
 */
#include "block.h"
#include "rows.h"
#include "team.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Where (time, row) lies in an array of steps and rows, in either order. */
struct view {
    float *base;
    size_t step_stride, row_stride;
    size_t times;             /* mask for a time: all bits, or only the last one where the array holds two steps */
    int callers;              /* 1: rows are in the caller's order, 0: in the group's */
};

/* A member's block. It is aligned to cache lines because each member writes to its own block in every step. */
struct member {
    _Alignas(QRNN_LINE) struct qrnn_block block;
};

struct group {
    const qrnn_module *m;
    const qrnn_run *run;
    size_t rows;
    const size_t *order;      /* [rows] the rows' places in the caller's batch */
    const size_t *lengths;    /* [rows] longest first */
    size_t capacity;          /* the most input rows that a chunk holds */
    float *c;                 /* [rows][hidden_size] running cell states */
    float *kept[2];           /* [steps][rows][directions * state_size] outputs of the layers that are an even or an
                                 odd number below the last; NULL: they use the caller's array */
    float *slopes;            /* [2][rows][hidden_size] slopes of a step and of the step before, if they are wanted */
    float *last;              /* [2][rows][directions * state_size] the last layer's output, if the caller has no
                                 array for it */
    struct member *members;   /* one for each slice */
    /* The scale of a cell's input where all rows share one. Member 0 computes it for all, so that all come to the same
     * result even if the caller's array changes meanwhile. */
    struct qrnn_act input_act;
    int finite;
    size_t fault;
    /* The fault that ended the group; it is the same for every member. */
    qrnn_status status;
    size_t step;
};

/* A member's work on a layer in one direction. */
struct walk {
    struct group *g;
    struct qrnn_block *b;
    int reverse;
    struct view x, out;
    struct view inner, slopes; /* `base` is NULL if they are not wanted */
    size_t inputs;
    size_t work; /* work done since `stop` was last called */
};

static float *view_at(const struct group *g, const struct view *v, size_t time, size_t row)
{
    return v->base + (time & v->times) * v->step_stride + (v->callers ? g->order[row] : row) * v->row_stride;
}

static size_t time_of(const struct walk *w, size_t step)
{
    return w->reverse ? w->g->lengths[0] - 1 - step : step;
}

/* How many rows take part at `time`; `rows` is their number at a time nearby, where the search begins. */
static size_t active_at(const struct group *g, size_t time, size_t rows)
{
    while (rows > 0 && g->lengths[rows - 1] <= time) rows--;
    while (rows < g->rows && g->lengths[rows] > time) rows++;
    return rows;
}

/* Counts `work` and calls the caller's `stop` now and then. The other members learn the answer when they meet. */
static void ask_stop(struct walk *w, size_t work)
{
    const qrnn_run *run = w->g->run;
    if (!run->stop || w->b->slice != 0) return;
    w->work += work;
    if (w->work < QRNN_STOP_WORK) return;
    w->work = 0;
    if (run->stop(run->context)) w->b->wants_stop = 1;
    if (w->b->team && qrnn_team_is_alone(w->b->team)) w->b->wants_stop = 1;
}

/* Chooses one scale for all valid elements of a layer's input. Returns 0, and the time in *fault, if one is not finite.
 * Ends early if the call is to stop. */
static int choose_input(struct walk *w, struct qrnn_act *act, size_t *fault)
{
    const struct group *g = w->g;
    struct qrnn_extent all = {0.0f, 0.0f, 1};
    size_t active = g->rows;
    for (size_t t = 0; t < g->lengths[0] && !w->b->wants_stop; t++) {
        active = active_at(g, t, active);
        ask_stop(w, active * (QRNN_VALUE_WORK + w->inputs));
        for (size_t i = 0; i < active; i++) {
            const float *const row = view_at(g, &w->x, t, i);
            struct qrnn_extent e;
            g->m->kernels.range(1, w->inputs, &row, &e);
            if (!e.finite) {
                *fault = t;
                return 0;
            }
            all.lo = e.lo < all.lo ? e.lo : all.lo;
            all.hi = e.hi > all.hi ? e.hi : all.hi;
        }
    }
    w->b->cell->ih.activations->choose(&all, act);
    return 1;
}

/* --- input --- */

/* Encodes the input rows of the steps from `step` on, as many steps as fit a chunk; returns the step after them. */
static size_t encode_inputs(const struct walk *w, size_t step, size_t *rows)
{
    const struct group *g = w->g;
    struct qrnn_block *b = w->b;
    size_t filled = 0, active = 0;
    for (; step < g->lengths[0]; step++) {
        const size_t time = time_of(w, step);
        active = active_at(g, time, active);
        if (filled + active > g->capacity) break;
        for (size_t i = 0; i < active; i++) b->x_from[filled++] = view_at(g, &w->x, time, i);
    }
    *rows = filled;
    qrnn_encode(g->m, &b->cell->ih, &b->x, filled, w->inputs, b->x_from, NULL);
    return step;
}

/* Multiplies the inputs of a chunk. So that `stop` is called often enough, it takes some panels at a time, and, if
 * inputs are very wide, some rows at a time, but not fewer than a step has. */
static void multiply_inputs(struct walk *w, size_t rows)
{
    struct qrnn_block *b = w->b;
    const struct qrnn_panels all = *b->ih;
    const struct qrnn_matrix *const matrix = &b->cell->ih;
    const size_t fit = QRNN_CHUNK_INPUTS / 2 / (w->inputs + 1), rows_piece = fit > w->g->rows ? fit : w->g->rows;
    const size_t work = (rows < rows_piece ? rows : rows_piece) * w->inputs * QRNN_PANEL;
    const size_t most = QRNN_STOP_WORK / (work + 1) / 4 * 4, piece = most < 4 ? 4 : most;
    for (size_t panel = 0; panel < all.count; panel += piece) {
        const size_t count = all.count - panel < piece ? all.count - panel : piece;
        const struct qrnn_panels some = qrnn_slice(&all, panel, count);
        for (size_t first = 0; first < rows && !b->wants_stop; first += rows_piece) {
            const size_t n = rows - first < rows_piece ? rows - first : rows_piece;
            const struct qrnn_inputs inputs = qrnn_inputs_from(&b->x, matrix, first);
            const struct qrnn_product out = {
                n, b->ih_product + first * b->stride + panel * QRNN_PANEL, NULL, NULL, b->stride, 0};
            matrix->multiply(&some, &inputs, &out);
            ask_stop(w, count * work);
        }
    }
}

/* --- steps --- */

static void begin_states(struct walk *w, size_t place)
{
    const struct group *g = w->g;
    const qrnn_run *run = g->run;
    struct qrnn_block *b = w->b;
    const size_t state = g->m->state_size, n = g->m->hidden_size, first = place * run->batch;
    const float *const h = g->m->learned_h ? g->m->learned_h + place * state : b->zeros;
    const float *const c = g->m->learned_c ? g->m->learned_c + place * n : b->zeros;
    for (size_t i = 0; i < g->rows; i++) {
        b->h_from[i] = run->h ? run->h + (first + g->order[i]) * state : h;
        if (!g->c) continue;
        b->c_from[i] = run->c ? run->c + (first + g->order[i]) * n : c;
        b->c_to[i] = g->c + i * n;
    }
    if (b->slice == 0) {
        const size_t each = b->before.rows;
        g->m->kernels.range(g->rows, state, b->h_from, b->before.extent);
        for (size_t s = 1; s < b->slices; s++)
            memcpy(b->before.extent + s * each, b->before.extent, g->rows * sizeof *b->before.extent);
        /* Rows that join later start from these. */
        memcpy(b->after.extent, b->before.extent, b->slices * each * sizeof *b->before.extent);
    }
    qrnn_block_meet(b);
}

/* Saves the final states, after all members have met; each member copies some rows. */
static void save_states(const struct walk *w, size_t place)
{
    const struct group *g = w->g;
    const qrnn_run *run = g->run;
    const size_t state = g->m->state_size, n = g->m->hidden_size, first = place * run->batch;
    for (size_t i = w->b->slice; i < g->rows; i += w->b->slices) {
        const float *last = view_at(g, &w->out, w->reverse ? 0 : g->lengths[i] - 1, i);
        memcpy(run->h_out + (first + g->order[i]) * state, last, state * sizeof(float));
        if (g->c) memcpy(run->c_out + (first + g->order[i]) * n, g->c + i * n, n * sizeof(float));
    }
}

/* Saves the values that the step at `time` multiplied inside. All slices have written theirs, and no member changes
 * them before the next meeting. */
static void save_inner(const struct walk *w, size_t time, size_t active)
{
    const size_t n = w->b->m->hidden_size;
    if (!w->inner.base || w->b->slice != 0) return;
    for (size_t i = 0; i < active; i++)
        memcpy(view_at(w->g, &w->inner, time, i), w->b->inner_values + i * n, n * sizeof(float));
}

/* Where the slopes of a row go in the step at `time`. Another member may still read those of the step before. */
static float *slopes_at(const struct walk *w, size_t time, size_t row)
{
    const struct group *const g = w->g;
    return g->slopes + ((time & 1) * g->rows + row) * g->m->hidden_size;
}

/* Saves the slopes' mean over all units. All slices have met; each member does some rows. */
static void save_slopes(const struct walk *w, size_t time, size_t active)
{
    const size_t n = w->b->m->hidden_size;
    for (size_t i = w->b->slice; i < active; i += w->b->slices) {
        const float mean = w->b->m->kernels.sum(n, slopes_at(w, time, i)) / (float)n;
        *view_at(w->g, &w->slopes, time, i) = mean == mean ? mean : NAN;
    }
}

/* Computes one step of the first `active` rows; returns 0 if h cannot be quantized. */
static int step_once(struct walk *w, size_t step, size_t active, float *ih)
{
    struct qrnn_block *b = w->b;
    const size_t time = time_of(w, step);
    for (size_t i = 0; i < active; i++) b->h_to[i] = view_at(w->g, &w->out, time, i);
    for (size_t i = 0; w->slopes.base && i < active; i++) b->slopes[i] = slopes_at(w, time, i);
    if (!qrnn_encode(b->m, &b->cell->hh, &b->h, active, b->m->state_size, b->h_from, &b->before)) return 0;
    qrnn_cell_step(b, active, ih);
    b->backwards = !b->backwards;
    save_inner(w, time, active);
    struct qrnn_extent *const extent = b->before.extent;
    b->before.extent = b->after.extent;
    b->after.extent = extent;
    for (size_t i = 0; i < active; i++) {
        b->h_from[i] = b->h_to[i];
        if (w->g->c) b->c_from[i] = b->c_to[i];
    }
    ask_stop(w, active * (QRNN_STEP_WORK + b->stride * (b->m->state_size + QRNN_VALUE_WORK)));
    qrnn_block_meet(b);
    if (w->slopes.base) save_slopes(w, time, active);
    return 1;
}

/* Finds the scale of a cell's input where all rows share one. */
static qrnn_status share_input_scale(struct walk *w, int of_first_layer, size_t *fault)
{
    struct group *const g = w->g;
    w->b->x.given = NULL;
    if (!qrnn_activations_share_scale(w->b->cell->ih.activations)) return QRNN_OK;
    w->b->x.given = &g->input_act;
    if (w->b->slice == 0) g->finite = choose_input(w, &g->input_act, &g->fault);
    qrnn_block_meet(w->b);
    if (w->b->stop) return QRNN_ERR_STOPPED;
    *fault = g->fault;
    return g->finite ? QRNN_OK : of_first_layer ? QRNN_ERR_INPUT_RANGE : QRNN_ERR_HIDDEN_RANGE;
}

/* The same steps by one kernel, for a single row of few units. */
static void walk_few_units(struct walk *w, size_t step, size_t end)
{
    struct qrnn_block *b = w->b;
    const ptrdiff_t stride = (ptrdiff_t)w->out.step_stride;
    b->h_to[0] = view_at(w->g, &w->out, time_of(w, step), 0);
    qrnn_cell_steps(b, end - step, w->reverse ? -stride : stride);
    b->h_from[0] = view_at(w->g, &w->out, time_of(w, end - 1), 0);
    if (w->g->c) b->c_from[0] = b->c_to[0];
    ask_stop(w, (end - step) * (QRNN_STEP_WORK + b->stride * (b->m->state_size + QRNN_VALUE_WORK)));
    b->stop = b->wants_stop;
}

/* Computes the steps from `step` to `end` - 1, whose input products are ready. */
static qrnn_status walk_steps(struct walk *w, size_t step, size_t end, size_t *fault)
{
    size_t active = w->g->rows, done = 0;
    if (w->b->cell->steps && active == 1 && !w->b->slopes && !w->b->stop && w->out.times == SIZE_MAX) {
        walk_few_units(w, step, end);
        step = end;
    }
    for (; step < end && !w->b->stop; step++, done += active) {
        active = active_at(w->g, time_of(w, step), active);
        if (!step_once(w, step, active, w->b->ih_product + done * w->b->stride)) {
            *fault = time_of(w, step);
            return QRNN_ERR_HIDDEN_RANGE;
        }
    }
    return w->b->stop ? QRNN_ERR_STOPPED : QRNN_OK;
}

/* One layer in one direction, the cell at `place`. */
static qrnn_status walk_direction(struct walk *w, size_t place, size_t *fault)
{
    const struct group *const g = w->g;
    qrnn_block_set_cell(w->b, &g->m->cells[place]);
    qrnn_status status = share_input_scale(w, place < g->m->directions, fault);
    if (status != QRNN_OK) return status;
    begin_states(w, place);
    for (size_t step = 0; step < g->lengths[0] && status == QRNN_OK;) {
        size_t rows;
        const size_t first = step;
        step = encode_inputs(w, first, &rows);
        multiply_inputs(w, rows);
        qrnn_block_meet(w->b); /* all members have read the rows that this layer may overwrite */
        status = walk_steps(w, first, step, fault);
    }
    if (status == QRNN_OK) save_states(w, place);
    return status;
}

/* --- layers --- */

static struct view callers_view(const qrnn_run *run, const float *at, size_t width)
{
    struct view v = {(float *)(uintptr_t)at, run->batch * width, width, SIZE_MAX, 1};
    if (run->batch_first) {
        v.step_stride = width;
        v.row_stride = run->steps * width;
    }
    return v;
}

/* Where the output of a layer is written. */
static struct view layer_view(const struct group *g, size_t layer)
{
    const qrnn_run *run = g->run;
    const size_t width = g->m->directions * g->m->state_size, above = g->m->layers - 1 - layer;
    if (above && run->below) return callers_view(run, run->below + layer * run->steps * run->batch * width, width);
    if (!above && g->last) return (struct view){g->last, g->rows * width, width, 1, 0};
    if (g->kept[above % 2]) return (struct view){g->kept[above % 2], g->rows * width, width, SIZE_MAX, 0};
    return callers_view(run, run->out, width);
}

/* A member's part of the group: all layers and directions. */
static void walk_layers(void *context, size_t member, struct qrnn_team *team)
{
    struct group *g = context;
    const qrnn_module *m = g->m;
    const size_t width = m->directions * m->state_size;
    struct walk w = {.g = g, .b = &g->members[member].block, .x = callers_view(g->run, g->run->x, m->input_size)};
    const float *const inner = m->has_inner ? g->run->inner : NULL;
    const size_t inner_size = g->run->steps * g->run->batch * m->hidden_size;
    if (!g->run->slopes) w.b->slopes = NULL;
    qrnn_status status = QRNN_OK;
    size_t fault = 0;
    w.b->team = team;
    w.inputs = m->input_size;
    const uint32_t fp = qrnn_fp_enter();
    for (size_t layer = 0; layer < m->layers && status == QRNN_OK; layer++) {
        const struct view out = layer_view(g, layer);
        for (size_t d = 0; d < m->directions && status == QRNN_OK; d++) {
            w.reverse = d == 1 || m->options.reverse;
            w.out = out;
            w.out.base += d * m->state_size;
            const size_t place = layer * m->directions + d;
            if (inner) w.inner = callers_view(g->run, inner + place * inner_size, m->hidden_size);
            if (g->run->slopes)
                w.slopes = callers_view(g->run, g->run->slopes + place * g->run->steps * g->run->batch, 1);
            status = walk_direction(&w, place, &fault);
        }
        w.x = out;
        w.inputs = width;
    }
    qrnn_fp_leave(fp);
    if (member == 0) {
        g->status = status;
        g->step = fault;
    }
}

static void clear_past_ends(const struct group *g, struct view out)
{
    const size_t width = g->m->directions * g->m->state_size;
    for (size_t i = 0; i < g->rows; i++)
        for (size_t t = g->lengths[i]; t < g->run->steps; t++) memset(view_at(g, &out, t, i), 0, width * sizeof(float));
}

/* --- groups --- */

/* How many whole outputs of a layer have to be kept outside the caller's arrays: two directions need two, used in
 * turns. */
static size_t kept_outputs(const qrnn_module *m, const qrnn_run *run)
{
    const size_t layers = run->below ? 0 : m->layers - 1, most = (size_t)(m->directions > 1) + !run->out;
    return layers < most ? layers : most;
}

/* Lays out the memory that a group needs beside its blocks; returns its bytes. `memory` may be NULL, to count only. */
static size_t place_group(struct group *g, size_t slices, unsigned char *memory)
{
    const qrnn_module *m = g->m;
    const size_t width = m->directions * m->state_size;
    const size_t members = qrnn_round_up(slices * sizeof *g->members, QRNN_LINE);
    const size_t c = m->kind->info.states == 2 ? qrnn_round_up(g->rows * m->hidden_size * sizeof(float), QRNN_LINE) : 0;
    const size_t slopes = g->run->slopes ? qrnn_round_up(2 * g->rows * m->hidden_size * sizeof(float), QRNN_LINE) : 0;
    const size_t step = g->rows * width * sizeof(float), kept = kept_outputs(m, g->run);
    const size_t each = kept ? qrnn_round_up(g->run->steps * step, QRNN_LINE) : 0;
    const size_t last = g->run->out ? 0 : qrnn_round_up(2 * step, QRNN_LINE);
    if (memory) {
        g->members = (struct member *)(void *)memory;
        g->c = c ? (float *)(void *)(memory + members) : NULL;
        g->slopes = (float *)(void *)(memory + members + c);
        unsigned char *const outputs = memory + members + c + slopes;
        g->last = last ? (float *)(void *)outputs : NULL;
        g->kept[1] = kept ? (float *)(void *)(outputs + last) : NULL;
        g->kept[0] = kept && last ? (float *)(void *)(outputs + last + (kept - 1) * each) : NULL;
    }
    return members + c + slopes + last + kept * each;
}

static void open_blocks(const struct group *g, size_t slices, const struct qrnn_layout *layout, unsigned char *shared)
{
    unsigned char *own = shared + layout->shared_bytes;
    for (size_t s = 0; s < slices; s++, own += layout->own_bytes)
        qrnn_block_open(&g->members[s].block, g->m, s, slices, layout, g->rows, QRNN_FOR_SEQUENCE, own, shared);
    qrnn_block_clear_shared(&g->members[0].block, g->rows);
}

static qrnn_status run_group(const qrnn_module *m, const qrnn_run *run, struct qrnn_team *team, const size_t *order,
                             const size_t *lengths, size_t rows, size_t *step)
{
    struct group g = {.m = m, .run = run, .rows = rows, .order = order, .lengths = lengths};
    const size_t slices = team ? team->members : 1;
    struct qrnn_rooms rooms;
    struct qrnn_layout layout;
    struct qrnn_arena arena;
    g.capacity = qrnn_chunk_rows(m, run, rows);
    qrnn_rooms_make(m, slices, QRNN_FOR_SEQUENCE, &rooms);
    qrnn_layout_scale(&rooms, g.capacity, rows, &layout);
    const size_t bytes = place_group(&g, slices, NULL);
    unsigned char *const memory = qrnn_scratch_take(bytes + qrnn_layout_bytes(&layout, slices), &arena);
    if (!memory) return QRNN_ERR_MEMORY;
    place_group(&g, slices, memory);
    open_blocks(&g, slices, &layout, memory + bytes);
    if (team)
        qrnn_team_run(team, walk_layers, &g);
    else
        walk_layers(&g, 0, NULL);
    qrnn_scratch_give(arena);
    *step = g.step;
    for (size_t layer = run->below ? 0 : m->layers - 1; g.status == QRNN_OK && layer < m->layers; layer++)
        if (run->out || layer < m->layers - 1) clear_past_ends(&g, layer_view(&g, layer));
    return g.status;
}

/* Computes the first `running` rows of `order`, all of which have steps. */
static qrnn_status run_groups(const qrnn_module *m, const qrnn_run *run, size_t running, const size_t *order,
                              const size_t *lengths, size_t *step)
{
    const size_t group = qrnn_group_rows(m, running), members = qrnn_members(m, run, group, running);
    qrnn_status status = QRNN_OK;
    struct qrnn_team team;
    if (members > 1) qrnn_team_start(&team, members);
    for (size_t first = 0; first < running && status == QRNN_OK; first += group) {
        const size_t rows = running - first < group ? running - first : group;
        status = run_group(m, run, members > 1 ? &team : NULL, order + first, lengths + first, rows, step);
    }
    if (members > 1) qrnn_team_end(&team);
    return status;
}

qrnn_status qrnn_sequence(const qrnn_module *m, const qrnn_run *run, size_t *step)
{
    size_t failed = 0, running = run ? run->batch : 0, few[3 * QRNN_BLOCK_ROWS], *order = few;
    const qrnn_status wrong = qrnn_check_sequence(m, run);
    if (wrong != QRNN_OK || run->batch == 0) return wrong;
    if (run->batch > QRNN_BLOCK_ROWS) order = malloc(3 * run->batch * sizeof *order);
    if (!order) return QRNN_ERR_MEMORY;
    size_t *const lengths = order + run->batch, *const spare = lengths + run->batch;
    qrnn_order_rows(run, order, lengths, spare);
    if (run->slopes && run->lengths) qrnn_clear_slopes(m, run);

    while (running > 0 && lengths[running - 1] == 0) running--;
    const qrnn_status status = running ? run_groups(m, run, running, order, lengths, &failed) : QRNN_OK;
    for (size_t i = running; i < run->batch && status == QRNN_OK; i++) qrnn_pass_row(m, run, order[i]);
    if (order != few) free(order);
    if (step) *step = failed;
    return status;
}
