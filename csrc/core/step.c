/* step.c - single calls: a linear, one step of a cell, and the probe that shows their products.
 *
 * A call works through its batch in blocks of rows, which bounds its working memory. Threads that share a call take
 * some rows each. If all rows share a scale, the call first reads the range of the whole batch; if that is not finite,
 * the call fails before it writes anything. */
#include "block.h"
#include "team.h"

#include <math.h>
#include <string.h>

struct call {
    size_t batch;
    const float *x, *h, *c;
    float *h_out, *c_out;     /* h_out is also a linear's result */
    int32_t *acc_ih, *acc_hh; /* the probe's results */
    float *pre;
    size_t threads;           /* to compute with, at most */
};

static enum qrnn_purpose purpose_of(const struct call *call)
{
    return call->pre ? QRNN_FOR_PROBE : QRNN_FOR_STEP;
}

/* --- the probe --- */

/* Copies rows from the interleaved order of a product to PyTorch's order. The product holds `gates` of the cell's
 * gates, from first_gate on. */
static void show(const qrnn_module *m, const void *from, size_t stride, size_t rows, size_t first_gate, size_t gates,
                 size_t row, void *to)
{
    const size_t n = m->hidden_size, all = m->kind->info.gates * n;
    if (!to || !from) return;
    for (size_t i = 0; i < rows; i++)
        for (size_t g = 0; g < gates; g++)
            for (size_t u = 0; u < n; u += QRNN_PANEL) {
                const size_t count = n - u < QRNN_PANEL ? n - u : QRNN_PANEL;
                const size_t source = i * stride + (u / QRNN_PANEL * gates + g) * QRNN_PANEL;
                const size_t target = (row + i) * all + (first_gate + g) * n + u;
                memcpy((char *)to + target * sizeof(float), (const char *)from + source * sizeof(float),
                       count * sizeof(float));
            }
}

/* Adds the input's product to `pre` for the gates whose recurrent product is of h, which gives the pre-activations of r
 * and z. */
static void add_input(const struct qrnn_block *b, size_t rows, size_t row, float *pre)
{
    const size_t n = b->m->hidden_size, gates = b->m->kind->info.gates, all = gates * n;
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < all - n; k++) {
            const size_t gate = k / n, u = k % n;
            const float *ih = b->ih_product + i * b->stride;
            pre[(row + i) * all + k] += ih[(u / QRNN_PANEL * gates + gate) * QRNN_PANEL + u % QRNN_PANEL];
        }
}

/* Products may hold any NaN. A caller gets only the one NaN of the contract. */
static void make_nans_one(size_t n, float *v)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(v[i])) v[i] = NAN;
}

/* The integer sums of a product; NULL for a product of floats, which has none. */
static const int32_t *sums_of(const struct qrnn_matrix *matrix, const int32_t *acc)
{
    return matrix->n_scale ? acc : NULL;
}

static void show_block(const struct qrnn_block *b, size_t rows, size_t row, const struct call *call)
{
    const qrnn_module *m = b->m;
    const int apart = m->kind->hh_apart, resets = m->kind->inner != QRNN_ENDS;
    const size_t gates = m->kind->info.gates, first = gates - (size_t)resets;
    show(m, sums_of(&b->cell->ih, b->acc_ih), b->stride, rows, 0, gates, row, call->acc_ih);
    show(m, sums_of(&b->cell->hh, b->acc_hh), b->hh_stride, rows, 0, first, row, call->acc_hh);
    show(m, apart ? b->hh_product : b->ih_product, apart ? b->hh_stride : b->stride, rows, 0, first, row, call->pre);
    if (resets) {
        show(m, sums_of(&b->cell->inner, b->acc_inner), b->inner_stride, rows, first, 1, row, call->acc_hh);
        show(m, b->inner_product, b->inner_stride, rows, first, 1, row, call->pre);
        add_input(b, rows, row, call->pre);
    }
    make_nans_one(rows * gates * m->hidden_size, call->pre + row * gates * m->hidden_size);
}

/* --- blocks of rows --- */

static void set_states(struct qrnn_block *b, size_t rows, size_t row, const struct call *call)
{
    const size_t state = b->m->state_size, n = b->m->hidden_size;
    const size_t to = call->pre ? 0 : row; /* the probe's states are overwritten by every block */
    if (!b->m->kind->info.states) {
        for (size_t i = 0; i < rows; i++) b->h_to[i] = call->h_out + (to + i) * n;
        return;
    }
    if (rows == 1 && row == 0) { /* the loop below would take 4 ns more */
        b->h_from[0] = call->h ? call->h : b->zeros;
        b->c_from[0] = call->c ? call->c : b->zeros;
        b->h_to[0] = call->h_out;
        b->c_to[0] = call->c_out;
        return;
    }
    for (size_t i = 0; i < rows; i++) {
        b->h_from[i] = call->h ? call->h + (row + i) * state : b->zeros;
        b->h_to[i] = call->h_out + (to + i) * state;
        b->c_from[i] = call->c ? call->c + (row + i) * n : b->zeros;
        b->c_to[i] = call->c_out ? call->c_out + (to + i) * n : NULL;
    }
}

/* Encodes both operands before it multiplies: each encoding ends in a chain of instructions with a division, and the
 * two chains overlap. */
static void run_block(struct qrnn_block *b, size_t rows, size_t row, const struct call *call)
{
    const qrnn_module *m = b->m;
    const struct qrnn_cell *const cell = b->cell;
    const struct qrnn_product out = {rows, b->ih_product, NULL, b->acc_ih, b->stride, 0};
    b->x_from[0] = call->x + row * m->input_size;
    for (size_t i = 1; i < rows; i++) b->x_from[i] = b->x_from[i - 1] + m->input_size;
    qrnn_encode(m, &cell->ih, &b->x, rows, m->input_size, b->x_from, NULL);
    set_states(b, rows, row, call);
    const int in_registers = rows == 1 && cell->steps && !call->pre;
    if (m->kind->info.states && !in_registers) qrnn_encode(m, &cell->hh, &b->h, rows, m->state_size, b->h_from, NULL);
    cell->ih.multiply(b->ih, qrnn_inputs_of(&b->x, &cell->ih), &out);
    if (in_registers)
        qrnn_cell_steps(b, 1, 0);
    else
        qrnn_cell_step(b, rows, b->ih_product);
    if (call->pre) show_block(b, rows, row, call);
}

/* --- memory --- */

/* Returns the offsets of the rooms for a block of `rows` rows. Those of one row were computed with the module, which
 * saves some ns in a step; others are computed into `made`. */
static const struct qrnn_layout *find_layout(const qrnn_module *m, size_t rows, const struct call *call,
                                             struct qrnn_layout *made)
{
    if (call->pre) {
        struct qrnn_rooms rooms;
        qrnn_rooms_make(m, 1, QRNN_FOR_PROBE, &rooms);
        qrnn_layout_scale(&rooms, rows, rows, made);
        return made;
    }
    if (rows == 1) return &m->one_row;
    qrnn_step_layout(m->step_words, m->hidden_size * sizeof(float), m->has_inner, rows, made);
    return made;
}

static void open_block(const qrnn_module *m, size_t rows, const struct qrnn_layout *layout, struct call *call,
                       struct qrnn_block *b, unsigned char *memory)
{
    qrnn_block_open(b, m, 0, 1, layout, rows, purpose_of(call), memory + layout->shared_bytes, memory);
    qrnn_block_set_cell(b, &m->cells[0]);
    if (m->has_inner || (m->kind->info.states && (!call->h || (call->c_out && !call->c))))
        qrnn_block_clear_shared(b, rows);
    if (call->pre) {
        call->h_out = b->unseen_h;
        call->c_out = b->unseen_c;
    }
}

/* Chooses the scales that all rows share. */
static qrnn_status choose_scales(const qrnn_module *m, const struct call *call, struct qrnn_block *b,
                                 struct qrnn_act *given)
{
    const struct qrnn_activations *const x = b->cell->ih.activations, *const h = b->cell->hh.activations;
    if (qrnn_activations_share_scale(x)) {
        b->x.given = &given[0];
        if (!qrnn_choose_scale(m, x, call->batch * m->input_size, call->x, &given[0])) return QRNN_ERR_INPUT_RANGE;
    }
    if (!m->kind->info.states || !qrnn_activations_share_scale(h)) return QRNN_OK;
    b->h.given = &given[1];
    const int finite = qrnn_choose_scale(m, h, call->batch * m->state_size, call->h, &given[1]);
    return finite ? QRNN_OK : QRNN_ERR_HIDDEN_RANGE;
}

/* Rows `first` to `end` of the call, as many at a time as the block has room for. */
QRNN_INLINE void run_rows(struct qrnn_block *b, size_t rows, size_t first, size_t end, const struct call *call)
{
    for (size_t row = first; row < end; row += rows) run_block(b, end - row < rows ? end - row : rows, row, call);
}

/* --- threads --- */

/* A call whose rows are divided among threads. No row depends on another, so no thread waits for another. */
struct divided {
    struct call *whole;
    const struct qrnn_block *lead; /* the block of member 0, which has the scales that all rows share */
    const struct qrnn_layout *layout;
    unsigned char *memory;    /* for all members */
    size_t rows;              /* the most rows of a block */
};

/* The first row of a member; for member == members, the number of rows. */
static size_t first_row(size_t batch, size_t members, size_t member)
{
    const size_t rest = batch % members;
    return batch / members * member + (member < rest ? member : rest);
}

static void run_member(void *context, size_t member, struct qrnn_team *team)
{
    const struct divided *const d = context;
    const size_t members = team->members, batch = d->whole->batch;
    struct qrnn_block b;
    open_block(d->lead->m, d->rows, d->layout, d->whole, &b, d->memory + member * qrnn_layout_bytes(d->layout, 1));
    b.x.given = d->lead->x.given;
    b.h.given = d->lead->h.given;
    const uint32_t fp = qrnn_fp_enter();
    run_rows(&b, d->rows, first_row(batch, members, member), first_row(batch, members, member + 1), d->whole);
    qrnn_fp_leave(fp);
}

/* Not inlined, because otherwise every step would reserve stack for a team. */
static __attribute__((noinline)) void run_divided(struct divided *d, size_t members)
{
    struct qrnn_team team;
    qrnn_team_start(&team, members);
    qrnn_team_run(&team, run_member, d);
    qrnn_team_end(&team);
}

/* The number of threads for a call. */
static size_t members_of(const qrnn_module *m, const struct call *call)
{
    const size_t wanted = call->threads < QRNN_TEAM_MOST ? call->threads : QRNN_TEAM_MOST;
    const size_t most = call->batch / QRNN_TEAM_ROWS;
    const double rows = (double)(m->kind->info.gates * m->hidden_size) * (double)call->batch;
    const double columns = (double)(m->input_size + (m->kind->info.states ? m->state_size : 0));
    const double work = rows * columns * (m->engine->info.quantized ? 1 : QRNN_FLOAT_WORK);
    if (most < 2 || work < QRNN_TEAM_ROWS_WORK) return 1;
    return wanted < most ? wanted : most;
}

static qrnn_status run(const qrnn_module *m, struct call *call)
{
    if (m->hidden_size == 0) return QRNN_OK; /* nothing to write */
    _Alignas(QRNN_LINE) unsigned char stack[QRNN_STACK_BYTES];
    struct qrnn_block b;
    struct qrnn_act given[2];
    struct qrnn_layout made;
    const size_t members = call->threads < 2 ? 1 : members_of(m, call);
    const size_t each = members == 1 ? call->batch : (call->batch + members - 1) / members;
    const size_t rows = each < QRNN_BLOCK_ROWS ? each : QRNN_BLOCK_ROWS;
    const struct qrnn_layout *const layout = find_layout(m, rows, call, &made);
    const size_t bytes = members * qrnn_layout_bytes(layout, 1);
    unsigned char *const memory = bytes > QRNN_STACK_BYTES ? qrnn_scratch(bytes) : stack;
    if (!memory) return QRNN_ERR_MEMORY;
    open_block(m, rows, layout, call, &b, memory);

    qrnn_status status = QRNN_OK;
    const uint32_t fp = qrnn_fp_enter();
    if (m->shares_scale) status = choose_scales(m, call, &b, given);
    if (status == QRNN_OK && members == 1) run_rows(&b, rows, 0, call->batch, call);
    qrnn_fp_leave(fp);
    if (status == QRNN_OK && members > 1) run_divided(&(struct divided){call, &b, layout, memory, rows}, members);
    return status;
}

/* --- calls --- */

qrnn_status qrnn_linear_threads(const qrnn_module *m, size_t batch, const float *x, float *y, size_t threads)
{
    struct call call = {.batch = batch, .x = x, .h_out = y, .threads = threads};
    const qrnn_status wrong = qrnn_check_call(m, m && m->kind->info.states == 0, batch, x, y, NULL);
    return wrong != QRNN_OK ? wrong : run(m, &call);
}

qrnn_status qrnn_linear(const qrnn_module *m, size_t batch, const float *x, float *y)
{
    return qrnn_linear_threads(m, batch, x, y, 1);
}

qrnn_status qrnn_step_threads(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c,
                              float *h_out, float *c_out, size_t threads)
{
    struct call call = {batch, x, h, c, h_out, c_out, .threads = threads};
    const qrnn_status wrong = qrnn_check_call(m, m && m->kind->info.states > 0, batch, x, h_out, c_out);
    return wrong != QRNN_OK ? wrong : run(m, &call);
}

qrnn_status qrnn_step(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c, float *h_out,
                      float *c_out)
{
    return qrnn_step_threads(m, batch, x, h, c, h_out, c_out, 1);
}

qrnn_status qrnn_gates(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c,
                       int32_t *acc_ih, int32_t *acc_hh, float *pre)
{
    struct call call = {.batch = batch, .x = x, .h = h, .c = c, .acc_ih = acc_ih, .acc_hh = acc_hh, .pre = pre};
    const qrnn_status wrong = qrnn_check_call(m, 1, batch, x, pre, pre);
    return wrong != QRNN_OK || batch == 0 ? wrong : run(m, &call);
}
