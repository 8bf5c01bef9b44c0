#include "wg/verdict.h"

#include "base/defs.h"

static const char *const names[WG_VERDICTS] = {
	[WG_OK] = "ok",
	[WG_KEEPALIVE] = "keepalive",
	[WG_STAGE] = "staged",
	[DROP_MALFORMED] = "malformed",
	[DROP_NOT_IP] = "not ip",
	[DROP_NO_PEER] = "no peer",
	[DROP_NO_ENDPOINT] = "no endpoint",
	[DROP_NO_SESSION] = "no session",
	[DROP_EXPIRED] = "expired",
	[DROP_FORGED] = "forged",
	[DROP_REPLAY] = "replay",
	[DROP_SOURCE] = "source not allowed",
	[DROP_ECN] = "ecn",
	[DROP_BAD_MAC1] = "bad mac1",
	[DROP_NEED_COOKIE] = "need cookie",
	[DROP_RATE_LIMIT] = "rate limit",
	[DROP_HANDSHAKE] = "bad handshake",
	[DROP_OLD_TIMESTAMP] = "old timestamp",
	[DROP_UNKNOWN_PEER] = "unknown peer",
	[DROP_DOWN] = "interface down",
	[DROP_QUEUE_FULL] = "queue full",
	[DROP_NO_MEMORY] = "no memory",
	[DROP_TOO_BIG] = "too big",
	[DROP_NOT_SENT] = "not sent",
	[DROP_NOT_WRITTEN] = "not written",
};

const char *wg_verdict_name(enum wg_verdict v)
{
	return (unsigned)v < WG_VERDICTS ? names[v] : "unknown";
}
