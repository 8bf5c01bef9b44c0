/* message.h - netlink messages as bytes: what the kernel sends, parsed without I/O.
 *
 * Layout of RFC 3549 and netlink(7): a datagram is a row of messages, each a 16-byte header, a
 * fixed part that its type decides, and attributes (length, type, value) aligned to 4 bytes.
 * Numbers are in host order, but big-endian within nftables.  A parser here never reads past its message and treats attributes
 * that it does not know, or that are too short for their kind, as absent.
 */
#ifndef QANAT_NL_MESSAGE_H
#define QANAT_NL_MESSAGE_H

#include "base/bytes.h"
#include "nl/rtnl.h"

struct nl_message {
	uint16_t type; /* NLMSG_ERROR, RTM_NEWLINK ... */
	uint16_t flags; /* NLM_F_MULTI, NLM_F_DUMP_INTR ... */
	uint32_t seq;
	uint32_t portid;
	struct rd body; /* after the header */
};

/* Takes the next message off the datagram; false at its end or at bytes that are none. */
bool nl_message_next(struct rd *datagram, struct nl_message *m);

/* ---- what the parsers of all families share ---- */

/* Takes the next attribute off a row of them; its value may be such a row again. */
bool nl_attr_next(struct rd *r, uint16_t *type, struct rd *value);
/* Number of a 4-byte attribute; false when it is shorter, and *out stays. */
bool nl_attr_u32(struct rd value, uint32_t *out);
/* Text up to its NUL, or to the attribute's end. */
struct str nl_attr_text(struct rd value);
uint16_t nl_rd_u16(struct rd *r);

/* ---- messages ---- */

/* An acknowledgement or error (NLMSG_ERROR), or the end of a dump (NLMSG_DONE): `*sys` is 0 or
 * a positive errno, `*why` the kernel's explanation or empty; it points into the message. */
MUST_CHECK bool nl_parse_result(const struct nl_message *m, int *sys, struct str *why);

/* Where a deleted link went, if it was only moved to another namespace. */
struct nl_move {
	bool moved;
	int32_t nsid; /* the namespace's number in the one where the report was made */
	uint32_t index; /* its index there */
};

/* RTM_NEWLINK and RTM_DELLINK.  False for bridge port reports, which use the same types but are
 * not about the link's life.  `move` may be NULL. */
MUST_CHECK bool nl_parse_link(const struct nl_message *m, struct nl_link *out,
			      struct nl_move *move);
/* RTM_NEWADDR and RTM_DELADDR of IPv4 and IPv6. */
MUST_CHECK bool nl_parse_address(const struct nl_message *m, struct nl_address *out);
/* RTM_NEWROUTE and RTM_DELROUTE of IPv4 and IPv6. */
MUST_CHECK bool nl_parse_route(const struct nl_message *m, struct nl_route *out);
/* RTM_NEWRULE and RTM_DELRULE of IPv4 and IPv6. */
MUST_CHECK bool nl_parse_rule(const struct nl_message *m, struct nl_rule *out);

/* A report of nftables (NFNLGRP_NFTABLES). */
struct nl_nft_report {
	/* The end of a transaction (NFT_MSG_NEWGEN): its number and who made it; else about a
	 * table or something in it. */
	bool is_end;
	uint32_t generation;
	uint32_t pid;
	char program[16]; /* "" when an old kernel does not say */
	uint8_t family; /* NFPROTO_INET 1 ... */
	struct str table; /* points into the message */
};
/* False for what is neither. */
MUST_CHECK bool nl_parse_nft(const struct nl_message *m, struct nl_nft_report *out);

#endif
