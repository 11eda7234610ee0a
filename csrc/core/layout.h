/* layout.h - the working memory of a call: what is in it, and where.
 *
 * Rooms, each on lines of its own, for the rows of x and the rows of a step that a block works on. What a room takes
 * of each follows from the module alone: qrnn_rooms, made once a module. Where rooms lie is that times the rows:
 * qrnn_layout, offsets from the start. A block's pointers are the offsets from where its memory is (block.c).
 *
 *   own       of the block of one slice of the hidden units
 *   shared    by the blocks of all slices */
#ifndef QRNN_LAYOUT_H
#define QRNN_LAYOUT_H

#include "kernels.h"

/* ROOM(field of struct qrnn_block, bytes in any case, bytes a row of x, bytes a row of a step); z is struct extents_of
 * block.c. The only list of rooms. */
#define QRNN_OWN_ROOMS(ROOM)                                              \
    ROOM(x.extent, 0, z->x.coded * sizeof(struct qrnn_extent), 0)         \
    ROOM(x.act, 0, z->x.coded * sizeof(struct qrnn_act), 0)               \
    ROOM(x.codes, 0, z->x.codes, 0)                                       \
    ROOM(x.staged, 0, z->x.staged, 0)                                     \
    ROOM(x_from, 0, sizeof(float *), 0)                                   \
    ROOM(ih_product, 0, z->ih_product, 0)                                 \
    ROOM(acc_ih, 0, z->probe * z->ih_product, 0)                          \
    ROOM(h_to, 0, 0, sizeof(float *))                                     \
    ROOM(h.extent, 0, 0, z->h.coded * sizeof(struct qrnn_extent))         \
    ROOM(h.act, 0, 0, z->h.coded * sizeof(struct qrnn_act))               \
    ROOM(h.codes, 0, 0, z->h.codes)                                       \
    ROOM(h.staged, 0, 0, z->h.staged)                                     \
    ROOM(h_from, 0, 0, z->recurrent * sizeof(float *))                    \
    ROOM(c_from, 0, 0, z->recurrent * sizeof(float *))                    \
    ROOM(c_to, 0, 0, z->recurrent * sizeof(float *))                      \
    ROOM(hh_product, 0, 0, z->hh_product)                                 \
    ROOM(acc_hh, 0, 0, z->probe * z->hh_sums)                             \
    ROOM(inner.extent, 0, 0, z->inner.coded * sizeof(struct qrnn_extent)) \
    ROOM(inner.act, 0, 0, z->inner.coded * sizeof(struct qrnn_act))       \
    ROOM(inner.codes, 0, 0, z->inner.codes)                               \
    ROOM(inner.staged, 0, 0, z->inner.staged)                             \
    ROOM(inner_product, 0, 0, z->inner_product)                           \
    ROOM(acc_inner, 0, 0, z->probe * z->inner_product)                    \
    ROOM(sliced, z->sliced, 0, 0)

#define QRNN_SHARED_ROOMS(ROOM)                                   \
    ROOM(zeros, z->zeros, 0, 0)                                   \
    ROOM(before.extent, 0, 0, z->state_extents)                   \
    ROOM(after.extent, 0, 0, z->state_extents)                    \
    ROOM(inner_values, 0, 0, z->inner_values)                     \
    ROOM(inner_rows, 0, 0, z->inner_values ? sizeof(float *) : 0) \
    ROOM(inner_extents.extent, 0, 0, z->inner_extents)            \
    ROOM(unseen_h, 0, 0, z->probe * z->zeros)                     \
    ROOM(unseen_c, 0, 0, z->probe * z->zeros)

enum {
#define ROOM(field, fixed, x_row, row) +1
    QRNN_OWN_COUNT = 0 QRNN_OWN_ROOMS(ROOM),
    QRNN_SHARED_COUNT = 0 QRNN_SHARED_ROOMS(ROOM)
#undef ROOM
};

/* What a room takes in any case, of each row of x, of each row of a step. */
struct qrnn_room {
    size_t fixed, x_row, row;
};

struct qrnn_rooms {
    struct qrnn_room own[QRNN_OWN_COUNT], shared[QRNN_SHARED_COUNT];
};

/* Offsets; the last ones are the ends. */
struct qrnn_layout {
    size_t own[QRNN_OWN_COUNT + 1], shared[QRNN_SHARED_COUNT + 1];
};

QRNN_INLINE void qrnn_offsets(size_t count, const struct qrnn_room *rooms, size_t x_rows, size_t rows, size_t *offsets)
{
    offsets[0] = 0;
    for (size_t i = 0; i < count; i++) {
        const size_t bytes = rooms[i].fixed + rooms[i].x_row * x_rows + rooms[i].row * rows;
        offsets[i + 1] = offsets[i] + qrnn_round_up(bytes, QRNN_LINE);
    }
}

QRNN_INLINE void qrnn_layout_scale(const struct qrnn_rooms *rooms, size_t x_rows, size_t rows,
                                   struct qrnn_layout *layout)
{
    qrnn_offsets(QRNN_OWN_COUNT, rooms->own, x_rows, rows, layout->own);
    qrnn_offsets(QRNN_SHARED_COUNT, rooms->shared, x_rows, rows, layout->shared);
}

/* Bytes of the memory of all slices. */
QRNN_INLINE size_t qrnn_layout_bytes(const struct qrnn_layout *layout, size_t slices)
{
    return layout->shared[QRNN_SHARED_COUNT] + slices * layout->own[QRNN_OWN_COUNT];
}

#endif
