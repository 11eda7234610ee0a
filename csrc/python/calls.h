/* calls.h - the calls themselves: check, make room, compute.
 *
 * Arrays that are plain float32 are used without running Python code. Everything else is converted first (qrnn._arrays)
 * and then takes the same path. `values` are the parameters in the order of the signature, borrowed.
 */
#ifndef QRNN_CALLS_H
#define QRNN_CALLS_H

#include "module_object.h"

/* The multiply-adds from which a call releases the GIL. Releasing and taking it costs about 30 ns when no other thread
 * wants it, but up to a switch interval (5 ms) among threads that run Python, which is too much for calls of a
 * microsecond or two (2^18 take 6 to 17 microseconds with AVX2). */
#define THREADS_THRESHOLD 262144.0

/* input, out */
PyObject *call_linear(const struct callee *callee, PyObject *const *values);
/* input, hx, out */
PyObject *call_cell(const struct callee *callee, PyObject *const *values);
/* input, hx, lengths, out */
PyObject *call_sequence(const struct callee *callee, PyObject *const *values);
/* The same, with what happens inside the layers: (result, below, inner, slopes). */
PyObject *call_sequence_layers(const struct callee *callee, PyObject *const *values);

/* Sets the exception for a status other than QRNN_OK; `step` is a sequence's, or NULL. Returns -1. */
int call_raise(const struct callee *callee, qrnn_status status, const size_t *step);

static inline int call_end(const struct callee *callee, qrnn_status status)
{
    return status == QRNN_OK ? 0 : call_raise(callee, status, NULL);
}

#endif
