/* system.h - what the core needs from an operating system: aligned memory, the end of a thread, and threads that wait
 * for each other. Each system has a file: system_posix.c, system_windows.c, and system_none.c for programs without
 * threads, which QRNN_NO_THREADS or WebAssembly selects. */
#ifndef QRNN_SYSTEM_H
#define QRNN_SYSTEM_H

#include <stddef.h>

#if defined(QRNN_NO_THREADS) || (defined(__wasm__) && !defined(_REENTRANT))
#define QRNN_SYSTEM_NONE 1
#elif defined(_WIN32)
#define QRNN_SYSTEM_WINDOWS 1
#else
#define QRNN_SYSTEM_POSIX 1
#include <pthread.h>
#endif

#if defined(QRNN_SYSTEM_POSIX)
#define QRNN_THREAD_LOCAL _Thread_local
typedef pthread_t qrnn_thread;
/* A mutex with a condition variable. */
struct qrnn_monitor {
    pthread_mutex_t mutex;
    pthread_cond_t woken;
};
#elif defined(QRNN_SYSTEM_WINDOWS)
#define QRNN_THREAD_LOCAL _Thread_local
typedef void *qrnn_thread; /* HANDLE */
struct qrnn_monitor {
    void *mutex, *woken; /* SRWLOCK, CONDITION_VARIABLE */
};
#else
#define QRNN_THREAD_LOCAL
typedef int qrnn_thread;
struct qrnn_monitor {
    int unused;
};
#endif

/* Allocates memory at a multiple of `alignment`, a power of two; NULL if there is none. `bytes` has to be a multiple of
 * `alignment`. Only qrnn_memory_give frees it, and takes NULL too. */
void *qrnn_memory_take(size_t alignment, size_t bytes);
void qrnn_memory_give(void *memory);
/* Advises the system to use huge pages for this memory. */
void qrnn_memory_advise_huge(void *memory, size_t bytes);

/* Has release(memory) called when the calling thread ends; `memory` NULL cancels that. All calls in a process pass the
 * same `release`. Returns 0 on failure; after the first success in a thread it does not fail there again. */
int qrnn_at_thread_end(void *memory, void (*release)(void *memory));

/* Starts threads[0..count) with body(argument), on other processors than the caller's if there are any. Returns how
 * many were started. They get no signals. */
size_t qrnn_threads_start(qrnn_thread *threads, size_t count, void *(*body)(void *argument), void *argument);
void qrnn_thread_join(qrnn_thread thread);
void qrnn_thread_yield(void);

/* Returns 0 on failure. */
int qrnn_monitor_make(struct qrnn_monitor *monitor);
void qrnn_monitor_end(struct qrnn_monitor *monitor);
void qrnn_monitor_lock(struct qrnn_monitor *monitor);
void qrnn_monitor_unlock(struct qrnn_monitor *monitor);
/* The monitor is locked before and after. May return without having been woken. */
void qrnn_monitor_wait(struct qrnn_monitor *monitor);
void qrnn_monitor_wake_all(struct qrnn_monitor *monitor);

/* A number that differs between a process and its forked children. */
long qrnn_process(void);

#endif
