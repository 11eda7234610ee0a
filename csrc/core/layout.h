/* layout.h - the working memory of a call: what is in it, and where.
 *
 * A call's working memory is divided into rooms, one for each array of a block (block.h); each begins on a cache line
 * of its own. The size of a room is a fixed number of bytes, plus some for each row of x, plus some for each row of a
 * step. These three numbers follow from the module alone (struct qrnn_rooms). With the numbers of rows they give the
 * offset of every room (struct qrnn_layout), and a block's pointers are the address of its memory plus these offsets
 * (block.c).
 *
 * Rooms come in groups, and a call lays out only the groups that it needs. Shared rooms exist once for the blocks of
 * all slices; each block has the other rooms for itself. */
#ifndef QRNN_LAYOUT_H
#define QRNN_LAYOUT_H

#include "kernels.h"

/* The only list of rooms: ROOM(field of struct qrnn_block, fixed bytes, bytes for a row of x, bytes for a row of a
 * step). z is struct room_bytes of block.c. */
#define QRNN_STEP_ROOMS(ROOM)             \
    ROOM(x.act, 0, z->x.act, 0)           \
    ROOM(x.codes, 0, z->x.codes, 0)       \
    ROOM(x_from, 0, sizeof(float *), 0)   \
    ROOM(ih_product, 0, z->ih_product, 0) \
    ROOM(h_to, 0, 0, sizeof(float *))     \
    ROOM(h.act, 0, 0, z->h.act)           \
    ROOM(h.codes, 0, 0, z->h.codes)       \
    ROOM(h_from, 0, 0, sizeof(float *))   \
    ROOM(c_from, 0, 0, sizeof(float *))   \
    ROOM(c_to, 0, 0, sizeof(float *))     \
    ROOM(hh_product, 0, 0, z->hh_product)

/* For the product inside a step (struct qrnn_cell). */
#define QRNN_INNER_ROOMS(ROOM)              \
    ROOM(inner.act, 0, 0, z->inner.act)     \
    ROOM(inner.codes, 0, 0, z->inner.codes) \
    ROOM(inner_product, 0, 0, z->inner_product)

/* For sequences: their rows may lie at unequal distances, and each slice finds an extent of its own. */
#define QRNN_SEQUENCE_ROOMS(ROOM)                        \
    ROOM(x.staged, 0, z->x.staged, 0)                    \
    ROOM(h.staged, 0, 0, z->h.staged)                    \
    ROOM(inner.staged, 0, 0, z->inner.staged)            \
    ROOM(h.extent, 0, 0, sizeof(struct qrnn_extent))     \
    ROOM(inner.extent, 0, 0, sizeof(struct qrnn_extent)) \
    ROOM(slopes, 0, 0, sizeof(float *))                  \
    ROOM(sliced, 3 * sizeof(struct qrnn_panels), 0, 0)

/* For the probe: integer sums, and room for the next states, which the caller does not get. */
#define QRNN_PROBE_ROOMS(ROOM)              \
    ROOM(acc_ih, 0, z->ih_product, 0)       \
    ROOM(acc_hh, 0, 0, z->hh_sums)          \
    ROOM(acc_inner, 0, 0, z->inner_product) \
    ROOM(unseen_h, 0, 0, z->zeros)          \
    ROOM(unseen_c, 0, 0, z->zeros)

#define QRNN_SHARED_ROOMS(ROOM) ROOM(zeros, z->zeros, 0, 0)

#define QRNN_SHARED_INNER_ROOMS(ROOM)       \
    ROOM(inner_values, 0, 0, z->zeros)      \
    ROOM(inner_rows, 0, 0, sizeof(float *)) \
    ROOM(inner_extents.extent, 0, 0, z->extents)

#define QRNN_SHARED_SEQUENCE_ROOMS(ROOM)  \
    ROOM(before.extent, 0, 0, z->extents) \
    ROOM(after.extent, 0, 0, z->extents)

/* The groups, in the order in which they lie in memory. */
#define QRNN_ROOM_GROUPS(GROUP)                                     \
    GROUP(shared, QRNN_SHARED_ROOMS, 1)                             \
    GROUP(shared_inner, QRNN_SHARED_INNER_ROOMS, z->inner.is)       \
    GROUP(shared_sequence, QRNN_SHARED_SEQUENCE_ROOMS, z->sequence) \
    GROUP(step, QRNN_STEP_ROOMS, 1)                                 \
    GROUP(inner, QRNN_INNER_ROOMS, z->inner.is)                     \
    GROUP(sequence, QRNN_SEQUENCE_ROOMS, z->sequence)               \
    GROUP(probe, QRNN_PROBE_ROOMS, z->probe)

/* The bytes of a room: fixed, for each row of x, and for each row of a step. */
struct qrnn_room {
    size_t fixed, x_row, row;
};

#define QRNN_COUNT(field, fixed, x_row, row) +1

struct qrnn_rooms {
#define GROUP(name, ROOMS, there) struct qrnn_room name[0 ROOMS(QRNN_COUNT)];
    QRNN_ROOM_GROUPS(GROUP)
#undef GROUP
};

/* Offsets of all rooms. Those of shared rooms count from the start of the memory, those of a block's rooms from the
 * start of the block's part. */
struct qrnn_layout {
#define GROUP(name, ROOMS, there) size_t name[0 ROOMS(QRNN_COUNT)];
    QRNN_ROOM_GROUPS(GROUP)
#undef GROUP
    size_t shared_bytes, own_bytes;
};

/* How many rooms the groups before `group` have. */
#define QRNN_ROOMS_BEFORE(group) (offsetof(struct qrnn_rooms, group) / sizeof(struct qrnn_room))

enum {
    QRNN_ROOM_COUNT = sizeof(struct qrnn_rooms) / sizeof(struct qrnn_room),
    QRNN_SHARED_COUNT = QRNN_ROOMS_BEFORE(step)
};

/* Places a room of `bytes` bytes at offset `next`; returns the offset of the next room. */
QRNN_INLINE size_t qrnn_place_room(size_t *offset, size_t next, size_t bytes)
{
    *offset = next;
    return next + qrnn_round_up(bytes, QRNN_LINE);
}

/* Computes all offsets for some rows of x and rows of a step. Both structures consist of arrays of one type, so each is
 * read as one array. */
QRNN_INLINE void qrnn_layout_scale(const struct qrnn_rooms *rooms, size_t x_rows, size_t rows,
                                   struct qrnn_layout *layout)
{
    const struct qrnn_room *const room = (const void *)rooms;
    size_t *const offsets = (void *)layout, next = 0;
    for (int i = 0; i < QRNN_ROOM_COUNT; i++) {
        if (i == QRNN_SHARED_COUNT) {
            layout->shared_bytes = next;
            next = 0;
        }
        next = qrnn_place_room(&offsets[i], next, room[i].fixed + room[i].x_row * x_rows + room[i].row * rows);
    }
    layout->own_bytes = next;
}

/* Bytes of each room for a row of a single step, where a row of x belongs to each row, in words of 4 bytes: a module
 * stores these, and 32 bits are enough. The first room, the state of zeros, has a fixed size instead. */
QRNN_INLINE void qrnn_step_words(const struct qrnn_rooms *rooms, uint32_t *words)
{
    const struct qrnn_room *const room = (const void *)rooms;
    for (int i = 0; i < QRNN_ROOM_COUNT; i++) words[i] = (uint32_t)((room[i].x_row + room[i].row) / 4);
}

/* Places the rooms from `first` to `end` - 1, beginning at offset `next`; returns the offset behind them. */
QRNN_INLINE size_t qrnn_place_rooms(const uint32_t *words, size_t rows, size_t first, size_t end, size_t next,
                                    size_t *offsets)
{
    for (size_t i = first; i < end; i++) next = qrnn_place_room(&offsets[i], next, (size_t)words[i] * 4 * rows);
    return next;
}

/* The layout of a single step. It places only the groups that a step uses (4 rows of a float32 RNN of 16 units take
 * 2,498 instructions instead of 2,920). */
QRNN_INLINE void qrnn_step_layout(const uint32_t *words, size_t zeros, int has_inner, size_t rows,
                                  struct qrnn_layout *layout)
{
    size_t *const offsets = (void *)layout;
    size_t shared = qrnn_place_room(&offsets[0], 0, zeros);
    if (has_inner)
        shared = qrnn_place_rooms(words, rows, QRNN_ROOMS_BEFORE(shared_inner), QRNN_ROOMS_BEFORE(shared_sequence),
                                  shared, offsets);
    layout->shared_bytes = shared;
    const size_t end = has_inner ? QRNN_ROOMS_BEFORE(sequence) : QRNN_ROOMS_BEFORE(inner);
    layout->own_bytes = qrnn_place_rooms(words, rows, QRNN_SHARED_COUNT, end, 0, offsets);
}

/* Bytes of working memory for all slices together. */
QRNN_INLINE size_t qrnn_layout_bytes(const struct qrnn_layout *layout, size_t slices)
{
    return layout->shared_bytes + slices * layout->own_bytes;
}

#endif
