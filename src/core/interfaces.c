#include "core/interfaces.h"

#include <errno.h>
#include <ifaddrs.h>
#include <string.h>

/* Ones of a netmask, which the kernel keeps contiguous. */
static uint8_t mask_len(const struct ip_addr *mask)
{
	unsigned n = 0;

	for (size_t i = 0; i < sizeof mask->b; i++)
		n += (unsigned)__builtin_popcount(mask->b[i]);
	return (uint8_t)n;
}

static bool address_of(struct ip_addr *out, const struct sockaddr *sa)
{
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;

	if (!sa)
		return false;
	if (sa->sa_family == AF_INET) {
		uint8_t b[4];

		memcpy(&v4, sa, sizeof v4);
		memcpy(b, &v4.sin_addr, sizeof b);
		*out = ip_v4(b);
		return true;
	}
	if (sa->sa_family != AF_INET6)
		return false;
	memcpy(&v6, sa, sizeof v6);
	*out = ip_v6(v6.sin6_addr.s6_addr);
	return true;
}

enum err_code interfaces_walk(interface_fn *fn, void *arg, struct err *e)
{
	struct ifaddrs *all = NULL;
	struct ip_prefix p;
	struct ip_addr mask;

	if (getifaddrs(&all) < 0)
		return err_sys(e, errno, "read the addresses of this host's interfaces");
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!address_of(&p.addr, i->ifa_addr) || !address_of(&mask, i->ifa_netmask))
			continue;
		p.len = mask_len(&mask);
		if (!fn(arg, i->ifa_name, &p))
			break;
	}
	freeifaddrs(all);
	return ERR_OK;
}

/* Each has an entry without an address of a network, too. */
enum err_code interfaces_have(const char *ifname, bool *out, struct err *e)
{
	struct ifaddrs *all = NULL;

	if (getifaddrs(&all) < 0)
		return err_sys(e, errno, "read the names of this host's interfaces");
	*out = false;
	for (const struct ifaddrs *i = all; i && !*out; i = i->ifa_next)
		*out = strcmp(i->ifa_name, ifname) == 0;
	freeifaddrs(all);
	return ERR_OK;
}
