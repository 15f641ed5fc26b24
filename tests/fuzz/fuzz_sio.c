/* fuzz_sio.c: the header of a Socket.IO packet: its fields, one after the other, make up the text. */
#include "fuzz.h"

#include "wire/sio.h"

static bool
is_digit(const uint8_t *p, const uint8_t *end)
{
    return p < end && *p >= '0' && *p <= '9';
}

static void
check_good(const uint8_t *start, size_t n, size_t used, const tbx_sio *sio)
{
    const uint8_t *p = start, *end = start + n, *rest = start + used;
    REQUIRE(used >= 1 && used <= n && sio->type == (unsigned)(*p++ - '0') && sio->type <= 9);

    uint64_t count = 0;
    const uint8_t *q = p;
    while (is_digit(q, end)) {
        count = count * 10 + (uint64_t)(*q++ - '0');
    }
    bool counted = q > p && q < end && *q == '-';
    REQUIRE(sio->attachments == (counted ? count : 0) && (!counted || q - p <= 10));
    p = counted ? q + 1 : p;

    REQUIRE((sio->ns != NULL) == (p < end && *p == '/'));
    if (sio->ns != NULL) {
        REQUIRE(sio->ns == p && sio->ns_len >= 1);
        for (size_t i = 0; i < sio->ns_len; i++) {
            REQUIRE(p[i] != ',' && p[i] != '?');
        }
        p += sio->ns_len;
        REQUIRE(p == end || *p == ',' || *p == '?');
        while (p < end && *p != ',') {
            p++;
        }
        p += p < end;
    }
    REQUIRE(sio->id == p && sio->id + sio->id_len == rest && sio->id_len <= TBX_SIO_ID_DIGITS);
    while (p < rest) {
        REQUIRE(is_digit(p++, end));
    }
    REQUIRE(!is_digit(p, end));
}

static void
check_bad(const uint8_t *p, size_t n, const tbx_err *err)
{
    size_t digits = 0;
    const uint8_t *end = p + n, *at = p + err->pos;
    REQUIRE(err->pos <= n);
    while (is_digit(at + digits, end)) {
        digits++;
    }
    switch (err->code) {
    case TBX_E_SIO_TYPE:
        REQUIRE(err->pos == 0 && digits == 0);
        break;
    case TBX_E_SIO_ATTACHMENTS:
        REQUIRE(err->pos == 1 && digits > TBX_SIO_COUNT_DIGITS && at[digits] == '-');
        break;
    default:
        REQUIRE(err->code == TBX_E_SIO_ID && err->pos >= 1 && digits > TBX_SIO_ID_DIGITS);
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *p = fuzz_copy(data, size);
    tbx_sio sio;
    tbx_err err = {0};
    ptrdiff_t got = tbx_sio_parse(p, size, &sio, &err);
    if (got == TBX_BAD) {
        check_bad(p, size, &err);
    }
    else {
        REQUIRE(got > 0);
        check_good(p, size, (size_t)got, &sio);
    }
    fuzz_free(p);
    return 0;
}
