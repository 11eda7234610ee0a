/* cpus.c - which instruction sets an x86 CPU has, by what it says: of every set of the features that isa.c asks for.
 *
 *   cc -std=c11 -O1 -Icsrc/core -Icsrc/kernels tests/c/cpus.c csrc/core/?*.c csrc/kernels/?*.c -lm -lpthread -o cpus && ./cpus
 *
 * Last line: "N passed, M failed".
 */
#include "kernels.h"

#include <stdio.h>

/* Intel's names; what needs each. State is there if the operating system saves it. */
static const struct {
    const char *name;
    size_t word;              /* of struct qrnn_cpu */
    unsigned bit, needed_by;
} features[] = {
    {"FMA", 0, 12, QRNN_CPU_AVX2 | QRNN_CPU_AVXVNNI | QRNN_CPU_AVX512VNNI},
    {"OSXSAVE", 0, 27, QRNN_CPU_AVX2 | QRNN_CPU_AVXVNNI | QRNN_CPU_AVX512VNNI},
    {"AVX", 0, 28, QRNN_CPU_AVX2 | QRNN_CPU_AVXVNNI | QRNN_CPU_AVX512VNNI},
    {"AVX2", 1, 5, QRNN_CPU_AVX2 | QRNN_CPU_AVXVNNI | QRNN_CPU_AVX512VNNI},
    {"xmm state", 4, 1, QRNN_CPU_AVX2 | QRNN_CPU_AVXVNNI | QRNN_CPU_AVX512VNNI},
    {"ymm state", 4, 2, QRNN_CPU_AVX2 | QRNN_CPU_AVXVNNI | QRNN_CPU_AVX512VNNI},
    {"AVX-VNNI", 3, 4, QRNN_CPU_AVXVNNI},
    {"AVX512F", 1, 16, QRNN_CPU_AVX512VNNI},
    {"AVX512DQ", 1, 17, QRNN_CPU_AVX512VNNI},
    {"AVX512BW", 1, 30, QRNN_CPU_AVX512VNNI},
    {"AVX512VL", 1, 31, QRNN_CPU_AVX512VNNI},
    {"AVX512_VNNI", 2, 11, QRNN_CPU_AVX512VNNI},
    {"k state", 4, 5, QRNN_CPU_AVX512VNNI},
    {"zmm state", 4, 6, QRNN_CPU_AVX512VNNI},
    {"zmm16-31 state", 4, 7, QRNN_CPU_AVX512VNNI},
};

enum { COUNT = sizeof features / sizeof *features };

int main(void)
{
    unsigned long passed = 0, failed = 0;
    for (uint32_t there = 0; there < (uint32_t)1 << COUNT; there++) {
        unsigned want = QRNN_CPU_AVX2 | QRNN_CPU_AVXVNNI | QRNN_CPU_AVX512VNNI;
        uint32_t words[5] = {0};
        for (size_t i = 0; i < COUNT; i++)
            if ((there >> i) & 1)
                words[features[i].word] |= (uint32_t)1 << features[i].bit;
            else
                want &= ~features[i].needed_by;
        const struct qrnn_cpu cpu = {words[0], words[1], words[2], words[3], words[4]};
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
