/* team.c - threads that share one call. */
#include "team.h"
#include "tuning.h"

#include <stdint.h>

/* A bit of `arrived` beside the count: a member may be asleep. */
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

/* Sleeps until the generation is no longer `now`; may return earlier, so it is called in a loop.
 *
 * ASLEEP is set in the same word in which members count themselves, so either the last member sees the bit or this one
 * sees the full count. If the last member sees it, it wakes the sleepers, under the mutex and after it has changed the
 * generation. If this member finds all members counted, or a count of 0, which means it was reset already, it does not
 * sleep. A count that belongs to the next meeting is harmless: the generation has changed by then, and that is checked
 * under the mutex. */
static void sleep_until_moved(struct qrnn_team *team, size_t now)
{
    const size_t count = atomic_fetch_or_explicit(&team->arrived, ASLEEP, memory_order_acq_rel) & ~ASLEEP;
    if (count == 0 || count == atomic_load_explicit(&team->members, memory_order_relaxed)) {
        qrnn_thread_yield();
        return;
    }
    qrnn_monitor_lock(&team->monitor);
    while (!has_moved(team, now)) qrnn_monitor_wait(&team->monitor);
    qrnn_monitor_unlock(&team->monitor);
}

static void wake(struct qrnn_team *team)
{
    qrnn_monitor_lock(&team->monitor);
    qrnn_monitor_wake_all(&team->monitor);
    qrnn_monitor_unlock(&team->monitor);
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
            qrnn_thread_yield();
        else
            sleep_until_moved(team, now);
    }
    return team->agreed;
}

/* The monitor is not touched: a thread that does not exist in the child may have held its mutex, or waited in it, at
 * the fork. */
int qrnn_team_is_alone(struct qrnn_team *team)
{
    if (qrnn_process() == team->process) return 0;
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
        qrnn_team_meet(team, 0); /* wait until there is work, or the team ends */
        if (!team->work) return NULL;
        team->work(team->context, member, team);
        qrnn_team_meet(team, 0);
    }
}

/* `members` is first the number of threads that are wanted. Where fewer start, the caller sets it to their number, and
 * only then joins the first meeting. So no thread takes that meeting for complete before the caller has joined, whether
 * it has read the larger number or the smaller one. */
void qrnn_team_start(struct qrnn_team *team, size_t members)
{
    const size_t wanted = members < QRNN_TEAM_MOST ? members : QRNN_TEAM_MOST;
    atomic_init(&team->members, wanted);
    atomic_init(&team->arrived, 0);
    atomic_init(&team->generation, 0);
    atomic_init(&team->named, 1);
    atomic_init(&team->wanted, 0);
    team->agreed = 0;
    team->process = qrnn_process();
    team->can_sleep = qrnn_monitor_make(&team->monitor);
    const size_t started = 1 + qrnn_threads_start(team->threads + 1, wanted - 1, member_main, team);
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
    for (size_t i = 1; i < team->members; i++) qrnn_thread_join(team->threads[i]);
    if (team->can_sleep) qrnn_monitor_end(&team->monitor);
}
