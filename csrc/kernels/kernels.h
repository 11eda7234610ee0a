/* kernels.h - the internal contract between core/, which says what is computed, and kernels/, which says how a CPU does
 * it.
 *
 * scalar.c is the specification: every other file returns the same bits. Kernels cannot fail, allocate nothing, and do
 * not know which cell or engine they work for.
 *
 * A panel holds 16 output rows. With quads = ceil(cols / 4) a panel of int8 codes is
 *
 *     byte    0..3            4..7                 60..63
 *           | row 0, k 0..3 | row 1, k 0..3 | ... | row 15, k 0..3 |   quad 0: one 64-byte line
 *           | row 0, k 4..7 | ...                                  |   quad 1
 *           ...
 *
 * so one 64-byte load (one zmm, two ymm or four q registers) is multiplied by one broadcast of four activation codes. A
 * panel of floats has one line of 16 floats for each column, which holds that column of the 16 rows: first the columns
 * that the partial sums 0 and 1 take, then those of 2 and 3 (qrnn_float_line)
 *
 *           | column 0 | column 1 | column 4 | column 5 | ... | column 2 | column 3 | column 6 | ... |
 *
 * because a tile of several rows and panels has registers for two partial sums, and each of its two passes then reads
 * lines in order. Padding rows and columns hold zero codes (or zero floats), with sum 0, scale 1 and bias 0.
 *
 * The rows of a matrix with several gates are interleaved by 16 units. So all gates of a unit lie beside one another in
 * a product, and consecutive units are consecutive panels:
 *
 *     panel    0                  1                  2                  3
 *            | i of units 0..15 | f of units 0..15 | g of units 0..15 | o of units 0..15 |
 *            | i of units 16..31| ...
 *
 * Scratch arrays (activation codes, y, add, acc) start on 64-byte boundaries and have row strides that are multiples of
 * 64 bytes, so kernels write whole panels without masks.
 */
#ifndef QRNN_KERNELS_H
#define QRNN_KERNELS_H

#include <stddef.h>

#include "qrnn.h"
#include "target.h"

enum { QRNN_PANEL = 16, QRNN_QUAD = 4, QRNN_LINE = 64, QRNN_MOMENTS_PANEL = 24, QRNN_MOST_GATES = 4 };

/* The formats of formats.def, and the kernels of products. */
enum qrnn_weight_format {
#define QRNN_WEIGHTS(NAME, ...) QRNN_WEIGHTS_##NAME,
#include "formats.def"
    QRNN_WEIGHT_FORMATS
};

enum qrnn_activation_format {
#define QRNN_ACTIVATIONS(NAME, ...) QRNN_ACTIVATIONS_##NAME,
#include "formats.def"
    QRNN_ACTIVATION_FORMATS
};

enum qrnn_product_kernel {
#define QRNN_PRODUCT(NAME, ...) QRNN_PRODUCT_##NAME,
#include "formats.def"
    QRNN_PRODUCTS
};

/* How v becomes a code; inv = 1 / scale, zp the zero point; rint is half to even.
 *   PRODUCT  clamp(rint(v * inv) + zp, 0, 255)             the product rounded, then an integer sum
 *   FUSED    clamp(rint(fma(v, inv, zp)), 0, 255)
 *   TWICE    clamp(rint(v * inv + zp), 0, 255)             product and sum rounded                   */
enum qrnn_rounding { QRNN_ROUND_PRODUCT, QRNN_ROUND_FUSED, QRNN_ROUND_TWICE };

/* How an exact integer sum becomes a float; a = act.scale, s = scale[row], b = bias[row].
 *   FUSED    fma(acc, a * s, b)
 *   TWICE    acc * (a * s) + b
 *   THRICE   (acc * a) * s + b                                                                       */
enum qrnn_dequant { QRNN_DEQUANT_FUSED, QRNN_DEQUANT_TWICE, QRNN_DEQUANT_THRICE };

/* A 13-bit code is 128 * high + low, both below 128. `high` and `low` are in a row of bytes each (a plane), `high`
 * first. The exact sums of codes fit 32 bits up to QRNN_DEPTH_S13 columns. With more columns the sums of each plane
 * still do: 127 * 128 * QRNN_MAX_DEPTH < 2^31. */
enum { QRNN_PLANE_BITS = 7, QRNN_MOST_PLANES = 2, QRNN_MOST_S13 = 4095, QRNN_ZERO_S13 = 4096, QRNN_DEPTH_S13 = 4096 };

/* Quantization of one row of activations: v ~ (code - zero_point) * scale. */
struct qrnn_act {
    float scale;
    float inv;
    int32_t zero_point;
};

/* How many running sums a sum over a row has: as many as the widest vector has lanes. */
enum { QRNN_SUM_LANES = 16 };

/* How to decode a row: value = root * ((code - zero_point) * factor). */
struct qrnn_decoding {
    float zero_point, factor;
    float root; /* multiplies every value */
};

/* The smallest and the largest of some values and 0. lo and hi are undefined if a value is not finite. */
struct qrnn_extent {
    float lo, hi;
    int finite;
};

/* A packed matrix. A matrix of floats has no sums and no scales. */
struct qrnn_panels {
    size_t rows, cols;
    size_t gates; /* rows = gates * units, interleaved as above */
    size_t count; /* panels: gates * ceil(units / 16) */
    size_t quads; /* ceil(cols / 4) */
    const void *data; /* the panels: int8 codes or floats */
    size_t panel_bytes;
    const int32_t *sum; /* sum of the row's codes */
    const float *scale; /* the row's factor in `dequant` */
    const float *bias; /* -0.0f if there is none: x + -0.0f == x for every x */
    enum qrnn_dequant dequant;
    int most_code; /* the largest code of the activations it multiplies */
    int has_least; /* a code is -128, which engine qrnn never makes */
};

/* The activations of a product: rows of codes, with a scale and a zero point for each row, or rows of floats. */
struct qrnn_inputs {
    const void *rows;
    size_t stride; /* in codes or floats */
    const struct qrnn_act *act; /* [rows]; NULL for floats */
};

/* y = product (+ add). All three arrays share the row stride; add and acc may be NULL, add may be y. */
struct qrnn_product {
    size_t batch; /* at least 1 */
    float *y;
    const float *add;
    int32_t *acc; /* the exact sums (q - zp) * w; NULL: not wanted */
    size_t stride; /* elements; a multiple of 16, at least 16 * count */
    int backwards; /* kernels that can read groups of panels from last to first; the results stay the same */
};

/* How products become a state, element by element over hidden units (ends.def). Ends know nothing else of a cell. */
enum qrnn_end {
#define QRNN_END(NAME, ...) QRNN_END_##NAME,
#include "ends.def"
#undef QRNN_END
    QRNN_ENDS
};

/* The options of a layer in one direction, for ends that take them. Rows of arrays hold all hidden units and are
 * `stride` floats apart, a multiple of QRNN_PANEL. */
struct qrnn_end_options {
    const qrnn_activation *activations; /* in the order of qrnn_options */
    float clip, cell_clip, proj_clip; /* INFINITY: none */
    float epsilon; /* for the normalization */
    int input_forget;
    const float *peepholes; /* [3][stride] of i, f and o; NULL: none */
    const float *gain, *shift; /* [gates][stride] for the normalization, whose ends always get all units at once;
                                  NULL: none */
    size_t stride;
};

/* The arguments of an end, for units first .. first + units - 1 of some rows. The products begin at unit `first`, the
 * states at unit 0. */
struct qrnn_end_args {
    size_t rows, first, units;
    const float *ih, *hh, *inner; /* products with interleaved gates; an end reads only those it takes */
    size_t ih_stride, hh_stride, inner_stride;
    const float *const *h, *const *c; /* [rows] states before */
    float *const *h_out, *const *c_out; /* [rows] states after; may be the states before */
    struct qrnn_extent *extent; /* [rows] extents of h_out; NULL: not wanted */
    float *const *slopes; /* [rows] for each unit, the sum over its gates of the squared slopes of h'; for `sloped`
                             ends only */
    const struct qrnn_end_options *options; /* for ends that take options */
};

typedef void qrnn_encode_kernel(size_t rows, size_t n, const float *const *v, const struct qrnn_extent *extent,
                                struct qrnn_act *act, uint8_t *q, size_t q_stride);
typedef void qrnn_multiply_kernel(const struct qrnn_panels *w, const struct qrnn_inputs *x,
                                  const struct qrnn_product *out);
typedef void qrnn_end_kernel(const struct qrnn_end_args *e);
typedef void qrnn_row_kernel(const struct qrnn_panels *w, const struct qrnn_inputs *x, const struct qrnn_product *out,
                             const struct qrnn_end_args *e);

/* Consecutive steps of one row of a layer of at most QRNN_PANEL units, whose input products are known. */
struct qrnn_few_units {
    size_t units, steps;
    const float *ih; /* [steps][ih_stride] */
    size_t ih_stride;
    const float *h, *c; /* the states before; c_to may be c */
    float *h_to, *c_to; /* h of the first step; c of the last one */
    ptrdiff_t h_stride; /* from a step's h to that of the next */
};

typedef void qrnn_steps_kernel(const struct qrnn_panels *w, const struct qrnn_few_units *s);

struct qrnn_kernels {
    /* Extents of rows of n values; a v of NULL is a row of zeros. */
    void (*range)(size_t rows, size_t n, const float *const *v, struct qrnn_extent *extent);

    /* q[i][k] = the code of v[i][k] by act[i], rounded by FUSED or TWICE. Rows of q are padded with arbitrary codes to
     * a multiple of 64. */
    void (*quantize)(size_t rows, size_t n, const float *const *v, const struct qrnn_act *act,
                     enum qrnn_rounding rounding, uint8_t *q, size_t q_stride);

    /* For formats with a scale for each row (choose.h), else NULL: finds act and codes of rows. If act[i].inv is 0, all
     * codes of row i stand for the value 0. `extent` holds the rows' extents, or is NULL if they are not known. */
    qrnn_encode_kernel *encode[QRNN_ACTIVATION_FORMATS];

    /* The sum of n values in a fixed order: s_j is the sum over k = j, j + 16, ... upwards from +0, for j <
     * QRNN_SUM_LANES = 16; then s_j + s_(j + 8) for j < 8, and so on by halves. A NaN may have any payload. */
    float (*sum)(size_t n, const float *x);

    /* to[k] = root * ((code - zero_point) * factor) for a row of n codes, padded to a multiple of 64. `low` is the
     * second plane of codes that have two, else NULL. A NaN may have any payload. */
    void (*decode)(size_t n, const uint8_t *codes, const uint8_t *low, const struct qrnn_decoding *by, float *to);

    /* A NaN in y may have any payload.
     *
     *   U8S8  acc[i][r] = sum_k (q[i][k] - act[i].zero_point) * codes[r][k], exact;
     *         y[i][r] = dequant(acc[i][r]) (+ add[i][r])
     *   S13S8 the same of codes in two planes; of a sum beyond 32 bits acc shows the lower ones
     *   F32   s_j = sum of x[i][k] * values[r][k] over k = j, j + 4, ... upwards, by fma from +0;
     *         y[i][r] = ((s_0 + s_1) + (s_2 + s_3)) + bias[r] (+ add[i][r])                            */
    qrnn_multiply_kernel *product[QRNN_PRODUCTS];

    /* y[i] = f(x[i]); y may be x. */
    void (*map[QRNN_FUNCTIONS])(const float *x, float *y, size_t n);

    /* Adds rows of n finite values to running sums in double, one row after the other: sum[i] += roots[r] * v[r][i]
     * and, for i <= j, outer[i][j] += v[r][i] * v[r][j]; each product is exact. `outer`, [n][n], is undefined below its
     * diagonal. `panels` is working memory of rows * n doubles, n rounded up to QRNN_MOMENTS_PANEL. */
    void (*moments)(size_t rows, size_t n, const float *const *v, const float *roots, double *sum, double *outer,
                    double *panels);

    qrnn_end_kernel *end[QRNN_ENDS];
    qrnn_end_kernel *sloped[QRNN_ENDS]; /* the same ends, which also write slopes */

    /* [QRNN_PRODUCTS] kernels that compute the product of one row and its end in turns, a few panels at a time. NULL,
     * here or in an entry: product and end are called one after the other. */
    qrnn_row_kernel *const (*row)[QRNN_ENDS];

    /* [QRNN_PRODUCTS] kernels that compute steps of struct qrnn_few_units in registers, by the same rules as encode,
     * product and end. NULL, here or in an entry: steps are computed one by one. */
    qrnn_steps_kernel *const (*steps)[QRNN_ENDS];
};

/* What an instruction set may need from the CPU, one bit each (isa.def). */
enum {
    QRNN_CPU_AVX2 = 1,
    QRNN_CPU_AVXVNNI = 2,
    QRNN_CPU_AVX512VNNI = 4,
    QRNN_CPU_NEON = 8,
    QRNN_CPU_NEONDOT = 16,
    QRNN_CPU_NEONI8MM = 32,
    QRNN_CPU_WASM = 64,
    QRNN_CPU_AMX = 128
};

/* What an x86 CPU reports: registers of cpuid, by leaf and subleaf, and XCR0, which names the register state that the
 * operating system saves (bits 1-2: xmm and ymm, 5-7: k and zmm, 17-18: tiles). */
struct qrnn_cpu {
    uint32_t leaf1_ecx, leaf7_ebx, leaf7_ecx, leaf7_edx, leaf7_1_eax, xcr0;
};

/* The QRNN_CPU_ bits of such a CPU. x86 only. */
unsigned qrnn_cpu_features(const struct qrnn_cpu *cpu);

/* Fills the table of an instruction set (NULL: the best that this CPU has). Returns its name, or NULL if it does not
 * exist or this CPU lacks it. */
const char *qrnn_kernels_init(struct qrnn_kernels *k, const char *isa);

/* Make sure that floats round to nearest even without flush to zero. qrnn_fp_enter changes the caller's setting only if
 * it differs; qrnn_fp_leave restores it. */
uint32_t qrnn_fp_enter(void);
void qrnn_fp_leave(uint32_t saved);

/* How many of so many columns partial sums 0 and 1 take; the line of column k in a panel of floats. */
QRNN_INLINE size_t qrnn_float_half(size_t cols)
{
    return (cols + 3) / 4 + (cols + 2) / 4;
}

QRNN_INLINE size_t qrnn_float_line(size_t cols, size_t k)
{
    return k / 4 * 2 + k % 2 + (k % 4 < 2 ? 0 : qrnn_float_half(cols));
}

/* Rounds half to even, for |v| < 2^22: the last bit of the sum is worth 1. */
QRNN_INLINE float qrnn_rint(float v)
{
    const float magic = 12582912.0f; /* 1.5 * 2^23 */
    return (v + magic) - magic;
}

QRNN_INLINE size_t qrnn_round_up(size_t n, size_t to)
{
    return (n + to - 1) / to * to;
}

#define QRNN_ISA(name, needs) void qrnn_use_##name(struct qrnn_kernels *k);
#include "isa.def"
#undef QRNN_ISA

/* The products of avx512vnni.c. amx.c leaves few rows to them. */
qrnn_multiply_kernel qrnn_u8s8_avx512vnni, qrnn_s13s8_avx512vnni;

#endif
