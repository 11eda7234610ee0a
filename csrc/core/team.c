/* team.c - threads that share one call. */
#define _POSIX_C_SOURCE 200809L /* signal masks, in strict C11 */

#include "team.h"

#include <sched.h>
#include <signal.h>

/* Questions before a waiting thread lets others run: some microseconds, longer than the members of a
 * step differ where each has a core. */
enum { SPINS = 4096 };

static void pause_a_little(void)
{
#if defined(__x86_64__) && defined(__GNUC__)
    __builtin_ia32_pause();
#endif
}

int qrnn_team_meet(struct qrnn_team *team, int wants_to_stop)
{
    const size_t now = atomic_load_explicit(&team->generation, memory_order_relaxed);
    if (wants_to_stop) atomic_store_explicit(&team->wanted, 1, memory_order_relaxed);
    if (atomic_fetch_add_explicit(&team->arrived, 1, memory_order_acq_rel) + 1 == team->members) {
        team->agreed = atomic_load_explicit(&team->wanted, memory_order_relaxed);
        atomic_store_explicit(&team->arrived, 0, memory_order_relaxed);
        atomic_store_explicit(&team->generation, now + 1, memory_order_release);
        return team->agreed;
    }
    for (size_t spin = 0; atomic_load_explicit(&team->generation, memory_order_acquire) == now; spin++) {
        if (spin < SPINS)
            pause_a_little();
        else
            sched_yield();
    }
    return team->agreed;
}

static void *member_main(void *argument)
{
    struct qrnn_team *team = argument;
    const size_t member = atomic_fetch_add_explicit(&team->named, 1, memory_order_relaxed);
    while (!atomic_load_explicit(&team->ready, memory_order_acquire)) sched_yield();
    for (;;) {
        qrnn_team_meet(team, 0); /* there is work, or the end */
        if (!team->work) return NULL;
        team->work(team->context, member, team);
        qrnn_team_meet(team, 0);
    }
}

void qrnn_team_start(struct qrnn_team *team, size_t members)
{
    sigset_t all, before;
    team->members = members < QRNN_TEAM_MOST ? members : QRNN_TEAM_MOST;
    atomic_init(&team->arrived, 0);
    atomic_init(&team->generation, 0);
    atomic_init(&team->named, 1);
    atomic_init(&team->wanted, 0);
    atomic_init(&team->ready, 0);
    team->agreed = 0;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are the caller's affair */
    size_t started = 1;
    while (started < team->members && pthread_create(&team->threads[started], NULL, member_main, team) == 0)
        started++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    team->members = started;
    atomic_store_explicit(&team->ready, 1, memory_order_release);
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
}
