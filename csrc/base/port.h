/* port.h: what compilers and processors offer under names of their own, under one name.
 *
 * GNU C (gcc, clang) or MSVC; a compiler that is neither is not one that CPython is built with.
 */
#ifndef TBX_BASE_PORT_H
#define TBX_BASE_PORT_H

#include <stdbool.h>
#include <stdint.h>

#if defined(_MSC_VER)
#define TBX_INTRINSICS /* the tests define it, too, where other compilers know these functions */
#endif

#if (defined(__x86_64__) || defined(_M_X64)) && !defined(TBX_NO_SIMD)
#define TBX_X86_64 1
#else
#define TBX_X86_64 0
#endif

#if defined(TBX_INTRINSICS)
#include <intrin.h>
#if TBX_X86_64
#include <immintrin.h>
#endif
#endif

/* Stands before a function with AVX2 instructions in a file that has to run without them. */
#if TBX_X86_64 && (defined(__GNUC__) || defined(__clang__))
#define TBX_FOR_AVX2 __attribute__((target("avx2")))
#else
#define TBX_FOR_AVX2
#endif

/* How many zeros stand below the lowest bit, or above the highest one, that is set; x is not 0. */
static inline unsigned
tbx_ctz64(uint64_t x)
{
#if defined(TBX_INTRINSICS)
    unsigned long index;
    _BitScanForward64(&index, x);
    return (unsigned)index;
#else
    return (unsigned)__builtin_ctzll(x);
#endif
}

static inline unsigned
tbx_clz64(uint64_t x)
{
#if defined(TBX_INTRINSICS)
    unsigned long index;
    _BitScanReverse64(&index, x);
    return 63 - (unsigned)index;
#else
    return (unsigned)__builtin_clzll(x);
#endif
}

/* The 128-bit product of a and b: returns the high half and stores the low one. */
static inline uint64_t
tbx_mul64(uint64_t a, uint64_t b, uint64_t *low)
{
#if defined(__SIZEOF_INT128__) && !defined(TBX_NO_INT128)
    __extension__ typedef unsigned __int128 u128;
    u128 product = (u128)a * b;
    *low = (uint64_t)product;
    return (uint64_t)(product >> 64);
#else
    uint64_t a0 = a & 0xffffffff, a1 = a >> 32;
    uint64_t b0 = b & 0xffffffff, b1 = b >> 32;
    uint64_t middle = a1 * b0 + (a0 * b0 >> 32); /* cannot wrap: (2^32 - 1) * 2^32 at most */
    uint64_t cross = a0 * b1 + (middle & 0xffffffff);
    *low = a * b;
    return a1 * b1 + (middle >> 32) + (cross >> 32);
#endif
}

#if TBX_X86_64
/* Whether the processor has AVX2 and the system keeps its registers. */
static inline bool
tbx_has_avx2(void)
{
#if defined(TBX_INTRINSICS)
    static volatile signed char
        known; /* 1 or -1: asked before; whoever asks gets the same answer */
    if (known == 0) {
        int leaf[4], features[4] = {0};
        __cpuid(leaf, 0);
        if (leaf[0] >= 7) {
            __cpuidex(features, 7, 0);
        }
        __cpuid(leaf, 1);
        bool has_avx = (leaf[2] >> 27 & 3) == 3 && (_xgetbv(0) & 6) == 6; /* OSXSAVE and AVX */
        known = has_avx && (features[1] >> 5 & 1) != 0 ? 1 : -1;
    }
    return known > 0;
#else
    return __builtin_cpu_supports("avx2");
#endif
}
#endif

#endif
