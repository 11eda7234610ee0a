/* quiet.c - a step, and a linear, allocate nothing, lock nothing and make no system call once a thread has made one of
 * that size: what an audio thread needs.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O1 -Icsrc/core tests/c/quiet.c tests/c/cases.c csrc/core/?*.c csrc/kernels/?*.c \
 *      -lm -lpthread -o quiet && ./quiet [cases]
 *
 * Allocation and locks are interposed and counted; the calls run in a child under seccomp's strict mode, where any
 * system call but read, write and exit kills. Last line: "N passed, M failed". Linux alone. */
#include "cases.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/seccomp.h>

void *__libc_malloc(size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *memory);

static unsigned long calls, passed, failed;

/* The C library's own are behind these. */
void *malloc(size_t bytes)
{
    calls++;
    return __libc_malloc(bytes);
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    calls++;
    return __libc_memalign(alignment, bytes);
}

void free(void *memory)
{
    calls++;
    __libc_free(memory);
}

int pthread_mutex_lock(pthread_mutex_t *mutex)
{
    (void)mutex;
    calls++;
    return 0;
}

static qrnn_status call(const struct testcase *t, const qrnn_module *m, struct results *r)
{
    if (t->spec.kind == QRNN_LINEAR) return qrnn_linear(m, t->batch, t->x, r->out);
    return qrnn_step(m, t->batch, t->x, t->h, t->c, r->h, r->c);
}

/* What the child ends with: 0, or 1 where a call failed or anything was counted. */
static void run_confined(const struct testcase *t, const qrnn_module *m, struct results *r, int plant)
{
    prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT);
    const unsigned long before = calls;
    int wrong = 0;
    for (int i = 0; i < 5; i++) wrong |= call(t, m, r) != QRNN_OK;
    if (plant) syscall(SYS_getppid);
    syscall(SYS_exit, wrong || calls != before);
}

/* Whether the calls are quiet; `plant`: a system call is made after them. */
static int is_quiet(const struct testcase *t, const qrnn_module *m, struct results *r, int plant)
{
    int status = 0;
    fflush(stdout);
    const pid_t child = fork();
    if (child < 0) abort();
    if (child == 0) {
        if (call(t, m, r) != QRNN_OK) _exit(2); /* the thread's working memory */
        run_confined(t, m, r, plant);
    }
    if (waitpid(child, &status, 0) != child) abort();
    return status == 0;
}

int main(int argc, char **argv)
{
    const long cases = argc > 1 ? atol(argv[1]) : 300;
    const struct bounds bounds = {.size = 300, .batch = 8, .steps = 2, .work = 200000};
    struct source s = {.state = 99};
    for (long i = 0; i < cases; i++) {
        struct testcase t;
        struct results r;
        qrnn_module *m;
        case_choose(&s, &bounds, take, &t);
        results_take(&t, take, &r);
        if (t.sequence || case_pack(&t, NULL, &m, NULL) != QRNN_OK || call(&t, m, &r) != QRNN_OK) continue;
        const int quiet = is_quiet(&t, m, &r, 0), loud = !is_quiet(&t, m, &r, 1);
        passed += (unsigned long)quiet + (unsigned long)loud;
        failed += (unsigned long)!quiet + (unsigned long)!loud;
        if (!quiet) printf("FAILED: not quiet: %s\n", case_text(&t));
        if (!loud) printf("FAILED: a system call was not seen\n");
        qrnn_module_unref(m);
    }
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
