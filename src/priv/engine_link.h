/* engine_link.h - what an engine without rights asks its keeper for, and what the keeper does.
 *
 * Requests are a fixed table: UDP sockets on a port, a firewall mark on those, the length of the kernel's
 * packets for its interface, and the reports that the engine is ready or why not, and that its interface
 * has gone.  The engine waits for each answer; the keeper needs nothing of the
 * engine meanwhile, so neither waits for the other in a circle.
 *
 * The keeper holds the sockets, too: only it may mark them.
 */
#ifndef QANAT_PRIV_ENGINE_LINK_H
#define QANAT_PRIV_ENGINE_LINK_H

#include "io/udp.h"

/* ---- the engine's end: `link` points to the descriptor of its socket ---- */

/* As udp_open. */
MUST_CHECK enum err_code engine_link_sockets(void *link, struct udp **out,
					     const struct udp_options *o, struct err *e);
/* Marks the sockets that were opened last. */
MUST_CHECK enum err_code engine_link_mark(void *link, uint32_t mark, struct err *e);
/* How long the kernel's packets for the engine's interface may be at most (nl_link_set_gso_max). */
MUST_CHECK enum err_code engine_link_super_packet(void *link, uint32_t len, struct err *e);
/* Ready, when rc is ERR_OK; else `why` it will not be. */
MUST_CHECK enum err_code engine_link_report(void *link, enum err_code rc, const struct err *why,
					    struct err *e);

/* Its interface has been deleted: it carries nothing any more, and can still be read. */
MUST_CHECK enum err_code engine_link_gone(void *link, struct err *e);

/* ---- the keeper's ---- */

struct engine_keeper {
	int sock;
	const char
		*ifname; /* the engine's, borrowed; NULL: its packets' length is its own affair */
	struct udp *udp[UDP_PAIRS_MAX]; /* opened last */
	unsigned pairs;
};

enum engine_said { ENGINE_ASKED, ENGINE_READY, ENGINE_FAILED, ENGINE_GONE, ENGINE_CLOSED };

/* Waits for a message and answers it.  *e says why for ENGINE_FAILED and ENGINE_CLOSED. */
enum engine_said engine_keeper_serve(struct engine_keeper *k, struct err *e);
/* Lets go of the sockets that it holds. */
void engine_keeper_done(struct engine_keeper *k);

#endif
