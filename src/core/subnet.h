/* subnet.h - is a network fit to take the place of the clients' network?
 *
 * The checks of validate_subnet_change (details 1.2), each with its own result; what they refuse is
 * listed in words.  Pure but for the interfaces, which are walked by the caller's function.
 */
#ifndef QANAT_CORE_SUBNET_H
#define QANAT_CORE_SUBNET_H

#include <jansson.h>

#include "core/settings.h"

#define SUBNET_LEN_MAX 28 /* the smallest with 8 addresses for hosts */
#define SUBNET_USABLE_MIN 8

struct subnet_check {
	struct ip_prefix wanted; /* family IP_NONE: it could not be read */
	json_t *checks; /* {"subnet_size": {...}, ...} */
	json_t *errors, *warnings; /* lists of sentences */
};

/* What the checks need to know of the gateway. */
struct subnet_facts {
	struct ip_prefix current;
	const char *ifname; /* our own, which does not count as a conflict */
	uint64_t clients, connected;
	/* Calls fn for each address of the host. */
	enum err_code (*interfaces)(void *ctx,
				    bool (*fn)(void *arg, const char *ifname,
					       const struct ip_prefix *p),
				    void *arg, struct err *e);
	void *ctx;
};

/* All checks of `text`.  ERR_NOMEM, or why the interfaces could not be read; otherwise what is wrong
 * with the network is in `out`. */
MUST_CHECK enum err_code subnet_check(struct subnet_check *out, struct str text,
				      const struct subnet_facts *f, struct err *e);
/* Takes a failed one, and a zeroed one. */
void subnet_check_done(struct subnet_check *c);
bool subnet_check_passed(const struct subnet_check *c);

#endif
