/* sio_codec.h: Socket.IO packets, protocol revision 5, as Python objects and as text.
 *
 * Mirrors: socketio.packet.Packet.encode and .decode. Differences on purpose: only ASCII digits are
 * digits; JSON as in json_enc.h and json_dec.h.
 */
#ifndef TBX_CODEC_SIO_CODEC_H
#define TBX_CODEC_SIO_CODEC_H

#include <stdbool.h>

#include "py/state.h"

typedef struct {
    long type;
    PyObject *data;         /* borrowed; None: no data */
    PyObject *ns;           /* borrowed str, or None */
    PyObject *id;           /* borrowed, or None */
    PyObject *json_default; /* borrowed, or None */
    Py_ssize_t max_depth;
    bool detect; /* bytes in an EVENT or ACK make it a binary one */
    bool frame;  /* as an Engine.IO message: a '4' in front */
} tbx_sio_packet;

/* The packet as a str, or as a list of a str and its attachments when it is binary. New reference
 * or NULL. Escapes: those of tbx_json_encode, and str(id). */
PyObject *tbx_sio_encode(TbxState *state, const tbx_sio_packet *packet);

/* (type, namespace or None, id or None, data or None, attachment count) of a packet's text. With
 * `loads` not None, that function reads the JSON. New reference; ValueError or what loads raises.
 * Escapes. */
PyObject *tbx_sio_decode(TbxState *state, PyObject *text, PyObject *loads, Py_ssize_t max_depth);

/* The same for what a client sent to a server: ValueError, too, for an event that is not an array
 * headed by a string, an ack that is not an array, an unknown type, and a binary packet without
 * attachments or with more than max_attachments. The packet starts behind the first `skip` bytes
 * of the text, which are ASCII. Escapes. */
PyObject *tbx_sio_decode_message(TbxState *state, PyObject *text, Py_ssize_t max_attachments,
                                 Py_ssize_t max_depth, size_t skip);

/* (type, namespace or None) of a packet's text, whose JSON is not read. New reference or ValueError. */
PyObject *tbx_sio_head(TbxState *state, PyObject *text);

#endif
