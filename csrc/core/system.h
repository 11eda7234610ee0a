/* system.h - what the core asks of an operating system: aligned memory, the end of a thread, threads that wait for
 * each other. One file a system: system_posix.c, system_windows.c, and system_none.c for programs without threads,
 * which QRNN_NO_THREADS and WebAssembly choose. */
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
/* A mutex with its condition. */
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

/* Memory at a multiple of `alignment`, a power of two; NULL if there is none. `bytes` is a multiple of it. Given back by
 * qrnn_memory_give alone, which takes NULL. */
void *qrnn_memory_take(size_t alignment, size_t bytes);
void qrnn_memory_give(void *memory);
/* Advice: whole pages of this memory may be large ones. */
void qrnn_memory_advise_huge(void *memory, size_t bytes);

/* At the end of the calling thread release(memory) is called; NULL: no longer. `release` is the same in all calls of a
 * process. 0 if that cannot be had; once it could in a thread, it always can. */
int qrnn_at_thread_end(void *memory, void (*release)(void *memory));

/* Starts threads[0..count) with body(argument), on other processors than the caller's where there are others; returns
 * how many there are. They get no signals. */
size_t qrnn_threads_start(qrnn_thread *threads, size_t count, void *(*body)(void *argument), void *argument);
void qrnn_thread_join(qrnn_thread thread);
void qrnn_thread_yield(void);

/* 0: it cannot be had. */
int qrnn_monitor_make(struct qrnn_monitor *monitor);
void qrnn_monitor_end(struct qrnn_monitor *monitor);
void qrnn_monitor_lock(struct qrnn_monitor *monitor);
void qrnn_monitor_unlock(struct qrnn_monitor *monitor);
/* Locked before and after; may return without having been woken. */
void qrnn_monitor_wait(struct qrnn_monitor *monitor);
void qrnn_monitor_wake_all(struct qrnn_monitor *monitor);

/* Tells the process from one that it has forked. */
long qrnn_process(void);

#endif
