/* cells.c - one step of a cell, written once for all kinds: from the input's product and the state before to the state
 * after. Kinds differ in their row of kinds.def and in the element-wise end that it names (kernels/ends.def).
 *
 *   most kinds              W_hh h (+ ih) ----------------------------------------> end --> h', c'
 *   a projection            W_hh h (+ ih) --> end --> inner, c' --> W_hr inner ---> h'
 *   a GRU, reset before     W_hh h -----> reset --> inner = r*h --> W_hn inner ---> end --> h'
 */
#include "block.h"

/* Where an end writes the extents of the units in its slice. */
static struct qrnn_extent *own_extents(const struct qrnn_block *b, const struct qrnn_extents *extents)
{
    return extents->extent + b->slice * extents->rows;
}

QRNN_INLINE struct qrnn_end_args end_args(const struct qrnn_block *b, size_t rows, const float *ih)
{
    return (struct qrnn_end_args){
        .rows = rows,
        .first = b->first,
        .units = b->units,
        .ih = ih,
        .hh = b->hh_product,
        .inner = b->inner_product,
        .ih_stride = b->stride,
        .hh_stride = b->hh_stride,
        .inner_stride = b->inner_stride,
        .h = b->h_from,
        .c = b->c_from,
        .h_out = b->h_to,
        .c_out = b->c_to,
        .extent = b->after.extent && b->cell->hh.activations->most_code ? own_extents(b, &b->after) : NULL,
        .slopes = b->slopes,
        .options = &b->cell->options,
    };
}

/* The end that makes the kind's next state. */
static qrnn_end_kernel *kinds_end(const struct qrnn_block *b)
{
    return b->slopes ? b->m->sloped : b->m->end;
}

/* Multiplies h and applies the end. The product is added to `ih` in place, or kept in b->hh_product. */
QRNN_INLINE void multiply_and_end(const struct qrnn_block *b, size_t rows, float *ih, qrnn_end_kernel *end,
                                  const struct qrnn_end_args *e)
{
    const struct qrnn_cell *const cell = b->cell;
    const int apart = b->m->kind->hh_apart;
    const struct qrnn_product out = {
        rows, apart ? b->hh_product : ih, apart ? NULL : ih, b->acc_hh, b->hh_stride, b->backwards};
    if (rows == 1 && cell->row && !b->slopes) {
        cell->row(b->hh, &b->h.coded, &out, e);
        return;
    }
    cell->hh.multiply(b->hh, qrnn_inputs_of(&b->h, &cell->hh), &out);
    end(e);
}

/* Multiplies the values that an end has made. */
static void multiply_inner(struct qrnn_block *b, size_t rows)
{
    const struct qrnn_matrix *const matrix = &b->cell->inner;
    const struct qrnn_product out = {rows, b->inner_product, NULL, b->acc_inner, b->inner_stride, b->backwards};
    qrnn_block_meet(b);
    qrnn_encode(b->m, matrix, &b->inner, rows, b->m->hidden_size, (const float *const *)b->inner_rows,
                &b->inner_extents);
    matrix->multiply(b->inner_weights, qrnn_inputs_of(&b->inner, matrix), &out);
}

/* A step with two products: the end with the arguments `first` makes what the second one multiplies. */
static void step_in_two(struct qrnn_block *b, size_t rows, float *ih, struct qrnn_end_args *e)
{
    const qrnn_module *m = b->m;
    struct qrnn_end_args first = *e;
    first.h_out = b->inner_rows;
    first.extent = b->cell->inner.activations->most_code ? own_extents(b, &b->inner_extents) : NULL;
    multiply_and_end(b, rows, ih, m->proj_size ? kinds_end(b) : m->inner_end, &first);
    multiply_inner(b, rows);
    if (!m->proj_size) {
        kinds_end(b)(e);
        return;
    }
    e->ih = b->inner_product;
    e->ih_stride = b->inner_stride;
    e->first = b->inner_first;
    e->units = b->inner_units;
    m->proj_end(e);
}

void qrnn_cell_step(struct qrnn_block *b, size_t rows, float *ih)
{
    const qrnn_module *m = b->m;
    struct qrnn_end_args e = end_args(b, rows, ih);
    if (m->kind->info.states == 0)
        m->end(&e);
    else if (m->has_inner)
        step_in_two(b, rows, ih, &e);
    else
        multiply_and_end(b, rows, ih, kinds_end(b), &e);
}

void qrnn_cell_steps(const struct qrnn_block *b, size_t steps, ptrdiff_t h_stride)
{
    const struct qrnn_few_units few = {
        .units = b->m->hidden_size,
        .steps = steps,
        .ih = b->ih_product,
        .ih_stride = b->stride,
        .h = b->h_from[0],
        .c = b->c_from[0],
        .h_to = b->h_to[0],
        .c_to = b->c_to[0],
        .h_stride = h_stride,
    };
    b->cell->steps(b->hh, &few);
}
