/* team.h - threads that share one call, each with its slice, and meet between writing and reading.
 *
 * A team lives as long as the call: nothing is left behind that a fork could lose, and calls from
 * different threads share nothing. Starting a thread takes some 20 microseconds, so teams are for calls
 * that take far longer. */
#ifndef QRNN_TEAM_H
#define QRNN_TEAM_H

#include "system.h"

#include <stdatomic.h>

enum { QRNN_TEAM_MOST = 64 };

struct qrnn_team {
    atomic_size_t members;
    void (*work)(void *context, size_t member, struct qrnn_team *team);
    void *context;
    atomic_size_t arrived, generation, named;
    atomic_int wanted;        /* somebody wants to stop */
    int agreed;               /* the same, as of the last meeting */
    qrnn_thread threads[QRNN_TEAM_MOST]; /* of member 1 and on: the caller is 0 */
    long process;
    int can_sleep;            /* there is a monitor, where members sleep that have waited for long */
    struct qrnn_monitor monitor;
};

/* Starts threads for a team of `members`, or as many as can be had; at least the caller is in it. */
void qrnn_team_start(struct qrnn_team *team, size_t members);
/* Runs work(context, member, team) for every member at once, 0 on the calling thread, and waits for all. */
void qrnn_team_run(struct qrnn_team *team, void (*work)(void *context, size_t member, struct qrnn_team *team),
                   void *context);
void qrnn_team_end(struct qrnn_team *team);

/* Returns when every member has called it as often as this one: what they wrote before is visible, and
 * all of them learn whether one of them has ever wanted to stop. */
int qrnn_team_meet(struct qrnn_team *team, int wants_to_stop);

/* Asked by member 0 after it has run the caller's code: whether that has forked and this is the child,
 * where the other members are not. It is then the whole team. */
int qrnn_team_is_alone(struct qrnn_team *team);

#endif
