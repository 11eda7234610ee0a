/* replay.c - runs a libFuzzer target without libFuzzer: the files given, then `count` inputs from a generator.
 *
 *   ./replay COUNT [FILE ...]
 *
 * Last line: "N passed, 0 failed"; the target aborts where it finds something. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MOST = 4096, LONGEST = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint8_t bytes[MOST];

static uint64_t next(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

int main(int argc, char **argv)
{
    const unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000;
    unsigned long done = 0;
    uint64_t state = argc > 1 && argv[1][0] == '+' ? count : 88172645463325252u; /* +N: another seed */
    for (int i = 2; i < argc; i++, done++) {
        FILE *const file = fopen(argv[i], "rb");
        if (!file) {
            printf("%s cannot be read\n0 passed, 1 failed\n", argv[i]);
            return 1;
        }
        const size_t n = fread(bytes, 1, sizeof bytes, file);
        fclose(file);
        LLVMFuzzerTestOneInput(bytes, n);
    }
    for (unsigned long i = 0; i < count; i++, done++) {
        const size_t n = (size_t)(next(&state) >> 20) % (LONGEST + 1);
        for (size_t k = 0; k < n; k++) bytes[k] = (uint8_t)(next(&state) >> 30);
        LLVMFuzzerTestOneInput(bytes, n);
    }
    printf("%lu passed, 0 failed\n", done);
    return 0;
}
