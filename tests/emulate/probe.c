/* Proves the emulator itself: prints what the processor reports, then compares each instruction
 * that the kernels are built on with plain C, over random and over extreme operands.
 * Ends with `N checks, M failed`; instructions that the processor lacks are named and left out.
 */
#include <cpuid.h>
#include <immintrin.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static unsigned checks, failed;
static uint64_t state = 0x9e3779b97f4a7c15u;

static uint32_t draw(void)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 32);
}

typedef struct operands {
    uint8_t u[64];
    int8_t s[64];
    int32_t acc[16];
} operands;

/* Rounds below 16 use the extremes: 255 * -128 four times leaves int16 and must not saturate. */
static void fill(operands *o, unsigned round)
{
    static const uint8_t u[4] = {0, 1, 128, 255};
    static const int8_t s[4] = {-128, -1, 1, 127};

    for (int i = 0; i < 64; i++) {
        o->u[i] = round < 16 ? u[round % 4] : (uint8_t)draw();
        o->s[i] = round < 16 ? s[round / 4] : (int8_t)draw();
    }
    for (int i = 0; i < 16; i++) o->acc[i] = (int32_t)draw();
}

static void expect(const operands *o, int32_t *sum)
{
    for (int i = 0; i < 16; i++) {
        uint32_t t = (uint32_t)o->acc[i];

        for (int k = 0; k < 4; k++) t += (uint32_t)((int32_t)o->u[4 * i + k] * o->s[4 * i + k]);
        sum[i] = (int32_t)t;
    }
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))) static void evex_zmm(const operands *o, int32_t *sum)
{
    __m512i a = _mm512_loadu_si512(o->acc), u = _mm512_loadu_si512(o->u);

    __asm__("vpdpbusd %2, %1, %0" : "+v"(a) : "v"(u), "v"(_mm512_loadu_si512(o->s)));
    _mm512_storeu_si512(sum, a);
}

__attribute__((target("avx512f,avx512bw,avx512vl,avx512vnni"))) static void evex_ymm(const operands *o, int32_t *sum)
{
    for (int i = 0; i < 2; i++) {
        __m256i a = _mm256_loadu_si256((const __m256i *)o->acc + i);
        __m256i u = _mm256_loadu_si256((const __m256i *)o->u + i);
        __m256i s = _mm256_loadu_si256((const __m256i *)o->s + i);

        __asm__("%{evex%} vpdpbusd %2, %1, %0" : "+v"(a) : "v"(u), "v"(s));
        _mm256_storeu_si256((__m256i *)sum + i, a);
    }
}

__attribute__((target("avx2"))) static void vex_ymm(const operands *o, int32_t *sum)
{
    for (int i = 0; i < 2; i++) {
        __m256i a = _mm256_loadu_si256((const __m256i *)o->acc + i);
        __m256i u = _mm256_loadu_si256((const __m256i *)o->u + i);
        __m256i s = _mm256_loadu_si256((const __m256i *)o->s + i);

        __asm__("%{vex%} vpdpbusd %2, %1, %0" : "+x"(a) : "x"(u), "x"(s));
        _mm256_storeu_si256((__m256i *)sum + i, a);
    }
}

/* pmaddubsw would saturate; with the codes widened to int16 pmaddwd does not. */
__attribute__((target("avx2"))) static void avx2_widened(const operands *o, int32_t *sum)
{
    for (int i = 0; i < 8; i++) {
        __m128i u = _mm_loadl_epi64((const __m128i *)(o->u + 8 * i));
        __m128i s = _mm_loadl_epi64((const __m128i *)(o->s + 8 * i));
        __m128i p = _mm_madd_epi16(_mm_cvtepu8_epi16(u), _mm_cvtepi8_epi16(s));

        p = _mm_hadd_epi32(p, p);
        p = _mm_add_epi32(p, _mm_loadl_epi64((const __m128i *)(o->acc + 2 * i)));
        _mm_storel_epi64((__m128i *)(sum + 2 * i), p);
    }
}

static void compare(const char *name, int present, void (*f)(const operands *, int32_t *))
{
    unsigned before = checks, bad = failed;

    if (!present) {
        printf("%-28s not on this processor\n", name);
        return;
    }
    for (unsigned round = 0; round < 1000; round++) {
        operands o;
        int32_t want[16], got[16];

        fill(&o, round);
        expect(&o, want);
        memset(got, 0, sizeof got);
        f(&o, got);
        checks++;
        failed += memcmp(want, got, sizeof want) != 0;
    }
    printf("%-28s %u of %u agree with plain C\n", name, checks - before - (failed - bad), checks - before);
}

int main(void)
{
    unsigned a, b, c, d, brand[12] = {0}, leaves, xcr0 = 0;
    unsigned fma, f16c, os, avx2, f, dq, bw, vl, vnni, avxvnni = 0;

    for (unsigned i = 0; i < 3; i++)
        __get_cpuid(0x80000002u + i, brand + 4 * i, brand + 4 * i + 1, brand + 4 * i + 2, brand + 4 * i + 3);
    printf("processor: %.48s\n", (const char *)brand);
    leaves = __get_cpuid_max(0, NULL);
    __cpuid(1, a, b, c, d);
    fma = c >> 12 & 1;
    os = c >> 27 & 1;
    f16c = c >> 29 & 1;
    if (os) __asm__("xgetbv" : "=a"(xcr0), "=d"(d) : "c"(0));
    b = c = d = 0;
    if (leaves >= 7) __cpuid_count(7, 0, a, b, c, d);
    avx2 = b >> 5 & 1;
    f = b >> 16 & 1;
    dq = b >> 17 & 1;
    bw = b >> 30 & 1;
    vl = b >> 31 & 1;
    vnni = c >> 11 & 1;
    if (leaves >= 7 && a >= 1) {
        __cpuid_count(7, 1, a, b, c, d);
        avxvnni = a >> 4 & 1;
    }
    printf("fma %u f16c %u avx2 %u avx512 f %u dq %u bw %u vl %u vnni %u, avx_vnni %u, "
           "xcr0 %#x\n",
           fma, f16c, avx2, f, dq, bw, vl, vnni, avxvnni, xcr0);

    avx2 &= (xcr0 & 6) == 6;
    avxvnni &= avx2;
    vnni &= f & bw & vl & ((xcr0 & 0xe6) == 0xe6);
    compare("vpmaddwd ymm", (int)avx2, avx2_widened);
    compare("vpdpbusd ymm (VEX)", (int)avxvnni, vex_ymm);
    compare("vpdpbusd ymm (EVEX)", (int)vnni, evex_ymm);
    compare("vpdpbusd zmm (EVEX)", (int)vnni, evex_zmm);
    printf("%u checks, %u failed\n", checks, failed);
    return failed != 0;
}
