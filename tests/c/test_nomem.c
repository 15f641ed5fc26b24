/* test_nomem.c: floors 0 and 1 when memory runs out.
 *
 * Each scenario runs again and again, with its first allocation failing, then its second, until none is
 * left to fail. The Makefile lists the places of the sources that allocate (nomem_sites.txt): each of them
 * has to have failed, and no other.
 */
#include "harness.h"

#define TBX_NOMEM_PLAIN
#include "nomem.h"

#include "base/buf.h"
#include "wire/json_lex.h"
#include "wire/pubsub.h"
#include "wire/ws_message.h"

/* ---- the allocator ---- */

typedef struct {
    char *file;
    int line;
    unsigned long failed;
} site;

static site sites[100];
static size_t n_sites;
static unsigned long countdown; /* allocations until one fails; 0: none does */
static bool has_failed;
static long live; /* blocks */

static bool
fails(const char *file, int line)
{
    if (countdown == 0 || --countdown > 0) {
        return false;
    }
    has_failed = true;
    const char *slash = strrchr(file, '/');
    const char *name = slash != NULL ? slash + 1 : file;
    for (size_t i = 0; i < n_sites; i++) {
        if (sites[i].line == line && strcmp(sites[i].file, name) == 0) {
            sites[i].failed++;
            return true;
        }
    }
    CHECK(false, "%s:%d is not on the list of places that allocate", name, line);
    return true;
}

static void *
counted(void *block)
{
    live += block != NULL;
    return block;
}

void *
tbx_nomem_malloc(size_t size, const char *file, int line)
{
    return fails(file, line) ? NULL : counted(malloc(size));
}

void *
tbx_nomem_calloc(size_t n, size_t size, const char *file, int line)
{
    return fails(file, line) ? NULL : counted(calloc(n, size));
}

void *
tbx_nomem_realloc(void *block, size_t size, const char *file, int line)
{
    if (fails(file, line)) {
        return NULL;
    }
    return block == NULL ? counted(malloc(size)) : realloc(block, size);
}

void
tbx_nomem_free(void *block)
{
    live -= block != NULL;
    free(block);
}

/* ---- scenarios: each takes whatever path is left, and says what it wants to see ---- */

static uint8_t bytes[30000];

/* A failure leaves the buffer as it was, and the same bytes go in when there is memory again. */
static void
fill_buffer(void)
{
    static const size_t pieces[] = {1, 7, 900, 2000, 1, 12000, 0, 15000};
    tbx_buf b;
    tbx_buf_init(&b);
    size_t total = 0;
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        const uint8_t *data = b.data;
        size_t cap = b.cap;
        bool before = has_failed;
        int status = tbx_buf_put(&b, bytes + total, pieces[i]);
        CHECK((status < 0) == (has_failed && !before), "piece %zu: %d", i, status);
        if (status < 0) {
            CHECK(b.data == data && b.cap == cap && b.len == total, "piece %zu: changed", i);
            CHECK(tbx_buf_put(&b, bytes + total, pieces[i]) == 0, "piece %zu again", i);
        }
        total += pieces[i];
        CHECK(b.len == total && memcmp(b.data, bytes, total) == 0, "contents at %zu", total);
    }
    tbx_buf_free(&b);
    tbx_buf_init(&b);
    bool before = has_failed;
    while (!has_failed && b.len < 3000) {
        (void)tbx_buf_put_byte(&b, 'x');
    }
    CHECK(before || !has_failed || tbx_buf_put_byte(&b, 'y') == 0, "a byte again");
    tbx_buf_free(&b);
}

/* A string with escapes is written into a scratch buffer; the caller owns it. */
static void
lex_string(void)
{
    static uint8_t text[9000];
    size_t n = 0;
    while (n < sizeof text - 1) {
        text[n] = n % 100 == 0 ? '\\' : n % 100 == 1 ? 'n' : 'a';
        n++;
    }
    text[n++] = '"';
    tbx_buf scratch;
    tbx_buf_init(&scratch);
    tbx_json_src src = {.base = text, .end = text + n, .scratch = &scratch};
    tbx_json_str out;
    const uint8_t *after = tbx_json_lex_string(&src, text, &out);
    if (has_failed) {
        CHECK(after == NULL && src.err.code == TBX_E_NOMEM && src.err.pos < n, "code %d at %zu",
              (int)src.err.code, src.err.pos);
    }
    else {
        CHECK(after == src.end && out.len == n - 1 - (n + 98) / 100, "%zu bytes", out.len);
    }
    tbx_buf_free(&scratch);
}

/* A published message: strings with escapes need the scratch buffer. */
static void
parse_published(void)
{
    static char text[6000];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"method\":\"emit\",\"data\":[\"");
    while (n < sizeof text - 200) {
        n += (size_t)snprintf(text + n, sizeof text - n, "\\n%090d", 0);
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "\"]}");
    tbx_pub message;
    tbx_err err = {0};
    int status = (int)tbx_pub_parse((const uint8_t *)text, n, &message, &err);
    if (has_failed) {
        CHECK(status == TBX_BAD && err.code == TBX_E_NOMEM, "%d, code %d", status, (int)err.code);
    }
    else {
        CHECK(status != TBX_BAD, "%d, code %d", status, (int)err.code);
    }
}

/* A frame of a client whose mask is zero. */
static size_t
put_frame(uint8_t *at, unsigned first, size_t len)
{
    size_t n = 0;
    at[n++] = (uint8_t)first;
    if (len < 126) {
        at[n++] = (uint8_t)(0x80 | len);
    }
    else {
        at[n++] = 0xfe;
        at[n++] = (uint8_t)(len >> 8);
        at[n++] = (uint8_t)len;
    }
    memset(at + n, 0, 4);
    memset(at + n + 4, 'a', len);
    return n + 4 + len;
}

/* The reader is over for good: the same error again, whatever comes, and nothing kept. */
static void
check_over(tbx_ws_reader *r, long before)
{
    uint8_t ping[6] = {0x89, 0x80, 0, 0, 0, 0};
    CHECK(live == before && r->data == NULL && r->control == NULL, "%ld blocks are kept", live);
    CHECK(tbx_ws_reader_is_idle(r), "something is half read");
    for (size_t n = 0; n <= sizeof ping; n += 3) {
        tbx_ws_message out = {.opcode = 9};
        tbx_err err = {0};
        ptrdiff_t got = tbx_ws_reader_feed(r, ping, n, &out, &err);
        CHECK(got == TBX_BAD && err.code == TBX_E_NOMEM && err.pos == 0 && out.opcode == 0,
              "fed %zu more: %td, code %d", n, got, (int)err.code);
    }
    CHECK(tbx_ws_close_code(r->failed) == 1011, "close code %u", tbx_ws_close_code(r->failed));
}

/* Messages in fragments with control frames between, which come in pieces of `step` bytes. */
static void
read_stream(size_t step)
{
    static uint8_t stream[50000], piece[sizeof stream];
    size_t n = put_frame(stream, 0x01, 900);
    n += put_frame(stream + n, 0x89, 100); /* PING */
    n += put_frame(stream + n, 0x00, 3000);
    n += put_frame(stream + n, 0x8a, 125); /* PONG */
    n += put_frame(stream + n, 0x80, 1);
    n += put_frame(stream + n, 0x82, 40000);
    n += put_frame(stream + n, 0x88, 2); /* CLOSE */
    static const size_t lens[] = {100, 125, 3901, 40000, 2};
    size_t count = 0;
    long before = live;
    tbx_ws_reader r;
    tbx_ws_reader_init(&r, 1 << 20, 100, false);
    for (size_t from = 0; from < n && r.failed == TBX_E_NONE; from += step) {
        size_t size = n - from < step ? n - from : step;
        memcpy(piece, stream + from, size);
        for (size_t i = 0; i < size;) {
            tbx_ws_message out;
            tbx_err err = {0};
            ptrdiff_t got = tbx_ws_reader_feed(&r, piece + i, size - i, &out, &err);
            if (got == TBX_BAD) {
                CHECK(has_failed && err.code == TBX_E_NOMEM && err.pos <= size - i,
                      "at %zu: code %d, pos %zu", from + i, (int)err.code, err.pos);
                check_over(&r, before);
                break;
            }
            CHECK(!has_failed, "at %zu: nothing said that memory ran out", from + i);
            i += (size_t)got;
            if (out.opcode != 0) {
                CHECK(count < 5 && out.len == lens[count], "message %zu: %zu", count, out.len);
                count++;
            }
        }
    }
    CHECK(has_failed || count == 5, "%zu messages", count);
    tbx_ws_reader_free(&r);
    CHECK(r.failed == (has_failed ? TBX_E_NOMEM : TBX_E_WS_OVER), "code %d", (int)r.failed);
}

static void
read_bytes(void)
{
    read_stream(1);
}

static void
read_pieces(void)
{
    read_stream(53);
}

static void
read_large_pieces(void)
{
    read_stream(4001);
}

static void
exhaust(void (*scenario)(void))
{
    unsigned long n = 0;
    do {
        countdown = ++n;
        has_failed = false;
        scenario();
        CHECK(live == 0, "%ld blocks are left when allocation %lu fails", live, n);
        REQUIRE(n < 1000000);
    } while (has_failed);
    CHECK(n > 1, "a scenario that allocates nothing");
    countdown = 0;
}

int
main(int argc, char **argv)
{
    tbx_vectors v = tbx_vectors_open(argc, argv, "nomem_sites.txt");
    while (tbx_vectors_next(&v, 2)) {
        REQUIRE(n_sites < sizeof sites / sizeof *sites);
        sites[n_sites++] =
            (site){.file = strdup(v.field[0]), .line = (int)strtol(v.field[1], NULL, 10)};
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (uint8_t)tbx_random();
    }
    exhaust(fill_buffer);
    exhaust(lex_string);
    exhaust(parse_published);
    exhaust(read_bytes);
    exhaust(read_pieces);
    exhaust(read_large_pieces);
    for (size_t i = 0; i < n_sites; i++) {
        printf("%s:%d failed %lu times\n", sites[i].file, sites[i].line, sites[i].failed);
        CHECK(sites[i].failed > 0, "%s:%d has never failed", sites[i].file, sites[i].line);
        free(sites[i].file);
    }
    return tbx_report();
}
