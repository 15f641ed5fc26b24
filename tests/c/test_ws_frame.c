/* test_ws_frame.c: frame headers against their grammar (vectors_ws.py), and those we write. */
#include "harness.h"

#include "wire/ws_frame.h"

/* Every prefix of one header, each at a guard page, and the header with bytes behind it. */
static void
check_header(char **field, unsigned long line)
{
    uint8_t *header;
    size_t size = tbx_unhex(field[0], &header);
    bool allow = field[1][0] == '1';
    bool bad = strcmp(field[2], "bad") == 0;
    size_t told = bad ? strtoul(field[4], NULL, 10) : size;
    for (size_t n = 0; n <= size + 3; n++) {
        uint8_t *p = tbx_guard_room(0, n);
        memset(p, 0xaa, n);
        memcpy(p, header, n < size ? n : size);
        tbx_ws_frame out;
        tbx_err err = {0};
        ptrdiff_t got = tbx_ws_frame_parse(p, n, allow, &out, &err);
        if (n < told) {
            CHECK(got == TBX_MORE, "line %lu: %zu bytes give %td", line, n, got);
        }
        else if (bad) {
            CHECK(got == TBX_BAD && strcmp(tbx_err_text(err.code), field[3]) == 0 &&
                      err.pos == strtoul(field[5], NULL, 10),
                  "line %lu: %zu bytes give %td, \"%s\" at %zu, not \"%s\" at %s", line, n, got,
                  tbx_err_text(err.code), err.pos, field[3], field[5]);
        }
        else {
            CHECK(got == (ptrdiff_t)size, "line %lu: end %td", line, got);
            CHECK(out.opcode == strtoul(field[3], NULL, 10) && out.fin == (field[4][0] == '1') &&
                      out.rsv1 == (field[5][0] == '1') && out.len == strtoull(field[6], NULL, 10),
                  "line %lu: opcode %u, fin %d, rsv1 %d, %llu bytes", line, out.opcode, out.fin,
                  out.rsv1, (unsigned long long)out.len);
            CHECK(memcmp(out.mask, header + size - 4, 4) == 0, "line %lu: key", line);
        }
    }
}

/* What we write, read as a client's once it is given a mask; RSV1 comes on data alone. */
static void
check_put(unsigned opcode, bool rsv1, uint64_t len)
{
    uint8_t head[TBX_WS_HEAD_MAX + 5];
    memset(head, 0x55, sizeof head);
    size_t size = tbx_ws_frame_put(head, opcode, rsv1, len);
    CHECK(size == (len <= 125      ? 2
                   : len <= 0xffff ? 4
                                   : 10),
          "opcode %u, %llu bytes: header of %zu", opcode, (unsigned long long)len, size);
    CHECK(head[size] == 0x55, "opcode %u, %llu bytes: a byte behind", opcode,
          (unsigned long long)len);
    CHECK((head[1] & 0x80) == 0, "opcode %u: masked", opcode);
    head[1] |= 0x80;
    memcpy(head + size, "keys", 4);
    tbx_ws_frame out;
    tbx_err err;
    CHECK(tbx_ws_frame_parse(head, size + 4, true, &out, &err) == (ptrdiff_t)size + 4 &&
              out.opcode == opcode && out.fin && out.rsv1 == rsv1 && out.len == len,
          "opcode %u, %llu bytes, read again", opcode, (unsigned long long)len);
}

int
main(int argc, char **argv)
{
    tbx_vectors v = tbx_vectors_open(argc, argv, "ws_frame.txt");
    for (unsigned long line = 1; tbx_vectors_next(&v, 7); line++) {
        check_header(v.field, line);
    }

    static const unsigned controls[] = {TBX_WS_CLOSE, TBX_WS_PING, TBX_WS_PONG};
    for (size_t i = 0; i < 3; i++) {
        for (uint64_t len = 0; len <= TBX_WS_CONTROL_MAX; len++) {
            check_put(controls[i], false, len);
        }
        CHECK(tbx_ws_is_control(controls[i]), "opcode %u", controls[i]);
    }
    for (unsigned opcode = TBX_WS_TEXT; opcode <= TBX_WS_BINARY; opcode++) {
        for (unsigned rsv1 = 0; rsv1 < 2; rsv1++) {
            for (uint64_t len = 0; len <= 300; len++) {
                check_put(opcode, rsv1 != 0, len);
            }
            for (unsigned bits = 8; bits < 63; bits++) {
                check_put(opcode, rsv1 != 0, (UINT64_C(1) << bits) - 1);
                check_put(opcode, rsv1 != 0, UINT64_C(1) << bits);
                check_put(opcode, rsv1 != 0, (UINT64_C(1) << bits) + 1);
            }
            check_put(opcode, rsv1 != 0, INT64_MAX);
        }
        CHECK(!tbx_ws_is_control(opcode), "opcode %u", opcode);
    }
    static const uint8_t known[] = {0xc1, 127, 0, 0, 0, 0, 0, 1, 2, 3};
    uint8_t head[TBX_WS_HEAD_MAX];
    CHECK(tbx_ws_frame_put(head, TBX_WS_TEXT, true, 0x10203) == 10 && memcmp(head, known, 10) == 0,
          "the order of the bytes");
    return tbx_report();
}
