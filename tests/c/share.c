/* share.c - threads that share modules: the same bits in each, references taken and dropped everywhere, the
 * first calls of the process at once, scratch memory of ended threads, a fork while calls run.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=thread -Icsrc/core -Icsrc/kernels tests/c/{share,cases}.c \
 *      csrc/core/?*.c csrc/kernels/?*.c -lm -lpthread -o share && ./share [modules] [rounds]
 *
 * Also worth running without a sanitizer, and under valgrind. Last line: "N passed, M failed".
 */
#include "cases.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#ifdef QRNN_COUNTED /* gcov's build: a child that ends by _exit has counted too */
void __gcov_dump(void);
#endif

enum { THREADS = 8, MOST_MODULES = 64 };

/* A call whose module is shared; what one thread gets all must get. */
struct shared {
    struct testcase t;
    qrnn_module *m;
    struct results want;
};

#if !defined __SANITIZE_THREAD__ \
    && !defined __SANITIZE_ADDRESS__ /* whose allocators may be locked at a fork, for ever */
#define CAN_FORK
#endif

static struct shared calls[MOST_MODULES];
static size_t modules = 24, rounds = 6;
static atomic_ulong passed, failed;
static pthread_barrier_t start;

static void tally(const char *difference, const char *what, const struct testcase *t)
{
    atomic_fetch_add(difference ? &failed : &passed, 1);
    if (difference) printf("FAILED: %s: %s: %s\n", what, difference, case_text(t));
}

static void compute(const struct shared *s, size_t threads, const char *what)
{
    struct results got;
    results_take(&s->t, take, &got);
    qrnn_module_ref(s->m);
    case_run(&s->t, s->m, threads, &got);
    qrnn_module_unref(s->m);
    tally(results_differ(&s->want, &got), what, &s->t);
}

/* Nothing has been computed by this process when the threads start: they ask for the CPU's features, make
 * the scratch's key and fill their own arrays at once. */
static void *work_first(void *argument)
{
    struct results *const mine = argument;
    pthread_barrier_wait(&start);
    for (size_t i = 0; i < modules; i++) {
        qrnn_module *m;
        if (case_pack(&calls[i].t, NULL, &m, NULL) != QRNN_OK) abort();
        case_run(&calls[i].t, m, 1, &mine[i]);
        qrnn_module_unref(m);
    }
    return NULL;
}

static void *work(void *argument)
{
    const size_t number = *(const size_t *)argument;
    pthread_barrier_wait(&start);
    for (size_t round = 0; round < rounds; round++)
        for (size_t i = 0; i < modules; i++)
            compute(&calls[(i + number * 3) % modules], 1 + (i + number) % 3, "shared");
    give_back();
    return NULL;
}

static void run_threads(void *(*body)(void *), void **arguments, pthread_t *threads)
{
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, body, arguments[i]) != 0) abort();
}

static void join_threads(const pthread_t *threads)
{
    for (size_t i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
}

static void make_calls(void)
{
    const struct bounds bounds = {.size = 200, .batch = 70, .steps = 6, .work = 60000};
    struct source s = {.state = 4711};
    for (size_t i = 0; i < modules; i++) case_choose(&s, &bounds, take, &calls[i].t);
}

static void check_first_calls(void)
{
    static struct results got[THREADS][MOST_MODULES];
    void *arguments[THREADS];
    pthread_t threads[THREADS];
    for (size_t n = 0; n < THREADS; n++) {
        for (size_t i = 0; i < modules; i++) results_take(&calls[i].t, take, &got[n][i]);
        arguments[n] = got[n];
    }
    run_threads(work_first, arguments, threads);
    join_threads(threads);
    for (size_t i = 0; i < modules; i++) {
        calls[i].want = got[0][i];
        for (size_t n = 1; n < THREADS; n++) tally(results_differ(&got[0][i], &got[n][i]), "first calls", &calls[i].t);
    }
}

/* --- a thread's end --- */

static pthread_key_t late_key;

/* An embedder may compute in a destructor of its own, which runs after that of the scratch memory. */
static void compute_late(void *argument)
{
    compute(argument, 1, "in a thread's destructor");
    give_back();
}

static void *end_late(void *argument)
{
    compute(argument, 1, "before a thread's end");
    pthread_setspecific(late_key, argument);
    give_back();
    return NULL;
}

static void check_late_calls(void)
{
    void *arguments[THREADS];
    pthread_t threads[THREADS];
    if (pthread_key_create(&late_key, compute_late) != 0) abort();
    for (size_t i = 0; i < modules; i++) {
        for (size_t n = 0; n < THREADS; n++) arguments[n] = &calls[i];
        run_threads(end_late, arguments, threads);
        join_threads(threads);
    }
}

/* --- giving up --- */

static int stop_at(void *context)
{
    return --*(int *)context <= 0;
}

/* Stopped at the first, second, ... question: it comes back, in time, and the module computes on. */
static void check_stops(void)
{
    struct source s = {.state = 99};
    struct testcase t = {
        .spec =
            {.kind = QRNN_LSTM, .engine = "qrnn", .input_size = 200, .hidden_size = 300, .layers = 2, .directions = 2},
        .batch = 3,
        .sequence = 1,
        .steps = 60};
    struct results r;
    qrnn_module *m;
    case_fill(&s, take, &t);
    results_take(&t, take, &r);
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    for (size_t threads = 1; threads <= 4; threads++)
        for (int asked = 1; asked <= 8; asked++) {
            int left = asked;
            const qrnn_run run = {.steps = t.steps,
                                  .batch = t.batch,
                                  .x = t.x,
                                  .h = t.h,
                                  .c = t.c,
                                  .lengths = t.lengths,
                                  .out = r.out,
                                  .h_out = r.h,
                                  .c_out = r.c,
                                  .threads = threads,
                                  .stop = stop_at,
                                  .context = &left};
            tally(qrnn_sequence(m, &run, NULL) == QRNN_ERR_STOPPED ? NULL : "not stopped", "stop", &t);
        }
    case_run(&t, m, 1, &r);
    tally(r.status == QRNN_OK ? NULL : "fails afterwards", "stop", &t);
    qrnn_module_unref(m);
}

/* --- inputs that change --- */

#ifndef __SANITIZE_THREAD__ /* the race is the caller's */
static atomic_int writing;

static void *write_inputs(void *argument)
{
    volatile float *const x = argument;
    for (unsigned i = 0; atomic_load(&writing); i++) x[3] = i & 64 ? 1.0f : NAN;
    return NULL;
}

/* Another thread writes numbers and NaNs into the input of a call: whatever comes out, it does come. */
static void check_written_inputs(void)
{
    struct source s = {.state = 7};
    const char *const engines[] = {"fbgemm", "qrnn"};
    for (int e = 0; e < 2; e++) {
        struct testcase t = {.spec = {.kind = QRNN_GRU,
                                      .engine = engines[e],
                                      .input_size = 60,
                                      .hidden_size = 40,
                                      .layers = 1,
                                      .directions = 1},
                             .batch = 2,
                             .sequence = 1,
                             .steps = 20};
        struct results r;
        pthread_t writer;
        qrnn_module *m;
        case_fill(&s, take, &t);
        t.h = NULL;
        results_take(&t, take, &r);
        if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
        atomic_store(&writing, 1);
        if (pthread_create(&writer, NULL, write_inputs, (void *)(uintptr_t)t.x) != 0) abort();
        for (int i = 0; i < 200; i++) case_run(&t, m, 1 + (size_t)i % 3, &r);
        atomic_store(&writing, 0);
        pthread_join(writer, NULL);
        tally(NULL, "inputs that change", &t);
        qrnn_module_unref(m);
    }
}
#endif

/* --- fork --- */

#ifdef CAN_FORK
static void end_child(int status)
{
    fflush(stdout);
#ifdef QRNN_COUNTED
    __gcov_dump();
#endif
    _exit(status);
}

static void wait_for(pid_t child)
{
    int status = 0;
    if (child < 0 || waitpid(child, &status, 0) != child) abort();
    atomic_fetch_add(status ? &failed : &passed, 1);
    if (status) printf("FAILED: a child ended with status %d\n", status);
}

static void check_fork(void)
{
    fflush(stdout);
    const pid_t child = fork();
    if (child == 0) {
        atomic_store(&failed, 0);
        for (size_t k = 0; k < modules; k++) compute(&calls[k], 2, "in a child");
        end_child(atomic_load(&failed) != 0);
    }
    wait_for(child);
}

/* At the first question. */
static int fork_at(void *context)
{
    pid_t *const child = context;
    if (*child == -1) *child = fork();
    return 0;
}

/* A question to stop forks: the child is without the members of its team, gives up at once, and computes on with
 * teams of its own; the parent ends the call as if nothing had happened. */
static void check_fork_inside(void)
{
    struct source s = {.state = 11};
    struct testcase t = {
        .spec =
            {.kind = QRNN_LSTM, .engine = "qrnn", .input_size = 200, .hidden_size = 300, .layers = 2, .directions = 1},
        .batch = 3,
        .sequence = 1,
        .steps = 60};
    struct results want, r;
    qrnn_module *m;
    case_fill(&s, take, &t);
    results_take(&t, take, &want);
    results_take(&t, take, &r);
    if (case_pack(&t, NULL, &m, NULL) != QRNN_OK) abort();
    case_run(&t, m, 1, &want);
    for (size_t threads = 1; threads <= 3; threads++) {
        pid_t child = -1;
        const qrnn_run run = {.steps = t.steps,
                              .batch = t.batch,
                              .batch_first = t.batch_first,
                              .x = t.x,
                              .h = t.h,
                              .c = t.c,
                              .lengths = t.lengths,
                              .out = r.out,
                              .h_out = r.h,
                              .c_out = r.c,
                              .threads = threads,
                              .stop = fork_at,
                              .context = &child};
        fflush(stdout);
        r.status = qrnn_sequence(m, &run, NULL);
        if (child == 0) {
            const qrnn_status is = r.status, should = threads > 1 ? QRNN_ERR_STOPPED : QRNN_OK;
            case_run(&t, m, threads, &r);
            end_child(is != should || results_differ(&want, &r));
        }
        wait_for(child);
        tally(results_differ(&want, &r), "a call that forked", &t);
    }
    qrnn_module_unref(m);
}
#endif

static void check_shared(void)
{
    size_t numbers[THREADS];
    void *arguments[THREADS];
    pthread_t threads[THREADS];
    for (size_t i = 0; i < THREADS; i++) {
        numbers[i] = i;
        arguments[i] = &numbers[i];
    }
    run_threads(work, arguments, threads);
    pthread_barrier_wait(&start);
#ifdef CAN_FORK
    for (int i = 0; i < 5; i++) check_fork();
#endif
    join_threads(threads);
}

int main(int argc, char **argv)
{
    if (argc > 1) modules = (size_t)atoi(argv[1]);
    if (argc > 2) rounds = (size_t)atoi(argv[2]);
    if (modules > MOST_MODULES) modules = MOST_MODULES;
    make_calls();
    pthread_barrier_init(&start, NULL, THREADS);
    check_first_calls();
    for (size_t i = 0; i < modules; i++)
        if (case_pack(&calls[i].t, NULL, &calls[i].m, NULL) != QRNN_OK) abort();
    check_late_calls();
    check_stops();
#ifndef __SANITIZE_THREAD__
    check_written_inputs();
#endif
    pthread_barrier_destroy(&start);
    pthread_barrier_init(&start, NULL, THREADS + 1);
    check_shared();
#ifdef CAN_FORK
    if (argc < 3) check_fork_inside(); /* short runs are for emulators, which lose track of it */
#endif
    for (size_t i = 0; i < modules; i++) qrnn_module_unref(calls[i].m);
    give_back();
    printf("%lu passed, %lu failed\n", (unsigned long)atomic_load(&passed), (unsigned long)atomic_load(&failed));
    return atomic_load(&failed) != 0;
}
