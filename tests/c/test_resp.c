/* test_resp.c: replies of wire/resp.h: whole, in every prefix, one after the other, and spoilt. */
#include "harness.h"

#include "wire/resp.h"

static const char *const good[] = {
    "+OK\r\n",
    "+PONG\r\n",
    "-ERR no\r\n",
    ":1\r\n",
    "$-1\r\n",
    "*-1\r\n",
    "$0\r\n\r\n",
    "$5\r\na\r\nbc\r\n",
    "*0\r\n",
    "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
    "*3\r\n$9\r\nsubscribe\r\n$8\r\nsocketio\r\n:1\r\n",
    "*3\r\n$7\r\nmessage\r\n$8\r\nsocketio\r\n$2\r\n{}\r\n",
    ">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n$0\r\n\r\n",
    "*3\r\n$7\r\nmessage\r\n$1\r\nc\r\n:1\r\n",
    "*3\r\n$7\r\nmessagE\r\n$1\r\nc\r\n$1\r\nx\r\n",
    "*4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\nc\r\n$1\r\nx\r\n",
    "*2\r\n*2\r\n:1\r\n*1\r\n+a\r\n*0\r\n",
    "%1\r\n+k\r\n*1\r\n:1\r\n",
    "|1\r\n+k\r\n+v\r\n*1\r\n:1\r\n",
    "~2\r\n#t\r\n,1.5\r\n",
    "_\r\n",
    "(12345678901234567890\r\n",
    "=7\r\ntxt:abc\r\n",
    "!5\r\nERR x\r\n",
};

#define TBX_DEEP "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n" /* 8 levels */

static const char too_deep[] = TBX_DEEP TBX_DEEP "*1\r\n";

static const char *const bad[] = {
    "x",
    "\r\n",
    "$\r\n",
    "$x\r\n",
    "$-2\r\n",
    "*-2\r\n",
    "~-1\r\n",
    "$1\r\nab\r\n",
    "$1\r\na\rx",
    "$1a\r\n",
    "$?\r\n",
    "*?\r\n",
    "$1234567890123456789\r\n",
    "$536870913\r\n",
    "*99999999999\r\n",
    "$1\rx",
    too_deep,
};

#define N(list) (sizeof list / sizeof *list)

static ptrdiff_t
parse(const char *text, size_t n, tbx_resp *out)
{
    size_t need = 0;
    ptrdiff_t used = tbx_resp_parse(tbx_guard_copy(text, n), n, out, &need);
    CHECK(used != TBX_MORE || need > n, "%.*s: needs %zu of %zu", (int)n, text, need, n);
    CHECK(used <= (ptrdiff_t)n, "%.*s", (int)n, text);
    return used;
}

int
main(void)
{
    tbx_resp out;
    char two[256];
    for (size_t i = 0; i < N(good); i++) {
        size_t n = strlen(good[i]);
        CHECK(parse(good[i], n, &out) == (ptrdiff_t)n, "%s", good[i]);
        bool is_message =
            strstr(good[i], "\r\nmessage\r\n") != NULL && strstr(good[i], ":1") == NULL;
        CHECK(out.is_message == is_message, "%s", good[i]);
        for (size_t k = 0; k < n; k++) {
            CHECK(parse(good[i], k, &out) == TBX_MORE, "%zu of %s", k, good[i]);
        }
        for (size_t j = 0; j < N(good); j++) {
            snprintf(two, sizeof two, "%s%s", good[i], good[j]);
            CHECK(parse(two, strlen(two), &out) == (ptrdiff_t)n, "%s", two);
        }
        uint64_t seed = i;
        for (int k = 0; k < 3000; k++) { /* any bytes: no crash, no reading outside */
            memcpy(two, good[i], n);
            seed = seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
            two[(seed >> 40) % n] = (char)(seed >> 33);
            (void)parse(two, n, &out);
        }
    }
    for (size_t i = 0; i < N(bad); i++) {
        CHECK(parse(bad[i], strlen(bad[i]), &out) == TBX_BAD, "%s", bad[i]);
    }
    const char *text = "*3\r\n$7\r\nmessage\r\n$8\r\nsocketio\r\n$4\r\nabcd\r\n";
    size_t need, n = strlen(text);
    const uint8_t *p = tbx_guard_copy(text, n);
    REQUIRE(tbx_resp_parse(p, n, &out, &need) == (ptrdiff_t)n);
    CHECK(out.payload_len == 4 && memcmp(out.payload, "abcd", 4) == 0, "the payload");
    p = tbx_guard_copy(text, n - 3);
    CHECK(tbx_resp_parse(p, n - 3, &out, &need) == TBX_MORE && need == n, "needs %zu", need);
    return tbx_report();
}
