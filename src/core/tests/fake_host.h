/* fake_host.h - a gateway for tests: a real store in a directory of its own, and a device that is
 * a table of peers, whose changes can be made to fail.
 */
#ifndef QANAT_CORE_TESTS_FAKE_HOST_H
#define QANAT_CORE_TESTS_FAKE_HOST_H

#include "core/core.h"

#define FAKE_PEERS_MAX 512
#define FAKE_NOW_NS (1769767200LL * NS_PER_S) /* 2026-01-30T10:00:00 */

struct fake_peer {
	struct wg_peer_info info;
	struct ip_prefix allowed[2];
	size_t allowed_count;
	uint64_t drops[WG_VERDICTS];
};

struct fake_host {
	struct core core;
	struct fake_peer peers[FAKE_PEERS_MAX];
	size_t peer_count;
	unsigned change_calls, change_fails_at; /* 0: never */
	unsigned applied;
	bool apply_fails;
	unsigned apply_fails_at; /* which call; 0: none */
	struct ip_prefix network; /* as last applied */
	struct public_key device_key;
	uint16_t device_port;
	bool has_default_route;
	bool is_down; /* the interface */
	uint64_t bad_mac1;
	int64_t now_ns; /* moves on by a second with each change */
	char dir[128];
};

/* False when there is no place for a directory or the store does not open. */
bool fake_host_open(struct fake_host *h, const struct settings_given *given);
/* Closes the store and opens it again: what is durable. */
bool fake_host_reopen(struct fake_host *h);
void fake_host_close(struct fake_host *h);

struct fake_peer *fake_host_peer(struct fake_host *h, const struct public_key *k);
/* One request in the form of a line; the envelope, or NULL when there was no answer. */
json_t *fake_host_ask(struct fake_host *h, const char *line);

#endif
