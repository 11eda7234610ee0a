/* tiled.h - what product.h and the sums of its tiles share; after a vec_*.h. */
#ifndef QRNN_TILED_H
#define QRNN_TILED_H

/* Vectors of a panel; the most sums of a tile. */
enum { VECS = QRNN_PANEL / LANES, TILE_MAX = LANES == 4 ? 32 : 24 };
#define UNROLL QRNN_PRAGMA(GCC unroll 24)

/* What all tiles of a product have in common: locals, so that a compiler keeps them in registers. */
struct tiled {
    const struct qrnn_panels *w;
    const int8_t *codes;      /* of w */
    const uint8_t *q;
    size_t q_stride;
    const struct qrnn_act *act;
    const int32_t *left_out;
    const struct qrnn_product *out;
};

/* The planes of a row of codes are rows of a tile, one after the other. */
QRNN_INLINE struct tiled tiled_planes(size_t planes, const struct qrnn_panels *w, const struct qrnn_inputs *x,
                                      const struct qrnn_product *out)
{
    return (struct tiled){w, w->data, x->rows, x->stride / planes, x->act, NULL, out};
}

#endif
