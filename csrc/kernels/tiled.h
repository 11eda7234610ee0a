/* tiled.h - what product.h shares with the files that sum its tiles. Included after a vec_*.h. */
#ifndef QRNN_TILED_H
#define QRNN_TILED_H

/* The vectors of a panel, and the most sums that a tile has. */
enum { VECS = QRNN_PANEL / LANES, TILE_MAX = LANES == 4 ? 32 : 24 };
#define UNROLL QRNN_UNROLL(24)

/* What all tiles of a product have in common. It is copied to locals, so that the compiler keeps it in registers. */
struct tiled {
    const struct qrnn_panels *w;
    const int8_t *codes;      /* of w */
    const uint8_t *q;
    size_t q_stride;
    const struct qrnn_act *act;
    const int32_t *left_out;
    const struct qrnn_product *out;
};

/* The group of panels, one of `count`, that comes i-th. The steps of a sequence read their weights alternately forwards
 * and backwards, so that a step begins with the weights that the cache still holds from the step before. Always in one
 * order, each line of a matrix larger than the cache would be evicted before it is read again. (A bare loop of one row
 * takes 0.32 us instead of 0.39 over 64 KiB of weights, 28 instead of 47 over 2.25 MiB, 96 instead of 150 over 4 MiB,
 * 403 instead of 461 over 12 MiB, 571 instead of 612 over 16 MiB; Xeon with 48 KiB and 2 MiB of cache per core.) */
QRNN_INLINE size_t group_at(const struct qrnn_product *out, size_t count, size_t i)
{
    return out->backwards ? count - 1 - i : i;
}

/* A tile sees each plane of a row of codes as a row of its own. */
QRNN_INLINE struct tiled tiled_planes(size_t planes, const struct qrnn_panels *w, const struct qrnn_inputs *x,
                                      const struct qrnn_product *out)
{
    return (struct tiled){w, w->data, x->rows, x->stride / planes, x->act, NULL, out};
}

#endif
