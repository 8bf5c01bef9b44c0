#include "wg/verdict.h"

#include "base/defs.h"

/* Names are seen by scripts: they stay as they are. */
static const struct {
	const char *name, *text;
} words[WG_VERDICTS] = {
	[WG_OK] = { "ok", "" },
	[WG_KEEPALIVE] = { "keepalive", "" },
	[WG_STAGE] = { "staged", "" },
	[WG_WEIGH] = { "weighed", "" },
	[DROP_MALFORMED] = { "malformed",
			     "What arrived is no message of WireGuard.  Something else is sent "
			     "to this port; if it is your client, look for a device on the way "
			     "that changes its packets." },
	[DROP_NOT_IP] = { "not_ip", "Inside was no IP packet.  Update the client's WireGuard, or "
				    "whatever writes to the interface." },
	[DROP_NO_PEER] = { "no_peer", "No client owns the destination address.  Add the client, or "
				      "correct the address that is sent to." },
	[DROP_NO_ENDPOINT] = { "no_endpoint",
			       "It is not known where the client is, as it has not connected.  "
			       "Switch the tunnel on at the client." },
	[DROP_NO_SESSION] = { "no_session",
			      "The packet belongs to a session that is no more, as after a "
			      "restart of this side.  The client makes a new one by itself within"
			      " seconds." },
	[DROP_EXPIRED] = { "session_expired",
			   "The session's keys were too old.  Normal for single packets after "
			   "a pause; if it goes on, handshakes do not get through: check the "
			   "way back to the client." },
	[DROP_FORGED] = { "forged",
			  "The packet was not made with the session's key, or was damaged on "
			  "its way.  If it goes on, somebody is sending in the client's name." },
	[DROP_REPLAY] = { "replay",
			  "The packet came twice, or later than thousands of others.  A few "
			  "are normal where networks double or reorder packets." },
	[DROP_SOURCE] = { "source_not_allowed",
			  "The client sent from an inner address that is not its own.  Export"
			  " its configuration again, or stop it from routing other networks "
			  "into the tunnel." },
	[DROP_ECN] = { "ecn", "Marks of congestion inside and outside contradict each other.  A "
			      "device on the way changes them; there is nothing to do at the "
			      "client." },
	[DROP_BAD_MAC1] = { "bad_mac1",
			    "The handshake was meant for another server key.  Export the "
			    "client's configuration again; otherwise it is a scanner." },
	[DROP_NEED_COOKIE] = { "need_cookie",
			       "Under a flood of handshakes the sender was asked to prove its "
			       "address.  Honest clients do so by themselves." },
	[DROP_RATE_LIMIT] = { "handshake_rate",
			      "One address began more handshakes than are answered.  Many clients"
			      " behind one address get through a little later." },
	[DROP_HANDSHAKE] = { "bad_handshake",
			     "A handshake did not verify, mostly because of another preshared "
			     "key.  Export the client's configuration again." },
	[DROP_OLD_TIMESTAMP] = { "old_timestamp",
				 "A handshake was older than one seen before: a repeated packet, "
				 "two"
				 " devices with one configuration, or a client whose clock went "
				 "back.  Give each device a client of its own, and check its "
				 "clock." },
	[DROP_UNKNOWN_PEER] = { "unknown_peer",
				"A handshake came with a key that is no client's.  Export the "
				"configuration again if the client was removed and added anew." },
	[DROP_DOWN] = { "interface_down",
			"The interface was down.  Set it up again, or restart the gateway." },
	[DROP_QUEUE_FULL] = { "queue_full",
			      "More packets were waiting than there is room for, mostly before a "
			      "client had connected.  If it goes on, the machine is overloaded." },
	[DROP_NO_MEMORY] = { "no_memory",
			     "The machine is out of memory.  Free some, or give it more." },
	[DROP_TOO_BIG] = { "too_big",
			   "The packet is larger than the way to the client carries.  Lower "
			   "the MTU of the gateway or of the client." },
	[DROP_NOT_SENT] = { "not_sent",
			    "The kernel did not send the datagram: there was no route, a "
			    "firewall refused it, or the line was full.  Check the host's "
			    "routes and output rules." },
	[DROP_NOT_WRITTEN] = { "not_written",
			       "The interface did not take the packet.  If it goes on, restart the"
			       " gateway." },
	[DROP_RATE] = { "over_rate", "More was sent than the client's rate allows.  Normal at full "
				     "speed; raise the rate if it is to be faster." },
	[DROP_QUOTA] = { "quota_used_up",
			 "The client's quota does not cover the packet any more.  Give it "
			 "more, or a new quota." },
	[DROP_ACCESS_EXPIRED] = { "access_expired",
				  "The client's time is over.  Set a later end, or none." },
};

const char *wg_verdict_name(enum wg_verdict v)
{
	return (unsigned)v < WG_VERDICTS ? words[v].name : "unknown";
}

const char *wg_verdict_text(enum wg_verdict v)
{
	return (unsigned)v < WG_VERDICTS ? words[v].text : "";
}
