/* json_lex.c: strings with escapes, and numbers (contract in json_lex.h). */
#include "wire/json_lex.h"

#include "base/utf8.h"

static inline bool
is_digit(uint8_t c)
{
    return c >= '0' && c <= '9';
}

static int
hex_value(uint8_t c)
{
    if (is_digit(c)) {
        return c - '0';
    }
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The four hexadecimal digits at p, or -1. */
static int32_t
hex4(const uint8_t *p, const uint8_t *end)
{
    if (end - p < 4) {
        return -1;
    }
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p[i]);
        if (digit < 0) {
            return -1;
        }
        value = value << 4 | digit;
    }
    return value;
}

/* Reads the escape whose backslash is at p into *c. Returns what follows, or NULL. */
static const uint8_t *
lex_escape(tbx_json_src *src, const uint8_t *p, uint32_t *c)
{
    const uint8_t *end = src->end;
    switch (p[1]) {
    case '"':
    case '\\':
    case '/':
        *c = p[1];
        return p + 2;
    case 'b':
        *c = '\b';
        return p + 2;
    case 'f':
        *c = '\f';
        return p + 2;
    case 'n':
        *c = '\n';
        return p + 2;
    case 'r':
        *c = '\r';
        return p + 2;
    case 't':
        *c = '\t';
        return p + 2;
    case 'u':
        break;
    default:
        return tbx_json_bad(src, TBX_E_JSON_ESCAPE, p);
    }
    int32_t unit = hex4(p + 2, end);
    if (unit < 0 || end - p == 6) { /* CPython wants a character behind the digits */
        return tbx_json_bad(src, TBX_E_JSON_HEX, p + 1);
    }
    *c = (uint32_t)unit;
    p += 6;
    if ((unit & 0xfc00) == 0xd800 && end - p > 6 && p[0] == '\\' && p[1] == 'u') {
        int32_t low = hex4(p + 2, end);
        if (low < 0) {
            return tbx_json_bad(src, TBX_E_JSON_HEX, p + 1);
        }
        if ((low & 0xfc00) == 0xdc00) {
            *c = 0x10000 + (((uint32_t)unit & 0x3ff) << 10 | ((uint32_t)low & 0x3ff));
            p += 6;
        }
    }
    return p;
}

const uint8_t *
tbx_json_lex_string_slow(tbx_json_src *src, const uint8_t *start, size_t len, bool high,
                         tbx_json_str *out)
{
    const uint8_t *end = src->end;
    const uint8_t *p = start;
    tbx_buf *scratch = src->scratch;
    scratch->len = 0;
    for (;;) {
        if (tbx_buf_put(scratch, p, len) < 0 || tbx_buf_room(scratch, 4) < 0) {
            return tbx_json_bad(src, TBX_E_NOMEM, p);
        }
        p += len;
        if (p >= end) {
            return tbx_json_bad(src, TBX_E_JSON_UNTERMINATED, start - 1);
        }
        if (*p == '"') {
            break;
        }
        if (*p != '\\') {
            return tbx_json_bad(src, TBX_E_JSON_CONTROL, p);
        }
        if (p + 1 >= end) {
            return tbx_json_bad(src, TBX_E_JSON_UNTERMINATED, start - 1);
        }
        uint32_t c;
        p = lex_escape(src, p, &c);
        if (p == NULL) {
            return NULL;
        }
        high |= c >= 0x80;
        scratch->len += tbx_utf8_put(scratch->data + scratch->len, c);
        len = tbx_json_scan(p, (size_t)(end - p), &high);
    }
    out->text = scratch->data;
    out->len = scratch->len;
    out->ascii = !high;
    return p + 1;
}

const uint8_t *
tbx_json_lex_number(tbx_json_src *src, const uint8_t *p, tbx_json_num *out)
{
    const uint8_t *end = src->end;
    const uint8_t *start = p;
    if (p < end && *p == '-') {
        p++;
    }
    if (p >= end || !is_digit(*p)) {
        return tbx_json_bad(src, TBX_E_JSON_VALUE, start);
    }
    if (*p++ != '0') {
        while (p < end && is_digit(*p)) {
            p++;
        }
    }
    out->is_float = false;
    if (end - p >= 2 && p[0] == '.' && is_digit(p[1])) {
        out->is_float = true;
        p += 2;
        while (p < end && is_digit(*p)) {
            p++;
        }
    }
    if (end - p >= 2 && (*p | 0x20) == 'e') {
        const uint8_t *q = p + 1;
        if (*q == '+' || *q == '-') {
            q++;
        }
        if (q < end && is_digit(*q)) {
            out->is_float = true;
            while (q < end && is_digit(*q)) {
                q++;
            }
            p = q;
        }
    }
    out->text = start;
    out->len = (size_t)(p - start);
    return p;
}
