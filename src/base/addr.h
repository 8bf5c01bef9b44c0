/* addr.h - IP addresses, prefixes and UDP endpoints as plain values, and their text forms.
 *
 * Addresses are kept in network order.  No names are resolved here.
 */
#ifndef QANAT_BASE_ADDR_H
#define QANAT_BASE_ADDR_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "base/text.h"

enum ip_family { IP_NONE = 0, IP_V4 = 4, IP_V6 = 6 };

struct ip_addr {
	uint8_t family; /* enum ip_family */
	uint8_t b[16]; /* 4 or 16 bytes used, the rest zero */
};

struct ip_prefix {
	struct ip_addr addr; /* host bits as given; ip_prefix_mask clears them */
	uint8_t len; /* 0..32 or 0..128 */
};

/* A UDP address.  Zero is "no endpoint". */
struct endpoint {
	struct ip_addr addr;
	uint16_t port; /* host order */
	uint32_t scope_id; /* IPv6 link-local interface, else 0 */
};

#define IP_TEXT_MAX 46 /* with NUL */
#define PREFIX_TEXT_MAX 50
#define ENDPOINT_TEXT_MAX 80 /* [v6%scope]:port */

static inline unsigned ip_bits(uint8_t family)
{
	return family == IP_V4 ? 32 : family == IP_V6 ? 128 : 0;
}

bool ip_eq(const struct ip_addr *a, const struct ip_addr *b);
bool endpoint_eq(const struct endpoint *a, const struct endpoint *b);
struct ip_addr ip_v4(const uint8_t b[4]);
struct ip_addr ip_v6(const uint8_t b[16]);

/* Dotted quad or IPv6 text without scope, whole. */
MUST_CHECK bool ip_parse(struct str s, struct ip_addr *out);
/* "addr/len"; without "/len" a single host.  Host bits are kept. */
MUST_CHECK bool ip_prefix_parse(struct str s, struct ip_prefix *out);
/* "1.2.3.4:5", "[::1]:5", "[fe80::1%2]:5" or "[fe80::1%eth0]:5"; port 1..65535. */
MUST_CHECK bool endpoint_parse(struct str s, struct endpoint *out);

void ip_format(char out[IP_TEXT_MAX], const struct ip_addr *a);
void ip_prefix_format(char out[PREFIX_TEXT_MAX], const struct ip_prefix *p);
/* The form that endpoint_parse reads; "(none)" for the zero endpoint. */
void endpoint_format(char out[ENDPOINT_TEXT_MAX], const struct endpoint *e);

/* Clears the host bits. */
void ip_prefix_mask(struct ip_prefix *p);
bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a);
bool ip_prefix_overlap(const struct ip_prefix *a, const struct ip_prefix *b);
/* Address number `index` of the prefix (0 is the network address); false past its end. */
MUST_CHECK bool ip_prefix_host(const struct ip_prefix *p, uint64_t index, struct ip_addr *out);
/* How many addresses the prefix holds, UINT64_MAX for more than fit. */
uint64_t ip_prefix_size(const struct ip_prefix *p);

/* To and from the kernel's form (length 0 for the zero endpoint); from_sockaddr is false for other
 * families.  Here and in endpoint_parse, IPv4-mapped IPv6 addresses become IPv4, and a scope is
 * kept only beside a link-local address. */
socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *out);
MUST_CHECK bool endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *sa,
				       socklen_t len);

#endif
