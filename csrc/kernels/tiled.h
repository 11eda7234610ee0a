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

/* A tile sees each plane of a row of codes as a row of its own. */
QRNN_INLINE struct tiled tiled_planes(size_t planes, const struct qrnn_panels *w, const struct qrnn_inputs *x,
                                      const struct qrnn_product *out)
{
    return (struct tiled){w, w->data, x->rows, x->stride / planes, x->act, NULL, out};
}

#endif
