/* json_length.h - how long a JSON text is when Python's json.dumps(value, sort_keys=True) writes it.
 *
 * Older clients of the peer API sign that length instead of their body's: keys sorted, separators
 * ", " and ": ", everything but the printable characters of ASCII escaped, a number with a fraction or
 * an exponent in the fewest digits that give it back.  Never: I/O; nothing is written, only counted.
 */
#ifndef QANAT_API_JSON_LENGTH_H
#define QANAT_API_JSON_LENGTH_H

#include <jansson.h>
#include <stddef.h>

/* In bytes; `v` stays as it is.  Recurses as deep as `v` is nested, which jansson bounds when it reads
 * a text. */
size_t json_python_length(json_t *v);

#endif
