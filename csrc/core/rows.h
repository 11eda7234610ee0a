/* rows.h - the order in which a sequence computes the rows of its batch: longest first. The rows that take part in a
 * step are then always the first ones. */
#ifndef QRNN_ROWS_H
#define QRNN_ROWS_H

#include "qrnn.h"

/* Sets `order` to the rows of the batch, longest first; rows of equal length keep the caller's order. Sets `lengths` to
 * their lengths. `spare` is working memory. Each array has room for the whole batch. */
void qrnn_order_rows(const qrnn_run *run, size_t *order, size_t *lengths, size_t *spare);
/* Finishes a row of length 0: its final states are the initial ones, its outputs are zeros. */
void qrnn_pass_row(const qrnn_module *m, const qrnn_run *run, size_t row);
/* Sets the slopes of all steps to NaN; the steps that are computed overwrite theirs. */
void qrnn_clear_slopes(const qrnn_module *m, const qrnn_run *run);

/* How many rows a group has: groups are about equal, with at most QRNN_BLOCK_ROWS rows each. Where rows share a scale
 * there is one group. */
size_t qrnn_group_rows(const qrnn_module *m, size_t batch);
/* How many threads compute a call of `rows` rows. It is 1 where a call is too short to pay for starting threads, or a
 * step takes less time than a meeting of threads. */
size_t qrnn_members(const qrnn_module *m, const qrnn_run *run, size_t group, size_t rows);

/* The most input rows of a chunk of steps of `rows` rows: as many as the cache holds, but at least those of a step. */
size_t qrnn_chunk_rows(const qrnn_module *m, const qrnn_run *run, size_t rows);

#endif
