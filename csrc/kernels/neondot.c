/* neondot.c - the dot product of signed bytes, sdot (ARMv8.2, DotProd). All other kernels are those of neon.c. */
#include "kernels.h"

#if QRNN_ARM_REGIONS
#include <arm_neon.h>
#include <math.h>

QRNN_REGION("arch=armv8.2-a+dotprod")

#include "vec_neon.h"
#include "dequantize.h"
#include "neon.h"

/* A form is the number that is subtracted from codes: 128, which makes them signed, or 0 for codes of planes. */
#define DOT_BIAS(form) (form)
typedef int8x16_t codes16;

QRNN_INLINE codes16 codes16_load(int form, const uint8_t *q)
{
    return codes_load(DOT_BIAS(form), q);
}

QRNN_INLINE s32v dot(int form, s32v acc, int8x16_t w, codes16 q, int lane)
{
    (void)form;
    switch (lane) { /* an immediate operand, also where nothing is inlined */
    case 0: return vdotq_laneq_s32(acc, w, q, 0);
    case 1: return vdotq_laneq_s32(acc, w, q, 1);
    case 2: return vdotq_laneq_s32(acc, w, q, 2);
    case 3: return vdotq_laneq_s32(acc, w, q, 3);
    }
    QRNN_UNREACHABLE();
}

#include "neon_lanes.h"
#define sum_tile sum_by_lanes
#include "product.h"

QRNN_TILE(tile_1x4, 128, 1, 1, 4, 1)
QRNN_TILE(tile_1, 128, 1, 1, 1, 4)
QRNN_TILE(tile_2, 128, 1, 2, 1, 2)
QRNN_TILE(tile_3, 128, 1, 3, 1, 2)
QRNN_TILE(tile_4, 128, 1, 4, 1, 1)
QRNN_TILE(tile_5, 128, 1, 5, 1, 1)
QRNN_TILE(tile_6, 128, 1, 6, 1, 1)

/* Tiles of at most 6 x 16: 24 sums, the codes of 6 rows and 2 vectors of weights. They have about equal height, so that
 * none is thin: 8 rows are 4 + 4, not 6 + 2. */
static void product_u8s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const struct tiled t = tiled_planes(1, w, x, out);
    size_t panel = 0, row = 0;
    if (out->batch == 1)
        for (; panel + 4 <= w->count; panel += 4) tile_1x4(&t, panel, 0);
    for (; panel < w->count; panel++, row = 0)
        for (size_t tiles = (out->batch + 5) / 6; tiles > 0; tiles--) {
            const size_t rows = (out->batch - row + tiles - 1) / tiles;
            switch (rows) {
            case 6: tile_6(&t, panel, row); break;
            case 5: tile_5(&t, panel, row); break;
            case 4: tile_4(&t, panel, row); break;
            case 3: tile_3(&t, panel, row); break;
            case 2: tile_2(&t, panel, row); break;
            case 1: tile_1(&t, panel, row); break;
            }
            row += rows;
        }
}

/* A row of 13-bit codes is two rows of a tile. */
QRNN_TILE(tile_s13_1x2, 0, 2, 1, 2, 1)
QRNN_TILE(tile_s13_1, 0, 2, 1, 1, 2)
QRNN_TILE(tile_s13_2, 0, 2, 2, 1, 1)
QRNN_TILE(tile_s13_3, 0, 2, 3, 1, 1)

static void product_s13s8(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out)
{
    const struct tiled t = tiled_planes(2, w, x, out);
    size_t panel = 0, row = 0;
    if (out->batch == 1)
        for (; panel + 2 <= w->count; panel += 2) tile_s13_1x2(&t, panel, 0);
    for (; panel < w->count; panel++) {
        for (row = 0; row + 3 <= out->batch; row += 3) tile_s13_3(&t, panel, row);
        if (row + 2 == out->batch) tile_s13_2(&t, panel, row);
        if (row + 1 == out->batch) tile_s13_1(&t, panel, row);
    }
}

void qrnn_use_neondot(struct qrnn_kernels *k)
{
    k->product[QRNN_PRODUCT_U8S8] = product_u8s8;
    k->product[QRNN_PRODUCT_S13S8] = product_s13s8;
}

QRNN_REGION_END
#else
void qrnn_use_neondot(struct qrnn_kernels *k)
{
    (void)k;
}
#endif
