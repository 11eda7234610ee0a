/* cpus.c - which instruction sets an x86 CPU has, by what it says: of every set of the features that isa.c asks for.
 *
 *   cc -std=c11 -O1 -Icsrc/core -Icsrc/kernels tests/c/cpus.c csrc/core/?*.c csrc/kernels/?*.c -lm -lpthread -o cpus && ./cpus
 *
 * Last line: "N passed, M failed".
 */
#include "kernels.h"

#include <stdio.h>

enum { WIDE = QRNN_CPU_AVX512VNNI | QRNN_CPU_AMX, ALL = QRNN_CPU_AVX2 | QRNN_CPU_AVXVNNI | WIDE };

/* Intel's names; what needs each. State is there if the operating system saves it. */
static const struct {
    const char *name;
    size_t word;              /* of struct qrnn_cpu */
    unsigned bit, needed_by;
} features[] = {
    {"FMA", 0, 12, ALL},
    {"OSXSAVE", 0, 27, ALL},
    {"AVX", 0, 28, ALL},
    {"AVX2", 1, 5, ALL},
    {"xmm state", 5, 1, ALL},
    {"ymm state", 5, 2, ALL},
    {"AVX-VNNI", 4, 4, QRNN_CPU_AVXVNNI},
    {"AVX512F", 1, 16, WIDE},
    {"AVX512DQ", 1, 17, WIDE},
    {"AVX512BW", 1, 30, WIDE},
    {"AVX512VL", 1, 31, WIDE},
    {"AVX512_VNNI", 2, 11, WIDE},
    {"k state", 5, 5, WIDE},
    {"zmm state", 5, 6, WIDE},
    {"zmm16-31 state", 5, 7, WIDE},
    {"AMX-TILE", 3, 24, QRNN_CPU_AMX},
    {"AMX-INT8", 3, 25, QRNN_CPU_AMX},
    {"tile shapes' state", 5, 17, QRNN_CPU_AMX},
    {"tile state", 5, 18, QRNN_CPU_AMX},
};

enum { COUNT = sizeof features / sizeof *features };

int main(void)
{
    unsigned long passed = 0, failed = 0;
    for (uint32_t there = 0; there < (uint32_t)1 << COUNT; there++) {
        unsigned want = ALL;
        uint32_t words[6] = {0};
        for (size_t i = 0; i < COUNT; i++)
            if ((there >> i) & 1)
                words[features[i].word] |= (uint32_t)1 << features[i].bit;
            else
                want &= ~features[i].needed_by;
        const struct qrnn_cpu cpu = {words[0], words[1], words[2], words[3], words[4], words[5]};
        const unsigned got = qrnn_cpu_features(&cpu);
        if (got == want) {
            passed++;
        } else if (failed++ < 20) {
            printf("FAILED: %u for %u, without", got, want);
            for (size_t i = 0; i < COUNT; i++)
                if (!((there >> i) & 1)) printf(" %s,", features[i].name);
            printf("\n");
        }
    }
    printf("%lu passed, %lu failed\n", passed, failed);
    return failed != 0;
}
