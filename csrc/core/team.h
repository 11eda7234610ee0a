/* team.h - threads that share one call. Each computes its slice of the hidden units, and they meet (wait for each
 * other) between writing and reading.
 *
 * A team lives as long as its call. So a fork between calls loses no threads, and calls from different threads share
 * nothing. Starting a thread takes about 20 microseconds; teams are for calls that take far longer. */
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
    atomic_int wanted;        /* a member has asked to stop */
    int agreed;               /* the value of `wanted` at the last meeting, the same for all */
    qrnn_thread threads[QRNN_TEAM_MOST]; /* of members 1 and up; member 0 is the caller */
    long process;
    int can_sleep;            /* there is a monitor, in which members sleep after a long wait */
    struct qrnn_monitor monitor;
};

/* Starts the threads of a team of `members`, or of as many as the system allows; the caller is always a member. */
void qrnn_team_start(struct qrnn_team *team, size_t members);
/* Runs work(context, member, team) for all members at once, member 0 on the calling thread, and waits for all of
 * them. */
void qrnn_team_run(struct qrnn_team *team, void (*work)(void *context, size_t member, struct qrnn_team *team),
                   void *context);
void qrnn_team_end(struct qrnn_team *team);

/* Returns when every member has called it as often as this one. What they wrote before is then visible to all. The
 * result is the same for all: whether any member has ever asked to stop. */
int qrnn_team_meet(struct qrnn_team *team, int wants_to_stop);

/* Member 0 calls it after it has run the caller's code: whether that code has forked and this is the child, which has
 * no other members. Member 0 is then the whole team. */
int qrnn_team_is_alone(struct qrnn_team *team);

#endif
