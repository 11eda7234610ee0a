/* rows.h - the order in which a sequence takes the rows of its batch: longest first, so that those that run at a time
 * are always the first ones. */
#ifndef QRNN_ROWS_H
#define QRNN_ROWS_H

#include "qrnn.h"

/* `order`: the rows of the batch, those of one length in the caller's order; `lengths`: theirs. Each of the three has
 * room for the batch. */
void qrnn_order_rows(const qrnn_run *run, size_t *order, size_t *lengths, size_t *spare);
/* A row that takes no step: its final states are the initial ones, its outputs zeros. */
void qrnn_pass_row(const qrnn_module *m, const qrnn_run *run, size_t row);
/* Of all steps: NaN, until they are there. */
void qrnn_clear_slopes(const qrnn_module *m, const qrnn_run *run);

/* Groups of even size, none above QRNN_BLOCK_ROWS where the engine allows it. */
size_t qrnn_group_rows(const qrnn_module *m, size_t batch);
/* How many threads the call of `rows` rows is worth: none below a length that pays for starting them, nor for steps
 * that take less than meeting does. */
size_t qrnn_members(const qrnn_module *m, const qrnn_run *run, size_t group, size_t rows);

#endif
