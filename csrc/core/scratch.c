/* scratch.c - a buffer for each thread, for calls whose working memory does not fit the stack. */
#include "module.h"
#include "system.h"

static QRNN_THREAD_LOCAL struct qrnn_arena arena;

/* Called when a thread ends. Other libraries' destructors may compute afterwards and get a new buffer; this is then
 * called again. */
static void release(void *memory)
{
    qrnn_memory_give(memory);
    arena = (struct qrnn_arena){NULL, 0};
}

/* Sets what release() gets when the thread ends. After the first success in a thread it cannot fail. */
static int set_release(void *memory)
{
    return qrnn_at_thread_end(memory, release);
}

/* Takes half as much again as asked for, so that a series of growing calls seldom reallocates. */
void *qrnn_scratch(size_t bytes)
{
    if (bytes <= arena.bytes) return arena.memory;
    const size_t wanted = qrnn_round_up(bytes + bytes / 2, QRNN_LINE);
    if (wanted < bytes) return NULL;
    void *memory = qrnn_memory_take(QRNN_LINE, wanted);
    if (!memory) return NULL;
    if (!set_release(memory)) {
        qrnn_memory_give(memory);
        return NULL;
    }
    qrnn_memory_give(arena.memory);
    arena = (struct qrnn_arena){memory, wanted};
    return memory;
}

void *qrnn_scratch_take(size_t bytes, struct qrnn_arena *taken)
{
    void *memory = qrnn_scratch(bytes);
    if (!memory) return NULL;
    *taken = arena;
    arena = (struct qrnn_arena){NULL, 0};
    set_release(NULL);
    return memory;
}

/* Keeps the larger of the two buffers for this thread, which frees it when it ends, and frees the other. */
void qrnn_scratch_give(struct qrnn_arena taken)
{
    if (taken.bytes > arena.bytes && set_release(taken.memory)) {
        const struct qrnn_arena spare = arena;
        arena = taken;
        taken = spare;
    }
    qrnn_memory_give(taken.memory);
}
