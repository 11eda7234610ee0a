/* results.h - room for the result of a call, and what was computed on its way to the caller. */
#ifndef QRNN_RESULTS_H
#define QRNN_RESULTS_H

#include "numpy_api.h"

/* `array`, a reference, is computed; `out`, borrowed, is where the caller wants it, NULL for anywhere. They differ
 * where computing into `out` at once would go wrong. */
struct result {
    PyArrayObject *array, *out;
};

/* Makes room for a result, in `out` itself where it is given and `direct` says so. */
int result_open(struct result *r, PyObject *out, int direct, int ndim, const npy_intp *dims);
/* Brings what was computed to `out`. */
void result_finish(struct result *r);

#endif
