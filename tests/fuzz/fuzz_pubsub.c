/* fuzz_pubsub.c: published messages: what is accepted is accepted again in its parts and compacted. */
#include "fuzz.h"

#include "naive_utf8.h"
#include "wire/pubsub.h"

static ptrdiff_t
parse(const uint8_t *p, size_t n, tbx_pub *out)
{
    tbx_err err = {0};
    ptrdiff_t got = tbx_pub_parse(p, n, out, &err);
    REQUIRE(got == TBX_BAD ? err.code != TBX_E_NONE && err.pos <= n : (size_t)got == n);
    return got;
}

/* Without the space between tokens; checked byte by byte. */
static uint8_t *
compact(const uint8_t *p, size_t n, size_t *len)
{
    uint8_t *src = fuzz_copy(p, n);
    uint8_t *dst = fuzz_room(n);
    *len = tbx_pub_compact(src, n, dst);
    bool quoted = false, escaped = false;
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (quoted || strchr(" \t\r\n", src[i]) == NULL) {
            REQUIRE(at < *len && dst[at++] == src[i]);
        }
        quoted ^= src[i] == '"' && !escaped;
        escaped = quoted && src[i] == '\\' && !escaped;
    }
    REQUIRE(at == *len);
    fuzz_free(src);
    return dst;
}

/* Whether compacting two texts gives the same. */
static void
require_same(tbx_pub_span a, tbx_pub_span b)
{
    size_t len, other;
    uint8_t *x = compact(a.text, a.len, &len), *y = compact(b.text, b.len, &other);
    REQUIRE(len == other && memcmp(x, y, len) == 0);
    fuzz_free(x);
    fuzz_free(y);
}

/* prefix + text + suffix is a message whose "data" is the text. */
static void
check_wrapped(const char *prefix, tbx_pub_span span, const char *suffix, size_t skip)
{
    size_t head = strlen(prefix), tail = strlen(suffix);
    uint8_t *p = fuzz_room(head + span.len + tail);
    memcpy(p, prefix, head);
    memcpy(p + head, span.text, span.len);
    memcpy(p + head + span.len, suffix, tail);
    tbx_pub again;
    REQUIRE(parse(p, head + span.len + tail, &again) > 0);
    tbx_pub_span data = again.fields[TBX_PUB_DATA];
    REQUIRE(data.text == p + head - skip && data.len == span.len + 2 * skip);
    fuzz_free(p);
}

/* How deep the brackets of valid JSON are nested. */
static size_t
depth_of(tbx_pub_span span)
{
    size_t depth = 0, most = 0;
    bool quoted = false;
    for (size_t i = 0; i < span.len; i++) {
        uint8_t c = span.text[i];
        if (c == '"') {
            quoted = !quoted;
        }
        else if (quoted) {
            i += c == '\\';
        }
        else if (c == '[' || c == '{') {
            depth++;
            most = depth > most ? depth : most;
        }
        else {
            depth -= c == ']' || c == '}';
        }
    }
    return most;
}

/* The span in that many arrays is accepted up to the limit of nesting. */
static void
check_depth(tbx_pub_span span)
{
    static const char head[] = "{\"data\":", tail[] = "}";
    size_t room = TBX_PUB_DEPTH + 1 - depth_of(span);
    for (size_t levels = room - 1; levels <= room; levels++) {
        size_t n = sizeof head - 1 + 2 * levels + span.len + 1;
        uint8_t *p = fuzz_room(n), *at = p;
        memcpy(at, head, sizeof head - 1);
        at += sizeof head - 1;
        memset(at, '[', levels);
        memcpy(at + levels, span.text, span.len);
        memset(at + levels + span.len, ']', levels);
        memcpy(p + n - 1, tail, 1);
        tbx_pub message;
        REQUIRE((parse(p, n, &message) > 0) == (levels < room));
        fuzz_free(p);
    }
}

static void
check_field(tbx_pub_span span, const uint8_t *p, size_t n)
{
    REQUIRE(span.text > p && span.len > 0 && span.text + span.len < p + n);
    REQUIRE(span.text[0] > ' ' && span.text[span.len - 1] > ' ');
    check_wrapped("{\"data\":", span, "}", 0);
    check_depth(span);
    tbx_pub_span inner;
    if (tbx_pub_elements(span, &inner)) {
        REQUIRE(span.text[0] == '[' && inner.text > span.text &&
                inner.text + inner.len < span.text + span.len);
        REQUIRE(inner.len == 0 || (inner.text[0] > ' ' && inner.text[inner.len - 1] > ' '));
        check_wrapped("{\"data\":[", inner, "]}", 1);
        size_t len;
        fuzz_free(compact(inner.text, inner.len, &len));
    }
    else {
        REQUIRE(span.text[0] != '[');
    }
}

static void
check_good(const uint8_t *p, size_t n, const tbx_pub *message)
{
    size_t len;
    uint8_t *small = compact(p, n, &len);
    tbx_pub again;
    REQUIRE(parse(small, len, &again) > 0);
    require_same((tbx_pub_span){small, len}, (tbx_pub_span){p, n});
    for (unsigned i = 0; i < TBX_PUB_FIELDS; i++) {
        tbx_pub_field field = (tbx_pub_field)i;
        tbx_pub_span span = message->fields[i], other = again.fields[i];
        REQUIRE((span.text == NULL) == (other.text == NULL));
        bool is_null = tbx_pub_is(message, field, "null"), no = tbx_pub_is(message, field, "false");
        REQUIRE(tbx_pub_is_unset(message, field) == (span.text == NULL || is_null || no));
        if (span.text != NULL) {
            check_field(span, p, n);
            require_same(span, other);
        }
    }
    fuzz_free(small);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *p = fuzz_copy(data, size);
    tbx_pub message;
    if (parse(p, size, &message) > 0) {
        REQUIRE(naive_utf8_read(p, size, false).end == size);
        check_good(p, size, &message);
        /* No message is a prefix of another. */
        tbx_pub other;
        size_t end = size;
        while (p[end - 1] != '}') {
            end--;
        }
        uint8_t *cut = fuzz_copy(p, end - 1);
        REQUIRE(parse(cut, end - 1, &other) == TBX_BAD);
        fuzz_free(cut);
    }
    fuzz_free(p);
    return 0;
}
