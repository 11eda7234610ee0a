/* tuning.h - the sizes from which the core works in pieces, on the heap, or with threads. They change no bit of a
 * result. Tests define QRNN_SMALL_LIMITS, so that small calls take every path. */
#ifndef QRNN_TUNING_H
#define QRNN_TUNING_H

#ifndef QRNN_SMALL_LIMITS
enum {
    QRNN_BLOCK_ROWS = 64,     /* rows computed at a time; each weight read from memory is then used for enough rows */
    QRNN_STACK_BYTES = 8192,  /* working memory up to this size is on the stack: enough for one row of H = 1024 */
    /* Limits of a chunk, the steps whose input products are computed at once: bytes of products, and number of inputs.
     * Within them a chunk shares the second-level cache with the weights, and a few panels of it take no longer than a
     * question to stop may wait. QRNN_CHUNK_ROWS are computed at once whatever bytes their products take, since weights
     * beyond that cache are read once for all of them (with 16 rows LSTM sequences of H = 1024 took 1.13 of the time at
     * batch 4, of 2048 1.03 to 1.05 at batch 1 and 1.02 to 1.12 at 4: Xeon, 2 MiB). The last is the least number of rows. */
    QRNN_CHUNK_BYTES = 262144,
    QRNN_CHUNK_ROWS = 64,
    QRNN_CHUNK_INPUTS = 131072,
    QRNN_CHUNK_LEAST_ROWS = 16,
    QRNN_HUGE_BYTES = 1 << 24, /* modules of at least this size ask for huge pages (smaller ones gained nothing
                                  measurable) */
    QRNN_HUGE_PAGE = 1 << 21,
    /* The least multiply-adds of a step, and of a call, for which threads pay. */
    QRNN_TEAM_STEP_WORK = 1 << 17,
    QRNN_TEAM_CALL_WORK = 1 << 24,
    /* The least multiply-adds of codes for which a linear or a single step is shared among threads, and the fewest rows
     * of a thread. One of floats counts as QRNN_FLOAT_WORK of them. At the bound two threads take 0.81 of the time of one
     * (Linear(1024, 1024), 128 rows), with half the rows 1.03, with a quarter 1.67; 32 rows of floats take 0.80 (Xeon,
     * two cores, idle). */
    QRNN_TEAM_ROWS_WORK = 1 << 27,
    QRNN_TEAM_ROWS = 16,
    /* Multiply-adds between two questions to qrnn_run.stop. One of them, as counted, takes at most 9 ns with the
     * slowest kernels, whatever the sizes, so the questions are at most 20 ms apart. */
    QRNN_STOP_WORK = 1 << 21,
    /* How a thread waits for the others before it sleeps. First it pauses, for about as long as members differ in a
     * step when each has a core (some us). Then it yields, so that members without a core can run (two members on one
     * core took 81 us for a step of 24 us with pauses of 150 us). */
    QRNN_TEAM_SPINS = 128,
    QRNN_TEAM_YIELDS = 4096
};
#else
enum {
    QRNN_BLOCK_ROWS = 3,
    QRNN_STACK_BYTES = 64,
    QRNN_CHUNK_BYTES = 1024,
    QRNN_CHUNK_ROWS = 2,
    QRNN_CHUNK_INPUTS = 256,
    QRNN_CHUNK_LEAST_ROWS = 2,
    QRNN_HUGE_BYTES = 4096,
    QRNN_HUGE_PAGE = 64, /* a cache line: what lies behind a module follows it directly */
    QRNN_TEAM_STEP_WORK = 0,
    QRNN_TEAM_CALL_WORK = 0,
    QRNN_TEAM_ROWS_WORK = 0,
    QRNN_TEAM_ROWS = 1,
    QRNN_STOP_WORK = 512,
    QRNN_TEAM_SPINS = 4,
    QRNN_TEAM_YIELDS = 2
};
#endif

/* Multiply-adds of codes that take the time of one of floats. */
enum { QRNN_FLOAT_WORK = 4 };

/* Work beside the products, in multiply-adds: for a row in a step, and for each value of its products. */
enum { QRNN_STEP_WORK = 512, QRNN_VALUE_WORK = 32 };

#endif
