/* fuzz_http_head.c: heads of HTTP requests: what is accepted is made of lines that say what they should. */
#include "fuzz.h"

#include "wire/http_head.h"

static void
require_inside(tbx_http_span span, const uint8_t *p, size_t n)
{
    REQUIRE(span.p >= p && span.p + span.len <= p + n);
    for (size_t i = 0; i < span.len; i++) {
        REQUIRE(span.p[i] >= ' ' && span.p[i] != 0x7f);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tbx_http_head head, again;
    uint8_t *p = fuzz_copy(data, size);
    size_t used = tbx_http_head_parse(p, size, &head);
    REQUIRE(used <= size && used <= TBX_HTTP_HEAD_MAX);
    if (used != 0) {
        REQUIRE(used >= 4 && memcmp(p + used - 4, "\r\n\r\n", 4) == 0);
        require_inside(head.path, p, used);
        require_inside(head.query, p, used);
        REQUIRE(memchr(head.path.p, '%', head.path.len) == NULL);
        size_t lines = 0, length = strlen(" HTTP/1.1\r\n") + head.path.len + head.query.len;
        for (size_t i = 0; i + 1 < used; i++) {
            lines += p[i] == '\r' && p[i + 1] == '\n';
            REQUIRE((p[i + 1] == '\n') == (p[i] == '\r'));
        }
        REQUIRE(lines == head.n_fields + 2);
        for (size_t i = 0; i < head.n_fields; i++) {
            require_inside(head.fields[i].name, p, used);
            require_inside(head.fields[i].value, p, used);
            REQUIRE(head.fields[i].name.len > 0);
            length += head.fields[i].name.len + head.fields[i].value.len + strlen(":\r\n");
            REQUIRE(!tbx_http_is_word(head.fields[i].name, "transfer-encoding"));
            REQUIRE(!tbx_http_is_word(head.fields[i].name, "expect"));
        }
        REQUIRE(length < used);
        REQUIRE(head.length == 0 || head.method == TBX_HTTP_POST);
        REQUIRE(!head.is_websocket ||
                (head.method == TBX_HTTP_GET && head.websocket_key.len == 24));
        for (size_t k = used; k > 0 && used - k < 64; k--) {
            REQUIRE(tbx_http_head_parse(p, k - 1, &again) == 0);
        }
    }
    fuzz_free(p);
    return 0;
}
