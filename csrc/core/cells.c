/* cells.c - the cells, each written once: a step from the input's product and the state before to the
 * state after. They read like the equations of qrnn.h; the element-wise parts are kernels/ends.h. */
#include "block.h"

#include <string.h>

/* The recurrent product, added to `ih` in place, or in b->hh_product. */
static void multiply_state(const struct qrnn_block *b, size_t rows, float *ih)
{
    const int keep = qrnn_cells[b->m->kind].keeps_hh;
    const struct qrnn_product out = {rows, keep ? b->hh_product : ih, keep ? NULL : ih, b->acc_hh, b->hh_stride};
    qrnn_multiply(b->m, b->hh, &b->h, 0, &out);
}

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
    return b->m->engine->quantised ? extents->at + b->slice * extents->rows : NULL;
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

static void end(const struct qrnn_block *b, enum qrnn_end fast, enum qrnn_end exact, const struct qrnn_ending *e)
{
    b->m->kernels.end[b->m->engine->exact ? exact : fast](e);
}

static void step_rnn_tanh(struct qrnn_block *b, size_t rows, float *ih)
{
    multiply_state(b, rows, ih);
    const struct qrnn_ending e = ending_of(b, rows, ih);
    end(b, QRNN_END_RNN_TANH, QRNN_END_RNN_TANH_EXACT, &e);
}

static void step_rnn_relu(struct qrnn_block *b, size_t rows, float *ih)
{
    multiply_state(b, rows, ih);
    const struct qrnn_ending e = ending_of(b, rows, ih);
    end(b, QRNN_END_RNN_RELU, QRNN_END_RNN_RELU, &e);
}

/* h' = W_hr made */
static void project(struct qrnn_block *b, size_t rows)
{
    const size_t left = b->m->proj_size - b->hr_first;
    const size_t n = b->part_stride < left ? b->part_stride : left;
    struct qrnn_extent *extent = b->after.at ? own_extents(b, &b->after) : NULL;
    multiply_made(b, b->hr, rows);
    for (size_t i = 0; i < rows; i++) {
        const float *part = b->part + i * b->part_stride;
        memcpy(b->h_to[i] + b->hr_first, part, n * sizeof(float));
        if (extent) b->m->kernels.range(1, n, &part, extent + i);
    }
}

static void step_lstm(struct qrnn_block *b, size_t rows, float *ih)
{
    multiply_state(b, rows, ih);
    struct qrnn_ending e = ending_of(b, rows, ih);
    if (b->m->proj_size) {
        e.h_out = b->made_rows;
        e.extent = own_extents(b, &b->made_extents);
    }
    end(b, QRNN_END_LSTM, QRNN_END_LSTM_EXACT, &e);
    if (b->m->proj_size) project(b, rows);
}

static void step_gru(struct qrnn_block *b, size_t rows, float *ih)
{
    multiply_state(b, rows, ih);
    const struct qrnn_ending e = ending_of(b, rows, ih);
    end(b, QRNN_END_GRU, QRNN_END_GRU_EXACT, &e);
}

static void step_gru_reset_before(struct qrnn_block *b, size_t rows, float *ih)
{
    multiply_state(b, rows, ih);
    const struct qrnn_ending e = ending_of(b, rows, ih);
    struct qrnn_ending reset = e;
    reset.h_out = b->made_rows;
    reset.extent = own_extents(b, &b->made_extents);
    end(b, QRNN_END_RESET, QRNN_END_RESET, &reset);
    multiply_made(b, b->hn, rows);
    end(b, QRNN_END_GRU_RESET_BEFORE, QRNN_END_GRU_RESET_BEFORE, &e);
}

const struct qrnn_cell qrnn_cells[QRNN_KINDS] = {
    /* gates, recurrent, cell_state, split, keeps_hh, step */
    [QRNN_LINEAR] = {1, 0, 0, 0, 0, NULL},
    [QRNN_RNN_TANH] = {1, 1, 0, 0, 0, step_rnn_tanh},
    [QRNN_RNN_RELU] = {1, 1, 0, 0, 0, step_rnn_relu},
    [QRNN_LSTM] = {4, 1, 1, 0, 0, step_lstm},
    [QRNN_GRU] = {3, 1, 0, 0, 1, step_gru},
    [QRNN_GRU_RESET_BEFORE] = {3, 1, 0, 1, 1, step_gru_reset_before},
};
