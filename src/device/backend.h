/* backend.h - the table of operations that each kind of device fills.  Inside the room only. */
#ifndef QANAT_DEVICE_BACKEND_H
#define QANAT_DEVICE_BACKEND_H

#include "device/device.h"

/* How allowed IPs are taken away one by one (see removal.h). */
enum removal {
	REMOVAL_UNKNOWN, /* to be tried out */
	REMOVAL_NATIVE, /* it knows `remove` */
	REMOVAL_BY_STRAY, /* it does not */
};

/* The contracts are those of device.h; all members are there unless NULL is allowed here. */
struct device_ops {
	enum device_kind kind;
	void (*close)(struct device *d);
	enum err_code (*remove)(struct device *d, struct err *e); /* NULL: not ours */
	int (*gone_fd)(struct device *d); /* NULL: none */
	enum err_code (*alive)(struct device *d, struct err *e);
	enum err_code (*status)(struct device *d, struct dataplane_status *out, struct err *e);
	enum err_code (*settings)(struct device *d, struct device_settings *out, struct err *e);
	enum err_code (*set)(struct device *d, const struct device_change *c, struct err *e);
	/* *done: so many, from the first on, were carried out for certain. */
	enum err_code (*change_peers)(struct device *d, const struct wg_peer_change *c, size_t n,
				      size_t *done, struct err *e);
	enum err_code (*remove_peers)(struct device *d, struct err *e);
	enum err_code (*stop)(struct device *d, struct err *e); /* NULL: it goes on */
	/* NULL: by a walk */
	enum err_code (*peer)(struct device *d, const struct public_key *k,
			      struct wg_peer_info *out, uint64_t verdicts[WG_VERDICTS],
			      struct err *e);
	/* `own` (may be NULL): the settings at the same time, since most kinds read both in one. */
	enum err_code (*walk)(struct device *d, device_peer_fn *fn, void *ctx,
			      struct device_settings *own, struct err *e);
};

/* What all kinds begin with. */
struct device {
	const struct device_ops *ops;
	unsigned can;
	enum removal removal;
	char ifname[16]; /* "" unknown */
};

/* "peer AbCdEfGh", as much of a key as one reads out: for messages. */
#define DEVICE_PEER_TEXT_MAX 24
void device_peer_text(char out[DEVICE_PEER_TEXT_MAX], const struct public_key *k);

/* Refuses what no device takes, or takes for something else; names the peer. */
MUST_CHECK enum err_code device_changes_check(const struct device *d,
					      const struct wg_peer_change *c, size_t n,
					      struct err *e);

#endif
