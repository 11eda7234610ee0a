/* system_posix.c - Linux, macOS, BSD: pthreads. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* signal masks, processors and advice on memory, in strict C11 */
#endif

#include "system.h"

#if defined(QRNN_SYSTEM_POSIX)
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* --- memory --- */

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
#if defined(MADV_HUGEPAGE)
    (void)madvise(memory, bytes, MADV_HUGEPAGE); /* advice only: it may fail */
#else
    (void)memory;
    (void)bytes;
#endif
}

/* --- the end of a thread --- */

/* The process's one key, made at the first call; if threads race to make it, one wins. 0 if there is none. */
static size_t find_key(void (*release)(void *memory))
{
    static _Atomic(size_t) key; /* the key plus 1; 0: none yet */
    size_t known = atomic_load(&key);
    pthread_key_t made;
    if (known || pthread_key_create(&made, release) != 0) return known;
    if (atomic_compare_exchange_strong(&key, &known, (size_t)made + 1)) return (size_t)made + 1;
    pthread_key_delete(made);
    return known;
}

int qrnn_at_thread_end(void *memory, void (*release)(void *memory))
{
    const size_t key = find_key(release);
    return key && pthread_setspecific((pthread_key_t)(key - 1), memory) == 0;
}

/* --- threads --- */

/* Attributes that keep a new thread off the caller's processor. By default Linux often leaves both threads of a call of
 * a few milliseconds on one processor until it ends (RNN of 256 units, 32 rows: 24.6 us a step instead of 15). */
static pthread_attr_t *away_from_caller(pthread_attr_t *attributes)
{
    if (pthread_attr_init(attributes) != 0) return NULL; /* start it without attributes */
#if defined(__linux__) && defined(__GLIBC__) /* musl has no such attribute */
    cpu_set_t allowed;
    const int here = sched_getcpu();
    if (here >= 0 && here < CPU_SETSIZE && sched_getaffinity(0, sizeof allowed, &allowed) == 0) {
        CPU_CLR((size_t)here, &allowed);
        if (CPU_COUNT(&allowed) > 0) (void)pthread_attr_setaffinity_np(attributes, sizeof allowed, &allowed);
    }
#endif
    return attributes;
}

size_t qrnn_threads_start(qrnn_thread *threads, size_t count, void *(*body)(void *argument), void *argument)
{
    sigset_t all, before;
    pthread_attr_t memory, *const attributes = away_from_caller(&memory);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* new threads get no signals: the caller handles them */
    size_t started = 0;
    while (started < count && pthread_create(&threads[started], attributes, body, argument) == 0) started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (attributes) pthread_attr_destroy(attributes);
    return started;
}

void qrnn_thread_join(qrnn_thread thread)
{
    pthread_join(thread, NULL);
}

void qrnn_thread_yield(void)
{
    sched_yield();
}

int qrnn_monitor_make(struct qrnn_monitor *monitor)
{
    if (pthread_mutex_init(&monitor->mutex, NULL) != 0) return 0;
    if (pthread_cond_init(&monitor->woken, NULL) == 0) return 1;
    pthread_mutex_destroy(&monitor->mutex);
    return 0;
}

void qrnn_monitor_end(struct qrnn_monitor *monitor)
{
    pthread_cond_destroy(&monitor->woken);
    pthread_mutex_destroy(&monitor->mutex);
}

void qrnn_monitor_lock(struct qrnn_monitor *monitor)
{
    pthread_mutex_lock(&monitor->mutex);
}

void qrnn_monitor_unlock(struct qrnn_monitor *monitor)
{
    pthread_mutex_unlock(&monitor->mutex);
}

void qrnn_monitor_wait(struct qrnn_monitor *monitor)
{
    pthread_cond_wait(&monitor->woken, &monitor->mutex);
}

void qrnn_monitor_wake_all(struct qrnn_monitor *monitor)
{
    pthread_cond_broadcast(&monitor->woken);
}

long qrnn_process(void)
{
    return (long)getpid();
}
#else
typedef int qrnn_not_this_system; /* a file may not be empty */
#endif
