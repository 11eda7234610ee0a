/* status.c - the texts of statuses, and the checks of calls before they begin. */
#include "module.h"
#include "team.h"

const char *qrnn_status_text(qrnn_status status)
{
    static const char *const texts[QRNN_STATUSES] = {
#define QRNN_STATUS(name, text) text,
#include "status.def"
#undef QRNN_STATUS
    };
    return (unsigned)status < QRNN_STATUSES ? texts[status] : "no such status";
}

qrnn_status qrnn_check_call(const qrnn_module *m, int of_its_kind, size_t batch, const float *x, const float *to,
                            const float *c_to)
{
    if (!m) return QRNN_ERR_NULL;
    if (!of_its_kind) return QRNN_ERR_KIND;
    if (m->layers * m->directions != 1) return QRNN_ERR_SIZE;
    if (batch == 0) return QRNN_OK;
    return !to || (!x && m->input_size) || (!c_to && m->kind->info.states == 2) ? QRNN_ERR_NULL : QRNN_OK;
}

/* Refuses sizes for which a caller's array or our working memory would exceed SIZE_MAX bytes. All rooms together take
 * fewer than 64 bytes for each float of a batch's widest rows times the number of members, and for each float of the
 * output. */
static int is_absurd(const qrnn_module *m, const qrnn_run *run)
{
    const size_t most = SIZE_MAX / 64, members = run->threads < QRNN_TEAM_MOST ? run->threads + 1 : QRNN_TEAM_MOST;
    const size_t width = m->directions * m->state_size, wide = qrnn_round_up(m->hidden_size, QRNN_LINE);
    const size_t row = m->kind->info.gates * wide + width + qrnn_round_up(m->input_size, QRNN_LINE);
    return run->batch > most / row / members || run->steps > most / run->batch / width;
}

qrnn_status qrnn_check_sequence(const qrnn_module *m, const qrnn_run *run)
{
    if (!m || !run) return QRNN_ERR_NULL;
    const size_t states = m->kind->info.states;
    if (states == 0) return QRNN_ERR_KIND;
    if (m->hidden_size == 0) return QRNN_ERR_SIZE;
    if (run->batch == 0) return QRNN_OK;
    if (!run->h_out || (states == 2 && !run->c_out)) return QRNN_ERR_NULL;
    if (run->steps && m->input_size && !run->x) return QRNN_ERR_NULL;
    if (is_absurd(m, run)) return QRNN_ERR_MEMORY;
    const size_t least = m->shares_scale ? 1 : 0;
    for (size_t i = 0; run->lengths && i < run->batch; i++)
        if (run->lengths[i] < least || run->lengths[i] > run->steps) return QRNN_ERR_SIZE;
    return QRNN_OK;
}
