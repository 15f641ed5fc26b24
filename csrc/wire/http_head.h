/* http_head.h: the head of an ordinary HTTP/1.1 request: what browsers and Socket.IO clients send.
 *
 * It is a strict subset of what HTTP allows: a head that is accepted here means the same to every
 * parser, and all others are left to the one of the web server. So a request with a transfer coding, an
 * Expect, a folded line, an absolute target or two lengths is not ordinary.
 * Nothing is owned: the spans point into the input.
 */
#ifndef TBX_WIRE_HTTP_HEAD_H
#define TBX_WIRE_HTTP_HEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TBX_HTTP_HEAD_MAX (16 * 1024) /* bytes of an ordinary head */
#define TBX_HTTP_FIELDS_MAX 64

typedef enum { TBX_HTTP_GET, TBX_HTTP_POST, TBX_HTTP_OPTIONS } tbx_http_method;

typedef struct {
    const uint8_t *p;
    size_t len;
} tbx_http_span;

typedef struct {
    tbx_http_span name, value; /* the value without white space around it */
} tbx_http_field;

typedef struct {
    tbx_http_method method;
    tbx_http_span path, query; /* of printable ASCII, the path without '%' */
    size_t n_fields;
    tbx_http_field fields[TBX_HTTP_FIELDS_MAX];
    uint64_t length;               /* of the body, 0 where none is told */
    bool closes;                   /* the client wants the connection to be closed afterwards */
    bool is_websocket;             /* a GET that is the handshake of a WebSocket, version 13 */
    tbx_http_span websocket_key;   /* 24 characters of base64 */
    tbx_http_span websocket_offer; /* extensions, all in one field; empty: none */
} tbx_http_head;

/* Reads the head at p: its bytes, 0 when it is not whole or not ordinary. */
size_t tbx_http_head_parse(const uint8_t *p, size_t n, tbx_http_head *out);

/* Whether a text is `word`, which is in lower case, but for the case of its letters. */
bool tbx_http_is_word(tbx_http_span text, const char *word);

#endif
