/* cells.c - the cells, each written once: a step from the input's product and the state before to the
 * state after. They read like the equations of qrnn.h; the element-wise parts are kernels/ends.h. */
#include "block.h"

/* The product of `w` with what the step made, in b->part. */
static void multiply_made(struct qrnn_block *b, const struct qrnn_panels *w, size_t rows)
{
    const struct qrnn_product out = {rows, b->part, NULL, b->acc_part, b->part_stride};
    qrnn_block_meet(b);
    qrnn_encode(b->m, &b->inner, rows, b->m->hidden_size, (const float *const *)b->made_rows, &b->made_extents);
    qrnn_multiply(b->m, w, &b->inner, 0, &out);
}

static struct qrnn_extent *own_extents(const struct qrnn_block *b, const struct qrnn_extents *extents)
{
    return b->m->engine->quantized ? extents->at + b->slice * extents->rows : NULL;
}

/* Where the states of a step lie. */
static struct qrnn_ending ending_of(const struct qrnn_block *b, size_t rows, const float *ih)
{
    return (struct qrnn_ending){
        .rows = rows,
        .first = b->first,
        .units = b->units,
        .ih = ih,
        .hh = b->hh_product,
        .hn = b->part,
        .ih_stride = b->stride,
        .hh_stride = b->hh_stride,
        .hn_stride = b->part_stride,
        .h = b->h_from,
        .c = b->c_from,
        .h_out = b->h_to,
        .c_out = b->c_to,
        .extent = b->after.at ? own_extents(b, &b->after) : NULL,
    };
}

/* The recurrent product, added to `ih` in place or in b->hh_product, and what becomes of it. */
static void multiply_and_end(const struct qrnn_block *b, size_t rows, float *ih, enum qrnn_end fast,
                             enum qrnn_end exact, const struct qrnn_ending *e)
{
    const qrnn_module *m = b->m;
    const enum qrnn_end end = m->engine->exact ? exact : fast;
    const int keep = qrnn_cells[m->kind].keeps_hh;
    const struct qrnn_product out = {rows, keep ? b->hh_product : ih, keep ? NULL : ih, b->acc_hh, b->hh_stride};
    if (rows == 1 && m->engine->quantized && m->kernels.row[end]) {
        m->kernels.row[end](b->hh, b->h.codes, b->h.act, &out, e);
        return;
    }
    qrnn_multiply(m, b->hh, &b->h, 0, &out);
    m->kernels.end[end](e);
}

static void step_linear(struct qrnn_block *b, size_t rows, float *ih)
{
    const struct qrnn_ending e = ending_of(b, rows, ih);
    b->m->kernels.end[QRNN_END_LINEAR](&e);
}

static void step_rnn_tanh(struct qrnn_block *b, size_t rows, float *ih)
{
    const struct qrnn_ending e = ending_of(b, rows, ih);
    multiply_and_end(b, rows, ih, QRNN_END_RNN_TANH, QRNN_END_RNN_TANH_EXACT, &e);
}

static void step_rnn_relu(struct qrnn_block *b, size_t rows, float *ih)
{
    const struct qrnn_ending e = ending_of(b, rows, ih);
    multiply_and_end(b, rows, ih, QRNN_END_RNN_RELU, QRNN_END_RNN_RELU, &e);
}

/* h' = W_hr made */
static void project(struct qrnn_block *b, size_t rows)
{
    const size_t left = b->m->proj_size - b->hr_first;
    multiply_made(b, b->hr, rows);
    struct qrnn_ending e = ending_of(b, rows, b->part);
    e.first = b->hr_first;
    e.units = b->part_stride < left ? b->part_stride : left;
    e.ih_stride = b->part_stride;
    b->m->kernels.end[QRNN_END_LINEAR](&e);
}

static void step_lstm(struct qrnn_block *b, size_t rows, float *ih)
{
    struct qrnn_ending e = ending_of(b, rows, ih);
    if (b->m->proj_size) {
        e.h_out = b->made_rows;
        e.extent = own_extents(b, &b->made_extents);
    }
    multiply_and_end(b, rows, ih, QRNN_END_LSTM, QRNN_END_LSTM_EXACT, &e);
    if (b->m->proj_size) project(b, rows);
}

static void step_gru(struct qrnn_block *b, size_t rows, float *ih)
{
    const struct qrnn_ending e = ending_of(b, rows, ih);
    multiply_and_end(b, rows, ih, QRNN_END_GRU, QRNN_END_GRU_EXACT, &e);
}

static void step_gru_reset_before(struct qrnn_block *b, size_t rows, float *ih)
{
    const struct qrnn_ending e = ending_of(b, rows, ih);
    struct qrnn_ending reset = e;
    reset.h_out = b->made_rows;
    reset.extent = own_extents(b, &b->made_extents);
    multiply_and_end(b, rows, ih, QRNN_END_RESET, QRNN_END_RESET, &reset);
    multiply_made(b, b->hn, rows);
    b->m->kernels.end[QRNN_END_GRU_RESET_BEFORE](&e);
}

const struct qrnn_cell qrnn_cells[QRNN_KINDS] = {
    /* gates, recurrent, cell_state, split, keeps_hh, step */
    [QRNN_LINEAR] = {1, 0, 0, 0, 0, step_linear},     [QRNN_RNN_TANH] = {1, 1, 0, 0, 0, step_rnn_tanh},
    [QRNN_RNN_RELU] = {1, 1, 0, 0, 0, step_rnn_relu}, [QRNN_LSTM] = {4, 1, 1, 0, 0, step_lstm},
    [QRNN_GRU] = {3, 1, 0, 0, 1, step_gru},           [QRNN_GRU_RESET_BEFORE] = {3, 1, 0, 1, 1, step_gru_reset_before},
};
