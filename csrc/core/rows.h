/* rows.h - the order in which a sequence takes the rows of its batch: longest first, so that those that run at a time
 * are always the first ones. */
#ifndef QRNN_ROWS_H
#define QRNN_ROWS_H

#include "qrnn.h"

size_t qrnn_row_length(const qrnn_run *run, size_t row);
/* Sorts the n rows of `order`; `spare` has room for half of them. Rows of one length keep their order. */
void qrnn_sort_rows(const qrnn_run *run, size_t *order, size_t *spare, size_t n);
/* A row that takes no step: its final states are the initial ones, its outputs zeros. */
void qrnn_pass_row(const qrnn_module *m, const qrnn_run *run, size_t row);

#endif
