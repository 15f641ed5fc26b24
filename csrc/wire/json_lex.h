/* json_lex.h: the tokens of JSON text, read from valid UTF-8 (surrogates allowed).
 *
 * Mirrors: json.scanner.c_make_scanner and json.decoder.scanstring (strict): what they accept,
 * NaN and infinities included, and where they place an error. The grammar around the tokens is
 * the decoder's (codec/json_dec.c), which builds values on the way.
 * Nothing is owned: a token points into the input or into the caller's scratch buffer.
 */
#ifndef TBX_WIRE_JSON_LEX_H
#define TBX_WIRE_JSON_LEX_H

#include "base/buf.h"
#include "base/err.h"
#include "wire/json_scan.h"

typedef struct {
    const uint8_t *base; /* the document: err.pos counts from here */
    const uint8_t *end;
    tbx_buf *scratch; /* where strings with escapes are written */
    tbx_err err;
} tbx_json_src;

typedef struct {
    const uint8_t *text; /* valid until the next string is read */
    size_t len;
    bool ascii;
} tbx_json_str;

typedef struct {
    const uint8_t *text;
    size_t len;
    bool is_float;
} tbx_json_num;

static inline const uint8_t *
tbx_json_skip_space(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p <= ' ' && (*p == ' ' || *p == '\n' || *p == '\t' || *p == '\r')) {
        p++;
    }
    return p;
}

/* NULL, with src->err filled in; `at` is where the error is placed. */
static inline const uint8_t *
tbx_json_bad(tbx_json_src *src, tbx_code code, const uint8_t *at)
{
    tbx_err_set(&src->err, code, (size_t)(at - src->base));
    return NULL;
}

/* The rest of a string after its first `len` plain bytes, when that is not just the quote. */
const uint8_t *tbx_json_lex_string_slow(tbx_json_src *src, const uint8_t *start, size_t len,
                                        bool high, tbx_json_str *out);

/* Reads the string whose first byte behind the opening quote is *start. Returns what follows the
 * closing quote, or NULL with src->err. */
static inline const uint8_t *
tbx_json_lex_string(tbx_json_src *src, const uint8_t *start, tbx_json_str *out)
{
    bool high = false;
    size_t len = tbx_json_scan(start, (size_t)(src->end - start), &high);
    if (start + len < src->end && start[len] == '"') {
        out->text = start;
        out->len = len;
        out->ascii = !high;
        return start + len + 1;
    }
    return tbx_json_lex_string_slow(src, start, len, high, out);
}

/* Reads the number at p. Returns what follows it, or NULL when there is none ("Expecting value"
 * at p, in src->err). */
const uint8_t *tbx_json_lex_number(tbx_json_src *src, const uint8_t *p, tbx_json_num *out);

/* What follows the literal at p, or NULL when p does not start with it (src->err untouched). */
static inline const uint8_t *
tbx_json_lex_literal(const uint8_t *p, const uint8_t *end, const char *word, size_t len)
{
    return (size_t)(end - p) >= len && memcmp(p, word, len) == 0 ? p + len : NULL;
}

#endif
