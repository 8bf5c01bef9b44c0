/* uapi_answer.h - what a UAPI daemon answers, line by line, without I/O.
 *
 *   get:  device's lines, then for each peer its lines, beginning with public_key= ... errno=0, ""
 *   set:  errno=N, ""
 *
 * The daemon is a stranger: each value is checked, lines and counts are bounded.  Keys that we do not
 * know are passed over, as newer daemons have more.  Our extensions (docs/protocols/uapi.md) are read
 * where they come.  Inside the room only.
 */
#ifndef QANAT_DEVICE_UAPI_ANSWER_H
#define QANAT_DEVICE_UAPI_ANSWER_H

#include "base/rows.h"
#include "device/device.h"

enum uapi_answer_state {
	UAPI_ANSWER_MORE,
	UAPI_ANSWER_DONE,
	UAPI_ANSWER_BAD, /* it cannot be made sense of: the connection is of no further use */
};

struct uapi_answer {
	struct device_settings settings;
	bool extended; /* it says that it speaks our extensions */
	struct dataplane_status status; /* what an extended summary tells; zero otherwise */
	uint64_t verdicts[WG_VERDICTS]; /* of the peer that fn is called for */
	int number; /* of errno=, without its sign; known when done */
	device_peer_fn *fn; /* NULL: a set's answer, which has no peers */
	void *ctx;
	bool stopped; /* fn wants no more: the rest is read and forgotten */
	bool in_peer, ended;
	size_t peers;
	uint64_t handshake_s, handshake_ns, expires_s, expires_ns; /* of the present peer */
	struct wg_peer_info peer;
	struct rows ips; /* struct ip_prefix, of that peer */
};

void uapi_answer_init(struct uapi_answer *a, device_peer_fn *fn, void *ctx);
void uapi_answer_done(struct uapi_answer *a); /* wipes */
/* One line without its newline. */
MUST_CHECK enum uapi_answer_state uapi_answer_line(struct uapi_answer *a, struct str line,
						   struct err *e);
/* The whole lines at the front of `text`; *used is how much of it they are.  Ends with the answer,
 * whatever follows. */
MUST_CHECK enum uapi_answer_state uapi_answer_text(struct uapi_answer *a, struct str text,
						   size_t *used, struct err *e);

#endif
