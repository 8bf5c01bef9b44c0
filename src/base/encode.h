/* encode.h - hex and base64 (RFC 4648), strict: canonical trailing bits, padding required.
 *
 * Also used for keys, so decoding runs without branches or look-ups that depend on the data's
 * value (only on where it is malformed).
 */
#ifndef QANAT_BASE_ENCODE_H
#define QANAT_BASE_ENCODE_H

#include "base/text.h"

#define HEX_LEN(n) ((n)*2)
#define BASE64_LEN(n) (((n) + 2) / 3 * 4)

/* Writes HEX_LEN(n) lower-case digits and a NUL. */
void hex_encode(char *out, const uint8_t *p, size_t n);
/* True when `s` is exactly `n` bytes in hex of either case. */
MUST_CHECK bool hex_decode(uint8_t *out, size_t n, struct str s);

/* Writes BASE64_LEN(n) characters and a NUL. */
void base64_encode(char *out, const uint8_t *p, size_t n);
/* True when `s` is the canonical base64 of exactly `n` bytes. */
MUST_CHECK bool base64_decode(uint8_t *out, size_t n, struct str s);

#endif
