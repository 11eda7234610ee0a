/* system_windows.c - Windows from Vista on. */
#include "system.h"

#if defined(QRNN_SYSTEM_WINDOWS)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

#include <malloc.h>
#include <process.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

/* --- memory --- */

void *qrnn_memory_take(size_t alignment, size_t bytes)
{
    return _aligned_malloc(bytes, alignment);
}

void qrnn_memory_give(void *memory)
{
    _aligned_free(memory);
}

/* Does nothing: large pages need a privilege that users do not have. */
void qrnn_memory_advise_huge(void *memory, size_t bytes)
{
    (void)memory;
    (void)bytes;
}

/* --- the end of a thread --- */

/* Fiber-local storage, because unlike thread-local storage it calls a function when a thread ends. That function has
 * the system's calling convention, which differs from C's on 32-bit x86. */
static void (*_Atomic releases)(void *memory);

static void WINAPI release_local(void *memory)
{
    if (memory) atomic_load (&releases)(memory);
}

/* The process's one index, made at the first call; if threads race to make it, one wins. 0 if there is none. */
static size_t find_index(void (*release)(void *memory))
{
    static _Atomic(size_t) kept; /* the index plus 1; 0: none yet */
    size_t known = atomic_load(&kept);
    if (known) return known;
    atomic_store(&releases, release);
    const DWORD made = FlsAlloc(release_local);
    if (made == FLS_OUT_OF_INDEXES) return 0;
    if (atomic_compare_exchange_strong(&kept, &known, (size_t)made + 1)) return (size_t)made + 1;
    FlsFree(made);
    return known;
}

int qrnn_at_thread_end(void *memory, void (*release)(void *memory))
{
    const size_t index = find_index(release);
    return index && FlsSetValue((DWORD)(index - 1), memory) != 0;
}

/* --- threads --- */

struct beginning {
    void *(*body)(void *argument);
    void *argument;
};

static unsigned __stdcall begin(void *memory)
{
    const struct beginning b = *(struct beginning *)memory;
    free(memory);
    b.body(b.argument);
    return 0;
}

/* Windows spreads threads over processors by itself, and has no signals to block. */
size_t qrnn_threads_start(qrnn_thread *threads, size_t count, void *(*body)(void *argument), void *argument)
{
    size_t started = 0;
    for (; started < count; started++) {
        struct beginning *const b = malloc(sizeof *b);
        if (!b) break;
        *b = (struct beginning){body, argument};
        const uintptr_t handle = _beginthreadex(NULL, 0, begin, b, 0, NULL);
        if (!handle) {
            free(b);
            break;
        }
        threads[started] = (qrnn_thread)handle;
    }
    return started;
}

void qrnn_thread_join(qrnn_thread thread)
{
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

void qrnn_thread_yield(void)
{
    SwitchToThread();
}

_Static_assert(sizeof(SRWLOCK) == sizeof(void *), "struct qrnn_monitor has room for one");
_Static_assert(sizeof(CONDITION_VARIABLE) == sizeof(void *), "struct qrnn_monitor has room for one");

int qrnn_monitor_make(struct qrnn_monitor *monitor)
{
    InitializeSRWLock((SRWLOCK *)&monitor->mutex);
    InitializeConditionVariable((CONDITION_VARIABLE *)&monitor->woken);
    return 1;
}

void qrnn_monitor_end(struct qrnn_monitor *monitor)
{
    (void)monitor; /* neither needs to be freed */
}

void qrnn_monitor_lock(struct qrnn_monitor *monitor)
{
    AcquireSRWLockExclusive((SRWLOCK *)&monitor->mutex);
}

void qrnn_monitor_unlock(struct qrnn_monitor *monitor)
{
    ReleaseSRWLockExclusive((SRWLOCK *)&monitor->mutex);
}

void qrnn_monitor_wait(struct qrnn_monitor *monitor)
{
    SleepConditionVariableSRW((CONDITION_VARIABLE *)&monitor->woken, (SRWLOCK *)&monitor->mutex, INFINITE, 0);
}

void qrnn_monitor_wake_all(struct qrnn_monitor *monitor)
{
    WakeAllConditionVariable((CONDITION_VARIABLE *)&monitor->woken);
}

/* Windows does not fork. */
long qrnn_process(void)
{
    return 0;
}
#else
typedef int qrnn_not_this_system; /* a file may not be empty */
#endif
