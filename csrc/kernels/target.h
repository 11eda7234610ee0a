/* target.h - turns contraction and excess precision off, and marks regions compiled for more than the baseline CPU.
 *
 * Include it first in every C file that computes with floats. A fused multiply-add is written where it is meant (fmaf,
 * v_fma, the intrinsic); a compiler that fuses a*b+c by itself would change bits. gcc contracts in its gnu modes,
 * intrinsics included, and ignores the standard's pragma. clang contracts even under -std=c11, and obeys the pragma.
 *
 * There are regions instead of flags for each file, so that plain `cc -c *.c` builds the whole core. Inside a region
 * clang does not define __AVX2__ and similar macros: never test them. Include <immintrin.h> or <arm_neon.h> before a
 * region.
 */
#ifndef QRNN_TARGET_H
#define QRNN_TARGET_H

#include <float.h>

/* Every operation on floats has to round to float. gcc in strict C11 mode computes in double on s390x and on the
 * i387. */
#if FLT_EVAL_METHOD != 0 && FLT_EVAL_METHOD != 16 /* 16 is like 0: no type is widened, not even _Float16 */
#error "floats have to be computed as floats: on s390x by -fexcess-precision=fast, on i386 by -msse2 -mfpmath=sse"
#endif

#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC optimize("fp-contract=off")
#endif

/* In the region between them gcc makes no vectors of loops. By that scalar.c has 51 kB of code instead of 64, and steps
 * and sequences of 16 and 64 units take the same time. */
#if defined(__GNUC__) && !defined(__clang__)
#define QRNN_NO_VECTORS _Pragma("GCC push_options") _Pragma("GCC optimize(\"no-tree-vectorize\")")
#define QRNN_NO_VECTORS_END _Pragma("GCC pop_options")
#else
#define QRNN_NO_VECTORS
#define QRNN_NO_VECTORS_END
#endif

#if defined(__x86_64__) && defined(__GNUC__)
#define QRNN_X86 1
#else
#define QRNN_X86 0
#endif

/* AMX, where the operating system is one whose permission isa.c asks for and the compiler knows its intrinsics. */
#if QRNN_X86 && defined(__linux__) && (defined(__clang__) ? __clang_major__ >= 12 : __GNUC__ >= 11)
#define QRNN_AMX 1
#else
#define QRNN_AMX 0
#endif

/* 64-bit ARM, where every CPU has NEON. In regions clang declares intrinsics beyond the baseline from version 16 on. */
#if defined(__aarch64__) && defined(__ARM_NEON) && defined(__GNUC__) && !defined(__AARCH64EB__)
#define QRNN_ARM 1
#else
#define QRNN_ARM 0
#endif
#if QRNN_ARM && (!defined(__clang__) || __clang_major__ >= 16)
#define QRNN_ARM_REGIONS 1
#else
#define QRNN_ARM_REGIONS 0
#endif

/* WebAssembly with simd128, which -msimd128 turns on. */
#if defined(__wasm_simd128__)
#define QRNN_WASM 1
#else
#define QRNN_WASM 0
#endif

/* QRNN_UNROLL(n) before a loop of a constant number of turns, at most n, over arrays that are to be registers. clang
 * makes them that only if the loop is gone before its passes for memory: told a count, it unrolls after them. */
#define QRNN_PRAGMA(text) _Pragma(#text)
#if defined(__clang__)
#define QRNN_UNROLL(n) QRNN_PRAGMA(clang loop unroll(full))
#define QRNN_REGION(features) QRNN_PRAGMA(clang attribute push(__attribute__((target(features))), apply_to = function))
#define QRNN_REGION_END QRNN_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define QRNN_UNROLL(n) QRNN_PRAGMA(GCC unroll n)
#define QRNN_REGION(features) QRNN_PRAGMA(GCC push_options) QRNN_PRAGMA(GCC target(features))
#define QRNN_REGION_END QRNN_PRAGMA(GCC pop_options)
#endif

/* Makes the compiler hold this vector in a register at this point; it cannot load it again instead. */
#if QRNN_X86
#define QRNN_IN_REGISTER(vector) __asm__("" : "+v"(vector))
#elif QRNN_ARM
#define QRNN_IN_REGISTER(vector) __asm__("" : "+w"(vector))
#else
#define QRNN_IN_REGISTER(vector) ((void)0)
#endif

/* For an array that a loop writes in its first turn, which gcc 12 does not see and warns of. */
#define QRNN_WRITTEN(array) __asm__("" : "=m"(array))

/* The compiler does not move loads across this. */
#define QRNN_LOADS_STAY() __asm__ volatile("" : : : "memory")

/* For the place after a switch that names every case. */
#if defined(__GNUC__)
#define QRNN_UNREACHABLE() __builtin_unreachable()
#else
#define QRNN_UNREACHABLE() __assume(0)
#endif

/* gcov's build defines QRNN_COUNTED: each function then exists once, so that lines are counted as they are written. */
#if defined(__GNUC__) && !defined(QRNN_COUNTED)
#define QRNN_INLINE static inline __attribute__((always_inline))
#else
#define QRNN_INLINE static inline
#endif

/* A function of which one copy exists, compiled for size: for rare paths. */
#if defined(__GNUC__)
#define QRNN_SMALL __attribute__((noinline, cold))
#else
#define QRNN_SMALL
#endif

#endif
