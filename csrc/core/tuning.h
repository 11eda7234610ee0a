/* tuning.h - where the core changes its ways: sizes from which it works in pieces, on the heap, with
 * threads. They change no bit. With QRNN_SMALL_LIMITS, which tests define, small calls take every way. */
#ifndef QRNN_TUNING_H
#define QRNN_TUNING_H

#ifndef QRNN_SMALL_LIMITS
enum {
    QRNN_BLOCK_ROWS = 64,     /* rows worked on at a time: weights are then read often enough from cache */
    QRNN_STACK_BYTES = 8192,  /* working memory up to this is on the stack: one row of H = 1024 */
    /* Most bytes of the input's products of some steps, so that they share the second-level cache with
     * the weights, and the fewest rows. */
    QRNN_CHUNK_BYTES = 262144,
    QRNN_CHUNK_LEAST_ROWS = 16,
    /* Multiply-adds of a step, and of a call, that are worth threads. */
    QRNN_TEAM_STEP_WORK = 1 << 17,
    QRNN_TEAM_CALL_WORK = 1 << 24,
    /* Multiply-adds between two questions to qrnn_run.stop: below 10 ms by the slowest kernels. */
    QRNN_STOP_WORK = 1 << 23
};
#else
enum {
    QRNN_BLOCK_ROWS = 3,
    QRNN_STACK_BYTES = 64,
    QRNN_CHUNK_BYTES = 1024,
    QRNN_CHUNK_LEAST_ROWS = 2,
    QRNN_TEAM_STEP_WORK = 0,
    QRNN_TEAM_CALL_WORK = 0,
    QRNN_STOP_WORK = 512
};
#endif

#endif
