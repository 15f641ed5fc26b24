/* simd.h: 16 bytes at a time with the instructions that the target always has.
 *
 * TBX_BLOCK16 is 1 where there is such a set (SSE2 on x86-64, NEON on aarch64) and 0 elsewhere.
 * A mask has TBX_BLOCK16_STEP bits for each byte, the first byte's lowest; tbx_mask_index() gives
 * the index of the first byte set in a mask that is not 0.
 */
#ifndef TBX_WIRE_SIMD_H
#define TBX_WIRE_SIMD_H

#include <stddef.h>
#include <stdint.h>

#include "base/port.h"

#if defined(TBX_NO_SIMD) /* for the tests */
#define TBX_BLOCK16 0

#elif TBX_X86_64
#include <emmintrin.h>
#define TBX_BLOCK16 1
#define TBX_BLOCK16_STEP 1

typedef __m128i tbx_block16;

static inline tbx_block16
tbx_block16_load(const uint8_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static inline void
tbx_block16_store(uint8_t *p, tbx_block16 v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

/* Bytes that end a plain run in a string being read: '"', '\\' and controls. */
static inline uint64_t
tbx_block16_stops_read(tbx_block16 v)
{
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(v, _mm_set1_epi8(0x1f)), v);
    return (uint64_t)(unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), control));
}

/* Bytes that must be escaped when written: '"', '\\', controls, DEL and everything above. */
static inline uint64_t
tbx_block16_stops_write(tbx_block16 v)
{
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i slash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i outside = _mm_or_si128(_mm_cmpgt_epi8(_mm_set1_epi8(0x20), v), /* signed: >= 0x80 too */
                                   _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f)));
    return (uint64_t)(unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(quote, slash), outside));
}

/* Bytes >= 0x80. */
static inline uint64_t
tbx_block16_high(tbx_block16 v)
{
    return (uint64_t)(unsigned)_mm_movemask_epi8(v);
}

static inline tbx_block16
tbx_block16_or(tbx_block16 a, tbx_block16 b)
{
    return _mm_or_si128(a, b);
}

static inline tbx_block16
tbx_block16_xor(tbx_block16 a, tbx_block16 b)
{
    return _mm_xor_si128(a, b);
}

/* The four bytes of `word`, as they lie in memory, four times. */
static inline tbx_block16
tbx_block16_repeat4(uint32_t word)
{
    return _mm_set1_epi32((int)word);
}

#elif defined(__aarch64__) && defined(__ARM_NEON)
#include <arm_neon.h>
#define TBX_BLOCK16 1
#define TBX_BLOCK16_STEP 4

typedef uint8x16_t tbx_block16;

static inline tbx_block16
tbx_block16_load(const uint8_t *p)
{
    return vld1q_u8(p);
}

static inline void
tbx_block16_store(uint8_t *p, tbx_block16 v)
{
    vst1q_u8(p, v);
}

/* 0xff or 0x00 bytes to four bits each. */
static inline uint64_t
tbx_block16_mask(uint8x16_t bytes)
{
    uint8x8_t nibbles = vshrn_n_u16(vreinterpretq_u16_u8(bytes), 4);
    return vget_lane_u64(vreinterpret_u64_u8(nibbles), 0);
}

static inline uint64_t
tbx_block16_stops_read(tbx_block16 v)
{
    uint8x16_t special = vorrq_u8(vceqq_u8(v, vdupq_n_u8('"')), vceqq_u8(v, vdupq_n_u8('\\')));
    return tbx_block16_mask(vorrq_u8(special, vcltq_u8(v, vdupq_n_u8(0x20))));
}

static inline uint64_t
tbx_block16_stops_write(tbx_block16 v)
{
    uint8x16_t special = vorrq_u8(vceqq_u8(v, vdupq_n_u8('"')), vceqq_u8(v, vdupq_n_u8('\\')));
    uint8x16_t outside = vorrq_u8(vcltq_u8(v, vdupq_n_u8(0x20)), vcgeq_u8(v, vdupq_n_u8(0x7f)));
    return tbx_block16_mask(vorrq_u8(special, outside));
}

static inline uint64_t
tbx_block16_high(tbx_block16 v)
{
    return tbx_block16_mask(vcgeq_u8(v, vdupq_n_u8(0x80)));
}

static inline tbx_block16
tbx_block16_or(tbx_block16 a, tbx_block16 b)
{
    return vorrq_u8(a, b);
}

static inline tbx_block16
tbx_block16_xor(tbx_block16 a, tbx_block16 b)
{
    return veorq_u8(a, b);
}

static inline tbx_block16
tbx_block16_repeat4(uint32_t word)
{
    return vreinterpretq_u8_u32(vdupq_n_u32(word));
}

#else
#define TBX_BLOCK16 0
#endif

#if TBX_BLOCK16
static inline size_t
tbx_mask_index(uint64_t mask)
{
    return tbx_ctz64(mask) / TBX_BLOCK16_STEP;
}

/* The bits of `mask` below the first byte set in `stops`, which is not 0. */
static inline uint64_t
tbx_mask_before(uint64_t mask, uint64_t stops)
{
    return mask & ((stops & (0 - stops)) - 1);
}
#endif

#endif
