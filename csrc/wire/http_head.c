/* http_head.c: reading the head of an ordinary HTTP request (contract in http_head.h). */
#include "wire/http_head.h"

#include <string.h>

#define KEY_LEN 24 /* characters of base64 for 16 bytes */
#define LENGTH_DIGITS 18

static uint8_t
lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c | 0x20) : c;
}

bool
tbx_http_is_word(tbx_http_span text, const char *word)
{
    if (text.len != strlen(word)) {
        return false;
    }
    for (size_t i = 0; i < text.len; i++) {
        if (lower(text.p[i]) != (uint8_t)word[i]) {
            return false;
        }
    }
    return true;
}

/* tchar of RFC 9110, section 5.6.2. */
static bool
is_token_char(uint8_t c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') ||
           (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

static bool
is_base64_char(uint8_t c)
{
    return (lower(c) >= 'a' && lower(c) <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
}

static bool
is_websocket_key(tbx_http_span key)
{
    if (key.len != KEY_LEN || memcmp(key.p + KEY_LEN - 2, "==", 2) != 0) {
        return false;
    }
    for (size_t i = 0; i < KEY_LEN - 2; i++) {
        if (!is_base64_char(key.p[i])) {
            return false;
        }
    }
    return true;
}

/* The request line: its bytes with the end of the line, 0 when it is not ordinary. */
static size_t
parse_request_line(const uint8_t *p, size_t n, tbx_http_head *out)
{
    static const struct {
        const char *text;
        tbx_http_method method;
    } methods[] = {
        {"GET ", TBX_HTTP_GET}, {"POST ", TBX_HTTP_POST}, {"OPTIONS ", TBX_HTTP_OPTIONS}};
    static const char version[] = " HTTP/1.1\r\n";
    size_t at = 0;
    for (size_t i = 0; i < sizeof methods / sizeof methods[0] && at == 0; i++) {
        size_t len = strlen(methods[i].text);
        if (n > len && memcmp(p, methods[i].text, len) == 0) {
            out->method = methods[i].method;
            at = len;
        }
    }
    if (at == 0 || p[at] != '/') {
        return 0;
    }
    size_t start = at, question = 0;
    for (; at < n && p[at] > ' ' && p[at] < 0x7f; at++) {
        if (p[at] == '#' || (p[at] == '%' && question == 0)) {
            return 0;
        }
        if (p[at] == '?' && question == 0) {
            question = at;
        }
    }
    if (n - at < sizeof version - 1 || memcmp(p + at, version, sizeof version - 1) != 0) {
        return 0;
    }
    size_t end_of_path = question != 0 ? question : at;
    out->path = (tbx_http_span){p + start, end_of_path - start};
    out->query =
        (tbx_http_span){p + end_of_path + (question != 0), at - end_of_path - (question != 0)};
    return at + sizeof version - 1;
}

/* One field: its bytes with the end of the line, 0 when it is not ordinary. */
static size_t
parse_field(const uint8_t *p, size_t n, tbx_http_field *out)
{
    size_t at = 0;
    while (at < n && is_token_char(p[at])) {
        at++;
    }
    if (at == 0 || n - at < 2 || p[at] != ':') {
        return 0;
    }
    out->name = (tbx_http_span){p, at};
    at += p[at + 1] == ' ' ? 2 : 1;
    size_t start = at;
    while (at < n && p[at] >= ' ' && p[at] != 0x7f) {
        at++;
    }
    if (n - at < 2 || p[at] != '\r' || p[at + 1] != '\n') {
        return 0;
    }
    out->value = (tbx_http_span){p + start, at - start};
    if (at > start && (p[start] == ' ' || p[at - 1] == ' ')) {
        return 0; /* servers do not agree on what is white space around a value */
    }
    return at + 2;
}

/* Reads Content-Length; false when it is not a plain number. */
static bool
read_length(tbx_http_span digits, uint64_t *length)
{
    if (digits.len == 0 || digits.len > LENGTH_DIGITS) {
        return false;
    }
    *length = 0;
    for (size_t i = 0; i < digits.len; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9') {
            return false;
        }
        *length = *length * 10 + (uint64_t)(digits.p[i] - '0');
    }
    return true;
}

/* The options of Connection that matter; false when one is a surprise. */
static bool
read_connection(tbx_http_span list, bool *closes, bool *upgrades)
{
    size_t at = 0;
    while (at <= list.len) {
        const uint8_t *comma = memchr(list.p + at, ',', list.len - at);
        size_t end = comma ? (size_t)(comma - list.p) : list.len;
        tbx_http_span option = {list.p + at, end - at};
        if (option.len > 0 && option.p[0] == ' ') {
            option = (tbx_http_span){option.p + 1, option.len - 1};
        }
        if (tbx_http_is_word(option, "close")) {
            *closes = true;
        }
        else if (tbx_http_is_word(option, "upgrade")) {
            *upgrades = true;
        }
        else if (!tbx_http_is_word(option, "keep-alive")) {
            return false;
        }
        at = end + 1;
    }
    return true;
}

/* What was seen of the fields that say how a request is to be read. */
typedef struct {
    bool has_length, has_connection, has_upgrade, upgrades, has_version, has_key, has_offer;
} seen_fields;

/* Each of them stands there once at most. */
static bool
is_first(bool *seen)
{
    bool first = !*seen;
    *seen = true;
    return first;
}

/* Looks at one field; false when the request is not ordinary with it. */
static bool
read_field(const tbx_http_field *field, tbx_http_head *out, seen_fields *seen)
{
    tbx_http_span value = field->value;
    switch (lower(field->name.p[0])) {
    case 'c':
        if (tbx_http_is_word(field->name, "content-length")) {
            return is_first(&seen->has_length) && read_length(value, &out->length);
        }
        if (tbx_http_is_word(field->name, "connection")) {
            return is_first(&seen->has_connection) &&
                   read_connection(value, &out->closes, &seen->upgrades);
        }
        return true;
    case 'e':
        return !tbx_http_is_word(field->name, "expect");
    case 'p':
        return !tbx_http_is_word(field->name, "proxy-connection");
    case 's':
        if (tbx_http_is_word(field->name, "sec-websocket-key")) {
            out->websocket_key = value;
            return is_first(&seen->has_key) && is_websocket_key(value);
        }
        if (tbx_http_is_word(field->name, "sec-websocket-version")) {
            return is_first(&seen->has_version) && tbx_http_is_word(value, "13");
        }
        if (tbx_http_is_word(field->name, "sec-websocket-extensions")) {
            out->websocket_offer = value;
            return is_first(&seen->has_offer);
        }
        return true;
    case 't':
        return !tbx_http_is_word(field->name, "transfer-encoding");
    case 'u':
        if (tbx_http_is_word(field->name, "upgrade")) {
            return is_first(&seen->has_upgrade) && tbx_http_is_word(value, "websocket");
        }
        return true;
    default:
        return true;
    }
}

size_t
tbx_http_head_parse(const uint8_t *p, size_t n, tbx_http_head *out)
{
    n = n < TBX_HTTP_HEAD_MAX ? n : TBX_HTTP_HEAD_MAX;
    out->n_fields = 0;
    out->length = 0;
    out->closes = out->is_websocket = false;
    out->websocket_key = out->websocket_offer = (tbx_http_span){p, 0};
    size_t at = parse_request_line(p, n, out);
    seen_fields seen = {0};
    while (at > 0 && n - at >= 2 && !(p[at] == '\r' && p[at + 1] == '\n')) {
        tbx_http_field *field = &out->fields[out->n_fields];
        size_t size = out->n_fields < TBX_HTTP_FIELDS_MAX ? parse_field(p + at, n - at, field) : 0;
        if (size == 0 || !read_field(field, out, &seen)) {
            return 0;
        }
        out->n_fields++;
        at += size;
    }
    if (at == 0 || n - at < 2) {
        return 0;
    }
    bool upgrades = seen.upgrades || seen.has_upgrade;
    out->is_websocket = seen.upgrades && seen.has_upgrade && seen.has_key && seen.has_version;
    if (upgrades && (!out->is_websocket || out->closes)) {
        return 0;
    }
    if (out->method == TBX_HTTP_POST ? out->is_websocket : out->length > 0) {
        return 0;
    }
    if (out->is_websocket && out->method != TBX_HTTP_GET) {
        return 0;
    }
    return at + 2;
}
