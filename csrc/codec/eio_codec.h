/* eio_codec.h: Engine.IO packets and payloads, protocol revision 4.
 *
 * Mirrors: engineio.packet.Packet.encode and .decode, engineio.payload.Payload.encode and .decode
 * (the field of a JSONP body is found in Python). JSON as in json_enc.h and json_dec.h.
 */
#ifndef TBX_CODEC_EIO_CODEC_H
#define TBX_CODEC_EIO_CODEC_H

#include "py/state.h"

/* "b" and the base64 of a bytes-like object. New reference or NULL. */
PyObject *tbx_eio_base64(PyObject *data);

/* (type, data, binary) of one packet: str, bytes or bytearray. With `loads` not None, that
 * function reads JSON. New reference; ValueError for an empty packet, a type that is no digit, or
 * base64 that b64decode refuses; TypeError for other objects. Escapes. */
PyObject *tbx_eio_decode(TbxState *state, PyObject *packet, PyObject *loads, Py_ssize_t max_depth);

/* The text of a payload of encoded packets (a list or tuple of str); jsonp_index is an int or None.
 * New reference or NULL. */
PyObject *tbx_eio_payload_join(PyObject *packets, PyObject *jsonp_index);

/* The text of the value of a form field, as urllib.parse.unquote_plus() gives it. New reference or
 * NULL. */
PyObject *tbx_eio_form_value(PyObject *field);

/* A list of the packets' texts. ValueError when there are more than max_packets, told before any
 * of them is made. New reference or NULL. */
PyObject *tbx_eio_payload_split(PyObject *payload, Py_ssize_t max_packets);

/* The bytes of a payload of messages, a list of str and of bytes. New reference; NULL with an exception. */
PyObject *tbx_eio_payload_encode(PyObject *messages);

#endif
