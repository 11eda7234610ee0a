/* cells.c - one call: encode the activations, multiply, finish. And the table of cells.
 *
 *   x, h --encode--> codes, scales --product--> pre = dq(W_ih x) + dq(W_hh h) --finish--> h'
 *
 * A call works through its batch in blocks of rows, so its working memory is bounded. An engine with
 * one scale for the whole batch takes the range over all of it first; there a call can fail, before
 * anything is written. In an engine with a scale for each row, a row that is not finite gets the scale
 * NaN: every output of that row is NaN, and no other row is touched.
 */
#include "module.h"

#include <math.h>
#include <string.h>

enum {
    BLOCK_ROWS = 64,          /* rows of a block: above 16, weights are read from cache often enough */
    STACK_BYTES = 8192        /* working memory up to this is on the stack: one row of H = 1024 */
};

/* The activations of a block that meet one matrix: floats, or codes with scale and zero point a row. */
struct operand {
    const struct qrnn_matrix *matrix;
    const float *rows;        /* of the block; NULL: zeros */
    size_t stride;
    struct qrnn_act whole;    /* engines with one scale for the batch */
    struct qrnn_act *act;     /* [BLOCK_ROWS] */
    uint8_t *codes;           /* [BLOCK_ROWS][code_stride] */
    size_t code_stride;
    float *zeros;             /* float modules: a row for `rows == NULL` */
};

/* Working memory of a block. */
struct block {
    struct operand x, h;
    float *pre;               /* [BLOCK_ROWS][stride] */
    int32_t *acc_ih, *acc_hh; /* the same, for the test door */
    size_t stride;
};

/* Cuts `bytes` off the memory at *next, on a line. The memory may prove too small, or be unused: pointers
 * are made before the sum is known. */
static void *cut(unsigned char **next, size_t *total, size_t bytes)
{
    const uintptr_t at = (uintptr_t)*next;
    bytes = qrnn_round_up(bytes, QRNN_LINE);
    *next = (unsigned char *)(at + bytes);
    *total += bytes;
    return (void *)at;
}

static void lay_out_operand(const qrnn_module *m, int matrix, size_t rows, struct operand *o,
                            unsigned char **next, size_t *total)
{
    o->matrix = &m->matrix[matrix];
    const size_t cols = o->matrix->panels.cols;
    if (m->engine->quantised) {
        o->code_stride = qrnn_round_up(cols, QRNN_LINE);
        o->act = cut(next, total, rows * sizeof *o->act);
        o->codes = cut(next, total, rows * o->code_stride);
    } else {
        o->zeros = cut(next, total, cols * sizeof(float));
    }
}

/* Bytes that a block of `rows` takes; sets its pointers. */
static size_t lay_out(const qrnn_module *m, size_t rows, int door, struct block *b, unsigned char *memory)
{
    size_t total = 0;
    const int recurrent = qrnn_cells[m->kind].recurrent;
    b->stride = m->matrix[0].panels.count * QRNN_PANEL;
    lay_out_operand(m, 0, rows, &b->x, &memory, &total);
    if (recurrent) lay_out_operand(m, 1, rows, &b->h, &memory, &total);
    b->pre = cut(&memory, &total, rows * b->stride * sizeof(float));
    b->acc_ih = b->acc_hh = NULL;
    if (door && m->engine->quantised) {
        b->acc_ih = cut(&memory, &total, rows * b->stride * sizeof(int32_t));
        if (recurrent) b->acc_hh = cut(&memory, &total, rows * b->stride * sizeof(int32_t));
    }
    return total;
}

/* One scale for `n` values; 0 if one of them is not finite. No values, or v == NULL: as zeros. */
static int choose_whole(const qrnn_module *m, const float *v, size_t n, struct qrnn_act *act)
{
    float lo = 0.0f, hi = 0.0f;
    if (v && n > 0 && !m->kernels.range(v, n, &lo, &hi)) return 0;
    m->engine->choose(lo, hi, act);
    return 1;
}

/* Codes of `batch` rows, in scales as the engine has them. */
static void encode(const qrnn_module *m, struct operand *o, size_t batch)
{
    const struct qrnn_engine *engine = m->engine;
    const size_t cols = o->matrix->panels.cols;
    if (!engine->quantised) {
        if (!o->rows) memset(o->zeros, 0, cols * sizeof(float));
        return;
    }
    for (size_t i = 0; i < batch; i++) {
        uint8_t *const codes = o->codes + i * o->code_stride;
        const float *const row = o->rows ? o->rows + i * o->stride : NULL;
        o->act[i] = o->whole;
        if (engine->per_row && !choose_whole(m, row, cols, &o->act[i])) {
            o->act[i] = (struct qrnn_act){NAN, 0.0f, 0};
            memset(codes, 0, o->code_stride);
        } else if (row) {
            m->kernels.quantise(row, cols, &o->act[i], engine->rounding, codes);
        } else {
            memset(codes, o->act[i].zero_point, o->code_stride);
        }
    }
}

static void multiply(const qrnn_module *m, const struct operand *o, size_t batch, const float *add,
                     float *y, int32_t *acc, size_t stride)
{
    const struct qrnn_product out = {batch, y, add, acc, stride};
    if (m->engine->quantised)
        m->kernels.product_u8s8(&o->matrix->panels, o->codes, o->code_stride, o->act, &out);
    else
        m->kernels.product_f32(&o->matrix->panels, o->rows ? o->rows : o->zeros, o->rows ? o->stride : 0,
                               &out);
}

/* pre = dq(W_ih x) (+ dq(W_hh h)) of the block's rows. */
static void pre_activations(const qrnn_module *m, struct block *b, size_t batch)
{
    const int recurrent = qrnn_cells[m->kind].recurrent;
    encode(m, &b->x, batch);
    if (recurrent) encode(m, &b->h, batch); /* beside x's: two chains through a division overlap */
    multiply(m, &b->x, batch, NULL, b->pre, b->acc_ih, b->stride);
    if (!recurrent) return;
    multiply(m, &b->h, batch, b->pre, b->pre, b->acc_hh, b->stride);
}

static void copy_rows(const void *from, size_t stride, size_t rows, size_t n, void *to)
{
    if (!to || !from) return;
    for (size_t i = 0; i < rows; i++)
        memcpy((char *)to + i * n * sizeof(float), (const char *)from + i * stride * sizeof(float),
               n * sizeof(float));
}

/* --- the table of cells --- */

static void apply_rows(void (*f)(const float *, float *, size_t), size_t rows, const float *pre,
                       size_t stride, size_t n, float *out)
{
    if (stride == n) {
        f(pre, out, rows * n);
        return;
    }
    for (size_t i = 0; i < rows; i++) f(pre + i * stride, out + i * n, n);
}

/* h' = tanh(pre) */
static void finish_tanh(const qrnn_module *m, size_t rows, const float *pre, size_t stride, float *h_out)
{
    apply_rows(m->kernels.map[m->engine->tanh], rows, pre, stride, m->hidden_size, h_out);
}

/* h' = max(0, pre) */
static void finish_relu(const qrnn_module *m, size_t rows, const float *pre, size_t stride, float *h_out)
{
    apply_rows(m->kernels.map[QRNN_RELU], rows, pre, stride, m->hidden_size, h_out);
}

/* y = pre */
static void finish_linear(const qrnn_module *m, size_t rows, const float *pre, size_t stride, float *out)
{
    copy_rows(pre, stride, rows, m->hidden_size, out);
}

const struct qrnn_cell qrnn_cells[QRNN_KINDS] = {
    [QRNN_LINEAR] = {1, 0, finish_linear},
    [QRNN_RNN_TANH] = {1, 1, finish_tanh},
    [QRNN_RNN_RELU] = {1, 1, finish_relu},
};

/* --- calls --- */

/* What a call gives back: new states, or, at the test door, what is before them. */
struct results {
    float *out;
    int32_t *acc_ih, *acc_hh;
    float *pre;
};

static void finish_block(const qrnn_module *m, const struct block *b, size_t first, size_t batch,
                         const struct results *to)
{
    const size_t rows = m->matrix[0].panels.rows;
    if (!to->out) {
        copy_rows(b->acc_ih, b->stride, batch, rows, to->acc_ih ? to->acc_ih + first * rows : NULL);
        copy_rows(b->acc_hh, b->stride, batch, rows, to->acc_hh ? to->acc_hh + first * rows : NULL);
        copy_rows(b->pre, b->stride, batch, rows, to->pre + first * rows);
        return;
    }
    qrnn_cells[m->kind].finish(m, batch, b->pre, b->stride, to->out + first * m->hidden_size);
}

static void run_blocks(const qrnn_module *m, struct block *b, size_t batch, const float *x, const float *h,
                       const struct results *to)
{
    b->x.stride = m->input_size;
    b->h.stride = m->hidden_size;
    for (size_t first = 0; first < batch; first += BLOCK_ROWS) {
        const size_t rows = batch - first < BLOCK_ROWS ? batch - first : BLOCK_ROWS;
        b->x.rows = x + first * m->input_size;
        b->h.rows = h ? h + first * m->hidden_size : NULL;
        pre_activations(m, b, rows);
        finish_block(m, b, first, rows, to);
    }
}

static qrnn_status run(const qrnn_module *m, size_t batch, const float *x, const float *h,
                       const struct results *to)
{
    _Alignas(QRNN_LINE) unsigned char stack[STACK_BYTES];
    struct block b;
    const size_t rows = batch < BLOCK_ROWS ? batch : BLOCK_ROWS;
    const size_t bytes = lay_out(m, rows, !to->out, &b, stack);
    if (bytes > sizeof stack) {
        void *const memory = qrnn_scratch(bytes);
        if (!memory) return QRNN_ERR_MEMORY;
        lay_out(m, rows, !to->out, &b, memory);
    }

    qrnn_status status = QRNN_OK;
    const uint32_t fp = qrnn_fp_enter();
    if (m->engine->quantised && !m->engine->per_row) {
        if (!choose_whole(m, x, batch * m->input_size, &b.x.whole))
            status = QRNN_ERR_INPUT_RANGE;
        else if (qrnn_cells[m->kind].recurrent
                 && !choose_whole(m, h, batch * m->hidden_size, &b.h.whole))
            status = QRNN_ERR_HIDDEN_RANGE;
    }
    if (status == QRNN_OK) run_blocks(m, &b, batch, x, h, to);
    qrnn_fp_leave(fp);
    return status;
}

qrnn_status qrnn_linear(const qrnn_module *m, size_t batch, const float *x, float *y)
{
    const struct results to = {.out = y};
    return run(m, batch, x, NULL, &to);
}

qrnn_status qrnn_step(const qrnn_module *m, size_t batch, const float *x, const float *h, float *h_out)
{
    const struct results to = {.out = h_out};
    return run(m, batch, x, h, &to);
}

qrnn_status qrnn_gates(const qrnn_module *m, size_t batch, const float *x, const float *h,
                       int32_t *acc_ih, int32_t *acc_hh, float *pre)
{
    const struct results to = {NULL, acc_ih, acc_hh, pre};
    return run(m, batch, x, h, &to);
}

qrnn_status qrnn_quantise(const char *engine_name, const char *isa, size_t batch, size_t n, const float *v,
                          uint8_t *codes, float *scale, int32_t *zero_point)
{
    qrnn_module m = {.engine = qrnn_engine_find(engine_name)};
    if (!m.engine || !m.engine->quantised) return QRNN_ERR_ENGINE;
    if (!qrnn_kernels_init(&m.kernels, isa)) return QRNN_ERR_ISA;
    struct qrnn_act act[1];
    struct qrnn_matrix matrix = {.panels = {.cols = n}};
    struct operand o = {.matrix = &matrix, .stride = n, .act = act, .code_stride = qrnn_round_up(n, QRNN_LINE)};
    o.codes = qrnn_scratch(o.code_stride + QRNN_LINE);
    if (!o.codes) return QRNN_ERR_MEMORY;

    qrnn_status status = QRNN_OK;
    const uint32_t fp = qrnn_fp_enter();
    if (!m.engine->per_row && !choose_whole(&m, v, batch * n, &o.whole)) status = QRNN_ERR_INPUT_RANGE;
    for (size_t i = 0; i < batch && status == QRNN_OK; i++) {
        o.rows = v + i * n;
        encode(&m, &o, 1);
        memcpy(codes + i * n, o.codes, n);
        scale[i] = act[0].scale;
        zero_point[i] = act[0].zero_point;
    }
    qrnn_fp_leave(fp);
    return status;
}

qrnn_status qrnn_apply(qrnn_function f, const char *isa, size_t n, const float *x, float *y)
{
    struct qrnn_kernels k;
    if (!qrnn_kernels_init(&k, isa)) return QRNN_ERR_ISA;
    const uint32_t fp = qrnn_fp_enter();
    k.map[f](x, y, n);
    qrnn_fp_leave(fp);
    return QRNN_OK;
}
