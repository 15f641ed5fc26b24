/* pubsub.c: messages between servers (contract in pubsub.h).
 *
 * Values are skipped, token by token, with one bit a level for what encloses them.
 * Spec: RFC 8259; NaN and the infinities are values, as for Python's json.
 */
#include "wire/pubsub.h"

#include "wire/json_lex.h"
#include "wire/ws_utf8.h"

#define MAX_INT 100 /* characters of an integer, as the decoder's */

typedef struct {
    tbx_json_src src;
} reader;

static const uint8_t *
bad(reader *r, tbx_code code, const uint8_t *at)
{
    return tbx_json_bad(&r->src, code, at);
}

#define SHORT 24 /* bytes of a string that are looked at one by one */

/* The rest of a string whose first byte behind the quote is *p: what follows it, or NULL. */
static inline const uint8_t *
skip_string(reader *r, const uint8_t *p)
{
    const uint8_t *end = r->src.end;
    const uint8_t *stop = end - p > SHORT ? p + SHORT : end;
    for (const uint8_t *q = p; q < stop && *q != '\\' && *q >= ' '; q++) {
        if (*q == '"') {
            return q + 1;
        }
    }
    tbx_json_str text;
    return tbx_json_lex_string(&r->src, p, &text);
}

/* A string, a number or a literal at p: what follows it, or NULL. */
static const uint8_t *
skip_scalar(reader *r, const uint8_t *p)
{
    static const struct {
        const char *word;
        size_t len;
    } words[] = {{"null", 4}, {"true", 4},     {"false", 5},
                 {"NaN", 3},  {"Infinity", 8}, {"-Infinity", 9}};
    const uint8_t *end = r->src.end;
    if (p < end && *p == '"') {
        return skip_string(r, p + 1);
    }
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        const uint8_t *next = tbx_json_lex_literal(p, end, words[i].word, words[i].len);
        if (next != NULL) {
            return next;
        }
    }
    tbx_json_num number;
    const uint8_t *next = tbx_json_lex_number(&r->src, p, &number);
    if (next != NULL && !number.is_float && number.len > MAX_INT) {
        return bad(r, TBX_E_JSON_INT, p);
    }
    return next;
}

/* A key and its colon: where the value begins, or NULL. */
static const uint8_t *
skip_key(reader *r, const uint8_t *p)
{
    const uint8_t *end = r->src.end;
    if (p >= end || *p != '"') {
        return bad(r, TBX_E_JSON_KEY, p);
    }
    p = skip_string(r, p + 1);
    if (p == NULL) {
        return NULL;
    }
    p = tbx_json_skip_space(p, end);
    if (p >= end || *p != ':') {
        return bad(r, TBX_E_JSON_COLON, p);
    }
    return tbx_json_skip_space(p + 1, end);
}

/* A value at p: what follows it, or NULL. */
static const uint8_t *
skip_value(reader *r, const uint8_t *p)
{
    uint64_t is_object[TBX_PUB_DEPTH / 64]; /* bit: what a level is */
    size_t depth = 0;
    const uint8_t *end = r->src.end;
    for (;;) {
        if (p < end && (*p == '{' || *p == '[')) {
            bool object = *p == '{';
            if (depth == TBX_PUB_DEPTH) {
                return bad(r, TBX_E_JSON_DEPTH, p);
            }
            uint64_t bit = (uint64_t)1 << depth % 64;
            is_object[depth / 64] = object ? (depth % 64 ? is_object[depth / 64] | bit : bit)
                                           : (depth % 64 ? is_object[depth / 64] & ~bit : 0);
            depth++;
            p = tbx_json_skip_space(p + 1, end);
            if (p < end && *p == (object ? '}' : ']')) {
                depth--;
                p++;
            }
            else {
                if (object && (p = skip_key(r, p)) == NULL) {
                    return NULL;
                }
                continue;
            }
        }
        else if ((p = skip_scalar(r, p)) == NULL) {
            return NULL;
        }
        for (;;) { /* behind a value */
            if (depth == 0) {
                return p;
            }
            bool object = is_object[(depth - 1) / 64] >> (depth - 1) % 64 & 1;
            p = tbx_json_skip_space(p, end);
            if (p < end && *p == ',') {
                p = tbx_json_skip_space(p + 1, end);
                if (object && (p = skip_key(r, p)) == NULL) {
                    return NULL;
                }
                break;
            }
            if (p >= end || *p != (object ? '}' : ']')) {
                return bad(r, TBX_E_JSON_COMMA, p);
            }
            depth--;
            p++;
        }
    }
}

static void
note(tbx_pub *out, const uint8_t *key, size_t key_len, const uint8_t *value, size_t len)
{
#define NAME(text)                                                                                 \
    {                                                                                              \
        text, sizeof(text) - 1                                                                     \
    }
    static const struct {
        const char *text;
        size_t len;
    } names[TBX_PUB_FIELDS] = {
        NAME("method"),   NAME("host_id"),  NAME("namespace"), NAME("room"),
        NAME("skip_sid"), NAME("callback"), NAME("binary"),    NAME("volatile"),
        NAME("channels"), NAME("event"),    NAME("data"),
    };
#undef NAME
    for (size_t i = 0; i < TBX_PUB_FIELDS; i++) {
        if (names[i].len == key_len && memcmp(names[i].text, key, key_len) == 0) {
            out->fields[i].text = value;
            out->fields[i].len = len;
            return;
        }
    }
}

/* The members of the object whose first byte behind the brace is *p: what follows the object. */
static const uint8_t *
read_members(reader *r, const uint8_t *p, tbx_pub *out)
{
    const uint8_t *end = r->src.end;
    p = tbx_json_skip_space(p, end);
    if (p < end && *p == '}') {
        return p + 1;
    }
    for (;;) {
        const uint8_t *value = skip_key(r, p);
        if (value == NULL) {
            return NULL;
        }
        const uint8_t *key = p + 1;
        const uint8_t *quote = memchr(key, '"', (size_t)(value - key));
        size_t key_len = (size_t)(quote - key);
        if (memchr(key, '\\', key_len) != NULL) { /* it may be one of those that count */
            return bad(r, TBX_E_JSON_ESCAPE, key);
        }
        p = skip_value(r, value);
        if (p == NULL) {
            return NULL;
        }
        note(out, key, key_len, value, (size_t)(p - value));
        p = tbx_json_skip_space(p, end);
        if (p < end && *p == '}') {
            return p + 1;
        }
        if (p >= end || *p != ',') {
            return bad(r, TBX_E_JSON_COMMA, p);
        }
        p = tbx_json_skip_space(p + 1, end);
    }
}

ptrdiff_t
tbx_pub_parse(const uint8_t *p, size_t n, tbx_pub *out, tbx_err *err)
{
    tbx_ws_utf8 utf8 = {0, 0, 0};
    tbx_buf scratch;
    memset(out, 0, sizeof *out);
    if (!tbx_ws_utf8_feed(&utf8, p, n) || !tbx_ws_utf8_done(&utf8)) {
        return tbx_err_set(err, TBX_E_WS_UTF8, 0);
    }
    tbx_buf_init(&scratch);
    reader r = {.src = {.base = p, .end = p + n, .scratch = &scratch}};
    const uint8_t *at = tbx_json_skip_space(p, p + n);
    if (at < p + n && *at == '{') {
        at = read_members(&r, at + 1, out);
        at = at != NULL ? tbx_json_skip_space(at, p + n) : NULL;
        if (at != NULL && at != p + n) {
            at = bad(&r, TBX_E_JSON_EXTRA, at);
        }
    }
    else {
        at = bad(&r, TBX_E_JSON_VALUE, at);
    }
    tbx_buf_free(&scratch);
    return at != NULL ? (ptrdiff_t)n : tbx_err_set(err, r.src.err.code, r.src.err.pos);
}

bool
tbx_pub_is(const tbx_pub *message, tbx_pub_field field, const char *json)
{
    const tbx_pub_span *span = &message->fields[field];
    return span->text != NULL && span->len == strlen(json) &&
           memcmp(span->text, json, span->len) == 0;
}

bool
tbx_pub_is_unset(const tbx_pub *message, tbx_pub_field field)
{
    return message->fields[field].text == NULL || tbx_pub_is(message, field, "null") ||
           tbx_pub_is(message, field, "false");
}

bool
tbx_pub_elements(tbx_pub_span array, tbx_pub_span *inner)
{
    if (array.text == NULL || array.len < 2 || array.text[0] != '[') {
        return false;
    }
    const uint8_t *end = array.text + array.len - 1;
    const uint8_t *p = tbx_json_skip_space(array.text + 1, end);
    while (end > p && end[-1] <= ' ') {
        end--;
    }
    inner->text = p;
    inner->len = (size_t)(end - p);
    return true;
}

/* What follows the string at p. */
static const uint8_t *
skip_valid_string(const uint8_t *p, const uint8_t *end)
{
    bool high = false;
    for (p++; p < end;) {
        p += tbx_json_scan(p, (size_t)(end - p), &high);
        if (p >= end || *p == '"') {
            break;
        }
        p += *p == '\\' && end - p > 1 ? 2 : 1;
    }
    return p < end ? p + 1 : end;
}

size_t
tbx_pub_compact(const uint8_t *p, size_t n, uint8_t *dst)
{
    const uint8_t *end = p + n;
    uint8_t *out = dst;
    while (p < end) {
        if (*p == '"') {
            const uint8_t *next = skip_valid_string(p, end);
            memcpy(out, p, (size_t)(next - p));
            out += next - p;
            p = next;
        }
        else {
            if (*p > ' ') {
                *out++ = *p;
            }
            p++;
        }
    }
    return (size_t)(out - dst);
}
