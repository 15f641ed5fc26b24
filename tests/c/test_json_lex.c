/* test_json_lex.c: the tokens of wire/json_lex.h against CPython's scanner (vectors_wire.py). */
#include "harness.h"

#include "wire/json_lex.h"

/* The fields of a line: document, offset, "ok" or "bad", and what belongs to it. */
typedef struct {
    tbx_json_src src;
    const uint8_t *start;
    bool ok;
    uint8_t *value; /* or NULL */
    size_t value_len;
    const char *message;
    size_t at; /* end of the token or place of the error */
    bool flag;
} token_case;

static token_case
read_case(tbx_vectors *v, tbx_buf *scratch)
{
    token_case c = {0};
    uint8_t *document;
    size_t n = tbx_unhex(v->field[0], &document);
    c.src.base = tbx_guard_copy(document, n);
    c.src.end = c.src.base + n;
    c.src.scratch = scratch;
    c.start = c.src.base + strtoul(v->field[1], NULL, 10);
    c.ok = strcmp(v->field[2], "ok") == 0;
    c.message = v->field[3];
    if (c.ok) {
        c.value_len = tbx_unhex(v->field[3], &c.value);
    }
    c.at = strtoul(v->field[4], NULL, 10);
    c.flag = v->field[5][0] == '1';
    return c;
}

static void
check_error(const char *what, unsigned long line, const token_case *c)
{
    const char *text = tbx_err_text(c->src.err.code);
    CHECK(strncmp(c->message, text, strlen(text)) == 0 && c->src.err.pos == c->at,
          "%s line %lu: \"%s\" at %zu, not \"%s\" at %zu", what, line, c->message, c->at, text,
          c->src.err.pos);
}

static void
check_strings(int argc, char **argv)
{
    tbx_vectors v = tbx_vectors_open(argc, argv, "string.txt");
    tbx_buf scratch;
    tbx_buf_init(&scratch);
    for (unsigned long line = 1; tbx_vectors_next(&v, 6); line++) {
        token_case c = read_case(&v, &scratch);
        tbx_json_str out = {0};
        const uint8_t *end = tbx_json_lex_string(&c.src, c.start, &out);
        CHECK((end != NULL) == c.ok, "string line %lu: %s", line, v.field[2]);
        if (end == NULL) {
            check_error("string", line, &c);
            continue;
        }
        CHECK(end == c.src.base + c.at && out.ascii == c.flag && out.len == c.value_len &&
                  memcmp(out.text, c.value, out.len) == 0,
              "string line %lu: end %zu, %zu bytes, ascii %d", line, (size_t)(end - c.src.base),
              out.len, out.ascii);
    }
    tbx_buf_free(&scratch);
}

static void
check_numbers(int argc, char **argv)
{
    tbx_vectors v = tbx_vectors_open(argc, argv, "number.txt");
    for (unsigned long line = 1; tbx_vectors_next(&v, 6); line++) {
        token_case c = read_case(&v, NULL);
        tbx_json_num out = {0};
        const uint8_t *end = tbx_json_lex_number(&c.src, c.start, &out);
        CHECK((end != NULL) == c.ok, "number line %lu: %s", line, v.field[2]);
        if (end == NULL) {
            check_error("number", line, &c);
            continue;
        }
        CHECK(end == c.src.base + c.at && out.is_float == c.flag && out.text == c.start &&
                  out.len == c.value_len && memcmp(out.text, c.value, out.len) == 0,
              "number line %lu: end %zu, float %d", line, (size_t)(end - c.src.base), out.is_float);
    }
}

static void
check_space_and_literals(void)
{
    for (unsigned byte = 0; byte < 256; byte++) {
        const uint8_t text[3] = {' ', (uint8_t)byte, 'x'};
        const uint8_t *p = tbx_guard_copy(text, 3);
        bool space = byte == ' ' || byte == '\t' || byte == '\n' || byte == '\r';
        CHECK(tbx_json_skip_space(p, p + 3) == p + 1 + space, "space 0x%02x", byte);
    }
    const uint8_t *p = tbx_guard_copy(" \t\n\r", 4);
    for (size_t n = 0; n <= 4; n++) {
        CHECK(tbx_json_skip_space(p + 4 - n, p + 4) == p + 4, "%zu spaces", n);
    }
    for (size_t n = 0; n <= 4; n++) {
        p = tbx_guard_copy("true", n);
        const uint8_t *end = tbx_json_lex_literal(p, p + n, "true", 4);
        CHECK(end == (n == 4 ? p + 4 : NULL), "the first %zu bytes of true", n);
    }
    p = tbx_guard_copy("trux", 4);
    CHECK(tbx_json_lex_literal(p, p + 4, "true", 4) == NULL, "trux");
    p = tbx_guard_copy("truex", 5);
    CHECK(tbx_json_lex_literal(p, p + 5, "true", 4) == p + 4, "truex");
}

int
main(int argc, char **argv)
{
    check_strings(argc, argv);
    check_numbers(argc, argv);
    check_space_and_literals();
    return tbx_report();
}
