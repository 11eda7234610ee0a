/* rows.c - the order of a batch's rows in a sequence, how many rows form a group, how many threads compute them, and
 * the rows of length 0. */
#include "rows.h"
#include "module.h"
#include "tuning.h"

#include <math.h>
#include <string.h>

static size_t row_length(const qrnn_run *run, size_t row)
{
    return run->lengths ? run->lengths[row] : run->steps;
}

/* Sorts rows longest first, equal lengths in the caller's order: a merge sort of the two halves of `order`. `spare` has
 * room for one half. */
static void sort_rows(const qrnn_run *run, size_t *order, size_t *spare, size_t n)
{
    if (n < 2 || !run->lengths) return;
    const size_t half = n / 2;
    sort_rows(run, order, spare, half);
    sort_rows(run, order + half, spare, n - half);
    memcpy(spare, order, half * sizeof *order);
    for (size_t a = 0, b = half, to = 0; a < half; to++) {
        const int take_a = b >= n || row_length(run, spare[a]) >= row_length(run, order[b]);
        order[to] = take_a ? spare[a++] : order[b++];
    }
}

void qrnn_order_rows(const qrnn_run *run, size_t *order, size_t *lengths, size_t *spare)
{
    for (size_t i = 0; i < run->batch; i++) order[i] = i;
    sort_rows(run, order, spare, run->batch);
    for (size_t i = 0; i < run->batch; i++) lengths[i] = row_length(run, order[i]);
}

/* Copies a state; every NaN becomes the one NaN of the contract. `from` is NULL for zeros. */
static void copy_state(size_t n, const float *from, float *to)
{
    for (size_t i = 0; i < n; i++) to[i] = !from ? 0.0f : isnan(from[i]) ? NAN : from[i];
}

/* Sets a row's outputs in a caller's array to zeros; `out` may be NULL. */
static void clear_row(const qrnn_run *run, float *out, size_t width, size_t row)
{
    const size_t step_stride = run->batch_first ? width : run->batch * width;
    const size_t row_stride = run->batch_first ? run->steps * width : width;
    for (size_t t = 0; out && t < run->steps; t++)
        memset(out + t * step_stride + row * row_stride, 0, width * sizeof(float));
}

void qrnn_pass_row(const qrnn_module *m, const qrnn_run *run, size_t row)
{
    const size_t state = m->state_size, n = m->hidden_size, width = m->directions * state;
    for (size_t place = 0, at = row; place < m->layers * m->directions; place++, at += run->batch) {
        const float *const h = m->learned_h ? m->learned_h + place * state : NULL;
        const float *const c = m->learned_c ? m->learned_c + place * n : NULL;
        copy_state(state, run->h ? run->h + at * state : h, run->h_out + at * state);
        if (m->kind->info.states == 2) copy_state(n, run->c ? run->c + at * n : c, run->c_out + at * n);
    }
    for (size_t layer = 0; run->below && layer + 1 < m->layers; layer++)
        clear_row(run, run->below + layer * run->steps * run->batch * width, width, row);
    clear_row(run, run->out, width, row);
}

void qrnn_clear_slopes(const qrnn_module *m, const qrnn_run *run)
{
    const size_t count = m->layers * m->directions * run->steps * run->batch;
    for (size_t i = 0; i < count; i++) run->slopes[i] = NAN;
}

size_t qrnn_group_rows(const qrnn_module *m, size_t batch)
{
    const size_t groups = (batch + QRNN_BLOCK_ROWS - 1) / QRNN_BLOCK_ROWS;
    return m->shares_scale ? batch : (batch + groups - 1) / groups;
}

size_t qrnn_chunk_rows(const qrnn_module *m, const qrnn_run *run, size_t rows)
{
    const size_t row_bytes = m->kind->info.gates * qrnn_round_up(m->hidden_size, QRNN_PANEL) * sizeof(float);
    const size_t later = m->layers > 1 ? m->directions * m->state_size : 1;
    const size_t inputs = m->input_size > later ? m->input_size : later, all = rows * run->steps;
    size_t most = QRNN_CHUNK_BYTES / row_bytes;
    most = most < QRNN_CHUNK_ROWS ? QRNN_CHUNK_ROWS : most;
    most = most > QRNN_CHUNK_INPUTS / inputs ? QRNN_CHUNK_INPUTS / inputs : most;
    most = most < QRNN_CHUNK_LEAST_ROWS ? QRNN_CHUNK_LEAST_ROWS : most;
    most = most > all ? all : most;
    return most < rows ? rows : most;
}

size_t qrnn_members(const qrnn_module *m, const qrnn_run *run, size_t group, size_t rows)
{
    const size_t blocks = qrnn_round_up(m->hidden_size, QRNN_PANEL) / QRNN_PANEL;
    const double row = (double)(m->kind->info.gates * m->hidden_size) * (double)m->state_size;
    const double step = row * (double)group;
    const double all = row * (double)rows * (double)run->steps;
    if (m->options.layer_norm > 0.0f) return 1; /* each end needs the sums over all units */
    if (run->threads < 2 || step < QRNN_TEAM_STEP_WORK || all < QRNN_TEAM_CALL_WORK) return 1;
    return run->threads < blocks ? run->threads : blocks;
}
