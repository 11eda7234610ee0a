/* step.c - single calls: a linear, one step of a cell, and the door that shows their products.
 *
 * A call works through its batch in blocks of rows, so its working memory is bounded. An engine with
 * one scale for the whole batch takes the range over all of it first; there a call can fail, before
 * anything is written. */
#include "block.h"

#include <math.h>
#include <string.h>

struct call {
    size_t batch;
    const float *x, *h, *c;
    float *h_out, *c_out;     /* a linear's result is h_out */
    int32_t *acc_ih, *acc_hh; /* the door's */
    float *pre;
};

/* Copies rows of interleaved gates, `gates` of all `all` from `first_gate` on, to rows as PyTorch has them. */
static void show(const qrnn_module *m, const void *from, size_t stride, size_t rows, size_t first_gate, size_t gates,
                 size_t row, void *to)
{
    const size_t n = m->hidden_size, all = qrnn_cells[m->kind].gates * n;
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

/* ih + what is in pre, for the gates of a split cell's first product: pre-activations of r and z. */
static void add_input(const struct qrnn_block *b, size_t rows, size_t row, float *pre)
{
    const size_t n = b->m->hidden_size, all = qrnn_cells[b->m->kind].gates * n;
    for (size_t i = 0; i < rows; i++)
        for (size_t k = 0; k < all - n; k++) {
            const size_t gate = k / n, u = k % n;
            const float *ih = b->ih_product + i * b->stride;
            float *to = &pre[(row + i) * all + k];
            *to += ih[(u / QRNN_PANEL * qrnn_cells[b->m->kind].gates + gate) * QRNN_PANEL + u % QRNN_PANEL];
        }
}

/* Products may hold any NaN; what leaves has one. */
static void make_nans_one(size_t n, float *v)
{
    for (size_t i = 0; i < n; i++)
        if (isnan(v[i])) v[i] = NAN;
}

static void show_block(const struct qrnn_block *b, size_t rows, size_t row, const struct call *call)
{
    const qrnn_module *m = b->m;
    const struct qrnn_cell *cell = &qrnn_cells[m->kind];
    const size_t gates = cell->gates, first = gates - (size_t)cell->split;
    show(m, b->acc_ih, b->stride, rows, 0, gates, row, call->acc_ih);
    show(m, b->acc_hh, b->hh_stride, rows, 0, first, row, call->acc_hh);
    show(m, cell->keeps_hh ? b->hh_product : b->ih_product, cell->keeps_hh ? b->hh_stride : b->stride, rows, 0, first,
         row, call->pre);
    if (cell->split) {
        show(m, b->acc_part, b->part_stride, rows, first, 1, row, call->acc_hh);
        show(m, b->part, b->part_stride, rows, first, 1, row, call->pre);
        add_input(b, rows, row, call->pre);
    }
    make_nans_one(rows * gates * m->hidden_size, call->pre + row * gates * m->hidden_size);
}

static void set_states(struct qrnn_block *b, size_t rows, size_t row, const struct call *call)
{
    const size_t state = b->m->state_size, n = b->m->hidden_size;
    const size_t to = call->pre ? 0 : row; /* the door's states are overwritten by every block */
    if (!qrnn_cells[b->m->kind].recurrent) {
        for (size_t i = 0; i < rows; i++) b->h_to[i] = call->h_out + (to + i) * n;
        return;
    }
    if (rows == 1 && row == 0) { /* without the loop, 4 ns less a step */
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

/* Both operands are encoded before they are multiplied: each ends in a chain through a division, and the
 * two overlap. */
static void run_block(struct qrnn_block *b, size_t rows, size_t row, const struct call *call)
{
    const qrnn_module *m = b->m;
    const struct qrnn_cell *cell = &qrnn_cells[m->kind];
    const struct qrnn_product out = {rows, b->ih_product, NULL, b->acc_ih, b->stride};
    b->x_from[0] = call->x + row * m->input_size;
    for (size_t i = 1; i < rows; i++) b->x_from[i] = b->x_from[i - 1] + m->input_size;
    qrnn_encode(m, &b->x, rows, m->input_size, b->x_from, NULL);
    set_states(b, rows, row, call);
    if (cell->recurrent) qrnn_encode(m, &b->h, rows, m->state_size, b->h_from, NULL);
    qrnn_multiply(m, b->ih, &b->x, 0, &out);
    cell->step(b, rows, b->ih_product);
    if (call->pre) show_block(b, rows, row, call);
}

/* A block for `rows` rows, and, at the door, the states that nobody sees, at `next` and behind. */
static void lay_out(const qrnn_module *m, size_t rows, struct qrnn_block *b, struct call *call, uintptr_t *next)
{
    qrnn_block_layout(b, m, 0, 1, rows, rows, call->pre ? QRNN_BLOCK_DOOR : QRNN_BLOCK_STEP, NULL, next);
    b->before.at = b->after.at = NULL;
    if (!call->pre) return;
    call->h_out = qrnn_cut(next, rows * m->hidden_size * sizeof(float));
    call->c_out = qrnn_cut(next, rows * m->hidden_size * sizeof(float));
}

void qrnn_step_prepare(qrnn_module *m)
{
    struct call call = {.pre = NULL};
    uintptr_t next = QRNN_LINE; /* no address is NULL */
    lay_out(m, 1, m->row, &call, &next);
    qrnn_block_use(m->row, &m->units[0]);
    m->row_bytes = next - QRNN_LINE;
}

/* The scales of an engine that has one for the whole batch. */
static qrnn_status choose_whole(const qrnn_module *m, const struct call *call, struct qrnn_block *b,
                                struct qrnn_act *whole)
{
    b->x.whole = &whole[0];
    b->h.whole = &whole[1];
    if (!qrnn_choose_whole(m, call->batch * m->input_size, call->x, &whole[0])) return QRNN_ERR_INPUT_RANGE;
    if (!qrnn_cells[m->kind].recurrent) return QRNN_OK;
    if (!qrnn_choose_whole(m, call->batch * m->state_size, call->h, &whole[1])) return QRNN_ERR_HIDDEN_RANGE;
    return QRNN_OK;
}

/* A block for the call, in `stack` or in scratch memory; 0 without memory. The layout of one row was made
 * with the module: 12 ns less a step. */
static int prepare(const qrnn_module *m, size_t rows, struct call *call, struct qrnn_block *b, unsigned char *stack)
{
    const int alone = rows == 1 && !call->pre;
    uintptr_t next = 0;
    if (!alone) lay_out(m, rows, b, call, &next);
    const size_t bytes = alone ? m->row_bytes : next;
    void *const memory = bytes > QRNN_STACK_BYTES ? qrnn_scratch(bytes) : stack;
    if (!memory) return 0;
    next = (uintptr_t)memory;
    if (alone) {
        qrnn_block_place(b, m->row, QRNN_LINE, next);
    } else {
        lay_out(m, rows, b, call, &next);
        qrnn_block_use(b, &m->units[0]);
    }
    for (size_t i = 0; b->made_rows && i < rows; i++) b->made_rows[i] = b->made + i * m->hidden_size;
    if (qrnn_cells[m->kind].recurrent && (!call->h || (call->c_out && !call->c)))
        memset(b->zeros, 0, m->hidden_size * sizeof(float));
    return 1;
}

static qrnn_status run(const qrnn_module *m, struct call *call)
{
    _Alignas(QRNN_LINE) unsigned char stack[QRNN_STACK_BYTES];
    struct qrnn_block b;
    struct qrnn_act whole[2];
    const size_t rows = call->batch < QRNN_BLOCK_ROWS ? call->batch : QRNN_BLOCK_ROWS;
    if (!prepare(m, rows, call, &b, stack)) return QRNN_ERR_MEMORY;

    qrnn_status status = QRNN_OK;
    const uint32_t fp = qrnn_fp_enter();
    if (qrnn_engine_is_whole(m->engine)) status = choose_whole(m, call, &b, whole);
    for (size_t row = 0; row < call->batch && status == QRNN_OK; row += rows)
        run_block(&b, call->batch - row < rows ? call->batch - row : rows, row, call);
    qrnn_fp_leave(fp);
    return status;
}

qrnn_status qrnn_linear(const qrnn_module *m, size_t batch, const float *x, float *y)
{
    struct call call = {.batch = batch, .x = x, .h_out = y};
    if (m->kind != QRNN_LINEAR) return QRNN_ERR_SIZE;
    return run(m, &call);
}

qrnn_status qrnn_step(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c, float *h_out,
                      float *c_out)
{
    struct call call = {.batch = batch, .x = x, .h = h, .c = c, .h_out = h_out, .c_out = c_out};
    if (m->kind == QRNN_LSTM && !c_out) return QRNN_ERR_SIZE;
    return run(m, &call);
}

qrnn_status qrnn_gates(const qrnn_module *m, size_t batch, const float *x, const float *h, const float *c,
                       int32_t *acc_ih, int32_t *acc_hh, float *pre)
{
    struct call call = {.batch = batch, .x = x, .h = h, .c = c, .acc_ih = acc_ih, .acc_hh = acc_hh, .pre = pre};
    return run(m, &call);
}
