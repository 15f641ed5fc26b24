/* fuzz_eio.c: base64 there and back, texts that may not be base64, payloads and queries. */
#include "fuzz.h"

#include "wire/eio.h"

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void
check_round_trip(const uint8_t *data, size_t n)
{
    uint8_t *src = fuzz_copy(data, n);
    size_t len = tbx_base64_encoded_len(n);
    uint8_t *text = fuzz_room(len);
    tbx_base64_encode(src, n, text);
    uint8_t *back = fuzz_room(len / 4 * 3);
    tbx_err err;
    REQUIRE(memchr(text, TBX_EIO_SEPARATOR, len) == NULL);
    REQUIRE(tbx_base64_decode(text, len, back, &err) == (ptrdiff_t)n);
    REQUIRE(n == 0 || memcmp(back, data, n) == 0);
    fuzz_free(back);
    fuzz_free(text);
    fuzz_free(src);
}

/* Six bits of a group's character, or -1; padding counts as 0 where it may be. */
static int
value(const uint8_t *text, size_t n, size_t i)
{
    const char *found = text[i] != 0 ? strchr(alphabet, text[i]) : NULL;
    if (found != NULL) {
        return (int)(found - alphabet);
    }
    bool padding = text[i] == '=' && (i == n - 1 || (i == n - 2 && text[n - 1] == '='));
    return padding ? 0 : -1;
}

static void
check_decode(const uint8_t *data, size_t n)
{
    uint8_t *text = fuzz_copy(data, n);
    uint8_t *room = fuzz_room(n / 4 * 3);
    tbx_err err = {0};
    ptrdiff_t got = tbx_base64_decode(text, n, room, &err);
    if (got == TBX_BAD) {
        REQUIRE(err.code == TBX_E_EIO_BASE64 && err.pos % 4 == 0 && err.pos < n);
    }
    size_t good = got == TBX_BAD ? err.pos : n;
    size_t out = 0;
    for (size_t i = 0; n % 4 == 0 && i < good; i += 4) {
        uint32_t bits = 0;
        for (size_t k = i; k < i + 4; k++) {
            int six = value(text, n, k);
            REQUIRE(six >= 0);
            bits = bits << 6 | (uint32_t)six;
        }
        for (size_t k = 0; k < 3 && text[i + k + 1] != '='; k++) {
            REQUIRE(room[out++] == (bits >> (16 - 8 * k) & 0xff));
        }
    }
    REQUIRE(got == TBX_BAD || (size_t)got == out);
    if (got == TBX_BAD && n % 4 == 0) {
        bool wrong = false;
        for (size_t k = good; k < good + 4; k++) {
            wrong = wrong || value(text, n, k) < 0;
        }
        REQUIRE(wrong);
    }
    fuzz_free(room);
    fuzz_free(text);
}

/* A payload is usual when each packet is, on its own. */
static void
check_payload(const uint8_t *data, size_t n)
{
    uint8_t *payload = fuzz_copy(data, n);
    size_t packets = 0;
    bool all = n > 0;
    for (size_t at = 0; at <= n && n > 0; packets++) {
        const uint8_t *stop = memchr(payload + at, TBX_EIO_SEPARATOR, n - at);
        size_t end = stop != NULL ? (size_t)(stop - payload) : n;
        all = all && end > at && tbx_eio_payload_is_usual(payload + at, end - at, 1, false);
        at = end + 1;
    }
    REQUIRE(tbx_eio_payload_is_usual(payload, n, packets, false) == (n == 0 || all));
    REQUIRE(packets == 0 || !tbx_eio_payload_is_usual(payload, n, packets - 1, false));
    REQUIRE(!tbx_eio_payload_is_usual(payload, n, packets, true) ||
            tbx_eio_payload_is_usual(payload, n, packets, false));
    fuzz_free(payload);
}

static void
check_query(const uint8_t *data, size_t n)
{
    uint8_t *query = fuzz_copy(data, n);
    tbx_eio_query got = {0};
    if (tbx_eio_query_parse(query, n, &got)) {
        REQUIRE(got.sid_len > 0 && got.sid > query && got.sid + got.sid_len <= query + n);
        REQUIRE(memchr(got.sid, '&', got.sid_len) == NULL);
        REQUIRE(memchr(got.sid, '%', got.sid_len) == NULL);
    }
    fuzz_free(query);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_round_trip(data, size);
    check_decode(data, size);
    check_payload(data, size);
    check_query(data, size);
    return 0;
}
