/* standalone.c - functions without a module: activation codes and element-wise functions. */
#include "block.h"

/* Makes activation codes of a few rows at a time, by the code of a real call. */
struct coder {
    const qrnn_module *m;
    struct qrnn_matrix matrix;
    struct qrnn_operand operand; /* codes of the last rows */
    struct qrnn_act act[QRNN_CODED_ROWS]; /* their scales and zero points */
    struct qrnn_act given;    /* the scale of all rows, where they share one */
};

/* Opens a coder for the rows of v; `room` holds the codes of some of them. */
static qrnn_status coder_open(struct coder *c, const qrnn_module *m, size_t batch, size_t n, const float *v,
                              uint8_t *room)
{
    const struct qrnn_activations *const activations = qrnn_activations_row(m->engine->activations);
    c->m = m;
    c->matrix = (struct qrnn_matrix){.activations = activations, .encode = m->kernels.encode[activations->format]};
    c->operand = (struct qrnn_operand){.act = c->act, .codes = room, .coded.stride = qrnn_code_stride(activations, n)};
    if (!qrnn_activations_share_scale(activations)) return QRNN_OK;
    c->operand.given = &c->given;
    return qrnn_choose_scale(m, activations, batch * n, v, &c->given) ? QRNN_OK : QRNN_ERR_INPUT_RANGE;
}

/* Encodes some of the next `left` rows, which begin at v; returns how many. */
static size_t code_rows(struct coder *c, size_t left, size_t n, const float *v)
{
    const float *row[QRNN_CODED_ROWS];
    const size_t rows = left < QRNN_CODED_ROWS ? left : QRNN_CODED_ROWS;
    for (size_t i = 0; i < rows; i++) row[i] = v + i * n;
    qrnn_encode(c->m, &c->matrix, &c->operand, rows, n, row, NULL);
    return rows;
}

/* The codes of row r of the last rows; *low becomes their second plane, or NULL if there is one plane. */
static const uint8_t *planes_of(const struct coder *c, size_t r, const uint8_t **low)
{
    const size_t stride = c->operand.coded.stride;
    const uint8_t *const codes = c->operand.codes + r * stride;
    *low = c->matrix.activations->planes == 1 ? NULL : codes + stride / 2;
    return codes;
}

static void read_codes(const struct coder *c, size_t n, size_t r, int16_t *to)
{
    const uint8_t *low, *const codes = planes_of(c, r, &low);
    for (size_t k = 0; k < n; k++) to[k] = codes[k];
    for (size_t k = 0; low && k < n; k++) to[k] = (int16_t)((to[k] << QRNN_PLANE_BITS) + low[k]);
}

/* Writes the values that row r of the last rows stands for, times `root`; returns a bound of their sizes. */
static float read_values(const struct coder *c, size_t n, size_t r, float root, float *to)
{
    const struct qrnn_act *const act = &c->act[r];
    const struct qrnn_decoding by = {(float)act->zero_point, c->m->engine->factor(act->scale), root};
    const uint8_t *low, *const codes = planes_of(c, r, &low);
    c->m->kernels.decode(n, codes, low, &by, to);
    return root * ((float)c->matrix.activations->most_code * by.factor);
}

size_t qrnn_codes_room(size_t n)
{
    return QRNN_CODED_ROWS * (QRNN_MOST_PLANES * qrnn_round_up(n, QRNN_LINE) + QRNN_LINE);
}

/* Finds engine and kernels, and working memory for the codes of some rows of n values. */
static qrnn_status open_standalone(const char *engine, const char *isa, qrnn_module *m, size_t batch, size_t n,
                                   uint8_t **room)
{
    *m = (qrnn_module){.engine = qrnn_engine_find(engine)};
    if (!m->engine || !m->engine->info.quantized) return QRNN_ERR_ENGINE;
    if (!qrnn_kernels_init(&m->kernels, isa)) return QRNN_ERR_ISA;
    if (n >= SIZE_MAX / 64 / (batch | 1)) return QRNN_ERR_MEMORY;
    *room = qrnn_scratch(qrnn_codes_room(n));
    return *room ? QRNN_OK : QRNN_ERR_MEMORY;
}

qrnn_status qrnn_quantize(const char *engine, const char *isa, size_t batch, size_t n, const float *v, int16_t *codes,
                          float *scale, int32_t *zero_point)
{
    struct coder c;
    qrnn_module m;
    uint8_t *room;
    if (batch && ((n && (!v || !codes)) || !scale || !zero_point)) return QRNN_ERR_NULL;
    qrnn_status status = open_standalone(engine, isa, &m, batch, n, &room);
    if (status != QRNN_OK) return status;
    const uint32_t fp = qrnn_fp_enter();
    status = coder_open(&c, &m, batch, n, v, room);
    for (size_t i = 0, rows; status == QRNN_OK && i < batch; i += rows) {
        rows = code_rows(&c, batch - i, n, v + i * n);
        for (size_t r = 0; r < rows; r++) {
            read_codes(&c, n, r, codes + (i + r) * n);
            scale[i + r] = c.act[r].scale;
            zero_point[i + r] = c.act[r].zero_point;
        }
    }
    qrnn_fp_leave(fp);
    return status;
}

void qrnn_see_rows(const qrnn_module *m, size_t rows, size_t n, const float *const *v, const float *roots, float *seen,
                   float *bounds, uint8_t *room)
{
    struct coder c;
    coder_open(&c, m, 0, n, NULL, room);
    for (size_t i = 0; i < rows; i += QRNN_CODED_ROWS) {
        const size_t some = rows - i < QRNN_CODED_ROWS ? rows - i : QRNN_CODED_ROWS;
        qrnn_encode(m, &c.matrix, &c.operand, some, n, v + i, NULL);
        for (size_t r = 0; r < some; r++) bounds[i + r] = read_values(&c, n, r, roots[i + r], seen + (i + r) * n);
    }
}

qrnn_status qrnn_seen(const char *engine, const char *isa, size_t batch, size_t n, const float *v, float *seen)
{
    struct coder c;
    qrnn_module m;
    uint8_t *room;
    if (batch && n && (!v || !seen)) return QRNN_ERR_NULL;
    qrnn_status status = open_standalone(engine, isa, &m, batch, n, &room);
    if (status != QRNN_OK) return status;
    const uint32_t fp = qrnn_fp_enter();
    status = coder_open(&c, &m, batch, n, v, room);
    for (size_t i = 0, rows; status == QRNN_OK && i < batch; i += rows) {
        rows = code_rows(&c, batch - i, n, v + i * n);
        for (size_t r = 0; r < rows; r++) read_values(&c, n, r, 1.0f, seen + (i + r) * n);
    }
    qrnn_fp_leave(fp);
    return status;
}

qrnn_status qrnn_apply(qrnn_function f, const char *isa, size_t n, const float *x, float *y)
{
    struct qrnn_kernels k;
    if ((unsigned)f >= QRNN_FUNCTIONS) return QRNN_ERR_KIND;
    if (n && (!x || !y)) return QRNN_ERR_NULL;
    if (!qrnn_kernels_init(&k, isa)) return QRNN_ERR_ISA;
    const uint32_t fp = qrnn_fp_enter();
    k.map[f](x, y, n);
    qrnn_fp_leave(fp);
    return QRNN_OK;
}
