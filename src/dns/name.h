/* name.h - domain names (RFC 1035, 3.1): the wire form without compression, and its text.
 *
 * A name is 1 to 255 bytes: labels of a length byte and 1 to 63 bytes, and the root's zero.  Any
 * byte may stand in a label; comparing ignores the case of ASCII letters (RFC 4343).  Pure.
 */
#ifndef QANAT_DNS_NAME_H
#define QANAT_DNS_NAME_H

#include "base/text.h"

#define DNS_NAME_MAX 255
#define DNS_LABEL_MAX 63
/* Each byte may need four characters (\DDD); with NUL. */
#define DNS_NAME_TEXT_MAX (4 * DNS_NAME_MAX + 1)

struct dns_name {
	uint8_t n; /* bytes used, 1 (the root) to DNS_NAME_MAX; 0: no name */
	uint8_t b[DNS_NAME_MAX];
};

/* Reads the text form of RFC 1035, 5.1 ("a.example", "a.example.", ".", "a\.b.example",
 * "\001x.example"); a name is absolute with or without the last point. */
MUST_CHECK bool dns_name_parse(struct dns_name *out, struct str text);
/* Without the last point, but "." for the root; what is not printable ASCII, and '.' and '\'
 * inside a label, are escaped. */
void dns_name_format(char out[DNS_NAME_TEXT_MAX], const struct dns_name *name);
/* Equal but for the case of ASCII letters. */
bool dns_name_eq(const struct dns_name *a, const struct dns_name *b);
/* True for a name that a host may have (RFC 1123, 2.1): labels of letters, digits and inner '-',
 * at least one. */
bool dns_name_is_host(const struct dns_name *name);
/* True when `name` is `zone` or below it. */
bool dns_name_in(const struct dns_name *name, const struct dns_name *zone);

#endif
