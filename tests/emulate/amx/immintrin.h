/* The tiles of AMX in plain C, after Intel's Intrinsics Guide, beside the emulated AVX-512, so that csrc/kernels/amx.c
 * can run on a CPU that has neither. Shapes that the CPU would refuse end the program. */
#ifndef EMULATED_TILES_H
#define EMULATED_TILES_H

#include "../avx512vnni/immintrin.h"
#include <stdlib.h>

static struct {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16];
    uint8_t rows[16];
} emulated_shapes;

static uint8_t emulated_tiles[8][16][64];

static inline void emulated_need(int right)
{
    if (!right) abort();
}

static inline void _tile_loadconfig(const void *shapes)
{
    memcpy(&emulated_shapes, shapes, sizeof emulated_shapes);
    memset(emulated_tiles, 0, sizeof emulated_tiles);
    emulated_need(emulated_shapes.palette == 1);
    for (int i = 0; i < 16; i++) {
        emulated_need(emulated_shapes.rows[i] <= (i < 8 ? 16 : 0) && emulated_shapes.bytes[i] <= (i < 8 ? 64 : 0));
        emulated_need(!emulated_shapes.rows[i] == !emulated_shapes.bytes[i]);
    }
}

static inline void _tile_release(void)
{
    memset(&emulated_shapes, 0, sizeof emulated_shapes);
}

static inline void _tile_zero(int tile)
{
    emulated_need(emulated_shapes.rows[tile] > 0);
    memset(emulated_tiles[tile], 0, sizeof emulated_tiles[tile]);
}

static inline void _tile_loadd(int tile, const void *from, size_t stride)
{
    _tile_zero(tile);
    for (size_t i = 0; i < emulated_shapes.rows[tile]; i++)
        memcpy(emulated_tiles[tile][i], (const char *)from + i * stride, emulated_shapes.bytes[tile]);
}

static inline void _tile_stored(int tile, void *to, size_t stride)
{
    emulated_need(emulated_shapes.rows[tile] > 0);
    for (size_t i = 0; i < emulated_shapes.rows[tile]; i++)
        memcpy((char *)to + i * stride, emulated_tiles[tile][i], emulated_shapes.bytes[tile]);
}

/* sums[m][n] += sum over k and j < 4 of the unsigned a[m][4 k + j] and the signed b[k][4 n + j], wrapping. */
static inline void _tile_dpbusd(int sums, int a, int b)
{
    emulated_need(emulated_shapes.rows[sums] > 0 && emulated_shapes.rows[sums] == emulated_shapes.rows[a]);
    emulated_need(emulated_shapes.bytes[a] > 0 && emulated_shapes.bytes[a] == 4 * emulated_shapes.rows[b]);
    emulated_need(emulated_shapes.bytes[sums] == emulated_shapes.bytes[b]);
    for (size_t m = 0; m < emulated_shapes.rows[sums]; m++)
        for (size_t n = 0; n < emulated_shapes.bytes[b] / 4u; n++) {
            uint32_t sum;
            memcpy(&sum, &emulated_tiles[sums][m][4 * n], sizeof sum);
            for (size_t k = 0; k < emulated_shapes.bytes[a]; k++)
                sum += (uint32_t)(emulated_tiles[a][m][k] * (int8_t)emulated_tiles[b][k / 4][4 * n + k % 4]);
            memcpy(&emulated_tiles[sums][m][4 * n], &sum, sizeof sum);
        }
}

#endif
