/* tuning.h - where the core changes its ways: sizes from which it works in pieces, on the heap, with
 * threads. They change no bit. With QRNN_SMALL_LIMITS, which tests define, small calls take every way. */
#ifndef QRNN_TUNING_H
#define QRNN_TUNING_H

#ifndef QRNN_SMALL_LIMITS
enum {
    QRNN_BLOCK_ROWS = 64,     /* rows worked on at a time: weights are then read often enough from cache */
    QRNN_STACK_BYTES = 8192,  /* working memory up to this is on the stack: one row of H = 1024 */
    /* Most bytes of the input's products of some steps, and most of their inputs, so that they share the
     * second-level cache with the weights, and that a few panels of them are no more work than a question
     * to stop may wait for; and the fewest rows. */
    QRNN_CHUNK_BYTES = 262144,
    QRNN_CHUNK_INPUTS = 131072,
    QRNN_CHUNK_LEAST_ROWS = 16,
    QRNN_HUGE_BYTES = 1 << 24, /* modules from here on ask for huge pages: smaller ones gained nothing sure */
    QRNN_HUGE_PAGE = 1 << 21,
    /* Multiply-adds of a step, and of a call, that are worth threads. */
    QRNN_TEAM_STEP_WORK = 1 << 17,
    QRNN_TEAM_CALL_WORK = 1 << 24,
    /* Work between two questions to qrnn_run.stop, in multiply-adds. Whatever the sizes, one of them as
     * counted takes at most 9 ns by the slowest kernels, so the questions are at most 20 ms apart. */
    QRNN_STOP_WORK = 1 << 21,
    /* What a thread that waits for others does before it sleeps: pauses, for as long as the members of a step
     * differ where each has a core (a few us), then yields, which let members without a core run: with pauses of
     * 150 us two on one core took 81 us for a step of 24. */
    QRNN_TEAM_SPINS = 128,
    QRNN_TEAM_YIELDS = 4096
};
#else
enum {
    QRNN_BLOCK_ROWS = 3,
    QRNN_STACK_BYTES = 64,
    QRNN_CHUNK_BYTES = 1024,
    QRNN_CHUNK_INPUTS = 256,
    QRNN_CHUNK_LEAST_ROWS = 2,
    QRNN_HUGE_BYTES = 4096,
    QRNN_HUGE_PAGE = 64, /* a line, so that what lies behind a module stays right behind it */
    QRNN_TEAM_STEP_WORK = 0,
    QRNN_TEAM_CALL_WORK = 0,
    QRNN_STOP_WORK = 512,
    QRNN_TEAM_SPINS = 4,
    QRNN_TEAM_YIELDS = 2
};
#endif

/* What counts as work beside the products: of a row in a step, and of each value that they make. */
enum { QRNN_STEP_WORK = 512, QRNN_VALUE_WORK = 32 };

#endif
