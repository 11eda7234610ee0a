/* fence.c - see fence.h. Linked with -Wl,--wrap=aligned_alloc,--wrap=malloc,--wrap=calloc,--wrap=free it
 * also fences what the core allocates: its allocations always end at the page. */
#include "fence.h"

#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PAGE = 4096, MOST = 1 << 14 };

struct fenced {
    unsigned char *map, *start;
    size_t map_bytes;
};

enum fence_side fence_side;
static struct fenced taken[MOST], of_core[MOST];
static size_t takens, of_cores;

static struct fenced fence(size_t bytes, size_t alignment, enum fence_side side)
{
    const size_t inner = (bytes + PAGE - 1) / PAGE * PAGE;
    struct fenced f = {.map_bytes = inner + 2 * PAGE};
    f.map = mmap(NULL, f.map_bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (f.map == MAP_FAILED || (inner && mprotect(f.map + PAGE, inner, PROT_READ | PROT_WRITE) != 0)) {
        fprintf(stderr, "no memory for fences\n");
        _exit(2);
    }
    f.start = side == FENCE_LEFT ? f.map + PAGE : f.map + PAGE + inner - bytes / alignment * alignment;
    if (side == FENCE_RIGHT && bytes % alignment) f.start -= alignment;
    return f;
}

void *fence_take(size_t bytes)
{
    if (takens == MOST) _exit(2);
    taken[takens] = fence(bytes, 1, fence_side);
    return taken[takens++].start;
}

void fence_give_back(void)
{
    while (takens > 0) {
        takens--;
        munmap(taken[takens].map, taken[takens].map_bytes);
    }
}

/* --- the core's allocations --- */

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t each);
void __real_free(void *memory);
void *__wrap_aligned_alloc(size_t alignment, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t each);
void __wrap_free(void *memory);

static void *take_for_core(size_t bytes, size_t alignment)
{
    if (of_cores == MOST) _exit(2);
    of_core[of_cores] = fence(bytes, alignment, FENCE_RIGHT);
    return of_core[of_cores++].start;
}

void *__wrap_aligned_alloc(size_t alignment, size_t bytes)
{
    void *const memory = take_for_core(bytes, alignment);
    memset(memory, 0xa5, bytes);
    return memory;
}

void *__wrap_malloc(size_t bytes)
{
    void *const memory = take_for_core(bytes, 16);
    memset(memory, 0xa5, bytes);
    return memory;
}

void *__wrap_calloc(size_t n, size_t each)
{
    return take_for_core(n * each, 16);
}

void __wrap_free(void *memory)
{
    for (size_t i = of_cores; i-- > 0;)
        if (of_core[i].start == memory) {
            munmap(of_core[i].map, of_core[i].map_bytes);
            of_core[i] = of_core[--of_cores];
            return;
        }
    __real_free(memory);
}

/* --- when it happens --- */

static const char *(*describe_now)(void);

static void touched(int number, siginfo_t *info, void *context)
{
    char text[400];
    (void)context;
    const int n = snprintf(text, sizeof text, "TOUCHED (signal %d) %p beside an array: %s\n0 passed, 1 failed\n",
                           number, info->si_addr, describe_now());
    if (n > 0 && write(STDOUT_FILENO, text, (size_t)n) != n) _exit(3);
    _exit(1);
}

void fence_watch(const char *(*describe)(void))
{
    struct sigaction action = {.sa_sigaction = touched, .sa_flags = SA_SIGINFO};
    describe_now = describe;
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
}
