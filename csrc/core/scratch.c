/* scratch.c - a buffer a thread, for calls whose working memory does not fit the stack. */
#include "module.h"

#include <pthread.h>
#include <stdlib.h>

struct arena {
    void *memory;
    size_t bytes;
};

static _Thread_local struct arena arena;
static _Atomic(size_t) arena_key; /* a pthread key, plus 1; 0: none yet */

/* At a thread's end. Destructors of others may still compute in it: they get a new buffer, and this is
 * called again. */
static void release(void *memory)
{
    free(memory);
    arena = (struct arena){NULL, 0};
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

/* Grows by half as much again, so a stream of growing calls reallocates seldom. */
void *qrnn_scratch(size_t bytes)
{
    if (bytes <= arena.bytes) return arena.memory;
    const size_t key = find_key();
    if (!key) return NULL;
    const size_t wanted = qrnn_round_up(bytes + bytes / 2, QRNN_LINE);
    if (wanted < bytes) return NULL;
    void *memory = aligned_alloc(QRNN_LINE, wanted);
    if (!memory) return NULL;
    if (pthread_setspecific((pthread_key_t)(key - 1), memory) != 0) {
        free(memory);
        return NULL;
    }
    free(arena.memory);
    arena = (struct arena){memory, wanted};
    return memory;
}
