/* results.h - makes room for the result of a call, and hands the result to the caller. */
#ifndef QRNN_RESULTS_H
#define QRNN_RESULTS_H

#include "numpy_api.h"

/* `array`, a reference, is the array that is computed; `out`, borrowed, is the caller's array for the result, or NULL.
 * They differ if it would be wrong to compute into `out` directly. */
struct result {
    PyArrayObject *array, *out;
};

/* Makes room for a result: in `out` itself if it is given and `direct` is set. */
int result_open(struct result *r, PyObject *out, int direct, int ndim, const npy_intp *dims);
/* Copies the computed result to `out` if it is not there yet. */
void result_finish(struct result *r);

#endif
