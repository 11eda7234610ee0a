/* scratch.c - a buffer a thread, for calls whose working memory does not fit the stack. */
#include "module.h"

#include <pthread.h>
#include <stdlib.h>

static _Thread_local struct qrnn_arena arena;
static _Atomic(size_t) arena_key; /* a pthread key, plus 1; 0: none yet */

/* At a thread's end. Destructors of others may still compute in it: they get a new buffer, and this is
 * called again. */
static void release(void *memory)
{
    free(memory);
    arena = (struct qrnn_arena){NULL, 0};
}

/* One key a process: of threads that race for it one wins. 0 where there is none to be had. */
static size_t find_key(void)
{
    size_t known = atomic_load(&arena_key);
    pthread_key_t made;
    if (known || pthread_key_create(&made, release) != 0) return known;
    if (atomic_compare_exchange_strong(&arena_key, &known, (size_t)made + 1)) return (size_t)made + 1;
    pthread_key_delete(made);
    return known;
}

/* What release() gets at the thread's end; once a thread has set it, setting it again cannot fail. */
static int set_key(void *memory)
{
    const size_t key = find_key();
    return key && pthread_setspecific((pthread_key_t)(key - 1), memory) == 0;
}

/* Grows by half as much again, so a stream of growing calls reallocates seldom. */
void *qrnn_scratch(size_t bytes)
{
    if (bytes <= arena.bytes) return arena.memory;
    const size_t wanted = qrnn_round_up(bytes + bytes / 2, QRNN_LINE);
    if (wanted < bytes) return NULL;
    void *memory = aligned_alloc(QRNN_LINE, wanted);
    if (!memory) return NULL;
    if (!set_key(memory)) {
        free(memory);
        return NULL;
    }
    free(arena.memory);
    arena = (struct qrnn_arena){memory, wanted};
    return memory;
}

void *qrnn_scratch_take(size_t bytes, struct qrnn_arena *taken)
{
    void *memory = qrnn_scratch(bytes);
    if (!memory) return NULL;
    *taken = arena;
    arena = (struct qrnn_arena){NULL, 0};
    set_key(NULL);
    return memory;
}

/* The larger of the two stays; it is this thread's, so a place for the key's value is there. */
void qrnn_scratch_give(struct qrnn_arena taken)
{
    if (taken.bytes > arena.bytes && set_key(taken.memory)) {
        const struct qrnn_arena spare = arena;
        arena = taken;
        taken = spare;
    }
    free(taken.memory);
}
