/* system_none.c - for programs without threads. There is one thread, which ends with the process, so a team is only its
 * caller. */
#include "system.h"

#if defined(QRNN_SYSTEM_NONE)
#include <stdlib.h>

void *qrnn_memory_take(size_t alignment, size_t bytes)
{
    return aligned_alloc(alignment, bytes);
}

void qrnn_memory_give(void *memory)
{
    free(memory);
}

void qrnn_memory_advise_huge(void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
}

int qrnn_at_thread_end(void *memory, void (*release)(void *memory))
{
    (void)memory;
    (void)release;
    return 1;
}

size_t qrnn_threads_start(qrnn_thread *threads, size_t count, void *(*body)(void *argument), void *argument)
{
    (void)threads;
    (void)count;
    (void)body;
    (void)argument;
    return 0;
}

void qrnn_thread_join(qrnn_thread thread)
{
    (void)thread;
}

void qrnn_thread_yield(void)
{
}

int qrnn_monitor_make(struct qrnn_monitor *monitor)
{
    (void)monitor;
    return 0;
}

void qrnn_monitor_end(struct qrnn_monitor *monitor)
{
    (void)monitor;
}

void qrnn_monitor_lock(struct qrnn_monitor *monitor)
{
    (void)monitor;
}

void qrnn_monitor_unlock(struct qrnn_monitor *monitor)
{
    (void)monitor;
}

void qrnn_monitor_wait(struct qrnn_monitor *monitor)
{
    (void)monitor;
}

void qrnn_monitor_wake_all(struct qrnn_monitor *monitor)
{
    (void)monitor;
}

long qrnn_process(void)
{
    return 0;
}
#else
typedef int qrnn_not_this_system; /* a file may not be empty */
#endif
