/* fuzz_json_lex.c: the tokens of JSON at every place of a text, against a reading by hand. */
#include "fuzz.h"

#include "base/utf8.h"
#include "wire/json_lex.h"

#define MOST 600 /* bytes: every place is looked at */

typedef struct {
    const uint8_t *next; /* behind the token; NULL: an error */
    tbx_code code;
    size_t pos;
    uint32_t chars[MOST + 1]; /* of the string, pairs of surrogates joined where both are escapes */
    size_t count;
} expected;

static void
fail(expected *want, tbx_code code, size_t pos)
{
    want->next = NULL;
    want->code = code;
    want->pos = pos;
}

/* Four hexadecimal digits at i, or -1. */
static long
hex(const uint8_t *p, size_t n, size_t i)
{
    char digits[5] = {0};
    for (size_t k = 0; k < 4; k++) {
        if (i + k >= n || strchr("0123456789abcdefABCDEF", p[i + k]) == NULL || p[i + k] == 0) {
            return -1;
        }
        digits[k] = (char)p[i + k];
    }
    return strtol(digits, NULL, 16);
}

/* The escape \u at i: what follows it, or 0. */
static size_t
expect_unicode(const uint8_t *p, size_t n, size_t i, expected *want)
{
    long unit = hex(p, n, i + 2);
    if (unit < 0 || i + 6 == n) { /* as CPython: a text that ends behind the digits is cut */
        fail(want, TBX_E_JSON_HEX, i + 1);
        return 0;
    }
    uint32_t c = (uint32_t)unit;
    i += 6;
    if (c >= 0xd800 && c <= 0xdbff && i + 6 < n && p[i] == '\\' && p[i + 1] == 'u') {
        long low = hex(p, n, i + 2);
        if (low < 0) {
            fail(want, TBX_E_JSON_HEX, i + 1);
            return 0;
        }
        if (low >= 0xdc00 && low <= 0xdfff) {
            c = 0x10000 + (c - 0xd800) * 0x400 + ((uint32_t)low - 0xdc00);
            i += 6;
        }
    }
    want->chars[want->count++] = c;
    return i;
}

static void
expect_string(const uint8_t *p, size_t n, size_t start, expected *want)
{
    static const char shorts[] = "\"\"\\\\//b\bf\fn\nr\rt\t";
    want->count = 0;
    for (size_t i = start; i < n;) {
        if (p[i] == '"') {
            want->next = p + i + 1;
            return;
        }
        if (p[i] < 0x20) {
            fail(want, TBX_E_JSON_CONTROL, i);
            return;
        }
        if (p[i] != '\\') {
            i += tbx_utf8_get(p + i, &want->chars[want->count++]);
            continue;
        }
        if (i + 1 == n) {
            break;
        }
        if (p[i + 1] == 'u') {
            i = expect_unicode(p, n, i, want);
            if (i == 0) {
                return;
            }
            continue;
        }
        size_t k = 0;
        while (k < sizeof shorts - 1 && shorts[k] != (char)p[i + 1]) {
            k += 2;
        }
        if (k >= sizeof shorts - 1) {
            fail(want, TBX_E_JSON_ESCAPE, i);
            return;
        }
        want->chars[want->count++] = (uint8_t)shorts[k + 1];
        i += 2;
    }
    fail(want, TBX_E_JSON_UNTERMINATED, start - 1);
}

static void
check_string(tbx_json_src *src, size_t start)
{
    static expected want;
    size_t n = (size_t)(src->end - src->base);
    tbx_json_str got = {0};
    src->err = (tbx_err){0};
    const uint8_t *next = tbx_json_lex_string(src, src->base + start, &got);
    expect_string(src->base, n, start, &want);
    REQUIRE(next == want.next);
    if (next == NULL) {
        REQUIRE(src->err.code == want.code && src->err.pos == want.pos);
        return;
    }
    bool ascii = true;
    size_t len = 0;
    for (size_t i = 0; i < want.count; i++) {
        uint8_t bytes[4];
        size_t some = tbx_utf8_put(bytes, want.chars[i]);
        REQUIRE(some <= got.len - len && memcmp(got.text + len, bytes, some) == 0);
        ascii = ascii && want.chars[i] < 0x80;
        len += some;
    }
    REQUIRE(len == got.len && got.ascii == ascii);
}

/* As the regular expression of json.scanner: (-?(?:0|[1-9]\d*))(\.\d+)?([eE][-+]?\d+)? */
static void
check_number(tbx_json_src *src, size_t start)
{
    const uint8_t *p = src->base;
    size_t n = (size_t)(src->end - p), i = start;
#define DIGIT(at) ((at) < n && p[at] >= '0' && p[at] <= '9')
    i += i < n && p[i] == '-';
    bool good = DIGIT(i), is_float = false;
    if (good && p[i] == '0') {
        i++;
    }
    else {
        while (good && DIGIT(i)) {
            i++;
        }
    }
    if (good && i < n && p[i] == '.' && DIGIT(i + 1)) {
        is_float = true;
        for (i++; DIGIT(i);) {
            i++;
        }
    }
    if (good && i < n && (p[i] == 'e' || p[i] == 'E')) {
        size_t k = i + 1;
        k += k < n && (p[k] == '-' || p[k] == '+');
        if (DIGIT(k)) {
            is_float = true;
            for (i = k; DIGIT(i);) {
                i++;
            }
        }
    }
#undef DIGIT
    tbx_json_num got = {0};
    const uint8_t *next = tbx_json_lex_number(src, p + start, &got);
    REQUIRE(next == (good ? p + i : NULL));
    if (good) {
        REQUIRE(got.text == p + start && got.len == i - start && got.is_float == is_float);
    }
    else {
        REQUIRE(src->err.code == TBX_E_JSON_VALUE && src->err.pos == start);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size = tbx_utf8_valid(data, size < MOST ? size : MOST);
    uint8_t *p = fuzz_copy(data, size);
    tbx_buf scratch;
    tbx_buf_init(&scratch);
    tbx_json_src src = {.base = p, .end = p + size, .scratch = &scratch};
    for (size_t i = 0; i < size; i++) {
        if (p[i] == '"') {
            check_string(&src, i + 1);
        }
        check_number(&src, i);
        const uint8_t *q = tbx_json_skip_space(p + i, p + size);
        for (const uint8_t *s = p + i; s < q; s++) {
            REQUIRE(strchr(" \t\r\n", *s) != NULL && *s != 0);
        }
        REQUIRE(q == p + size || strchr(" \t\r\n", *q) == NULL || *q == 0);
        const uint8_t *word = tbx_json_lex_literal(p + i, p + size, "null", 4);
        REQUIRE((word != NULL) == (size - i >= 4 && strncmp((char *)p + i, "null", 4) == 0));
    }
    check_number(&src, size);
    tbx_buf_free(&scratch);
    fuzz_free(p);
    return 0;
}
