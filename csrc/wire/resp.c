/* resp.c: a walk over a reply, level by level without recursion (contract in resp.h). */
#include "wire/resp.h"

#include <string.h>

#define DIGITS_MAX 18

typedef struct {
    const uint8_t *p;
    size_t n, at;
    size_t need;
} input;

/* The number of a line from `at` on, and its CR LF. Bytes, TBX_MORE or TBX_BAD. */
static ptrdiff_t
number(const input *in, size_t at, int64_t *value)
{
    size_t i = at;
    bool is_negative = i < in->n && in->p[i] == '-';
    i += is_negative;
    size_t first = i;
    int64_t sum = 0;
    while (i < in->n && in->p[i] >= '0' && in->p[i] <= '9') {
        if (i - first == DIGITS_MAX) {
            return TBX_BAD;
        }
        sum = sum * 10 + (in->p[i++] - '0');
    }
    if (i == in->n || (in->p[i] == '\r' && i > first && i + 1 == in->n)) {
        return TBX_MORE;
    }
    if (i == first || in->p[i] != '\r' || in->p[i + 1] != '\n') {
        return TBX_BAD;
    }
    *value = is_negative ? -sum : sum;
    return (ptrdiff_t)(i + 2 - at);
}

/* A string of a known length, at its type: bytes, TBX_MORE or TBX_BAD; *start: where its text begins. */
static ptrdiff_t
bulk(input *in, size_t at, size_t *start, size_t *len)
{
    int64_t value;
    ptrdiff_t head = number(in, at + 1, &value);
    if (head <= 0) {
        return head;
    }
    *start = at + 1 + (size_t)head;
    *len = 0;
    if (value == -1 && in->p[at] == '$') {
        return 1 + head;
    }
    if (value < 0 || (uint64_t)value > TBX_RESP_BULK_MAX) {
        return TBX_BAD;
    }
    *len = (size_t)value;
    size_t end = *start + *len + 2;
    if (in->n < end) {
        in->need = end;
        return TBX_MORE;
    }
    if (in->p[end - 2] != '\r' || in->p[end - 1] != '\n') {
        return TBX_BAD;
    }
    return (ptrdiff_t)(end - at);
}

static ptrdiff_t
line(const input *in, size_t at)
{
    const uint8_t *end = memchr(in->p + at, '\n', in->n - at);
    return end == NULL ? TBX_MORE : end - (in->p + at) + 1;
}

/* One element: bytes of a whole one, or of the head of one that has *children. */
static ptrdiff_t
element(input *in, int64_t *children)
{
    size_t start, len;
    *children = 0;
    if (in->at >= in->n) {
        return TBX_MORE;
    }
    switch (in->p[in->at]) {
    case '+':
    case '-':
    case ':':
    case '_':
    case '#':
    case ',':
    case '(':
        return line(in, in->at);
    case '$':
    case '!':
    case '=':
        return bulk(in, in->at, &start, &len);
    case '*':
    case '~':
    case '>':
    case '%':
    case '|': {
        ptrdiff_t used = number(in, in->at + 1, children);
        if (used <= 0) {
            return used;
        }
        uint8_t type = in->p[in->at];
        if (*children < 0) {
            bool is_null = *children == -1 && type == '*';
            *children = 0;
            return is_null ? 1 + used : TBX_BAD;
        }
        if (*children > INT32_MAX) {
            return TBX_BAD;
        }
        if (type == '%' || type == '|') {
            *children *= 2;
        }
        *children += type == '|'; /* the reply that it belongs to */
        return 1 + used;
    }
    default:
        return TBX_BAD;
    }
}

/* The fast way: a message. Bytes, TBX_MORE or TBX_BAD (which here means: something else). */
static ptrdiff_t
message(input *in, tbx_resp *out)
{
    static const char array[] = "*3\r\n$7\r\nmessage\r\n", push[] = ">3\r\n$7\r\nmessage\r\n";
    size_t start, len, head = sizeof array - 1;
    if (in->n < head) {
        return TBX_BAD;
    }
    if (memcmp(in->p, array, head) != 0 && memcmp(in->p, push, head) != 0) {
        return TBX_BAD;
    }
    for (int i = 0; i < 2; i++) { /* channel, payload */
        if (head == in->n) {
            return TBX_MORE;
        }
        if (in->p[head] != '$') {
            return TBX_BAD;
        }
        ptrdiff_t used = bulk(in, head, &start, &len);
        if (used <= 0) {
            return used;
        }
        head += (size_t)used;
    }
    out->is_message = true;
    out->payload = in->p + start;
    out->payload_len = len;
    return (ptrdiff_t)head;
}

ptrdiff_t
tbx_resp_parse(const uint8_t *p, size_t n, tbx_resp *out, size_t *need)
{
    input in = {p, n, 0, 0};
    memset(out, 0, sizeof *out);
    ptrdiff_t status = message(&in, out);
    if (status > 0) {
        return status;
    }
    int64_t left[TBX_RESP_DEPTH] = {1};
    int depth = 0;
    in.need = 0;
    while (depth >= 0) {
        int64_t children;
        if (left[depth] == 0) {
            depth--;
            continue;
        }
        status = element(&in, &children);
        if (status <= 0) {
            *need = in.need > n ? in.need : n + 1;
            return status;
        }
        in.at += (size_t)status;
        left[depth]--;
        if (children > 0) {
            if (++depth == TBX_RESP_DEPTH) {
                return TBX_BAD;
            }
            left[depth] = children;
        }
    }
    return (ptrdiff_t)in.at;
}
