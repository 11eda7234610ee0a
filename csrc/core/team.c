/* team.c - threads that share one call. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE /* signal masks and processors, in strict C11 */
#endif

#include "team.h"
#include "tuning.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <unistd.h>

/* In `arrived`, beside the count: somebody may be asleep. */
#define ASLEEP (SIZE_MAX / 2 + 1)

static void pause_a_little(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#endif
}

static int has_moved(const struct qrnn_team *team, size_t now)
{
    return atomic_load_explicit(&team->generation, memory_order_acquire) != now;
}

/* Until generation `now` is over; may return early, so it is called in a loop.
 *
 * ASLEEP goes into the word that the last member counts itself in, so one of the two knows of the other.
 * Either the last member finds it, and wakes under the mutex after it has moved the generation on; or the
 * count says here that all have arrived, or, 0, that it is cleared again. A count of the next meeting comes
 * with the new generation, which is seen under the mutex. */
static void sleep_until_moved(struct qrnn_team *team, size_t now)
{
    const size_t count = atomic_fetch_or_explicit(&team->arrived, ASLEEP, memory_order_acq_rel) & ~ASLEEP;
    if (count == 0 || count == atomic_load_explicit(&team->members, memory_order_relaxed)) {
        sched_yield();
        return;
    }
    pthread_mutex_lock(&team->mutex);
    while (!has_moved(team, now)) pthread_cond_wait(&team->woken, &team->mutex);
    pthread_mutex_unlock(&team->mutex);
}

static void wake(struct qrnn_team *team)
{
    pthread_mutex_lock(&team->mutex);
    pthread_cond_broadcast(&team->woken);
    pthread_mutex_unlock(&team->mutex);
}

int qrnn_team_meet(struct qrnn_team *team, int wants_to_stop)
{
    const size_t now = atomic_load_explicit(&team->generation, memory_order_relaxed);
    if (wants_to_stop) atomic_store_explicit(&team->wanted, 1, memory_order_relaxed);
    const size_t arrived = atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1;
    if ((arrived & ~ASLEEP) == atomic_load_explicit(&team->members, memory_order_relaxed)) {
        const int agreed = atomic_load_explicit(&team->wanted, memory_order_relaxed);
        team->agreed = agreed;
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->generation, now + 1, memory_order_release);
        if (arrived & ASLEEP) wake(team);
        return agreed;
    }
    for (size_t asked = 0; !has_moved(team, now); asked++) {
        if (asked < QRNN_TEAM_SPINS)
            pause_a_little();
        else if (asked < QRNN_TEAM_SPINS + QRNN_TEAM_YIELDS || !team->can_sleep)
            sched_yield();
        else
            sleep_until_moved(team, now);
    }
    return team->agreed;
}

/* The mutex may be locked, by nobody, and `woken` have waiters that are not here: both are left as they are. */
int qrnn_team_is_alone(struct qrnn_team *team)
{
    if (getpid() == team->process) return 0;
    atomic_store_explicit(&team->members, 1, memory_order_relaxed);
    atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
    team->can_sleep = 0;
    return 1;
}

static void *member_main(void *argument)
{
    struct qrnn_team *team = argument;
    const size_t member = atomic_fetch_add_explicit(&team->named, 1, memory_order_relaxed);
    for (;;) {
        qrnn_team_meet(team, 0); /* there is work, or the end */
        if (!team->work) return NULL;
        team->work(team->context, member, team);
        qrnn_team_meet(team, 0);
    }
}

static int make_bed(struct qrnn_team *team)
{
    if (pthread_mutex_init(&team->mutex, NULL) != 0) return 0;
    if (pthread_cond_init(&team->woken, NULL) == 0) return 1;
    pthread_mutex_destroy(&team->mutex);
    return 0;
}

/* Members begin on other processors than the caller's, where there are others: left to itself Linux often lets both
 * of a call of some milliseconds share one to its end (RNN of 256 units, 32 rows: 24.6 us a step instead of 15). */
static pthread_attr_t *away_from_caller(pthread_attr_t *attributes)
{
    if (pthread_attr_init(attributes) != 0) return NULL; /* as it comes, then */
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

/* The first meeting is over when the caller comes to it, who by then has set `members` to what there are:
 * with either number nobody else takes itself for the last. */
void qrnn_team_start(struct qrnn_team *team, size_t members)
{
    sigset_t all, before;
    pthread_attr_t memory, *const attributes = away_from_caller(&memory);
    const size_t wanted = members < QRNN_TEAM_MOST ? members : QRNN_TEAM_MOST;
    atomic_init(&team->members, wanted);
    atomic_init(&team->arrived, 0);
    atomic_init(&team->generation, 0);
    atomic_init(&team->named, 1);
    atomic_init(&team->wanted, 0);
    team->agreed = 0;
    team->process = getpid();
    team->can_sleep = make_bed(team);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the caller's affair */
    size_t started = 1;
    while (started < wanted && pthread_create(&team->threads[started], attributes, member_main, team) == 0) started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (attributes) pthread_attr_destroy(attributes);
    atomic_store_explicit(&team->members, started, memory_order_relaxed);
}

void qrnn_team_run(struct qrnn_team *team, void (*work)(void *context, size_t member, struct qrnn_team *team),
                   void *context)
{
    team->work = work;
    team->context = context;
    qrnn_team_meet(team, 0);
    work(context, 0, team);
    qrnn_team_meet(team, 0);
}

void qrnn_team_end(struct qrnn_team *team)
{
    team->work = NULL;
    qrnn_team_meet(team, 0);
    for (size_t i = 1; i < team->members; i++) pthread_join(team->threads[i], NULL);
    if (!team->can_sleep) return;
    pthread_cond_destroy(&team->woken);
    pthread_mutex_destroy(&team->mutex);
}
