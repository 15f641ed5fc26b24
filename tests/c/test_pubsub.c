/* test_pubsub.c: the messages of wire/pubsub.h: whole, in every prefix, and with random bytes in them. */
#include "harness.h"

#include "wire/pubsub.h"

static const char *const good[] = {
    "{}",
    " { } \n",
    "{\"method\":\"emit\",\"event\":\"e\",\"data\":[1],\"room\":null}",
    "{\"data\": [ ], \"binary\": false, \"x\": {\"a\": [{}, [], {\"b\": -1.5e+3}]}, \"room\": "
    "[\"a\", \"b\"]}",
    "{\"event\":\"\\u00e9\\ud83d\\ude00\\n\\\"\",\"data\":[NaN,Infinity,-Infinity,true,false,null,"
    "0,-0]}",
    "{\"event\":\"\xc3\xa9\xf0\x9f\x98\x80\",\"host_id\":\"h\",\"namespace\":\"/\",\"skip_sid\":[],"
    "\"callback\":[\"r\",\"/\",1],\"volatile\":true,\"channels\":true}",
};

static const char *const bad[] = {
    "",
    " ",
    "[]",
    "1",
    "null",
    "{",
    "{]",
    "{,}",
    "{\"a\"}",
    "{\"a\":}",
    "{\"a\" 1}",
    "{\"a\":1,}",
    "{a:1}",
    "{\"a\":1}x",
    "{\"a\":[1}",
    "{\"a\":{1}}",
    "{\"a\":[1,]}",
    "{\"a\":[,1]}",
    "{\"a\":01}",
    "{\"a\":1.}",
    "{\"a\":nul}",
    "{\"a\":\"\n\"}",
    "{\"a\":\"\\x\"}",
    "{\"a\":\"\\u12\"}",
    "{\"\\u0061\":1}",
    "{\"a\":\"\xff\"}",
    "{\"a\":\"\xed\xa0\x80\"}",
    "{\"a\":\"\xc3\"}",
    "{\"a\":+1}",
    "{\"a\":[1 2]}",
    "{\"a\":{\"b\":1 \"c\":2}}",
};

static ptrdiff_t
parse(const void *text, size_t n, tbx_pub *out)
{
    tbx_err err = {0};
    ptrdiff_t used = tbx_pub_parse(tbx_guard_copy(text, n), n, out, &err);
    CHECK(used == TBX_BAD ? err.code != TBX_E_NONE && err.pos <= n : used == (ptrdiff_t)n,
          "result %td of %zu bytes, error \"%s\" at %zu", used, n, tbx_err_text(err.code), err.pos);
    return used;
}

static bool
is_span(tbx_pub_span span, const char *text)
{
    return span.text != NULL && span.len == strlen(text) && memcmp(span.text, text, span.len) == 0;
}

static void
test_fields(void)
{
    tbx_pub out;
    tbx_pub_span inner;
    REQUIRE(parse(good[5], strlen(good[5]), &out) > 0);
    CHECK(is_span(out.fields[TBX_PUB_CALLBACK], "[\"r\",\"/\",1]"), "callback");
    CHECK(tbx_pub_is(&out, TBX_PUB_HOST_ID, "\"h\"") && tbx_pub_is(&out, TBX_PUB_CHANNELS, "true"),
          "host_id, channels");
    CHECK(!tbx_pub_is_unset(&out, TBX_PUB_CALLBACK) && tbx_pub_is_unset(&out, TBX_PUB_BINARY),
          "what is set");
    CHECK(tbx_pub_elements(out.fields[TBX_PUB_SKIP_SID], &inner) && inner.len == 0, "empty array");
    CHECK(!tbx_pub_elements(out.fields[TBX_PUB_EVENT], &inner), "a string is no array");
    CHECK(!tbx_pub_elements(out.fields[TBX_PUB_DATA], &inner), "nothing is no array");
    const char *twice = "{\"room\":1,\"room\":2,\"data\":[ 1, [2] ]}";
    REQUIRE(parse(twice, strlen(twice), &out) > 0);
    CHECK(is_span(out.fields[TBX_PUB_ROOM], "2"), "the last of two");
    CHECK(tbx_pub_elements(out.fields[TBX_PUB_DATA], &inner) && is_span(inner, "1, [2]"),
          "elements");
}

static void
test_compact(void)
{
    static const char *const texts[][2] = {
        {"", ""},
        {" 1 , [ 2 ] ", "1,[2]"},
        {"{\"a b\": \" \\\" \\\\\", \"c\" :\t[\n]}", "{\"a b\":\" \\\" \\\\\",\"c\":[]}"},
        {"\"a long text with no quote or space to be left out: 0123456789\" , null",
         "\"a long text with no quote or space to be left out: 0123456789\",null"},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t n = strlen(texts[i][0]);
        uint8_t *dst = tbx_guard_room(1, n);
        size_t len = tbx_pub_compact(tbx_guard_copy(texts[i][0], n), n, dst);
        CHECK(len == strlen(texts[i][1]) && memcmp(dst, texts[i][1], len) == 0, "compact: %s",
              texts[i][0]);
    }
}

/* Nested as deep as may be, and one level more. */
static void
test_depth(void)
{
    static char text[4 * TBX_PUB_DEPTH];
    for (size_t depth = TBX_PUB_DEPTH - 1; depth <= TBX_PUB_DEPTH + 1; depth++) {
        tbx_pub out;
        size_t n = (size_t)snprintf(text, sizeof text, "{\"a\":");
        memset(text + n, '[', depth);
        memset(text + n + depth, ']', depth);
        n += 2 * depth;
        text[n++] = '}';
        CHECK((parse(text, n, &out) > 0) == (depth <= TBX_PUB_DEPTH), "depth %zu", depth);
        text[5 + depth] = '}'; /* the innermost is closed by the wrong bracket */
        CHECK(parse(text, n, &out) == TBX_BAD, "depth %zu, a wrong bracket", depth);
    }
}

int
main(void)
{
    tbx_pub out;
    test_fields();
    test_depth();
    test_compact();
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(parse(bad[i], strlen(bad[i]), &out) == TBX_BAD, "accepted: %s", bad[i]);
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        size_t n = strlen(good[i]);
        CHECK(parse(good[i], n, &out) == (ptrdiff_t)n, "refused: %s", good[i]);
        const char *close = strrchr(good[i], '}');
        for (size_t end = 0; end < (size_t)(close - good[i]); end++) {
            CHECK(parse(good[i], end, &out) == TBX_BAD, "accepted: %zu bytes of %s", end, good[i]);
        }
        char text[512];
        REQUIRE(n < sizeof text);
        for (int round = 0; round < 20000; round++) { /* whatever it says, it stays within */
            memcpy(text, good[i], n);
            for (uint64_t k = tbx_random() % 3 + 1; k > 0; k--) {
                text[tbx_random() % n] = (char)tbx_random();
            }
            (void)parse(text, n, &out);
        }
    }
    return tbx_report();
}
