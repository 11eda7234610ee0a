/* scratch.c - a buffer a thread, for calls whose working memory does not fit the stack. */
#include "module.h"

#include <pthread.h>
#include <stdlib.h>

static _Thread_local struct qrnn_arena arena;
static pthread_key_t arena_key;
static pthread_once_t arena_once = PTHREAD_ONCE_INIT;
static int arena_key_made;

static void release(void *memory)
{
    free(memory);
}

static void make_key(void)
{
    arena_key_made = pthread_key_create(&arena_key, release) == 0;
}

/* Grows by half as much again, so a stream of growing calls reallocates seldom. */
void *qrnn_scratch(size_t bytes)
{
    if (bytes <= arena.bytes) return arena.memory;
    if (pthread_once(&arena_once, make_key) != 0 || !arena_key_made) return NULL;
    const size_t wanted = qrnn_round_up(bytes + bytes / 2, QRNN_LINE);
    if (wanted < bytes) return NULL;
    void *memory = aligned_alloc(QRNN_LINE, wanted);
    if (!memory) return NULL;
    if (pthread_setspecific(arena_key, memory) != 0) {
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
    pthread_setspecific(arena_key, NULL);
    return memory;
}

/* The larger of the two stays; it is this thread's, so a place for the key's value is there. */
void qrnn_scratch_give(struct qrnn_arena taken)
{
    if (taken.bytes > arena.bytes && pthread_setspecific(arena_key, taken.memory) == 0) {
        const struct qrnn_arena spare = arena;
        arena = taken;
        taken = spare;
    }
    free(taken.memory);
}
