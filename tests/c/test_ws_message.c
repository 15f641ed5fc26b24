/* test_ws_message.c: wire/ws_message.h with streams whose messages are known (vectors_ws.py).
 *
 * Each stream comes whole, byte by byte, cut in two at every byte (long ones at some), and cut at
 * random; messages and errors must come after the same number of bytes each time.
 */
#include "harness.h"

#include "wire/ws_message.h"

typedef struct {
    unsigned opcode;
    bool compressed;
    size_t end; /* bytes of the stream after which it is whole */
    uint8_t *data;
    size_t len;
} message;

typedef struct {
    unsigned long line;
    uint64_t max_size;
    uint32_t max_fragments;
    bool deflate;
    uint8_t *data;
    size_t len;
    message messages[64];
    size_t count;
    const char *end; /* "idle", "open" or the message of an error, */
    size_t told;     /* after this many bytes */
} stream;

static void
read_stream(stream *s, char **field)
{
    s->max_size = strtoull(field[0], NULL, 10);
    s->max_fragments = (uint32_t)strtoul(field[1], NULL, 10);
    s->deflate = field[2][0] == '1';
    s->len = tbx_unhex(field[3], &s->data);
    s->end = field[5];
    bool bad = strcmp(s->end, "idle") != 0 && strcmp(s->end, "open") != 0;
    s->told = bad ? strtoul(field[6], NULL, 10) : SIZE_MAX;
    s->count = 0;
    for (char *rest = field[4]; rest != NULL && *rest != '\0'; s->count++) {
        REQUIRE(s->count < sizeof s->messages / sizeof *s->messages);
        message *m = &s->messages[s->count];
        m->opcode = (unsigned)strtoul(rest, &rest, 10);
        m->compressed = strtoul(rest, &rest, 10) != 0;
        m->end = strtoul(rest, &rest, 10);
        char *hex = rest + 1;
        rest = strchr(hex, ';');
        if (rest != NULL) {
            *rest++ = '\0';
        }
        m->len = tbx_unhex(hex, &m->data);
    }
}

/* A copy of a piece, and whoever reads past it is caught. */
static uint8_t *
copy_piece(const uint8_t *src, size_t n, uint8_t **owned)
{
    *owned = NULL;
    if (n <= TBX_GUARD_SIZE) {
        return tbx_guard_copy(src, n);
    }
    *owned = malloc(n);
    REQUIRE(*owned != NULL);
    memcpy(*owned, src, n);
    return *owned;
}

static void
check_failed(tbx_ws_reader *r, const char *text, unsigned long line)
{
    tbx_ws_message out;
    uint8_t frame[] = {0x81, 0x80, 0, 0, 0, 0};
    for (size_t n = 0; n <= sizeof frame; n += 3) {
        tbx_err err = {0};
        CHECK(tbx_ws_reader_feed(r, frame, n, &out, &err) == TBX_BAD && out.opcode == 0 &&
                  strcmp(tbx_err_text(err.code), text) == 0 && err.pos == 0,
              "line %lu: \"%s\" again, not \"%s\"", line, tbx_err_text(err.code), text);
    }
    CHECK(tbx_ws_reader_is_idle(r) && r->data == NULL && r->control == NULL, "line %lu: kept",
          line);
}

static void
check_message(const stream *s, size_t index, const tbx_ws_message *out, size_t end)
{
    REQUIRE(index < s->count);
    const message *m = &s->messages[index];
    CHECK(end == m->end && out->opcode == m->opcode && out->compressed == m->compressed,
          "line %lu: message %zu: opcode %u after %zu", s->line, index, out->opcode, end);
    CHECK(out->data != NULL && out->len == m->len && memcmp(out->data, m->data, m->len) == 0,
          "line %lu: message %zu: %zu bytes", s->line, index, out->len);
    memset(out->data, 0xee, out->len); /* it is ours to write to */
}

/* Feeds stream[from..to); false when that was the end. */
static bool
feed_piece(const stream *s, tbx_ws_reader *r, size_t from, size_t to, size_t *index)
{
    uint8_t *owned;
    uint8_t *p = copy_piece(s->data + from, to - from, &owned);
    while (from < to) {
        tbx_ws_message out;
        tbx_err err = {0};
        ptrdiff_t got = tbx_ws_reader_feed(r, p, to - from, &out, &err);
        if (got == TBX_BAD) {
            CHECK(to >= s->told && *index == s->count, "line %lu: bad within %zu", s->line, to);
            CHECK(strcmp(tbx_err_text(err.code), s->end) == 0 && err.pos <= to - from,
                  "line %lu: \"%s\", not \"%s\"", s->line, tbx_err_text(err.code), s->end);
            check_failed(r, tbx_err_text(err.code), s->line);
            free(owned);
            return false;
        }
        REQUIRE(got > 0 && (size_t)got <= to - from);
        from += (size_t)got;
        p += got;
        if (out.opcode == 0) {
            CHECK(from == to && out.data == NULL, "line %lu: stopped at %zu", s->line, from);
            continue;
        }
        check_message(s, (*index)++, &out, from);
    }
    free(owned);
    CHECK(to < s->told, "line %lu: %zu bytes pass", s->line, to);
    return true;
}

/* Cuts behind every `step` bytes, or at random when that is 0; the first at `first`. */
static void
run(const stream *s, size_t first, size_t step)
{
    tbx_ws_reader r;
    tbx_ws_reader_init(&r, s->max_size, s->max_fragments, s->deflate);
    size_t index = 0;
    bool going = true;
    for (size_t from = 0, to = first; going && from < s->len; from = to, to += step) {
        if (step == 0 && from != 0) {
            size_t most = tbx_random() % 2 != 0 ? 20 : 2000;
            to += 1 + tbx_random() % most;
        }
        to = to < s->len ? to : s->len;
        going = feed_piece(s, &r, from, to, &index);
    }
    CHECK(index == s->count, "line %lu: %zu messages", s->line, index);
    if (going) {
        bool idle = strcmp(s->end, "idle") == 0;
        CHECK(s->told == SIZE_MAX, "line %lu: passes", s->line);
        CHECK(tbx_ws_reader_is_idle(&r) == idle, "line %lu: idle, not %s", s->line, s->end);
        tbx_ws_message out;
        tbx_err err;
        CHECK(tbx_ws_reader_feed(&r, NULL, 0, &out, &err) == 0 && out.opcode == 0,
              "line %lu: nothing gives something", s->line);
        CHECK(!idle || (r.data == NULL && r.control == NULL), "line %lu: kept", s->line);
    }
    tbx_ws_reader_free(&r);
    tbx_ws_reader_free(&r);
    check_failed(&r, going ? tbx_err_text(TBX_E_WS_OVER) : s->end, s->line);
}

static void
check_stream(const stream *s)
{
    run(s, s->len, s->len);
    run(s, 1, 1);
    run(s, 3, 7);
    for (size_t i = 0; i < 8; i++) {
        run(s, 1 + tbx_random() % 30, 0);
    }
    if (s->len <= 400) {
        for (size_t cut = 1; cut < s->len; cut++) {
            run(s, cut, s->len);
        }
        return;
    }
    for (size_t i = 1; i <= 20; i++) { /* the headers at both ends, and some */
        run(s, i, s->len);
        run(s, s->len - i, s->len);
        run(s, 1 + tbx_random() % (s->len - 1), s->len);
    }
}

/* A whole frame is handed out where it lies, a collected one is not and is freed in time. */
static void
check_places(void)
{
    uint8_t bytes[] = {0x81, 0x82, 0, 0, 0, 0, 'h', 'i',  0x89, 0x81, 0, 0, 0, 0,  'p',
                       0x02, 0x81, 0, 0, 0, 0, 'a', 0x80, 0x81, 0,    0, 0, 0, 'b'};
    tbx_ws_reader r;
    tbx_ws_message out;
    tbx_err err;
    tbx_ws_reader_init(&r, 100, 10, false);
    CHECK(tbx_ws_reader_feed(&r, bytes, sizeof bytes, &out, &err) == 8 && out.data == bytes + 6 &&
              r.data == NULL,
          "text of %zu bytes", out.len);
    CHECK(tbx_ws_reader_feed(&r, bytes + 8, sizeof bytes - 8, &out, &err) == 7 &&
              out.data == bytes + 14 && r.control == NULL,
          "ping of %zu bytes", out.len);
    CHECK(tbx_ws_reader_feed(&r, bytes + 15, 14, &out, &err) == 14 && out.data == r.data &&
              out.len == 2 && r.cap == 2 && tbx_ws_reader_is_idle(&r),
          "%zu bytes of %zu", out.len, r.cap);
    CHECK(tbx_ws_reader_feed(&r, bytes + 8, 6, &out, &err) == 6 && r.data == NULL &&
              r.control == NULL && !tbx_ws_reader_is_idle(&r),
          "a header alone takes memory");
    CHECK(tbx_ws_reader_feed(&r, bytes + 14, 1, &out, &err) == 1 && out.data == bytes + 14,
          "a payload in one piece is copied");
    tbx_ws_reader_free(&r);
    CHECK(sizeof r <= 96 + 2 * sizeof(void *), "a reader of %zu bytes", sizeof r);
}

/* Memory follows what has arrived: `step` bytes at a time of a message said to be of `len`. */
static void
check_memory(unsigned first, uint64_t len, size_t step)
{
    static uint8_t piece[10000];
    bool final = first >= 0x80;
    uint8_t head[14] = {(uint8_t)first, 0xff};
    for (size_t i = 0; i < 8; i++) {
        head[2 + i] = (uint8_t)(len >> 8 * (7 - i));
    }
    tbx_ws_reader r;
    tbx_ws_message out = {0};
    tbx_err err;
    tbx_ws_reader_init(&r, len, 1, false);
    CHECK(tbx_ws_reader_feed(&r, head, sizeof head, &out, &err) == 14 && r.cap == 0 &&
              r.data == NULL,
          "%zu bytes for a header", r.cap);
    for (size_t sum = 0; sum < 300000 && sum < len;) {
        size_t n = len - sum < step ? (size_t)(len - sum) : step;
        memset(piece, 0, n);
        REQUIRE(tbx_ws_reader_feed(&r, piece, n, &out, &err) == (ptrdiff_t)n);
        sum += n;
        CHECK(r.len == sum && r.cap >= sum && r.cap <= sum + sum / 2 + 65536 &&
                  (!final || r.cap <= len),
              "%zu bytes for %zu", r.cap, sum);
    }
    CHECK((out.opcode != 0) == (final && len <= 300000), "%llu bytes", (unsigned long long)len);
    tbx_ws_reader_free(&r);
}

/* Many small fragments do not move the message each time. */
static void
check_growth(void)
{
    tbx_ws_reader r;
    tbx_ws_message out;
    tbx_err err;
    tbx_ws_reader_init(&r, 100000, 100000, false);
    size_t cap = 0;
    unsigned moves = 0;
    for (unsigned i = 0; i < 50000; i++) {
        uint8_t frame[] = {i == 0 ? 0x02 : 0x00, 0x81, 0, 0, 0, 0, 'x'};
        REQUIRE(tbx_ws_reader_feed(&r, frame, sizeof frame, &out, &err) == sizeof frame);
        moves += r.cap != cap;
        cap = r.cap;
    }
    CHECK(r.len == 50000 && moves < 40, "%zu bytes, moved %u times", r.len, moves);
    tbx_ws_reader_free(&r);
}

/* A message that would need more than there is: the fields are set, there is no such message. */
static void
check_no_memory(size_t len)
{
    uint8_t bytes[] = {0x02, 0x81, 0, 0, 0, 0, 'a', 0x80, 0x81, 0, 0, 0, 0, 'b'};
    tbx_ws_reader r;
    tbx_ws_message out;
    tbx_err err = {0};
    tbx_ws_reader_init(&r, UINT64_MAX, 10, false);
    REQUIRE(tbx_ws_reader_feed(&r, bytes, 7, &out, &err) == 7 && r.len == 1);
    r.len = r.cap = len;
    CHECK(tbx_ws_reader_feed(&r, bytes + 7, 7, &out, &err) == TBX_BAD && err.code == TBX_E_NOMEM &&
              out.opcode == 0,
          "%zu bytes and one: %s", len, tbx_err_text(err.code));
    check_failed(&r, tbx_err_text(TBX_E_NOMEM), 0);
    tbx_ws_reader_free(&r);
}

static void
check_close_payload(unsigned sent, const char *reason, size_t len, tbx_code want)
{
    uint8_t *p = tbx_guard_room(0, 2 + len);
    p[0] = (uint8_t)(sent >> 8);
    p[1] = (uint8_t)sent;
    memcpy(p + 2, reason, len);
    unsigned code = 0;
    tbx_err err = {0};
    int got = tbx_ws_close_parse(p, 2 + len, &code, &err);
    CHECK(got == (want == TBX_E_NONE ? 0 : TBX_BAD) && err.code == want &&
              code == (want == TBX_E_NONE ? sent : 0),
          "code %u: %d, %u, \"%s\"", sent, got, code, tbx_err_text(err.code));
}

static void
check_close(void)
{
    unsigned code = 0;
    tbx_err err = {0};
    CHECK(tbx_ws_close_parse(tbx_guard_room(0, 0), 0, &code, &err) == 0 && code == 1005, "empty");
    for (unsigned byte = 0; byte < 256; byte++) {
        uint8_t one = (uint8_t)byte;
        CHECK(tbx_ws_close_parse(tbx_guard_copy(&one, 1), 1, &code, &err) == TBX_BAD &&
                  err.code == TBX_E_WS_CLOSE_SHORT,
              "one byte");
    }
    for (unsigned sent = 0; sent <= 0xffff; sent += sent < 5100 ? 1 : 97) {
        bool good = sent >= 1000 && sent < 5000;
        if (sent < 3000) { /* the registry: 1004 to 1006 and 1015 are not for the wire */
            good = good && sent < 1016 && "1111000111111110"[sent - 1000] == '1';
        }
        tbx_code want = good ? TBX_E_NONE : TBX_E_WS_CLOSE_CODE;
        check_close_payload(sent, "", 0, want);
        check_close_payload(sent, "bye \xe2\x82\xac", 7, want);
    }
    check_close_payload(1000, "bye \xe2\x82", 6, TBX_E_WS_UTF8);
    check_close_payload(1000, "\xff", 1, TBX_E_WS_UTF8);
    check_close_payload(1000, "\xed\xa0\x80", 3, TBX_E_WS_UTF8);

    for (unsigned c = 0; c <= TBX_E_COUNT; c++) {
        unsigned want = 1011;
        if (c >= TBX_E_WS_RESERVED && c < TBX_E_WS_OVER) {
            want = c == TBX_E_WS_UTF8 ? 1007 : c >= TBX_E_WS_TOO_BIG ? 1009 : 1002;
        }
        CHECK(tbx_ws_close_code((tbx_code)c) == want, "code of %u", c);
    }
}

int
main(int argc, char **argv)
{
    static stream s;
    tbx_vectors v = tbx_vectors_open(argc, argv, "ws_stream.txt");
    for (s.line = 1; tbx_vectors_next(&v, 7); s.line++) {
        read_stream(&s, v.field);
        check_stream(&s);
    }
    check_places();
    for (unsigned first = 0x02; first <= 0x82; first += 0x80) {
        check_memory(first, 70000, 1);
        check_memory(first, 300000, 999);
        check_memory(first, UINT64_C(1) << 30, 1);
        check_memory(first, UINT64_C(1) << 30, 10000);
        check_memory(first, INT64_MAX, 4096);
    }
    check_growth();
    check_no_memory(PTRDIFF_MAX / 2);
    check_no_memory(PTRDIFF_MAX - 1);
    check_no_memory(SIZE_MAX - 1);
    check_close();
    return tbx_report();
}
