/* calls.h - the calls themselves: check, make room, compute.
 *
 * Arrays that are plain float32 already meet no Python code. Everything else is converted first (qrnn._arrays), then
 * takes the same way. `values` are the parameters in the order of the signature, borrowed.
 */
#ifndef QRNN_CALLS_H
#define QRNN_CALLS_H

#include "module_object.h"

/* Multiply-adds from which a call lets other threads run. Giving the GIL up and taking it back costs some 30 ns alone,
 * but among threads that run Python it can cost a switch interval (5 ms): too much for calls of a microsecond or two.
 * 2^18 take 6 to 17 microseconds with AVX2. */
#define THREADS_THRESHOLD 262144.0

/* input, out */
PyObject *call_linear(const struct callee *callee, PyObject *const *values);
/* input, hx, out */
PyObject *call_cell(const struct callee *callee, PyObject *const *values);
/* input, hx, lengths, out */
PyObject *call_sequence(const struct callee *callee, PyObject *const *values);
/* The same, and the outputs of the layers below the last: a pair. */
PyObject *call_sequence_layers(const struct callee *callee, PyObject *const *values);

/* The exception of a status other than QRNN_OK; `step` is a sequence's, or NULL. Returns -1. */
int call_raise(const struct callee *callee, qrnn_status status, const size_t *step);

#endif
