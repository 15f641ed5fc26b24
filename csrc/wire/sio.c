/* sio.c: reading a Socket.IO packet header (contract in sio.h). */
#include "wire/sio.h"

#include <string.h>

/* Number of digits at the start. */
static size_t
count_digits(const uint8_t *p, const uint8_t *end)
{
    const uint8_t *start = p;
    while (p < end && *p >= '0' && *p <= '9') {
        p++;
    }
    return (size_t)(p - start);
}

ptrdiff_t
tbx_sio_parse(const uint8_t *start, size_t n, tbx_sio *out, tbx_err *err)
{
    const uint8_t *p = start;
    const uint8_t *end = start + n;
    *out = (tbx_sio){0};
    if (n == 0 || *p < '0' || *p > '9') {
        return tbx_err_set(err, TBX_E_SIO_TYPE, 0);
    }
    out->type = (unsigned)(*p++ - '0');

    size_t digits = count_digits(p, end);
    if (digits > 0 && p + digits < end && p[digits] == '-') {
        if (digits > TBX_SIO_COUNT_DIGITS) {
            return tbx_err_set(err, TBX_E_SIO_ATTACHMENTS, 1);
        }
        for (size_t i = 0; i < digits; i++) {
            out->attachments = out->attachments * 10 + (uint64_t)(p[i] - '0');
        }
        p += digits + 1;
        digits = count_digits(p, end);
    }
    if (p < end && *p == '/') {
        const uint8_t *comma = memchr(p, ',', (size_t)(end - p));
        const uint8_t *stop = comma ? comma : end;
        const uint8_t *query = memchr(p, '?', (size_t)(stop - p));
        out->ns = p;
        out->ns_len = (size_t)((query ? query : stop) - p);
        p = comma ? comma + 1 : end;
        digits = count_digits(p, end);
    }
    if (digits > TBX_SIO_ID_DIGITS) {
        return tbx_err_set(err, TBX_E_SIO_ID, (size_t)(p - start));
    }
    out->id = p;
    out->id_len = digits;
    return (p - start) + (ptrdiff_t)digits;
}
