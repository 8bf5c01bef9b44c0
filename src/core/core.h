/* core.h - the modules "core" and "dns" of one gateway: clients, status, settings, network.
 *
 * Names, fields and their order: reference 000, details 1.2; what is ours beyond it is in
 * docs/protocols/control.md.  A change spans store and device: it is inserted, made live, then
 * committed, and whatever fails takes back what went before, so that an answer of success means
 * both and an error means neither.  One thread.
 */
#ifndef QANAT_CORE_CORE_H
#define QANAT_CORE_CORE_H

#include "api/control.h"
#include "base/list.h"
#include "dataplane/dataplane.h"
#include "core/network.h"
#include "core/settings.h"
#include "core/texts.h"

struct core_later;
struct tunnels;

/* What core asks of the running gateway; tests put something simpler in its place. */
struct core_host {
	void *ctx;
	enum err_code (*change_peer)(void *ctx, const struct wg_peer_change *c, struct err *e);
	/* False when there is no such peer. */
	bool (*peer)(void *ctx, const struct public_key *k, struct wg_peer_info *out);
	void (*status)(void *ctx, struct dataplane_status *out);
	/* Calls fn(arg, key) for each live peer until it returns false; fn changes no peer. */
	void (*walk)(void *ctx, bool (*fn)(void *arg, const struct public_key *k), void *arg);
	/* Makes the host's network as it should be, again. */
	enum err_code (*apply)(void *ctx, struct err *e);
	bool (*firewall_active)(void *ctx);
	/* The source address of the default route; ERR_NOT_FOUND. */
	enum err_code (*default_source)(void *ctx, struct ip_addr *out, struct err *e);
	int64_t (*wall_ns)(void *ctx);
	/* Why packets of a peer went no further; false when there is no such peer.  NULL: the device
	 * does not count that. */
	bool (*drops)(void *ctx, const struct public_key *k, uint64_t verdicts[WG_VERDICTS]);
	/* Calls fn for each address of the host's interfaces, and for those that further interfaces will have
	 * when they go up, until it returns false. */
	enum err_code (*interfaces)(void *ctx,
				    bool (*fn)(void *arg, const char *ifname,
					       const struct ip_prefix *address),
				    void *arg, struct err *e);
	/* Makes the live device that of another server. */
	enum err_code (*set_server)(void *ctx, const struct secret_key *k, uint16_t port,
				    struct err *e);
	/* Starts the program anew, soon.  `asker` (copied; NULL: nobody) is answered by the new one,
	 * by core_restarted_line.  False when that is under way already.  NULL: it cannot be. */
	bool (*restart)(void *ctx, const struct core_later *asker);
	/* The host's network against what it should be, and put right when `repair`; as net_check and
	 * net_repair.  NULL, as the next: it is not in our care. */
	enum err_code (*net_compare)(void *ctx, bool repair, net_difference_fn *fn, void *arg,
				     struct err *e);
	void (*net_status)(void *ctx, struct network_status *out);
	/* Many at once, as device_change_peers: those before one that fails are made. */
	enum err_code (*change_peers)(void *ctx, const struct wg_peer_change *c, size_t n,
				      struct err *e);
	/* As device_walk: fn(arg, peer, its allowed IPs) for each until it returns false. */
	enum err_code (*walk_peers)(void *ctx,
				    bool (*fn)(void *arg, const struct wg_peer_info *p,
					       const struct ip_prefix *ips),
				    void *arg, struct err *e);
	/* The HTTPS listeners, as https_server_json.  NULL: there are none. */
	json_t *(*https)(void *ctx);
	/* Runs commands for the interface, as helper_hooks. */
	enum err_code (*hooks)(void *ctx, const char *ifname, const char *text, bool goes_on,
			       struct err *e);
	/* Opens the certificate of the command line or of the state directory, or its key, as
	 * helper_open_tls.  NULL: who has the rights for it. */
	enum err_code (*open_tls)(void *ctx, bool is_key, int *out, struct err *e);
	/* Opens a file of an existing installation, as helper_open_file. */
	enum err_code (*open_file)(void *ctx, const char *path, const char *name, int *out,
				   struct err *e);
};

/* Where the answer to a request goes that takes time; embedded in its owner. */
struct core_reply {
	/* Takes the envelope over (NULL: no memory for it), once; `r` is not touched afterwards. */
	void (*send)(struct core_reply *r, json_t *envelope);
	/* Instead of `send`: the descriptor that the answer's line goes to once this program has been
	 * replaced, given away; -1: there is none any more.  NULL: it cannot be. */
	int (*hand_over)(struct core_reply *r);
};

/* An action under way; kept by whoever answers it. */
struct core_later {
	struct core *core;
	const struct action *action;
	struct core_reply *reply;
};

struct log_ring;

struct core {
	struct store *store; /* borrowed */
	struct settings settings;
	struct public_key server_key;
	const char *state_dir; /* borrowed */
	int64_t started_ns; /* wall clock */
	int service_pid; /* of the process that was started; 0: this one */
	struct core_host host;
	const char *backend; /* the name of the device's kind; NULL: nothing runs */
	bool calling; /* core_restore_peers calls; ends with core_call_end */
	struct loop *loop; /* borrowed; of what is answered later */
	struct list dns_calls; /* of module dns, under way */
	struct core_later now; /* of the request being carried out; reply NULL: nobody waits */
	struct log_ring *logs; /* borrowed; NULL: none are kept */
	bool is_disabled; /* the agent API has taken the interface down */
	const struct settings_given *given; /* options of this run, borrowed */
	struct tunnels *tunnels; /* borrowed; the further interfaces; NULL: they are not served */
	struct str network_given; /* the option --network of this run, borrowed; p NULL: none */
};

#define CORE_SERVER_KEY "server/private_key" /* of the store's secrets */

/* Makes the live peers those of the store: unknown ones go, all others are set again.  Sessions
 * go on, and peers that are nowhere yet begin where they were last seen; while c->calling, those of
 * clients that were connected shortly before are called: the interface goes up, and they are sent a
 * handshake.  At start, and after add_client when restart_service_after_client_creation is on. */
MUST_CHECK enum err_code core_restore_peers(struct core *c, struct err *e);

/* Stores where the clients are now, those that have moved, in one transaction: the peers that
 * core_restore_peers makes in the next run begin there. */
MUST_CHECK enum err_code core_save_endpoints(struct core *c, struct err *e);

/* Stores what clients have used of their quotas, where that has changed, in one transaction. */
MUST_CHECK enum err_code core_save_usage(struct core *c, struct err *e);

/* Ends the calling, some seconds after the interface has gone up. */
MUST_CHECK enum err_code core_call_end(struct core *c, struct err *e);
#define CORE_CALL_S 25 /* as a keepalive: longer than a call, so that there is only one */

/* Answers one request: the envelope, or NULL without memory, or NULL and *is_later when `reply` will
 * get it.  Without a reply (both NULL), what would take time is refused with SERVICE_ERROR. */
json_t *core_dispatch(struct core *c, struct str module, struct str action, json_t *params,
		      struct core_reply *reply, bool *is_later);
/* The same from a line of JSON to a line of JSON with its newline; false without memory. */
MUST_CHECK bool core_answer_line(struct core *c, struct str line, struct core_reply *reply,
				 bool *is_later, struct buf *out);
/* The line of an envelope, which is taken over; false without memory. */
MUST_CHECK bool core_envelope_line(json_t *envelope, struct buf *out);
/* Answers what is under way, with SERVICE_ERROR; before the loop and the store are closed. */
void core_cancel(struct core *c);

/* The answers of restart_service as lines: by the program that was started, and by one that did not
 * come up. */
MUST_CHECK bool core_restarted_line(struct core *c, struct buf *out);
MUST_CHECK bool core_restart_failed_line(int64_t wall_ns, const struct err *why, struct buf *out);

/* A failure that belongs to no request, as a line: VALIDATION_ERROR with `why`. */
MUST_CHECK bool core_refuse_line(int64_t wall_ns, const char *why, struct buf *out);

/* ---- the actions; `params` is checked and complete.  They set *data (a new reference) or fill
 * `e`, which says nothing of secrets. ---- */
enum api_code core_add_client(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_remove_client(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_list_clients(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_latest_clients(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_export_client(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_set_client_limits(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_client_limits(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_client_why(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_server_status(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_get_tweak_settings(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_update_tweak_setting(struct core *c, json_t *params, json_t **data,
					struct err *e);
enum api_code core_net_diff(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_net_repair(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_net_status(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_service_logs(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_restart_service(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_get_firewall_status(struct core *c, json_t *params, json_t **data,
				       struct err *e);
enum api_code core_get_subnet_info(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_validate_subnet_change(struct core *c, json_t *params, json_t **data,
					  struct err *e);
enum api_code core_change_subnet(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_import_installation(struct core *c, json_t *params, json_t **data,
				       struct err *e);
enum api_code core_show_file(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_change_dns_servers(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_test_dns_servers(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_dns_status(struct core *c, json_t *params, json_t **data, struct err *e);
enum api_code core_get_dns_servers(struct core *c, json_t *params, json_t **data, struct err *e);

/* ---- what the files of the module share ---- */

/* An action returns it when it has taken core_later and will call core_later_answer. */
#define CORE_LATER API_CODES
/* The request being carried out, to be answered later; false, with the reason, when nobody would be
 * there to hear it. */
MUST_CHECK bool core_later(struct core *c, struct core_later *out, struct err *e);
/* Takes `data` (NULL unless API_OK) over. */
void core_later_answer(const struct core_later *l, enum api_code code, json_t *data,
		       const struct err *e);

/* A client is connected when its last handshake is younger (details 6: 180 s everywhere). */
#define CORE_CONNECTED_NS WG_CONNECTED_NS
/* What the live device knows of a client, *info zeroed when it has no such peer; true when the
 * client is connected. */
bool core_connected(struct core *c, const struct client *client, struct wg_peer_info *info);
/* Text of the time since the peer's last handshake, "never" without one. */
void core_handshake_text(char out[GATEWAY_TEXT_MAX], struct core *c,
			 const struct wg_peer_info *info);
/* Makes the change of a restored peer a call, if it is one of those. */
void core_call(struct core *c, const struct client *client, struct wg_peer_change *p);
/* The way out: {interface, ip, network}, null where there is no default route. */
json_t *core_uplink_json(struct core *c);
/* {primary, secondary}, null where none is set. */
json_t *core_dns_servers_json(const struct settings *s);
/* core_cancel for module dns. */
void core_dns_cancel(struct core *c);
/* Limits of a client as the device takes them; `restart`: its use of the quota is what was stored,
 * as the device knows nothing newer. */
struct wg_limits_change core_limits_of(const struct client *client, bool restart);
/* {rate_up, rate_down, quota, quota_used, quota_left, expires, expired, ...}; of a client without limits
 * all are null.  New reference; NULL without memory. */
json_t *core_limits_json(struct core *c, const struct client *client,
			 const struct wg_peer_info *live);
bool core_has_limits(const struct client *client);
/* Puts what the client has used until now in place of what was stored. */
void core_used_now(struct core *c, struct client *client);
/* The code of a failure of the store or the device. */
enum api_code core_code_of(enum err_code rc);
/* Gives the client the lowest free addresses, of the same number in both families.
 * API_IP_ALLOCATION_ERROR when there are none. */
enum api_code core_choose_addresses(struct core *c, struct client *client, struct err *e);
/* The peer of a client; `allowed` is kept by the caller for as long as the change. */
struct wg_peer_change core_peer_of(const struct client *client, struct wg_allowed_ip allowed[2]);

#endif
