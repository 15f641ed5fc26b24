/* json_key.h: short object keys are made once.
 *
 * A direct-mapped table in the module state: a key that was seen lately is the same str, its hash
 * known. Keys are not interned, because from 3.12 on an interned string may never be freed, and
 * keys come from clients. Escapes: none (the str that a slot drops has no finaliser).
 */
#ifndef TBX_CODEC_JSON_KEY_H
#define TBX_CODEC_JSON_KEY_H

#include "py/state.h"

#define TBX_KEY_MAX 64 /* longer keys are not kept */

/* The str of n (<= TBX_KEY_MAX) ASCII bytes; new reference, NULL with an exception. */
PyObject *tbx_json_key(TbxState *state, const uint8_t *text, size_t n);

#endif
