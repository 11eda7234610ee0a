/* isa.c - which instruction sets exist, which of them this CPU has, and the kernel table of each. */
#include "kernels.h"

#include <stdatomic.h>
#include <string.h>

struct isa_row {
    const char *name;
    unsigned needs;
    void (*use)(struct qrnn_kernels *k);
};

static const struct isa_row isa_rows[] = {
#define QRNN_ISA(name, needs) {#name, needs, qrnn_use_##name},
#include "isa.def"
#undef QRNN_ISA
};

enum { ISA_COUNT = sizeof isa_rows / sizeof isa_rows[0] };

#if QRNN_X86
#include <cpuid.h>
#include <xmmintrin.h>

static unsigned os_state(void)
{
    unsigned eax, edx;
    __asm__("xgetbv" : "=a"(eax), "=d"(edx) : "c"(0));
    return eax;
}

unsigned qrnn_cpu_features(const struct qrnn_cpu *cpu)
{
    const uint32_t c = cpu->leaf1_ecx, b = cpu->leaf7_ebx;
    const unsigned fma = (c >> 12) & 1, osxsave = (c >> 27) & 1, avx = (c >> 28) & 1, avx2 = (b >> 5) & 1;
    const unsigned f = (b >> 16) & 1, dq = (b >> 17) & 1, bw = (b >> 30) & 1, vl = (b >> 31) & 1;
    const unsigned vnni = (cpu->leaf7_ecx >> 11) & 1, avxvnni = (cpu->leaf7_1_eax >> 4) & 1;
    const unsigned tile = (cpu->leaf7_edx >> 24) & 1, int8 = (cpu->leaf7_edx >> 25) & 1;
    if (!fma || !osxsave || !avx || !avx2 || (cpu->xcr0 & 0x06) != 0x06) return 0;
    unsigned found = QRNN_CPU_AVX2;
    if (avxvnni) found |= QRNN_CPU_AVXVNNI;
    if (!f || !dq || !bw || !vl || !vnni || (cpu->xcr0 & 0xe6) != 0xe6) return found;
    found |= QRNN_CPU_AVX512VNNI;
    if (tile && int8 && (cpu->xcr0 & 0x60000) == 0x60000) found |= QRNN_CPU_AMX;
    return found;
}

/* Asks Linux for tiles, which a process may use only if it has asked; that changes nothing for threads that do not use
 * them. It is refused where a thread has a signal stack too small for them. */
static int tiles_granted(void)
{
#if QRNN_AMX
    enum { ARCH_PRCTL = 158, REQUEST_STATE = 0x1023, TILE_DATA = 18 };
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"((long)ARCH_PRCTL), "D"((long)REQUEST_STATE), "S"((long)TILE_DATA)
                     : "rcx", "r11", "memory");
    return result == 0;
#else
    return 0;
#endif
}

static unsigned detect(void)
{
    struct qrnn_cpu cpu = {0};
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d)) return 0;
    cpu.leaf1_ecx = c;
    if ((c >> 27) & 1) cpu.xcr0 = os_state(); /* without this bit xgetbv is illegal */
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return 0;
    cpu.leaf7_ebx = b;
    cpu.leaf7_ecx = c;
    cpu.leaf7_edx = d;
    if (a >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) cpu.leaf7_1_eax = a;
    const unsigned found = qrnn_cpu_features(&cpu);
    return (found & QRNN_CPU_AMX) && !tiles_granted() ? found & ~(unsigned)QRNN_CPU_AMX : found;
}

/* Values of MXCSR. The default: all exceptions masked, round to nearest, no FTZ, no DAZ. The flags: its six sticky
 * exception flags, which no comparison looks at. */
enum { MXCSR_DEFAULT = 0x1f80, MXCSR_FLAGS = 0x3f };

uint32_t qrnn_fp_enter(void)
{
    const uint32_t saved = _mm_getcsr();
    if ((saved & ~(uint32_t)MXCSR_FLAGS) != MXCSR_DEFAULT) _mm_setcsr(MXCSR_DEFAULT);
    return saved;
}

void qrnn_fp_leave(uint32_t saved)
{
    if ((saved & ~(uint32_t)MXCSR_FLAGS) != MXCSR_DEFAULT) _mm_setcsr(saved);
}
#elif QRNN_ARM
/* FPCR. It is 0 in a process that has not changed it: all exceptions masked, round to nearest, no flush to zero. */
static uint64_t get_fpcr(void)
{
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return fpcr;
}

/* The memory clobber keeps float computations that touch memory on their side of the setting. */
static void set_fpcr(uint64_t fpcr)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr) : "memory");
}

uint32_t qrnn_fp_enter(void)
{
    const uint64_t saved = get_fpcr();
    if (saved) set_fpcr(0);
    return (uint32_t)saved;
}

void qrnn_fp_leave(uint32_t saved)
{
    if (saved) set_fpcr(saved);
}

/* Features beyond the baseline. Only the operating system may read the CPU's own registers, so it is asked. */
#if defined(__linux__)
#include <sys/auxv.h>

static void ask(int *dot, int *i8mm)
{
    *dot = (getauxval(AT_HWCAP) >> 20) & 1;   /* HWCAP_ASIMDDP */
    *i8mm = (getauxval(AT_HWCAP2) >> 13) & 1; /* HWCAP2_I8MM */
}
#elif defined(__APPLE__)
#include <sys/sysctl.h>

static int has(const char *name)
{
    int value = 0;
    size_t bytes = sizeof value;
    return sysctlbyname(name, &value, &bytes, NULL, 0) == 0 && value != 0;
}

static void ask(int *dot, int *i8mm)
{
    *dot = has("hw.optional.arm.FEAT_DotProd");
    *i8mm = has("hw.optional.arm.FEAT_I8MM");
}
#elif defined(_WIN32)
#define WIN32_LEAN_AND_MEAN
#include <windows.h>

static void ask(int *dot, int *i8mm)
{
    *dot = IsProcessorFeaturePresent(43);  /* PF_ARM_V82_DP_INSTRUCTIONS_AVAILABLE */
    *i8mm = IsProcessorFeaturePresent(66); /* PF_ARM_V82_I8MM_INSTRUCTIONS_AVAILABLE */
}
#else
static void ask(int *dot, int *i8mm)
{
    *dot = *i8mm = 0;
}
#endif

static unsigned detect(void)
{
    unsigned found = QRNN_CPU_NEON;
    int dot, i8mm;
    ask(&dot, &i8mm);
    if (dot && QRNN_ARM_REGIONS) found |= QRNN_CPU_NEONDOT;
    if (dot && i8mm && QRNN_ARM_REGIONS) found |= QRNN_CPU_NEONI8MM;
    return found;
}
#else
/* A machine does not load WebAssembly with an instruction that it lacks, so what was compiled is what the machine
 * has. */
static unsigned detect(void)
{
    return QRNN_WASM ? QRNN_CPU_WASM : 0;
}

uint32_t qrnn_fp_enter(void)
{
    return 0;
}

void qrnn_fp_leave(uint32_t saved)
{
    (void)saved;
}
#endif

/* Detected once: under a hypervisor one cpuid costs microseconds. Threads that race store the same value. */
static unsigned own_features(void)
{
    static atomic_uint known;
    const unsigned asked = 1u << 31;
    unsigned features = atomic_load_explicit(&known, memory_order_relaxed);
    if (!features) {
        features = detect() | asked;
        atomic_store_explicit(&known, features, memory_order_relaxed);
    }
    return features & ~asked;
}

const char *qrnn_isa_name(size_t i)
{
    return i < ISA_COUNT ? isa_rows[i].name : NULL;
}

int qrnn_isa_supported(size_t i)
{
    return i < ISA_COUNT && (isa_rows[i].needs & ~own_features()) == 0;
}

const char *qrnn_kernels_init(struct qrnn_kernels *k, const char *isa)
{
    const unsigned have = own_features();
    size_t chosen = ISA_COUNT;
    for (size_t i = 0; i < ISA_COUNT; i++)
        if ((isa_rows[i].needs & ~have) == 0 && (!isa || strcmp(isa, isa_rows[i].name) == 0)) chosen = i;
    if (chosen == ISA_COUNT) return NULL;
    *k = (struct qrnn_kernels){0}; /* NULL: no row has this kernel */
    for (size_t i = 0; i <= chosen; i++)
        if ((isa_rows[i].needs & ~isa_rows[chosen].needs) == 0) isa_rows[i].use(k);
    return isa_rows[chosen].name;
}
