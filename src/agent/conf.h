/* conf.h - an interface's configuration as the agent API reads and writes it: one struct, its
 * JSON, its text, its checks and what differs between two of them.
 */
#ifndef QANAT_AGENT_CONF_H
#define QANAT_AGENT_CONF_H

#include "tunnels/commands.h"
#include "agent/inside.h"

#define AGENT_TABLE_MAX 15
#define AGENT_ADDRESSES_MAX 8

struct agent_conf {
	char ifname[16];
	struct secret_key private_key;
	uint16_t port, mtu;
	struct ip_prefix addresses[AGENT_ADDRESSES_MAX]; /* of the interface */
	size_t address_count;
	struct ip_addr dns[2]; /* family IP_NONE: none */
	char table[AGENT_TABLE_MAX + 1]; /* "", "auto" or "off" */
	char post_up[COMMANDS_MAX + 1], pre_down[COMMANDS_MAX + 1];
};

struct agent_iface;

/* Wipes it. */
void agent_conf_done(struct agent_conf *c);

/* Stores what the fields of `body` say into *c, which holds what is kept where they say nothing.
 * False after an answer: 422 for a wrong type, 400 for a value that cannot be. */
bool agent_conf_read(struct http_request *r, const struct agent_iface *i, struct agent_conf *c,
		     const json_t *body);
/* All that can be known before anything is touched: the port is free, the commands are ones that we
 * run, and what the kind of interface demands. */
MUST_CHECK enum err_code agent_conf_check(const struct agent_iface *i, const struct agent_conf *old,
					  const struct agent_conf *new, struct err *e);

/* {private_key, listen_port, address, post_up, pre_down, mtu, dns, table}; without `secrets` the key
 * is "(hidden)".  New reference; NULL without memory. */
json_t *agent_conf_json(const struct agent_conf *c, bool secrets);
/* [{field, from, to}], of the private key only that it changed. */
json_t *agent_conf_changes(const struct agent_conf *old, const struct agent_conf *new);
bool agent_addresses_same(const struct agent_conf *a, const struct agent_conf *b);
/* The file: PrivateKey, ListenPort, Address, MTU, DNS, Table, PostUp, PreDown, a blank line, peers. */
MUST_CHECK enum err_code agent_conf_text(struct buf *out, const struct agent_iface *i,
					 const struct agent_conf *c, struct err *e);
/* A peer's section of it, begun by `name` as a comment (NULL: none). */
void agent_peer_text(struct buf *out, const char *name, const struct public_key *k,
		     const struct psk *psk, const struct ip_prefix *ips, size_t n,
		     uint16_t keepalive_s);

/* Nobody has the UDP port, of any address; else ERR_IN_USE. */
MUST_CHECK enum err_code agent_port_free(uint16_t port, struct err *e);

#endif
