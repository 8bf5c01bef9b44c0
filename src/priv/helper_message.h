/* helper_message.h - the messages between a control process and its helper.  Inside the room only.
 *
 * Plain structs between two processes of one program.  The helper takes none of their fields on trust:
 * helper_request_check holds each to its bounds before it is used.
 */
#ifndef QANAT_PRIV_HELPER_MESSAGE_H
#define QANAT_PRIV_HELPER_MESSAGE_H

#include "priv/helper.h"

enum helper_ask {
	ASK_NET_OPEN = 1,
	ASK_NET_APPLY,
	ASK_NET_UNDO,
	ASK_NET_CHECK,
	ASK_NET_REPAIR,
	ASK_NET_WATCH,
	ASK_NET_DEFAULT_ROUTE,
	ASK_NET_OVERLAP,
	ASK_NET_FIREWALL,
	ASK_HOOKS,
	ASK_OPEN_FILE,
	ASK_OPEN_TLS,
	ASK_DEVICE_OPEN,
	ASK_DEVICE_CLOSE,
	ASK_DAEMON,
	ASK_CONTROL_SOCKET,
	ASK_NOTIFY,
	ASK_END,
	HELPER_ASKS, /* one more than the last */
};

struct helper_request {
	uint32_t ask;
	uint32_t number; /* of a device; enum helper_ending; enum helper_note */
	uint8_t flag; /* 0 or 1: watch, goes_on, removes, listen, is_key */
	uint8_t family;
	char ifname[NET_NAME_MAX];
	union {
		struct net_want want;
		struct ip_prefix prefix;
		char text[HOOKS_TEXT_MAX + 1];
		struct {
			char path[HELPER_PATH_MAX];
			char name[HELPER_NAME_MAX];
		} file;
		struct helper_device device;
		struct {
			uint8_t has_asker; /* 0 or 1: the first descriptor */
			uint8_t owners[HELPER_LISTENERS_MAX]; /* of the rest */
		} end;
	} u;
};

#define HELPER_TEXT_MAX 256

struct helper_reply {
	uint8_t is_difference; /* one of a check or repair; more follow */
	uint8_t is_away;
	uint8_t flag; /* left, overlaps, active */
	uint32_t number, kind; /* of a device */
	struct err why; /* code ERR_OK: done */
	struct ip_addr addr;
	char ifname[16];
	char change[HELPER_TEXT_MAX], sentence[HELPER_TEXT_MAX], repair[HELPER_TEXT_MAX];
};

enum helper_tells { TELL_SIGNAL = 1, TELL_NET, TELL_DEVICE_GONE };

struct helper_event {
	uint32_t tells;
	int32_t signo;
	uint32_t device;
	uint8_t has_culprit;
	struct net_culprit culprit;
};

/* Whether a request can be carried out as it stands: it names something that there is, its texts end, its
 * numbers are in their ranges.  ERR_INVALID says what is not so. */
MUST_CHECK enum err_code helper_request_check(const struct helper_request *q, struct err *e);

#endif
