/* team.c - teams of threads: all meet, none runs ahead, none waits for ever, and who waits long sleeps.
 *
 *   cc -std=c11 -D_GNU_SOURCE -O1 -g -fsanitize=thread -Icsrc/core tests/c/team.c csrc/core/{team,system_posix}.c \
 *      -Wl,--wrap=sched_yield,--wrap=pthread_cond_wait,--wrap=pthread_create \
 *      -Wl,--wrap=pthread_mutex_init,--wrap=pthread_cond_init,--wrap=pthread_attr_init \
 *      -Wl,--wrap=sched_getcpu,--wrap=sched_getaffinity -lpthread -o team
 *   ./team [meetings]
 *
 * With -DQRNN_SMALL_LIMITS members go to sleep at nearly every meeting. Last line: "N passed, M failed".
 */
#include "team.h"
#include "tuning.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static unsigned long passed, failed;
static atomic_ulong yields, sleeps, slept_at_work;
static _Thread_local int at_work; /* and has not slept there */
static atomic_long threads_left;
static atomic_int no_mutex, no_condition;

int __real_sched_yield(void);
int __real_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument);
int __wrap_sched_yield(void);
int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument);

int __real_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __real_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);
int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes);
int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes);

int __wrap_pthread_mutex_init(pthread_mutex_t *mutex, const pthread_mutexattr_t *attributes)
{
    return atomic_load(&no_mutex) ? ENOMEM : __real_pthread_mutex_init(mutex, attributes);
}

int __wrap_pthread_cond_init(pthread_cond_t *condition, const pthread_condattr_t *attributes)
{
    return atomic_load(&no_condition) ? ENOMEM : __real_pthread_cond_init(condition, attributes);
}

int __wrap_sched_yield(void)
{
    atomic_fetch_add(&yields, 1);
    return __real_sched_yield();
}

int __wrap_pthread_cond_wait(pthread_cond_t *condition, pthread_mutex_t *mutex)
{
    atomic_fetch_add(&sleeps, 1);
    if (at_work) atomic_fetch_add(&slept_at_work, 1);
    at_work = 0;
    return __real_pthread_cond_wait(condition, mutex);
}

int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*body)(void *), void *argument)
{
    if (atomic_fetch_sub(&threads_left, 1) <= 0) return EAGAIN;
    return __real_pthread_create(thread, attributes, body, argument);
}

/* --- processors --- */

/* What the core is told, or fails to be told, of the processors. */
static enum { AS_THEY_ARE, NO_ATTRIBUTES, NO_PROCESSOR, FAR_PROCESSOR, NO_AFFINITY, ONE_PROCESSOR } told;
static int here; /* ONE_PROCESSOR: the caller's */

int __real_pthread_attr_init(pthread_attr_t *attributes);
int __real_sched_getcpu(void);
int __real_sched_getaffinity(pid_t process, size_t bytes, cpu_set_t *set);
int __wrap_pthread_attr_init(pthread_attr_t *attributes);
int __wrap_sched_getcpu(void);
int __wrap_sched_getaffinity(pid_t process, size_t bytes, cpu_set_t *set);

int __wrap_pthread_attr_init(pthread_attr_t *attributes)
{
    return told == NO_ATTRIBUTES ? ENOMEM : __real_pthread_attr_init(attributes);
}

int __wrap_sched_getcpu(void)
{
    here = __real_sched_getcpu();
    return told == NO_PROCESSOR ? -1 : told == FAR_PROCESSOR ? CPU_SETSIZE : here;
}

int __wrap_sched_getaffinity(pid_t process, size_t bytes, cpu_set_t *set)
{
    if (told == NO_AFFINITY) return -1;
    if (told != ONE_PROCESSOR) return __real_sched_getaffinity(process, bytes, set);
    CPU_ZERO(set);
    CPU_SET((size_t)here, set);
    return 0;
}

static void tally(int right, const char *what, size_t members)
{
    passed += (unsigned long)right;
    failed += (unsigned long)!right;
    if (!right) printf("FAILED: %s, %zu members\n", what, members);
}

static void wait_ms(long ms)
{
    const struct timespec time = {ms / 1000, ms % 1000 * 1000000};
    nanosleep(&time, NULL);
}

/* --- meetings --- */

struct meetings {
    size_t count, members;
    size_t cells[QRNN_TEAM_MOST]; /* written by their member alone, read by all between two meetings */
    unsigned long wrong[QRNN_TEAM_MOST];
};

/* Each member is late now and then, by nothing, a little, or a time slice. */
static void be_late(size_t meeting, size_t member)
{
    const size_t chance = (meeting * 7 + member * 13) % 101;
    if (chance == 0) wait_ms(1);
    for (volatile size_t i = 0; i < chance * 10; i++) continue;
}

static void meet_often(void *context, size_t member, struct qrnn_team *team)
{
    struct meetings *const m = context;
    for (size_t i = 1; i <= m->count; i++) {
        be_late(i, member);
        m->cells[member] = i;
        qrnn_team_meet(team, 0);
        for (size_t k = 0; k < m->members; k++) m->wrong[member] += m->cells[k] != i;
        qrnn_team_meet(team, 0);
    }
}

/* `can` threads of the team are to be had. */
static void check_meetings(size_t members, size_t can, size_t count)
{
    struct qrnn_team team;
    struct meetings m = {.count = count};
    unsigned long wrong = 0;
    atomic_store(&threads_left, (long)can);
    qrnn_team_start(&team, members);
    m.members = team.members;
    tally(m.members == (can + 1 < members ? can + 1 : members), "another number of members", members);
    for (int run = 0; run < 3; run++) qrnn_team_run(&team, meet_often, &m);
    qrnn_team_end(&team);
    for (size_t i = 0; i < QRNN_TEAM_MOST; i++) wrong += m.wrong[i];
    tally(wrong == 0, "a member ran ahead or saw old values", members);
}

/* --- stopping --- */

static void stop_at_ten(void *context, size_t member, struct qrnn_team *team)
{
    size_t *const met = context;
    while (!qrnn_team_meet(team, member == team->members - 1 && met[member] >= 9)) met[member]++;
}

static void check_stop(size_t members)
{
    struct qrnn_team team;
    size_t met[QRNN_TEAM_MOST] = {0};
    atomic_store(&threads_left, QRNN_TEAM_MOST);
    qrnn_team_start(&team, members);
    qrnn_team_run(&team, stop_at_ten, met);
    qrnn_team_end(&team);
    int right = 1;
    for (size_t i = 0; i < members; i++) right &= met[i] == 9;
    tally(right, "not all stopped at the same meeting", members);
}

/* --- waiting --- */

/* Member 0 comes when all others have gone to sleep, for which there is no time limit but a minute: where many want a
 * core, a yield gives several time slices away. */
static void wait_long(void *context, size_t member, struct qrnn_team *team)
{
    const unsigned long *const others = context;
    at_work = member != 0;
    for (long ms = 0; member == 0 && ms < 60000 && atomic_load(&slept_at_work) < *others; ms++) wait_ms(1);
    if (member == 0) wait_ms(100);
    qrnn_team_meet(team, 0);
    at_work = 0;
}

/* Each waits four times: for work, in it, after it, for the end. */
static void check_waiting(size_t members)
{
    struct qrnn_team team;
    atomic_store(&threads_left, QRNN_TEAM_MOST);
    atomic_store(&yields, 0);
    atomic_store(&slept_at_work, 0);
    qrnn_team_start(&team, members);
    unsigned long others = members - 1;
    qrnn_team_run(&team, wait_long, &others);
    qrnn_team_end(&team);
    tally(atomic_load(&slept_at_work) == others, "who waited long did not sleep", members);
    /* One more for each look at a meeting whose last member is between counting itself and saying so. */
    tally(atomic_load(&yields) <= members * 4 * (QRNN_TEAM_YIELDS + 1000), "yielded for ever", members);
}

/* Members that cannot sleep meet all the same. */
static void check_sleepless(size_t members, size_t count)
{
    atomic_store(&sleeps, 0);
    atomic_store(&no_mutex, 1);
    check_meetings(members, QRNN_TEAM_MOST, count);
    atomic_store(&no_mutex, 0);
    atomic_store(&no_condition, 1);
    check_meetings(members, QRNN_TEAM_MOST, count);
    atomic_store(&no_condition, 0);
    tally(atomic_load(&sleeps) == 0, "slept without a bed", members);
}

/* Whatever the processors are, the team is whole, and meets. */
static void check_processors(size_t count)
{
    for (told = AS_THEY_ARE; told <= ONE_PROCESSOR; told++) check_meetings(3, QRNN_TEAM_MOST, count);
    told = AS_THEY_ARE;
}

int main(int argc, char **argv)
{
    const size_t count = argc > 1 ? (size_t)atol(argv[1]) : 1000;
    for (size_t members = 1; members <= 8; members++) {
        check_meetings(members, QRNN_TEAM_MOST, count);
        check_meetings(members, members / 2, count / 4);
        check_stop(members);
        check_waiting(members);
        check_sleepless(members, count / 4);
    }
    check_processors(count / 4);
    check_meetings(QRNN_TEAM_MOST + 5, QRNN_TEAM_MOST - 1, 10);
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
