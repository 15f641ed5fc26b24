/* test_sio.c: the packet headers of wire/sio.h against the grammar (vectors_wire.py). */
#include "harness.h"

#include "wire/sio.h"

int
main(int argc, char **argv)
{
    tbx_vectors v = tbx_vectors_open(argc, argv, "sio.txt");
    for (unsigned long line = 1; tbx_vectors_next(&v, 7); line++) {
        uint8_t *packet, *ns = NULL;
        size_t n = tbx_unhex(v.field[0], &packet);
        const uint8_t *p = tbx_guard_copy(packet, n);
        tbx_sio out;
        tbx_err err = {0};
        ptrdiff_t end = tbx_sio_parse(p, n, &out, &err);
        if (strcmp(v.field[1], "bad") == 0) {
            CHECK(end == TBX_BAD && strcmp(tbx_err_text(err.code), v.field[2]) == 0 &&
                      err.pos == strtoul(v.field[3], NULL, 10),
                  "line %lu: result %td, \"%s\" at %zu, not \"%s\" at %s", line, end,
                  tbx_err_text(err.code), err.pos, v.field[2], v.field[3]);
            continue;
        }
        CHECK(end == (ptrdiff_t)strtol(v.field[6], NULL, 10), "line %lu: end %td, not %s", line,
              end, v.field[6]);
        CHECK(out.type == strtoul(v.field[2], NULL, 10), "line %lu: type %u", line, out.type);
        CHECK(out.attachments == strtoull(v.field[3], NULL, 10), "line %lu: %llu attachments", line,
              (unsigned long long)out.attachments);
        if (strcmp(v.field[4], "none") == 0) {
            CHECK(out.ns == NULL && out.ns_len == 0, "line %lu: no namespace", line);
        }
        else {
            size_t ns_len = tbx_unhex(v.field[4], &ns);
            CHECK(out.ns != NULL && out.ns_len == ns_len && memcmp(out.ns, ns, ns_len) == 0,
                  "line %lu: a namespace of %zu bytes", line, out.ns_len);
        }
        CHECK(out.id_len == strlen(v.field[5]) &&
                  (out.id_len == 0 || memcmp(out.id, v.field[5], out.id_len) == 0),
              "line %lu: an id of %zu digits, not %s", line, out.id_len, v.field[5]);
    }
    return tbx_report();
}
