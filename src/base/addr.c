#include "base/addr.h"

#include <arpa/inet.h>
#include <net/if.h>

bool ip_eq(const struct ip_addr *a, const struct ip_addr *b)
{
	return a->family == b->family && memcmp(a->b, b->b, ip_bits(a->family) / 8) == 0;
}

bool endpoint_eq(const struct endpoint *a, const struct endpoint *b)
{
	return ip_eq(&a->addr, &b->addr) && a->port == b->port && a->scope_id == b->scope_id;
}

struct ip_addr ip_v4(const uint8_t b[4])
{
	struct ip_addr a = { .family = IP_V4 };

	memcpy(a.b, b, 4);
	return a;
}

struct ip_addr ip_v6(const uint8_t b[16])
{
	struct ip_addr a = { .family = IP_V6 };

	memcpy(a.b, b, 16);
	return a;
}

bool ip_parse(struct str s, struct ip_addr *out)
{
	struct ip_addr a = { 0 };
	char z[IP_TEXT_MAX];

	if (!str_copy(z, sizeof z, s) || strlen(z) != s.n)
		return false; /* too long, or a NUL inside */
	a.family = memchr(z, ':', s.n) ? IP_V6 : IP_V4;
	if (inet_pton(a.family == IP_V6 ? AF_INET6 : AF_INET, z, a.b) != 1)
		return false;
	*out = a;
	return true;
}

bool ip_prefix_parse(struct str s, struct ip_prefix *out)
{
	struct ip_prefix p = { 0 };
	struct str addr = { 0 };
	uint32_t len;

	if (!str_cut(&s, '/', &addr) || !ip_parse(addr, &p.addr))
		return false;
	len = ip_bits(p.addr.family);
	/* After a cut at '/', the rest starts one past it; "addr/" leaves nothing to parse. */
	if (s.p != addr.p + addr.n && !u32_parse(s, 0, len, &len))
		return false;
	p.len = (uint8_t)len;
	*out = p;
	return true;
}

/* An interface's index or name after '%'. */
static bool scope_parse(struct str s, uint32_t *out)
{
	char name[IF_NAMESIZE];

	if (u32_parse(s, 1, UINT32_MAX, out))
		return true;
	if (s.n == 0 || !str_copy(name, sizeof name, s) || strlen(name) != s.n)
		return false;
	*out = if_nametoindex(name);
	return *out != 0;
}

/* One form for each address: IPv4 stays IPv4 however it arrives, and a scope means something to
 * the kernel only beside a link-local address. */
static void endpoint_normalise(struct endpoint *e)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const uint8_t *b = e->addr.b;
	bool link_local;

	if (e->addr.family != IP_V6) {
		e->scope_id = 0;
		return;
	}
	link_local = (b[0] == 0xfe && (b[1] & 0xc0) == 0x80) || (b[0] == 0xff && (b[1] & 15) == 2);
	if (!link_local)
		e->scope_id = 0;
	if (memcmp(b, mapped, sizeof mapped) == 0)
		e->addr = ip_v4(b + 12);
}

static bool port_parse(struct str s, uint16_t *out)
{
	uint32_t port;

	if (!u32_parse(s, 1, UINT16_MAX, &port))
		return false;
	*out = (uint16_t)port;
	return true;
}

/* What stands between the brackets: an IPv6 address, maybe with "%scope". */
static bool bracketed_parse(struct str s, struct endpoint *e)
{
	struct str addr;

	if (!str_cut(&s, '%', &addr) || !ip_parse(addr, &e->addr) || e->addr.family != IP_V6)
		return false;
	return s.p == addr.p + addr.n || scope_parse(s, &e->scope_id);
}

bool endpoint_parse(struct str s, struct endpoint *out)
{
	struct endpoint e = { 0 };
	struct str host;

	if (str_starts(s, STR("["))) {
		s = (struct str){ s.p + 1, s.n - 1 };
		if (!str_cut(&s, ']', &host) || !bracketed_parse(host, &e) ||
		    !str_starts(s, STR(":")))
			return false;
		s = (struct str){ s.p + 1, s.n - 1 };
	} else if (!str_cut(&s, ':', &host) || !ip_parse(host, &e.addr)) {
		return false;
	}
	if (!port_parse(s, &e.port))
		return false;
	endpoint_normalise(&e);
	*out = e;
	return true;
}

/* A byte in decimal, without NUL; returns where it ends.  printf and inet_ntop, which calls it,
 * were a third of the time of a dump of many peers. */
static char *put_byte(char *at, uint8_t v)
{
	if (v >= 100)
		*at++ = (char)('0' + v / 100);
	if (v >= 10)
		*at++ = (char)('0' + v / 10 % 10);
	*at++ = (char)('0' + v % 10);
	return at;
}

static void put_v4(char out[IP_TEXT_MAX], const uint8_t b[4])
{
	char *at = out;

	for (unsigned i = 0; i < 4; i++) {
		at = put_byte(at, b[i]);
		*at++ = i < 3 ? '.' : 0;
	}
}

void ip_format(char out[IP_TEXT_MAX], const struct ip_addr *a)
{
	out[0] = 0;
	if (a->family == IP_V4)
		put_v4(out, a->b);
	else if (a->family == IP_V6)
		(void)inet_ntop(AF_INET6, a->b, out, IP_TEXT_MAX);
	else
		(void)snprintf(out, IP_TEXT_MAX, "(none)");
}

void ip_prefix_format(char out[PREFIX_TEXT_MAX], const struct ip_prefix *p)
{
	char *at;

	_Static_assert(PREFIX_TEXT_MAX >= IP_TEXT_MAX + 4, "behind any address fits /255");
	ip_format(out, &p->addr);
	at = out + strlen(out);
	*at++ = '/';
	at = put_byte(at, p->len);
	*at = 0;
}

void endpoint_format(char out[ENDPOINT_TEXT_MAX], const struct endpoint *e)
{
	char addr[IP_TEXT_MAX];

	ip_format(addr, &e->addr);
	if (e->addr.family == IP_V4)
		(void)snprintf(out, ENDPOINT_TEXT_MAX, "%s:%u", addr, (unsigned)e->port);
	else if (e->addr.family == IP_V6 && e->scope_id)
		(void)snprintf(out, ENDPOINT_TEXT_MAX, "[%s%%%u]:%u", addr, e->scope_id,
			       (unsigned)e->port);
	else if (e->addr.family == IP_V6)
		(void)snprintf(out, ENDPOINT_TEXT_MAX, "[%s]:%u", addr, (unsigned)e->port);
	else
		(void)snprintf(out, ENDPOINT_TEXT_MAX, "(none)");
}

/* The bits of byte `i` that belong to a prefix of `len` bits. */
static uint8_t mask_byte(unsigned len, unsigned i)
{
	unsigned start = i * 8;

	if (len <= start)
		return 0;
	if (len >= start + 8)
		return 0xff;
	return (uint8_t)(0xff00u >> (len - start));
}

void ip_prefix_mask(struct ip_prefix *p)
{
	for (unsigned i = 0; i < sizeof p->addr.b; i++)
		p->addr.b[i] &= mask_byte(p->len, i);
}

static bool same_front(const struct ip_addr *a, const struct ip_addr *b, unsigned len)
{
	unsigned diff = 0;

	if (a->family != b->family || a->family == IP_NONE)
		return false;
	for (unsigned i = 0; i < ip_bits(a->family) / 8; i++)
		diff |= (unsigned)(a->b[i] ^ b->b[i]) & mask_byte(len, i);
	return diff == 0;
}

bool ip_prefix_contains(const struct ip_prefix *p, const struct ip_addr *a)
{
	return same_front(&p->addr, a, p->len);
}

bool ip_prefix_overlap(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return same_front(&a->addr, &b->addr, MIN(a->len, b->len));
}

uint64_t ip_prefix_size(const struct ip_prefix *p)
{
	unsigned host_bits = ip_bits(p->addr.family) - p->len;

	if (p->addr.family == IP_NONE)
		return 0;
	return host_bits >= 64 ? UINT64_MAX : UINT64_C(1) << host_bits;
}

bool ip_prefix_host(const struct ip_prefix *p, uint64_t index, struct ip_addr *out)
{
	unsigned host_bits = ip_bits(p->addr.family) - p->len;
	struct ip_prefix net = *p;

	if (p->addr.family == IP_NONE || (host_bits < 64 && index >> host_bits))
		return false;
	ip_prefix_mask(&net);
	for (unsigned i = ip_bits(p->addr.family) / 8; i-- > 0; index >>= 8)
		net.addr.b[i] |= (uint8_t)index; /* those bits are zero: nothing to carry */
	*out = net.addr;
	return true;
}

socklen_t endpoint_to_sockaddr(const struct endpoint *e, struct sockaddr_storage *out)
{
	memset(out, 0, sizeof *out);
	if (e->addr.family == IP_V4) {
		struct sockaddr_in sin = { .sin_family = AF_INET, .sin_port = htons(e->port) };

		memcpy(&sin.sin_addr, e->addr.b, 4);
		memcpy(out, &sin, sizeof sin);
		return sizeof sin;
	}
	if (e->addr.family == IP_V6) {
		struct sockaddr_in6 sin6 = { .sin6_family = AF_INET6,
					     .sin6_port = htons(e->port),
					     .sin6_scope_id = e->scope_id };

		memcpy(&sin6.sin6_addr, e->addr.b, 16);
		memcpy(out, &sin6, sizeof sin6);
		return sizeof sin6;
	}
	return 0;
}

bool endpoint_from_sockaddr(struct endpoint *out, const struct sockaddr *sa, socklen_t len)
{
	struct endpoint e = { 0 };
	struct sockaddr_in sin;
	struct sockaddr_in6 sin6;

	if (len >= sizeof sin && sa->sa_family == AF_INET) {
		memcpy(&sin, sa, sizeof sin);
		e.addr.family = IP_V4;
		memcpy(e.addr.b, &sin.sin_addr, 4);
		e.port = ntohs(sin.sin_port);
	} else if (len >= sizeof sin6 && sa->sa_family == AF_INET6) {
		memcpy(&sin6, sa, sizeof sin6);
		e.addr.family = IP_V6;
		memcpy(e.addr.b, &sin6.sin6_addr, 16);
		e.port = ntohs(sin6.sin6_port);
		e.scope_id = sin6.sin6_scope_id;
	} else {
		return false;
	}
	endpoint_normalise(&e);
	*out = e;
	return true;
}
