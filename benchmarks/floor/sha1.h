/* sha1.h: the accept of a WebSocket key. Spec: RFC 6455, section 4.2.2; FIPS 180-4. */
#ifndef FLOOR_SHA1_H
#define FLOOR_SHA1_H

#define FLOOR_KEY_LEN 24
#define FLOOR_ACCEPT_LEN 28

/* Writes the accept of a key of FLOOR_KEY_LEN bytes; without a zero at its end. */
void floor_accept(const char *key, char accept[FLOOR_ACCEPT_LEN]);

#endif
