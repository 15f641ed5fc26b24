/* fuzz_resp.c: replies of Redis, whole and in every prefix, against a reader that recurses. */
#include "fuzz.h"

#include "wire/resp.h"

#define MOST 2000
#define PREFIXES 300

typedef struct {
    const uint8_t *p;
    size_t n, at;
    int state; /* 1, TBX_MORE or TBX_BAD */
} reader;

static bool
stop(reader *r, int state)
{
    r->state = state;
    return false;
}

static bool
read_number(reader *r, long long *value)
{
    char text[24] = {0};
    size_t k = 0, digits;
    if (r->at < r->n && r->p[r->at] == '-') {
        text[k++] = '-';
    }
    for (digits = 0; r->at + k < r->n && r->p[r->at + k] >= '0' && r->p[r->at + k] <= '9';
         digits++) {
        if (digits == 18) {
            return stop(r, TBX_BAD);
        }
        text[k] = (char)r->p[r->at + k];
        k++;
    }
    if (r->at + k == r->n) {
        return stop(r, TBX_MORE);
    }
    if (digits == 0 || r->p[r->at + k] != '\r') {
        return stop(r, TBX_BAD);
    }
    if (r->at + k + 1 == r->n) {
        return stop(r, TBX_MORE);
    }
    if (r->p[r->at + k + 1] != '\n') {
        return stop(r, TBX_BAD);
    }
    r->at += k + 2;
    *value = strtoll(text, NULL, 10);
    return true;
}

static bool
read_bulk(reader *r, bool may_be_null)
{
    long long len;
    if (!read_number(r, &len)) {
        return false;
    }
    if (len == -1 && may_be_null) {
        return true;
    }
    if (len < 0 || (unsigned long long)len > TBX_RESP_BULK_MAX) {
        return stop(r, TBX_BAD);
    }
    if (r->n - r->at < (size_t)len + 2) {
        return stop(r, TBX_MORE);
    }
    r->at += (size_t)len + 2;
    return (r->p[r->at - 2] == '\r' && r->p[r->at - 1] == '\n') || stop(r, TBX_BAD);
}

static bool
read_reply(reader *r, int depth)
{
    if (r->at == r->n) {
        return stop(r, TBX_MORE);
    }
    char type = (char)r->p[r->at++];
    if (type != 0 && strchr("+-:_#,(", type) != NULL) {
        while (r->at < r->n && r->p[r->at] != '\n') {
            r->at++;
        }
        return r->at++ < r->n || stop(r, TBX_MORE);
    }
    if (type != 0 && strchr("$!=", type) != NULL) {
        return read_bulk(r, type == '$');
    }
    if (type == 0 || strchr("*~>%|", type) == NULL) {
        return stop(r, TBX_BAD);
    }
    long long count;
    if (!read_number(r, &count)) {
        return false;
    }
    if (count < 0) {
        return (count == -1 && type == '*') || stop(r, TBX_BAD);
    }
    if (count > INT32_MAX) {
        return stop(r, TBX_BAD);
    }
    count = type == '%' || type == '|' ? 2 * count : count;
    count += type == '|';
    if (count > 0 && depth + 1 == TBX_RESP_DEPTH) {
        return stop(r, TBX_BAD);
    }
    for (long long i = 0; i < count; i++) {
        if (!read_reply(r, depth + 1)) {
            return false;
        }
    }
    return true;
}

/* Whether p[0..n), a whole reply, is ["message", string, string]; its last string. */
static bool
is_message(const uint8_t *p, size_t n, const uint8_t **payload, size_t *len)
{
    static const char head[] = "3\r\n$7\r\nmessage\r\n";
    if (n < sizeof head || (p[0] != '*' && p[0] != '>') || memcmp(p + 1, head, sizeof head - 1)) {
        return false;
    }
    reader r = {p, n, sizeof head, 1};
    if (p[r.at] != '$' || (r.at++, !read_bulk(&r, true)) || p[r.at] != '$') {
        return false;
    }
    long long value;
    r.at++;
    if (!read_number(&r, &value)) {
        return false;
    }
    *payload = p + r.at;
    *len = value < 0 ? 0 : (size_t)value;
    return true;
}

static ptrdiff_t
check(const uint8_t *data, size_t n, size_t whole)
{
    uint8_t *p = fuzz_copy(data, n);
    tbx_resp out;
    size_t need = 0;
    ptrdiff_t got = tbx_resp_parse(p, n, &out, &need);
    reader r = {p, n, 0, 1};
    if (read_reply(&r, 0)) {
        REQUIRE(got == (ptrdiff_t)r.at);
        const uint8_t *payload = NULL;
        size_t len = 0;
        REQUIRE(out.is_message == is_message(p, r.at, &payload, &len));
        REQUIRE(out.payload == payload && out.payload_len == len);
    }
    else {
        REQUIRE(got == r.state);
        REQUIRE(got == TBX_BAD || (need > n && need <= n + TBX_RESP_BULK_MAX + 2));
        REQUIRE(got == TBX_BAD || whole == 0 || need <= whole);
    }
    fuzz_free(p);
    return got;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size = size < MOST ? size : MOST;
    ptrdiff_t got = check(data, size, 0);
    size_t whole = got > 0 ? (size_t)got : 0;
    size_t end = whole != 0 ? whole : size;
    for (size_t n = 0; n < end && n < PREFIXES; n++) {
        ptrdiff_t part = check(data, n, whole);
        REQUIRE(part == TBX_MORE || (part == TBX_BAD && got == TBX_BAD));
    }
    return 0;
}
