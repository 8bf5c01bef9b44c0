/* uapi_dump.h - the answer to `get`, in pieces: where a dump stands between two looks at the device.
 *
 * Between pieces the device is not locked and peers come and go.  Each peer that is there all the
 * time is written once; one that is removed and added again meanwhile may be written twice, and
 * when a whole row of peers vanishes at the place where the dump stands, it begins again.
 * Inside the room only.
 */
#ifndef QANAT_DEVICE_UAPI_DUMP_H
#define QANAT_DEVICE_UAPI_DUMP_H

#include "dataplane/dataplane.h"

/* As many peers in a row may vanish between two pieces before the dump has to begin again. */
#define UAPI_DUMP_RECENT 16
#define UAPI_DUMP_RESTARTS_MAX 8

struct uapi_dump {
	struct public_key recent[UAPI_DUMP_RECENT]; /* a ring: peer number n is at n % size */
	uint64_t peers; /* begun so far */
	bool inside; /* the newest has allowed IPs left */
	size_t next_ip; /* of it */
	unsigned restarts;
	bool extensions; /* with what only we have */
};

enum uapi_dump_state {
	UAPI_DUMP_MORE,
	UAPI_DUMP_DONE,
	UAPI_DUMP_LOST, /* the peers change faster than they are read */
	UAPI_DUMP_NONE, /* no such peer */
};

/* Appends lines of further peers until `out` holds about `room` bytes. */
enum uapi_dump_state uapi_dump_peers(struct uapi_dump *g, const struct wg_device *d,
				     struct buf *out, size_t room);
/* The same of the one peer `k`, from a dump that is zero but for `extensions`. */
enum uapi_dump_state uapi_dump_peer(struct uapi_dump *g, const struct wg_device *d,
				    const struct public_key *k, struct buf *out, size_t room);
/* What a summary tells of the device beside its settings. */
void uapi_dump_status(struct buf *out, const struct dataplane_status *s);

#endif
