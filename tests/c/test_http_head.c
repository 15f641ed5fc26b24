/* test_http_head.c: heads of wire/http_head.h: ordinary ones, all their prefixes, and all others. */
#include "harness.h"

#include "wire/http_head.h"

#define KEY "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
#define HANDSHAKE                                                                                  \
    "Host: x\r\nConnection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\n"                         \
    "Sec-WebSocket-Version: 13\r\n"

static const char *const good[] = {
    "GET / HTTP/1.1\r\n\r\n",
    "GET /socket.io/?EIO=4&transport=polling&t=%20 HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /a?b?c HTTP/1.1\r\nhost:x\r\ncontent-LENGTH: 12\r\nConnection: Close\r\n\r\n",
    "OPTIONS /a HTTP/1.1\r\nOrigin: http://x\r\nEmpty: \r\nEmpty:\r\n\r\n",
    "GET /a HTTP/1.1\r\nCookie: a=1; b=\xc3\xa9\r\nCookie: c\r\n\r\n",
    "GET /a HTTP/1.1\r\n" HANDSHAKE KEY "Sec-WebSocket-Extensions: permessage-deflate\r\n\r\n",
    "GET /a HTTP/1.1\r\n" HANDSHAKE KEY "\r\n",
};

#define HEAD "GET / HTTP/1.1\r\nHost: x\r\n"
#define POST "POST / HTTP/1.1\r\nHost: x\r\n"
#define SWITCH "GET / HTTP/1.1\r\n" HANDSHAKE

static const char *const others[] = {
    "\r\nGET / HTTP/1.1\r\n\r\n",
    "get / HTTP/1.1\r\n\r\n",
    "HEAD / HTTP/1.1\r\n\r\n",
    "PUT / HTTP/1.1\r\n\r\n",
    "GET  / HTTP/1.1\r\n\r\n",
    "GET /  HTTP/1.1\r\n\r\n",
    "GET / HTTP/1.0\r\n\r\n",
    "GET / HTTP/1.1\n\r\n",
    "GET * HTTP/1.1\r\n\r\n",
    "GET http://x/ HTTP/1.1\r\n\r\n",
    "GET /%61 HTTP/1.1\r\n\r\n",
    "GET /?a#b HTTP/1.1\r\n\r\n",
    "GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
    HEAD "a b: c\r\n\r\n",
    HEAD ": c\r\n\r\n",
    HEAD "a : c\r\n\r\n",
    HEAD "a\r\n\r\n",
    HEAD "a: b\n\r\n",
    HEAD "a: b\r\n c\r\n\r\n",
    HEAD "a:  b\r\n\r\n",
    HEAD "a: b \r\n\r\n",
    HEAD "a:\tb\r\n\r\n",
    HEAD "a: b\rc\r\n\r\n",
    HEAD "a: b\x7f\r\n\r\n",
    HEAD "Content-Length: 1\r\n\r\nx",
    POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\nx",
    POST "Content-Length: +1\r\n\r\nx",
    POST "Content-Length: 1,1\r\n\r\nx",
    POST "Content-Length:\r\n\r\n",
    POST "Content-Length: 1234567890123456789\r\n\r\n",
    POST "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    POST "Expect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
    HEAD "Proxy-Connection: close\r\n\r\n",
    HEAD "Connection: x\r\n\r\n",
    HEAD "Connection: close\r\nConnection: close\r\n\r\n",
    HEAD "Connection: upgrade\r\n\r\n",
    HEAD "Upgrade: websocket\r\n\r\n",
    HEAD "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
    HEAD "Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n",
    SWITCH "\r\n",
    SWITCH "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=\r\n\r\n",
    SWITCH "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=x\r\n\r\n",
    SWITCH "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZ.==\r\n\r\n",
    SWITCH KEY KEY "\r\n",
    SWITCH KEY "Sec-WebSocket-Version: 13\r\n\r\n",
    SWITCH KEY "Sec-WebSocket-Extensions: a\r\nSec-WebSocket-Extensions: b\r\n\r\n",
    "POST / HTTP/1.1\r\n" HANDSHAKE KEY "\r\n",
    "GET / HTTP/1.1\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n"
    "Sec-WebSocket-Version: 13\r\n" KEY "\r\n",
    "GET / HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: "
    "8\r\n" KEY "\r\n",
};

#define N(list) (sizeof list / sizeof *list)

static size_t
parse(const char *text, size_t n, tbx_http_head *out)
{
    return tbx_http_head_parse(tbx_guard_copy(text, n), n, out);
}

static bool
is(tbx_http_span span, const char *text)
{
    return span.len == strlen(text) && memcmp(span.p, text, span.len) == 0;
}

/* Heads that are as large as may be, and one byte or one field more. */
static void
check_limits(void)
{
    static char text[TBX_HTTP_HEAD_MAX + 16];
    tbx_http_head out;
    const char *start = "GET / HTTP/1.1\r\na: ";
    for (int more = 0; more < 2; more++) {
        size_t n = TBX_HTTP_HEAD_MAX + (size_t)more;
        memset(text, 'x', sizeof text);
        memcpy(text, start, strlen(start));
        memcpy(text + n - 4, "\r\n\r\n", 4);
        CHECK(parse(text, n, &out) == (more ? 0 : n), "%zu bytes", n);
        char *at = text + sprintf(text, "GET / HTTP/1.1\r\n");
        for (int i = 0; i < TBX_HTTP_FIELDS_MAX + more; i++) {
            at += sprintf(at, "a: %d\r\n", i);
        }
        at += sprintf(at, "\r\n");
        n = (size_t)(at - text);
        CHECK(parse(text, n, &out) == (more ? 0 : n), "a field too many: %d", more);
    }
}

int
main(void)
{
    tbx_http_head out;
    char two[1024];
    for (size_t i = 0; i < N(good); i++) {
        size_t n = strlen(good[i]);
        CHECK(parse(good[i], n, &out) == n, "%s", good[i]);
        CHECK(out.is_websocket == (strstr(good[i], "Upgrade") != NULL), "%s", good[i]);
        for (size_t k = 0; k < n; k++) {
            CHECK(parse(good[i], k, &out) == 0, "%zu of %s", k, good[i]);
        }
        for (size_t j = 0; j < N(good); j++) {
            snprintf(two, sizeof two, "%s%s", good[i], good[j]);
            CHECK(parse(two, strlen(two), &out) == n, "%s", two);
        }
        uint64_t seed = i;
        for (int k = 0; k < 3000; k++) { /* any bytes: no crash, no reading outside */
            memcpy(two, good[i], n);
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            two[(seed >> 40) % n] = (char)(seed >> 33);
            (void)parse(two, n, &out);
        }
    }
    for (size_t i = 0; i < N(others); i++) {
        CHECK(parse(others[i], strlen(others[i]), &out) == 0, "%s", others[i]);
    }
    REQUIRE(parse(good[2], strlen(good[2]), &out) != 0);
    CHECK(out.method == TBX_HTTP_POST && out.length == 12 && out.closes, "what it says");
    CHECK(is(out.path, "/a") && is(out.query, "b?c"), "its target");
    CHECK(out.n_fields == 3 && tbx_http_is_word(out.fields[1].name, "content-length"),
          "its fields");
    REQUIRE(parse(good[5], strlen(good[5]), &out) != 0);
    CHECK(is(out.websocket_key, "dGhlIHNhbXBsZSBub25jZQ=="), "the key");
    CHECK(is(out.websocket_offer, "permessage-deflate"), "the offer");
    check_limits();
    return tbx_report();
}
