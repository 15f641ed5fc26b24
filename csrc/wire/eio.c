/* eio.c: base64, payloads and form fields (contract in eio.h). */
#include "wire/eio.h"

#include <string.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#define BAD 0x40 /* the bit that no value of six bits has */
#define X BAD
static const uint8_t values[256] = {
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* 00 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* 10 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  62, X,  X,  X,  63, /* 20 */
    52, 53, 54, 55, 56, 57, 58, 59, 60, 61, X,  X,  X,  X,  X,  X,  /* 30 */
    X,  0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12, 13, 14, /* 40 */
    15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, X,  X,  X,  X,  X,  /* 50 */
    X,  26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, /* 60 */
    41, 42, 43, 44, 45, 46, 47, 48, 49, 50, 51, X,  X,  X,  X,  X,  /* 70 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* 80 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* 90 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* a0 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* b0 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* c0 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* d0 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* e0 */
    X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  X,  /* f0 */
};
#undef X

void
tbx_base64_encode(const uint8_t *src, size_t n, uint8_t *dst)
{
    for (; n >= 3; n -= 3, src += 3, dst += 4) {
        uint32_t group = (uint32_t)src[0] << 16 | (uint32_t)src[1] << 8 | src[2];
        dst[0] = (uint8_t)alphabet[group >> 18];
        dst[1] = (uint8_t)alphabet[group >> 12 & 63];
        dst[2] = (uint8_t)alphabet[group >> 6 & 63];
        dst[3] = (uint8_t)alphabet[group & 63];
    }
    if (n != 0) {
        uint32_t group = (uint32_t)src[0] << 16 | (n == 2 ? (uint32_t)src[1] << 8 : 0);
        dst[0] = (uint8_t)alphabet[group >> 18];
        dst[1] = (uint8_t)alphabet[group >> 12 & 63];
        dst[2] = n == 2 ? (uint8_t)alphabet[group >> 6 & 63] : '=';
        dst[3] = '=';
    }
}

ptrdiff_t
tbx_base64_decode(const uint8_t *src, size_t n, uint8_t *dst, tbx_err *err)
{
    const uint8_t *p = src;
    uint8_t *out = dst;
    size_t padding = 0;
    if (n % 4 != 0) {
        return tbx_err_set(err, TBX_E_EIO_BASE64, n - n % 4);
    }
    if (n != 0 && src[n - 1] == '=') {
        padding = src[n - 2] == '=' ? 2 : 1;
    }
    for (size_t groups = n / 4; groups > 0; groups--, p += 4) {
        size_t missing = groups == 1 ? padding : 0;
        uint32_t a = values[p[0]], b = values[p[1]];
        uint32_t c = missing == 2 ? 0 : values[p[2]];
        uint32_t d = missing >= 1 ? 0 : values[p[3]];
        if (((a | b | c | d) & BAD) != 0) {
            return tbx_err_set(err, TBX_E_EIO_BASE64, (size_t)(p - src));
        }
        uint32_t group = a << 18 | b << 12 | c << 6 | d;
        *out++ = (uint8_t)(group >> 16);
        if (missing < 2) {
            *out++ = (uint8_t)(group >> 8);
        }
        if (missing < 1) {
            *out++ = (uint8_t)group;
        }
    }
    return out - dst;
}

#define GROUPS_AT_ONCE 64

bool
tbx_base64_is_strict(const uint8_t *src, size_t n)
{
    uint8_t out[GROUPS_AT_ONCE * 3];
    tbx_err err;
    while (n > GROUPS_AT_ONCE * 4) {
        if (src[GROUPS_AT_ONCE * 4 - 1] == '=' ||
            tbx_base64_decode(src, GROUPS_AT_ONCE * 4, out, &err) == TBX_BAD) {
            return false;
        }
        src += GROUPS_AT_ONCE * 4;
        n -= GROUPS_AT_ONCE * 4;
    }
    return tbx_base64_decode(src, n, out, &err) != TBX_BAD;
}

static bool
is_usual_packet(const uint8_t *p, size_t n, bool is_strict)
{
    if (n == 0) {
        return false;
    }
    if (p[0] == 'b') {
        return tbx_base64_is_strict(p + 1, n - 1);
    }
    return is_strict ? p[0] == '1' || p[0] == '3' || p[0] == '4' : p[0] >= '0' && p[0] <= '6';
}

bool
tbx_eio_payload_is_usual(const uint8_t *p, size_t n, size_t max_packets, bool is_strict)
{
    bool is_over = n == 0;
    while (!is_over) {
        const uint8_t *stop = memchr(p, TBX_EIO_SEPARATOR, n);
        size_t len = stop != NULL ? (size_t)(stop - p) : n;
        if (max_packets-- == 0 || !is_usual_packet(p, len, is_strict)) {
            return false;
        }
        is_over = stop == NULL;
        if (!is_over) {
            p += len + 1; /* where nothing follows, a packet is empty */
            n -= len + 1;
        }
    }
    return true;
}

static bool
is_text(const uint8_t *p, size_t n, const char *text)
{
    return n == strlen(text) && memcmp(p, text, n) == 0;
}

static bool
is_id(const uint8_t *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (values[p[i]] == BAD ? p[i] != '-' && p[i] != '_' : p[i] == '+' || p[i] == '/') {
            return false;
        }
    }
    return n > 0;
}

enum { HAS_VERSION = 1, HAS_TRANSPORT = 2, HAS_SID = 4, HAS_TIME = 8 };

/* One parameter: what it is, 0 when it is another one. */
static unsigned
read_parameter(const uint8_t *p, size_t n, tbx_eio_query *out)
{
    const uint8_t *sign = memchr(p, '=', n);
    size_t len = sign != NULL ? (size_t)(sign - p) : 0;
    if (sign == NULL || len + 1 == n) {
        return 0;
    }
    const uint8_t *value = sign + 1;
    size_t value_len = n - len - 1;
    if (is_text(p, len, "EIO")) {
        return is_text(value, value_len, "4") ? HAS_VERSION : 0;
    }
    if (is_text(p, len, "transport")) {
        out->is_websocket = is_text(value, value_len, "websocket");
        return out->is_websocket || is_text(value, value_len, "polling") ? HAS_TRANSPORT : 0;
    }
    if (is_text(p, len, "sid")) {
        out->sid = value;
        out->sid_len = value_len;
        return is_id(value, value_len) ? HAS_SID : 0;
    }
    return is_text(p, len, "t") ? HAS_TIME : 0;
}

bool
tbx_eio_query_parse(const uint8_t *p, size_t n, tbx_eio_query *out)
{
    unsigned seen = 0;
    const uint8_t *end = p + n;
    while (p < end) {
        const uint8_t *stop = memchr(p, '&', (size_t)(end - p));
        stop = stop != NULL ? stop : end;
        unsigned found = read_parameter(p, (size_t)(stop - p), out);
        if (found == 0 || (seen & found) != 0) {
            return false;
        }
        seen |= found;
        p = stop < end ? stop + 1 : end;
    }
    unsigned all = HAS_VERSION | HAS_TRANSPORT | HAS_SID;
    return (seen & all) == all;
}

static int
hex_value(uint8_t digit)
{
    if (digit >= '0' && digit <= '9') {
        return digit - '0';
    }
    uint8_t letter = digit | 0x20;
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

size_t
tbx_form_decode(const uint8_t *src, size_t n, uint8_t *dst)
{
    uint8_t *out = dst;
    for (size_t at = 0; at < n; at++) {
        uint8_t byte = src[at];
        if (byte == '%' && n - at > 2) {
            int high = hex_value(src[at + 1]), low = hex_value(src[at + 2]);
            if (high >= 0 && low >= 0) {
                byte = (uint8_t)(high << 4 | low);
                at += 2;
            }
        }
        else if (byte == '+') {
            byte = ' ';
        }
        *out++ = byte;
    }
    return (size_t)(out - dst);
}
