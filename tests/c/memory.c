/* memory.c - every allocation of the core fails once: the call says so, writes nothing more than it may,
 * keeps nothing, and works the next time.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O1 -g -Icsrc/core -Icsrc/kernels tests/c/{memory,cases}.c csrc/core/?*.c \
 *      csrc/kernels/?*.c -Wl,--wrap=aligned_alloc,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=free \
 *      -Wl,--wrap=pthread_create,--wrap=pthread_key_create,--wrap=pthread_key_delete,--wrap=pthread_setspecific -lm -lpthread -o memory
 *   ./memory [cases]
 *
 * Each trial runs in a thread of its own, whose scratch memory is new. Last line: "N passed, M failed".
 */
#include "cases.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Allocations of the core are counted, and one fails, while `armed`. */
static atomic_int armed;
static atomic_size_t largest;
static atomic_long countdown, live;
static unsigned long passed, failed, failures;

static int fails_now(void)
{
    if (!atomic_load(&armed)) return 0;
    return atomic_fetch_sub(&countdown, 1) == 0;
}

static void *counted(void *memory)
{
    if (memory && atomic_load(&armed)) atomic_fetch_add(&live, 1);
    return memory;
}

void *__real_aligned_alloc(size_t alignment, size_t bytes);
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t each);
void *__real_realloc(void *memory, size_t bytes);
void __real_free(void *memory);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument);
int __real_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int __real_pthread_key_delete(pthread_key_t key);
int __real_pthread_setspecific(pthread_key_t key, const void *value);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t each);
void *__wrap_realloc(void *memory, size_t bytes);
void __wrap_free(void *memory);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument);
int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *));
int __wrap_pthread_key_delete(pthread_key_t key);
int __wrap_pthread_setspecific(pthread_key_t key, const void *value);

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    if (bytes > atomic_load(&largest)) atomic_store(&largest, bytes);
    return fails_now() ? NULL : counted(__real_aligned_alloc(alignment, bytes));
}

void *__wrap_malloc(size_t bytes)
{
    return fails_now() ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t n, size_t each)
{
    return fails_now() ? NULL : counted(__real_calloc(n, each));
}

void *__wrap_realloc(void *memory, size_t bytes)
{
    if (fails_now()) return NULL;
    void *const moved = __real_realloc(memory, bytes);
    return memory ? moved : counted(moved);
}

void __wrap_free(void *memory)
{
    if (memory && atomic_load(&armed)) atomic_fetch_sub(&live, 1);
    __real_free(memory);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument)
{
    return fails_now() ? EAGAIN : __real_pthread_create(thread, attributes, body, argument);
}

/* Run once in another thread, to its end, before a key is made. */
static void *(*before_key)(void *);
static qrnn_status before_status;
static unsigned keys, deleted_keys;

int __wrap_pthread_key_create(pthread_key_t *key, void (*destroy)(void *))
{
    keys++;
    if (before_key) {
        pthread_t thread;
        void *(*const body)(void *) = before_key;
        before_key = NULL;
        if (__real_pthread_create(&thread, NULL, body, &before_status) != 0) abort();
        pthread_join(thread, NULL);
    }
    return fails_now() ? EAGAIN : __real_pthread_key_create(key, destroy);
}

int __wrap_pthread_key_delete(pthread_key_t key)
{
    deleted_keys++;
    return __real_pthread_key_delete(key);
}

int __wrap_pthread_setspecific(pthread_key_t key, const void *value)
{
    return fails_now() ? ENOMEM : __real_pthread_setspecific(key, value);
}

/* --- trials --- */

struct trial {
    struct testcase t;
    struct results want, got;
    size_t threads;
    qrnn_status packed;
    int16_t codes[64];        /* of a row of x: the third way to scratch memory */
    qrnn_status quantized;
    int clean;                /* a call that failed wrote nothing */
    int again;                /* after an error the same thread got the same call right */
};

/* Of what is no sequence, which leaves its results undefined. The test door may fail after the call, which then is
 * right. */
static int wrote_nothing(const struct trial *trial)
{
    const struct results *const got = &trial->got;
    struct results call = *got;
    call.status = QRNN_OK;
    call.pre = NULL;
    call.acc_ih = call.acc_hh = NULL;
    if (trial->t.sequence) return 1;
    if (!untouched(got->pre, got->n_gates) || !untouched(got->acc_ih, got->n_gates)) return 0;
    return results_untouched(got) || !results_differ(&trial->want, &call);
}

static void *run_trial(void *argument)
{
    struct trial *const trial = argument;
    const struct testcase *const t = &trial->t;
    static const float row[40];
    float scale;
    int32_t zero;
    qrnn_module *m;
    trial->got.status = QRNN_OK;
    trial->packed = case_pack(t, NULL, &m, NULL);
    trial->again = trial->clean = 1;
    results_clear(&trial->got);
    if (trial->packed == QRNN_OK) case_run(t, m, trial->threads, &trial->got);
    if (trial->packed == QRNN_OK && trial->got.status == QRNN_ERR_MEMORY) {
        trial->clean = wrote_nothing(trial);
        results_clear(&trial->got);
        case_run(t, m, trial->threads, &trial->got);
        trial->again = !results_differ(&trial->want, &trial->got);
        trial->got.status = QRNN_ERR_MEMORY;
    }
    if (trial->packed != QRNN_OK && m) trial->packed = QRNN_OK; /* a module beside an error: counts as wrong */
    qrnn_module_unref(trial->packed == QRNN_OK ? m : NULL);
    trial->quantized = qrnn_quantize("qrnn", NULL, 1, 40, row, trial->codes, &scale, &zero);
    if (trial->quantized == QRNN_ERR_MEMORY)
        trial->again &= qrnn_quantize("qrnn", NULL, 1, 40, row, trial->codes, &scale, &zero) == QRNN_OK;
    return NULL;
}

/* In a new thread. Returns whether it came to the allocation that was to fail. */
static int run_in_thread(struct trial *trial)
{
    pthread_t thread;
    if (__real_pthread_create(&thread, NULL, run_trial, trial) != 0) abort();
    pthread_join(thread, NULL);
    return atomic_load(&countdown) < 0;
}

static void tally(int right, const char *what, const struct trial *trial, long at)
{
    passed += (unsigned long)right;
    failed += (unsigned long)!right;
    if (!right && failed < 20) printf("FAILED: %s, allocation %ld of %s\n", what, at, case_text(&trial->t));
}

/* As without a failing allocation, or for want of memory. */
static int is_clean(qrnn_status status, qrnn_status usual)
{
    return status == usual || status == QRNN_ERR_MEMORY;
}

static void check_failing(struct trial *trial)
{
    for (long at = 0;; at++) {
        atomic_store(&countdown, at);
        atomic_store(&live, 0);
        atomic_store(&armed, 1);
        const int came = run_in_thread(trial);
        atomic_store(&armed, 0);
        const int ok = trial->packed == QRNN_OK && trial->got.status == QRNN_OK;
        tally(is_clean(trial->packed, QRNN_OK) && is_clean(trial->quantized, QRNN_OK)
                  && (trial->packed != QRNN_OK || is_clean(trial->got.status, trial->want.status)),
              "another error than that of memory", trial, at);
        tally(trial->clean, "a failed call wrote", trial, at);
        tally(trial->again, "not usable afterwards by the same thread", trial, at);
        tally(atomic_load(&live) == 0, "memory is kept", trial, at);
        tally(!ok || !results_differ(&trial->want, &trial->got), "other bits", trial, at);
        run_in_thread(trial);
        tally(trial->packed == QRNN_OK && !results_differ(&trial->want, &trial->got), "not usable afterwards", trial,
              at);
        if (!came) return;
        failures++;
    }
}

static qrnn_status take_scratch(void)
{
    static const float row[40];
    int16_t codes[40];
    float scale;
    int32_t zero;
    return qrnn_quantize("qrnn", NULL, 1, 40, row, codes, &scale, &zero);
}

static void *take_scratch_in_thread(void *status)
{
    *(qrnn_status *)status = take_scratch();
    return NULL;
}

/* The key that frees the scratch memory of ended threads is made once a process, after that memory: here it fails
 * at first, and then another thread is faster. */
static void check_key(void)
{
    const struct trial none = {.t = {.spec = {.engine = "qrnn"}}};
    atomic_store(&countdown, 1);
    atomic_store(&armed, 1);
    tally(take_scratch() == QRNN_ERR_MEMORY, "no error", &none, 0);
    atomic_store(&armed, 0);
    tally(keys == 1 && atomic_load(&countdown) < 0, "no key was made", &none, 0);
    before_key = take_scratch_in_thread;
    tally(take_scratch() == QRNN_OK, "never usable again", &none, 0);
    tally(before_status == QRNN_OK && keys == 3 && deleted_keys == 1, "another key than the faster thread's", &none, 0);
    tally(take_scratch() == QRNN_OK && keys == 3, "a key too many", &none, 0);
}

/* The working memory of a sequence whose output is not wanted, in a new thread. */
static void *run_without_out(void *context)
{
    const struct trial *const trial = context;
    const struct testcase *const t = &trial->t;
    qrnn_module *m;
    if (case_pack(t, NULL, &m, NULL) != QRNN_OK) abort();
    atomic_store(&largest, 0);
    const qrnn_run run = {
        .steps = t->steps, .batch = t->batch, .x = t->x, .h_out = trial->got.h, .c_out = trial->got.c};
    if (qrnn_sequence(m, &run, NULL) != QRNN_OK) abort();
    qrnn_module_unref(m);
    return NULL;
}

/* It does not grow with the steps of one layer, in one direction or both. Several layers keep outputs. */
static void check_no_out(void)
{
    struct source s = {.state = 77};
    for (size_t shape = 0; shape < 3; shape++) {
        struct trial trial = {.t = {.spec = {.kind = QRNN_LSTM, .engine = "qrnn", .input_size = 8, .hidden_size = 64},
                                    .batch = 4,
                                    .sequence = 1,
                                    .steps = 8000}};
        size_t bytes[2];
        trial.t.spec.layers = 1 + (shape == 2);
        trial.t.spec.directions = 1 + (shape == 1);
        case_fill(&s, take, &trial.t);
        results_take(&trial.t, take, &trial.got);
        for (size_t i = 0; i < 2; i++, trial.t.steps /= 2) {
            pthread_t thread;
            if (__real_pthread_create(&thread, NULL, run_without_out, &trial) != 0) abort();
            pthread_join(thread, NULL);
            bytes[i] = atomic_load(&largest);
        }
        tally(bytes[1] > 0 && (bytes[0] == bytes[1]) == (shape < 2), "memory of all steps", &trial, 0);
        give_back();
    }
}

int main(int argc, char **argv)
{
    const int cases = argc > 1 ? atoi(argv[1]) : 150;
    const struct bounds bounds = {.size = 300, .batch = 150, .steps = 6, .work = 300000};
    struct source s = {.state = 1234};
    check_key();
    check_no_out();
    for (int i = 0; i < cases; i++) {
        struct trial trial = {.threads = 1 + (size_t)i % 3};
        case_choose(&s, &bounds, take, &trial.t);
        results_take(&trial.t, take, &trial.want);
        results_take(&trial.t, take, &trial.got);
        qrnn_module *m;
        if (case_pack(&trial.t, NULL, &m, NULL) != QRNN_OK) abort();
        case_run(&trial.t, m, 1, &trial.want);
        qrnn_module_unref(m);
        check_failing(&trial);
        give_back();
    }
    printf("%lu allocations failed\n%lu passed, %lu failed\n", failures, passed, failed);
    return failed != 0 || failures < (unsigned long)cases;
}
