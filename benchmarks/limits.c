/* Bare loops that bound what a kernel can reach: loads of a buffer that is read again and again, and products
 * that never leave the registers. limits.py compiles this with the machine's cc and calls it through ctypes.
 *
 * read_ISA(buffer, bytes, times)    reads `bytes`, a multiple of 64, `times` times; ahead_ISA also prefetches
 * dots_ISA(n)                      n blocks of products u8 * s8, summed in 32 bits; returns how many it made
 * fmas_ISA(n)                      n blocks of products float * float, summed; likewise
 */
#define _GNU_SOURCE
#include <stddef.h>
#include <stdint.h>
#if defined __linux__
#include <sys/syscall.h>
#include <unistd.h>
#endif

/* The value may have changed for all that the compiler knows. */
#define OPAQUE(v) __asm__ volatile("" : "+x"(v))
#define AHEAD 2048

/* Eight independent chains of OR; two would do for the ports, eight hide the latency. */
#define READ(name, attribute, vector, zero, load, or, keep, prefetch)                                        \
    attribute void name(const char *buffer, size_t bytes, size_t times)                                      \
    {                                                                                                        \
        vector v0 = zero, v1 = zero, v2 = zero, v3 = zero, v4 = zero, v5 = zero, v6 = zero, v7 = zero;       \
        const size_t size = sizeof(vector), whole = bytes - bytes % (8 * size);                              \
        for (; times; times--) {                                                                             \
            const char *p = buffer;                                                                          \
            __asm__ volatile("" : "+r"(p) : : "memory");                                                     \
            const char *const end = p + whole, *const last = p + bytes;                                      \
            for (; p < end; p += 8 * size) {                                                                 \
                if (prefetch)                                                                                \
                    for (size_t line = 0; line < 8 * size; line += 64) __builtin_prefetch(p + AHEAD + line); \
                v0 = or(v0, load(p));                                                                        \
                v1 = or(v1, load(p + 1 * size));                                                             \
                v2 = or(v2, load(p + 2 * size));                                                             \
                v3 = or(v3, load(p + 3 * size));                                                             \
                v4 = or(v4, load(p + 4 * size));                                                             \
                v5 = or(v5, load(p + 5 * size));                                                             \
                v6 = or(v6, load(p + 6 * size));                                                             \
                v7 = or(v7, load(p + 7 * size));                                                             \
            }                                                                                                \
            for (; p < last; p += size) v0 = or(v0, load(p));                                                \
        }                                                                                                    \
        v0 = or(or(or(v0, v1), or(v2, v3)), or(or(v4, v5), or(v6, v7)));                                     \
        keep(v0);                                                                                            \
    }
#define READS(isa, ...) READ(read_##isa, __VA_ARGS__, 0) READ(ahead_##isa, __VA_ARGS__, 1)

/* Vectors of 16 bytes: SSE2 on x86-64, NEON on 64-bit ARM, without naming either. */
typedef uint8_t bytes16 __attribute__((vector_size(16), aligned(16)));
#define LOAD16(p) (*(const bytes16 *)(p))
#define OR16(a, b) ((a) | (b))
#define KEEP16(v) (sink16 = (v))
#define ZERO16 (bytes16){0}
static volatile bytes16 sink16;
READS(scalar, , bytes16, ZERO16, LOAD16, OR16, KEEP16)

static volatile int32_t sink_s32;
static volatile float sink_f32;

/* As plain C says it: 16 inputs of 64 outputs, the weights in the first-level cache. */
#define PLAIN(name, input, weight, sum, sink)                                         \
    size_t name(size_t n)                                                             \
    {                                                                                 \
        static input values[16];                                                      \
        static weight weights[16][64];                                                \
        sum sums[64] = {0};                                                           \
        for (size_t block = 0; block < n; block++) {                                  \
            __asm__ volatile("" : : "r"(values), "r"(weights), "r"(sums) : "memory"); \
            for (int k = 0; k < 16; k++)                                              \
                for (int j = 0; j < 64; j++) sums[j] += values[k] * weights[k][j];    \
        }                                                                             \
        sink = sums[0];                                                               \
        return n * 16 * 64;                                                           \
    }
PLAIN(dots_scalar, uint8_t, int8_t, int32_t, sink_s32)
PLAIN(fmas_scalar, float, float, float, sink_f32)

#if defined __x86_64__
#include <immintrin.h>

#define AVX2 __attribute__((target("avx2,fma")))
#define AVXVNNI __attribute__((target("avx2,avxvnni")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni")))

#define LOAD32(p) _mm256_load_si256((const __m256i *)(p))
#define LOAD64(p) _mm512_load_si512((const void *)(p))
#define OR32(a, b) _mm256_or_si256(a, b)
#define OR64(a, b) _mm512_or_si512(a, b)
#define KEEP(v) OPAQUE(v)
READS(avx2, AVX2, __m256i, _mm256_setzero_si256(), LOAD32, OR32, KEEP)
READS(avx512vnni, AVX512, __m512i, _mm512_setzero_si512(), LOAD64, OR64, KEEP)

/* Twelve chains: a latency of six at two a cycle. Opaque at first, or the compiler would find them equal. */
#define CHAINS(m) \
    m(v0);        \
    m(v1);        \
    m(v2);        \
    m(v3);        \
    m(v4);        \
    m(v5);        \
    m(v6);        \
    m(v7);        \
    m(v8);        \
    m(v9);        \
    m(va);        \
    m(vb);
#define PRODUCTS(name, attribute, vector, zero, a_is, b_is, product, products)                         \
    attribute size_t name(size_t n)                                                                    \
    {                                                                                                  \
        vector v0 = zero, v1 = zero, v2 = zero, v3 = zero, v4 = zero, v5 = zero, v6 = zero, v7 = zero; \
        vector v8 = zero, v9 = zero, va = zero, vb = zero, a = a_is, b = b_is;                         \
        CHAINS(OPAQUE)                                                                                 \
        for (size_t block = 0; block < n; block++) {                                                   \
            CHAINS(product)                                                                            \
            OPAQUE(a);                                                                                 \
        }                                                                                              \
        CHAINS(OPAQUE)                                                                                 \
        return n * 12 * (products);                                                                    \
    }

#define DOT512(v) v = _mm512_dpbusd_epi32(v, a, b)
#define DOTVEX(v) v = _mm256_dpbusd_avx_epi32(v, a, b)
#define FMA512(v) v = _mm512_fmadd_ps(a, b, v)
#define FMA256(v) v = _mm256_fmadd_ps(a, b, v)
/* Without VNNI: pairs to 16 bits, fours to 32, and the sum; a made opaque, or one pair would serve all. */
#define DOTAVX2(v) \
    OPAQUE(a);     \
    v = _mm256_add_epi32(v, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)))

PRODUCTS(dots_avx512vnni, AVX512, __m512i, _mm512_setzero_si512(), _mm512_set1_epi8(3), _mm512_set1_epi8(-2), DOT512,
         64)
PRODUCTS(fmas_avx512vnni, AVX512, __m512, _mm512_setzero_ps(), _mm512_set1_ps(0.5f), _mm512_set1_ps(0.2f), FMA512, 16)
PRODUCTS(dots_avxvnni, AVXVNNI, __m256i, _mm256_setzero_si256(), _mm256_set1_epi8(3), _mm256_set1_epi8(-2), DOTVEX, 32)
PRODUCTS(dots_avx2, AVX2, __m256i, _mm256_setzero_si256(), _mm256_set1_epi8(3), _mm256_set1_epi8(-2), DOTAVX2, 32)
PRODUCTS(fmas_avx2, AVX2, __m256, _mm256_setzero_ps(), _mm256_set1_ps(0.5f), _mm256_set1_ps(0.2f), FMA256, 8)

#if defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
/* Four tiles of sums, from two of codes and two of weights. Linux gives tiles to a process that has asked
 * (csrc/kernels/isa.c). */
__attribute__((target("amx-tile,amx-int8"))) size_t dots_amx(size_t n)
{
    struct {
        uint8_t palette, start_row, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } shapes = {.palette = 1};
    if (syscall(SYS_arch_prctl, 0x1023, 18) != 0) return dots_avx512vnni(n);
    for (int i = 0; i < 8; i++) {
        shapes.bytes[i] = 64;
        shapes.rows[i] = 16;
    }
    __asm__ volatile("" : : "r"(&shapes) : "memory");
    _tile_loadconfig(&shapes);
    for (size_t block = 0; block < n; block++) {
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
    }
    _tile_release();
    return n * 4 * 16 * 16 * 64;
}
#else
size_t dots_amx(size_t n)
{
    return dots_avx512vnni(n);
}
#endif
#endif
