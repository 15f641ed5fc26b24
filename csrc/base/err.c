/* err.c: the text of each error code. */
#include "base/err.h"

static const char *const err_texts[TBX_E_COUNT] = {
    [TBX_E_NONE] = "no error",
    [TBX_E_NOMEM] = "out of memory",
    [TBX_E_TOO_LONG] = "the result is too long",
    [TBX_E_JSON_VALUE] = "Expecting value",
    [TBX_E_JSON_BOM] = "Unexpected UTF-8 BOM (decode using utf-8-sig)",
    [TBX_E_JSON_EXTRA] = "Extra data",
    [TBX_E_JSON_KEY] = "Expecting property name enclosed in double quotes",
    [TBX_E_JSON_COLON] = "Expecting ':' delimiter",
    [TBX_E_JSON_COMMA] = "Expecting ',' delimiter",
    [TBX_E_JSON_TRAILING_OBJECT] = "Illegal trailing comma before end of object",
    [TBX_E_JSON_TRAILING_ARRAY] = "Illegal trailing comma before end of array",
    [TBX_E_JSON_UNTERMINATED] = "Unterminated string starting at",
    [TBX_E_JSON_CONTROL] = "Invalid control character at",
    [TBX_E_JSON_ESCAPE] = "Invalid \\escape",
    [TBX_E_JSON_HEX] = "Invalid \\uXXXX escape",
    [TBX_E_JSON_INT] = "Integer is too large",
    [TBX_E_JSON_DEPTH] = "JSON is nested too deeply",
    [TBX_E_SIO_TYPE] = "invalid packet type",
    [TBX_E_SIO_ATTACHMENTS] = "too many attachments",
    [TBX_E_SIO_ID] = "id field is too long",
    [TBX_E_EIO_EMPTY] = "Invalid empty packet received",
    [TBX_E_EIO_TYPE] = "invalid packet type",
    [TBX_E_EIO_BASE64] = "invalid base64",
    [TBX_E_WS_RESERVED] = "reserved bits must be 0",
    [TBX_E_WS_OPCODE] = "invalid opcode",
    [TBX_E_WS_MASK] = "incorrect masking",
    [TBX_E_WS_CONTROL_PART] = "fragmented control frame",
    [TBX_E_WS_CONTROL_LONG] = "control frame too long",
    [TBX_E_WS_LENGTH] = "invalid frame length",
    [TBX_E_WS_CONTINUATION] = "unexpected continuation frame",
    [TBX_E_WS_UNFINISHED] = "expected a continuation frame",
    [TBX_E_WS_CLOSE_SHORT] = "close frame too short",
    [TBX_E_WS_CLOSE_CODE] = "invalid status code",
    [TBX_E_WS_UTF8] = "text is not valid UTF-8",
    [TBX_E_WS_TOO_BIG] = "message is too big",
    [TBX_E_WS_FRAGMENTS] = "too many fragments",
    [TBX_E_WS_OVER] = "the reader is closed",
};

const char *
tbx_err_text(tbx_code code)
{
    unsigned index = (unsigned)code;
    return index < TBX_E_COUNT ? err_texts[index] : "unknown error";
}
