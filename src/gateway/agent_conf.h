/* agent_conf.h - the interface's configuration as the agent API reads and writes it: one struct, its
 * JSON, its text, its checks and what differs between two of them.
 */
#ifndef QANAT_GATEWAY_AGENT_CONF_H
#define QANAT_GATEWAY_AGENT_CONF_H

#include "gateway/agent_inside.h"

/* Two of them, one after the other, are one setting of the store. */
#define AGENT_HOOKS_MAX 2040
#define AGENT_TABLE_MAX 15

struct agent_conf {
	struct settings settings; /* of them port, MTU, DNS and, not to be changed, the networks */
	struct secret_key private_key;
	char table[AGENT_TABLE_MAX + 1]; /* "", "auto" or "off" */
	char post_up[AGENT_HOOKS_MAX + 1], pre_down[AGENT_HOOKS_MAX + 1];
};

/* As it is now; wiped by agent_conf_done. */
MUST_CHECK enum err_code agent_conf_load(struct agent_conf *out, struct agent *a, struct err *e);
void agent_conf_done(struct agent_conf *c);

/* Stores what the fields of `body` say into *c, which holds what is kept where they say nothing.
 * False after an answer: 422 for a wrong type, 400 for a value that cannot be. */
bool agent_conf_read(struct http_request *r, struct agent_conf *c, const json_t *body);
/* All that can be known before anything is touched: the port is free, the commands are ones that we
 * run, the key is nobody else's. */
MUST_CHECK enum err_code agent_conf_check(struct agent *a, const struct agent_conf *old,
					  const struct agent_conf *new, struct err *e);

/* {private_key, listen_port, address, post_up, pre_down, mtu, dns, table}; without `secrets` the key
 * is "(hidden)".  New reference; NULL without memory. */
json_t *agent_conf_json(const struct agent_conf *c, bool secrets);
/* [{field, from, to}], of the private key only that it changed. */
json_t *agent_conf_changes(const struct agent_conf *old, const struct agent_conf *new);
/* The file: PrivateKey, ListenPort, Address, MTU, DNS, Table, PostUp, PreDown, a blank line, peers. */
MUST_CHECK enum err_code agent_conf_text(struct buf *out, struct agent *a,
					 const struct agent_conf *c, struct err *e);

/* Writes what differs, in a transaction of the caller's. */
MUST_CHECK enum err_code agent_conf_store(struct agent *a, const struct agent_conf *old,
					  const struct agent_conf *new, struct err *e);

/* Names of settings of the store. */
#define AGENT_POST_UP "agent.post_up"
#define AGENT_PRE_DOWN "agent.pre_down"
#define AGENT_TABLE "agent.table"
#define AGENT_DISABLED "agent.disabled"
/* PreDown commands of whatever PostUp may have done and nobody has undone. */
#define AGENT_HOOKS_LIVE "agent.hooks_live"

/* A setting that may be missing: then empty.  ERR_CORRUPT when it is longer than out[cap] takes. */
MUST_CHECK enum err_code agent_setting(struct store *s, const char *name, char *out, size_t cap,
				       struct err *e);

#endif
