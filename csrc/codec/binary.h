/* binary.h: bytes inside values, and the placeholders that stand for them.
 *
 * Mirrors: socketio.packet.Packet.data_is_binary, deconstruct_binary and reconstruct_binary, the
 * RecursionError of values that are nested too deeply included. One difference on purpose: the
 * number of a placeholder is an integer in range, or ValueError.
 */
#ifndef TBX_CODEC_BINARY_H
#define TBX_CODEC_BINARY_H

#include "py/state.h"

/* 1 when data is bytes or bytearray, or holds such within lists and dicts; 0; -1 with an
 * exception. Escapes: items() and iterators of subclasses. */
int tbx_binary_found(PyObject *data);

/* A copy of data whose bytes are moved to `attachments` (a list). New reference or NULL. Escapes. */
PyObject *tbx_binary_deconstruct(TbxState *state, PyObject *data, PyObject *attachments);

/* A copy of data with each placeholder replaced by the attachment of that number. New reference
 * or NULL. Escapes. */
PyObject *tbx_binary_reconstruct(TbxState *state, PyObject *data, PyObject *attachments);

#endif
