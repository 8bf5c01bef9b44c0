/* device.h - a WireGuard device behind one table of operations, whoever carries its packets.
 *
 * Three kinds: our engine in this process (dataplane/), the kernel's driver through generic
 * netlink (nl/wireguard.h), and any daemon that speaks the UAPI text protocol on a UNIX socket:
 * qanat-wg, wireguard-go, an engine of ours in a process of its own.  Callers see no difference
 * but in `can`, and in what a change costs.
 *
 * Errors name the interface or the peer (the first characters of its key) and the cause.  Calls
 * block, at most for the time-out of each answer; one device belongs to one thread at a time.
 * What the other side says is never trusted: answers are bounded and checked like a stranger's.
 *
 * Never: logs, decides what should be configured, touches another interface than its own.
 */
#ifndef QANAT_DEVICE_DEVICE_H
#define QANAT_DEVICE_DEVICE_H

#include "dataplane/dataplane.h"

enum device_kind { DEVICE_AUTO, DEVICE_ENGINE, DEVICE_KERNEL, DEVICE_UAPI };

/* What not every kind can do. */
enum device_can {
	DEVICE_CAN_DROPS = 1, /* counts dropped packets by reason */
	DEVICE_CAN_LIMITS = 2, /* rates and quotas of peers */
	DEVICE_CAN_SERVE_UAPI = 4, /* is in this process, and needs somebody to answer wg(8) */
	DEVICE_CAN_DELETE = 8, /* the interface is ours to delete */
};

struct device;

/* ---- which kind ---- */

/* What a person asks for: "auto", "engine", "kernel" or "uapi:/path/to/socket". */
struct device_choice {
	enum device_kind kind;
	const char *path; /* of the socket, borrowed from the text; NULL for the others */
};
MUST_CHECK enum err_code device_choice_parse(struct device_choice *out, const char *text,
					     struct err *e);
/* The interface whose daemon's socket is at `path`: wg0 of "/run/wireguard/wg0.sock"; empty where the name
 * says none. */
struct str device_socket_ifname(const char *path);
/* "engine", "kernel", "uapi", "auto". */
const char *device_kind_name(enum device_kind kind);
/* The kind that "auto" means here: the kernel's when it has the driver and all of `needs` (bits of
 * enum device_can) are within its power, else the engine. */
enum device_kind device_choose(unsigned needs);
/* ERR_UNSUPPORTED when this kernel has no WireGuard (its module is loaded if need be). */
MUST_CHECK enum err_code device_kernel_probe(struct err *e);

/* ---- opening and closing ---- */

/* The engine: makes interface, sockets and threads; all ends with device_close. */
MUST_CHECK enum err_code device_open_engine(struct device **out, const struct dataplane_config *c,
					    struct err *e);

enum device_existing {
	DEVICE_MUST_BE_NEW, /* ERR_EXISTS when the interface is there */
	DEVICE_MAY_EXIST, /* taken as it is, when it is of the kernel's kind; else made */
	DEVICE_MUST_EXIST, /* ERR_NOT_FOUND otherwise */
};

struct device_kernel_config {
	const char *ifname;
	enum device_existing existing;
	uint16_t mtu; /* of one that is made; 0: the kernel's choice */
};
/* The interface stays when the device is closed; device_delete removes it. */
MUST_CHECK enum err_code device_open_kernel(struct device **out,
					    const struct device_kernel_config *c, struct err *e);

/* Makes a connection where the caller's rights do not reach. */
struct device_dial {
	/* *fd: a connected stream socket, given away. */
	enum err_code (*connect)(void *ctx, int *fd, struct err *e);
	void *ctx;
};

struct device_uapi_config {
	const char *path; /* of the socket; connected again after the daemon has closed */
	struct device_dial dial; /* instead of a path; connect NULL: not */
	int fd; /* without either: a connected stream socket, taken over (also on failure) */
	const char *ifname; /* NULL: from the path, when it is NAME.sock */
	unsigned timeout_ms; /* of silence in an answer; 0: DEVICE_UAPI_TIMEOUT_MS */
	/* With `fd`: the other side is ours.  At a path that is found out by a question that foreign
	 * daemons refuse; since they close then, it is not put where no new connection can be had. */
	bool extensions;
};
#define DEVICE_UAPI_TIMEOUT_MS 10000
/* Connects and asks once, so that a wrong socket is refused here.  With DEVICE_CAN_DROPS and
 * DEVICE_CAN_LIMITS when the daemon is one of ours. */
MUST_CHECK enum err_code device_open_uapi(struct device **out, const struct device_uapi_config *c,
					  struct err *e);

/* Lets go of it.  The engine ends; others go on as they are. */
void device_close(struct device *d);
/* Closes it and removes the interface; ERR_UNSUPPORTED (and closed) without DEVICE_CAN_DELETE.
 * An interface that has gone already is no error. */
enum err_code device_delete(struct device *d, struct err *e);

/* ---- about it ---- */

enum device_kind device_kind(const struct device *d);
unsigned device_can(const struct device *d); /* enum device_can bits */
const char *device_ifname(const struct device *d); /* "" when unknown */
/* The engine itself, for whoever serves UAPI from it; NULL for other kinds. */
struct dataplane *device_engine(struct device *d);
/* Readable once the interface has gone; -1 for kinds that must be asked with device_alive. */
int device_gone_fd(struct device *d);
/* ERR_NOT_FOUND or ERR_CLOSED once the interface or its daemon has gone.  Cheap. */
MUST_CHECK enum err_code device_alive(struct device *d, struct err *e);

/* What the kind does not know is zero: the index of an interface in another namespace, workers and
 * offloads of others than our engine, `verdicts` without DEVICE_CAN_DROPS. */
MUST_CHECK enum err_code device_status(struct device *d, struct dataplane_status *out,
				       struct err *e);

/* ---- the device's own settings ---- */

struct device_settings {
	struct secret_key private_key; /* zero: none */
	uint16_t listen_port;
	uint32_t fwmark;
};
/* The caller wipes *out. */
MUST_CHECK enum err_code device_settings(struct device *d, struct device_settings *out,
					 struct err *e);

struct device_change {
	bool has_private_key, has_listen_port, has_fwmark;
	struct device_settings to;
};
/* Changes what is marked, in the order private key, port, mark; stops at the first failure. */
MUST_CHECK enum err_code device_set(struct device *d, const struct device_change *c, struct err *e);

/* ---- peers ---- */

/* Allowed IPs of one peer, in one change and in one answer. */
#define DEVICE_ALLOWED_IPS_MAX (1u << 20)

/* Carries out `n` changes in their order.  What no device could take (a prefix that is none, too
 * many peers) is found before anything is changed.  A change that fails later is named, those
 * before it stay, none after it is made: setting all of them again is always safe.
 *
 * Limits are refused without DEVICE_CAN_LIMITS, unless they say "none".
 *
 * To take away an allowed IP (`remove` in it) costs a reading of the peers where the device's
 * version knows no such request; nobody else's allowed IPs are interrupted by it. */
MUST_CHECK enum err_code device_change_peers(struct device *d, const struct wg_peer_change *c,
					     size_t n, struct err *e);

struct device_sync_result {
	size_t added, changed, removed, unchanged; /* peers */
};
/* Makes the peers those of `want` by the smallest change: a peer that is as it should be is not
 * touched, nor are allowed IPs, keys and endpoints that stay.  Each entry is a peer as a whole: its
 * allowed IPs are all it has, no PSK means none, no keepalive means off; only an endpoint and
 * limits that are not given stay what they are, and what was used of a quota counts for new peers alone.  The flags of a change (remove, update_only ...) must not be set.
 * An allowed IP that two entries name belongs to the later, as when they are set in turn.
 * `own` (may be NULL): settings of the device, changed first where they differ.
 * `out` (may be NULL) is written on success. */
MUST_CHECK enum err_code device_sync(struct device *d, const struct device_change *own,
				     const struct wg_peer_change *want, size_t n,
				     struct device_sync_result *out, struct err *e);
/* No packet passes any more, and what was counted stays: the last readings are the last.  What is left to do
 * is to read and to close.  Nothing for kinds that go on without us. */
MUST_CHECK enum err_code device_stop(struct device *d, struct err *e);
/* Removes all peers. */
MUST_CHECK enum err_code device_remove_peers(struct device *d, struct err *e);

/* ERR_NOT_FOUND without such a peer.  `verdicts` (may be NULL): zero without DEVICE_CAN_DROPS.
 * The caller wipes out->psk.  Only our engine, here or behind a socket, finds one peer without
 * reading all: who wants many walks, or takes a struct device_view. */
MUST_CHECK enum err_code device_peer(struct device *d, const struct public_key *k,
				     struct wg_peer_info *out, uint64_t verdicts[WG_VERDICTS],
				     struct err *e);

/* One peer of a walk; `ips` has info->allowed_ip_count elements and lives as long as the call. */
typedef bool device_peer_fn(void *ctx, const struct wg_peer_info *info,
			    const struct ip_prefix *ips);
/* Calls fn for each peer until it returns false; the device is not locked meanwhile, but fn must
 * not call it, and be quick.  The engine's and a daemon's peers come as they are read: on an error fn has seen
 * only some.  The kernel's come after all were read, since a list that changes under the reader
 * is read again. */
MUST_CHECK enum err_code device_walk(struct device *d, device_peer_fn *fn, void *ctx,
				     struct err *e);

/* ---- all peers at one moment ---- */

/* A copy of the peers without their PSKs, for look-ups. */
struct device_view;
MUST_CHECK enum err_code device_view_new(struct device_view **out, struct device *d, struct err *e);
void device_view_free(struct device_view *v);
/* NULL: no such peer. */
const struct wg_peer_info *device_view_find(const struct device_view *v,
					    const struct public_key *k);
/* Pages: the peer number `i` in order of keys; NULL past the end. */
const struct wg_peer_info *device_view_at(const struct device_view *v, size_t i);

#endif
