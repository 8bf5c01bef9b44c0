/* Two devices, a fake clock, and everything that a network and hours can do to them. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "wg/tests/sim.h"

static struct row {
	const char *name;
	const char *why;
	const char *script;
} rows[] = {
	{ "first packet",
	  "the staged packet is the first under the new session: no keepalive needed",
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.got == 1\n"
	  "expect a.initiations == 1\n"
	  "expect b.responses == 1\n"
	  "expect a.keepalives == 0\n"
	  "expect a.done == 1\n"
	  "expect b.done == 1\n"
	  "expect a.sessions == 1\n"
	  "expect b.sessions == 1\n"
	  "expect a.is_initiator == 1\n"
	  "expect b.is_initiator == 0\n"
	  "send b 1\n"
	  "run 1s\n"
	  "expect a.got == 1\n"
	  "expect b.initiations == 0\n" },
	{ "response delayed by four seconds",
	  "shipped bug: responses dropped after 250 ms; any answer before the retry counts",
	  "delay 2s\n"
	  "send a 1\n"
	  "run 20s\n"
	  "expect a.initiations == 1\n"
	  "expect a.done == 1\n"
	  "expect b.got == 1\n" },
	{ "message 1 lost", "one retry after 5 s and at most 333 ms of jitter",
	  "drop a 1 1\n"
	  "send a 3\n"
	  "run 4990ms\n"
	  "expect a.initiations == 1\n"
	  "run 400ms\n"
	  "expect a.initiations == 2\n"
	  "expect b.got == 3\n" },
	{ "message 2 lost", "the initiator tries again, the responder answers anew",
	  "drop b 2 1\n"
	  "send a 3\n"
	  "run 6s\n"
	  "expect a.initiations == 2\n"
	  "expect b.responses == 2\n"
	  "expect b.got == 3\n"
	  "expect b.sessions == 1\n" },
	{ "message 3 lost", "the responder stays silent until data confirms the session",
	  "drop a 4 1\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.got == 0\n"
	  "expect b.done == 0\n"
	  "expect b.sessions == 1\n"
	  "send b 1\n" /* must not use the unconfirmed session: it begins its own handshake */
	  "expect b.data == 0\n"
	  "expect b.initiations == 1\n"
	  "run 1s\n"
	  "expect a.got == 1\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.got == 1\n" },
	{ "both begin at once",
	  "each answers the other and keeps its own: nobody waits for a retry",
	  "send a 1\n"
	  "send b 1\n"
	  "run 1s\n"
	  "expect a.got == 1\n"
	  "expect b.got == 1\n"
	  "expect a.initiations == 1\n"
	  "expect b.initiations == 1\n"
	  "both 100 10ms\n"
	  "run 1s\n"
	  "expect a.got == 101\n"
	  "expect b.got == 101\n"
	  "expect a.initiations == 1\n"
	  "expect b.initiations == 1\n" },
	{ "both begin at once, one message 2 lost", "one session is enough",
	  "drop b 2 1\n"
	  "send a 1\n"
	  "send b 1\n"
	  "run 1s\n"
	  "expect a.got == 1\n"
	  "expect b.got == 1\n"
	  "run 10s\n"
	  "expect a.initiations == 1\n"
	  "expect b.initiations == 1\n" },
	{ "giving up",
	  "18 attempts in about 90 s, then silence and an empty queue; data begins anew",
	  "drop a 1 1000\n"
	  "send a 5\n"
	  "run 89s\n"
	  "expect a.gave_up == 0\n"
	  "expect a.staged == 5\n"
	  "run 11s\n"
	  "expect a.initiations >= 17\n"
	  "expect a.initiations <= 18\n"
	  "expect a.gave_up == 1\n"
	  "expect a.staged == 0\n"
	  "expect a.active == 0\n"
	  "expect a.drop.no_session == 5\n"
	  "forget\n"
	  "run 1h\n"
	  "expect a.initiations == 0\n"
	  "drop a 1 0\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.got == 1\n" },
	{ "staging", "at most 128 packets wait, and the oldest go",
	  "drop a 1 1\n"
	  "send a 200\n"
	  "expect a.staged == 128\n"
	  "expect a.drop.queue_full == 72\n"
	  "run 6s\n"
	  "expect b.got == 128\n" },
	{ "idle", "no traffic, no datagram; the keys go after nine minutes",
	  "send a 1\n"
	  "run 1s\n"
	  "send b 1\n"
	  "run 30s\n"
	  "forget\n"
	  "run 8m\n"
	  "expect a.sessions == 1\n"
	  "run 30s\n"
	  "expect a.sessions == 0\n"
	  "expect b.sessions == 0\n"
	  "expect a.expired == 1\n"
	  "expect b.expired == 1\n"
	  "expect a.active == 0\n"
	  "run 24h\n"
	  "expect a.initiations == 0\n"
	  "expect b.initiations == 0\n"
	  "expect a.keepalives == 0\n"
	  "expect b.keepalives == 0\n" },
	{ "keepalive answers data only", "shipped bug: a keepalive that triggers a keepalive",
	  "send a 1\n"
	  "run 60s\n"
	  "expect b.keepalives == 1\n" /* for the one data packet */
	  "expect a.keepalives == 0\n"
	  "expect a.got_keepalives == 1\n"
	  "expect a.initiations == 1\n" },
	{ "keepalive is timed from what was received",
	  "shipped bug: timed from the last packet sent",
	  "send a 1\n"
	  "run 1s\n"
	  "send b 1\n"
	  "run 1s\n"
	  "run 7s\n" /* b sent 8 s ago */
	  "forget\n"
	  "send a 1\n" /* at 9 s, there at 9.01: due at 19.01 */
	  "run 9900ms\n"
	  "expect b.keepalives == 0\n"
	  "run 200ms\n"
	  "expect b.keepalives == 1\n" },
	{ "an answer replaces the keepalive", "data sent within 10 s is enough",
	  "send a 1\n"
	  "run 9s\n"
	  "send b 1\n"
	  "run 30s\n"
	  "expect b.keepalives == 0\n"
	  "expect a.keepalives == 1\n" },
	{ "unanswered data", "after 15 s without a sign a handshake, and the source is forgotten",
	  "send a 1\n"
	  "run 1s\n"
	  "send b 1\n"
	  "run 20s\n"
	  "forget\n"
	  "drop b 4 1000\n"
	  "send a 1\n"
	  "expect a.has_source == 1\n"
	  "run 14900ms\n"
	  "expect a.initiations == 0\n"
	  "drop a 1 1\n"
	  "run 500ms\n"
	  "expect a.initiations == 1\n"
	  "expect a.has_source == 0\n"
	  "run 6s\n"
	  "expect a.initiations == 2\n"
	  "expect a.done == 1\n" },
	{ "persistent keepalive",
	  "every 25 s without other traffic; the initiator rekeys on the way",
	  "keepalive a 25\n"
	  "run 1s\n"
	  "expect a.keepalives == 1\n" /* confirms the session */
	  "forget\n"
	  "run 1h\n"
	  "expect a.keepalives >= 170\n" /* 144, and 28 that confirm sessions */
	  "expect a.keepalives <= 174\n"
	  "expect b.keepalives == 0\n"
	  "expect b.initiations == 0\n"
	  "expect a.initiations >= 27\n" /* every 125 s */
	  "expect a.initiations <= 29\n"
	  "expect a.gave_up == 0\n" },
	{ "persistent keepalive waits for silence",
	  "any authentic traffic in or out starts it anew",
	  "keepalive a 25\n"
	  "run 1s\n"
	  "forget\n"
	  "both 50 2s\n"
	  "expect a.keepalives == 0\n"
	  "run 26s\n"
	  "expect a.keepalives == 1\n" },
	{ "persistent keepalive comes back", "after giving up it tries again for ever",
	  "keepalive a 25\n"
	  "run 1s\n"
	  "down b\n"
	  "run 1h\n"
	  "expect a.gave_up >= 20\n"
	  "up b\n"
	  "forget\n"
	  "run 40s\n"
	  "expect a.done == 1\n" },
	{ "keepalive begins with the interface", "it is up, so it calls",
	  "down a\n"
	  "keepalive a 25\n"
	  "run 1m\n"
	  "expect a.initiations == 0\n"
	  "up a\n"
	  "run 1s\n"
	  "expect a.initiations == 1\n"
	  "expect a.done == 1\n" },
	{ "down forgets", "sessions are gone and packets are dropped and counted",
	  "send a 1\n"
	  "run 1s\n"
	  "down a\n"
	  "expect a.sessions == 0\n"
	  "send a 1\n"
	  "expect a.drop.interface_down == 1\n"
	  "send b 1\n"
	  "run 1s\n"
	  "expect a.drop.interface_down == 2\n"
	  "run 1m\n"
	  "up a\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.got == 2\n" },
	{ "initiator rekeys by time", "at 120 s with the next packet, and the responder does not",
	  "send a 1\n"
	  "run 1s\n"
	  "send b 1\n"
	  "run 1s\n"
	  "forget\n"
	  "both 117 1s\n"
	  "expect a.initiations == 0\n"
	  "both 5 1s\n"
	  "expect a.initiations == 1\n"
	  "expect b.initiations == 0\n"
	  "expect a.got == 122\n"
	  "expect b.got == 122\n"
	  "expect a.sessions == 2\n" },
	{ "initiator rekeys on receiving", "who only listens renews at 165 s, once",
	  "send a 1\n"
	  "run 1s\n"
	  "forget\n"
	  "send b 160 1s\n"
	  "expect a.initiations >= 1\n" /* its keepalives count as sending: at 120 s */
	  "expect a.initiations <= 2\n"
	  "expect a.got == 160\n" },
	{ "responder only sends", "its session ends at 180 s; then it begins one itself",
	  "send a 1\n"
	  "run 1s\n"
	  "send b 1\n"
	  "run 1s\n"
	  "drop a 1 1000\n" /* the initiator's renewal never arrives */
	  "send b 200 1s\n"
	  "run 1s\n"
	  "expect b.initiations == 1\n"
	  "expect a.got == 201\n" },
	{ "rekey under loss", "the old session carries on until the new one stands",
	  "send a 1\n"
	  "run 1s\n"
	  "both 110 1s\n"
	  "drop a 1 3\n"
	  "drop b 2 1\n"
	  "forget\n"
	  "both 60 1s\n"
	  "expect a.got == 60\n"
	  "expect b.got == 60\n"
	  "expect a.initiations == 5\n"
	  "expect a.done == 1\n" },
	{ "a day of one packet a second", "no session is ever lost",
	  "send a 1\n"
	  "run 1s\n"
	  "forget\n"
	  "both 86400 1s\n"
	  "run 1s\n"
	  "expect a.got == 86400\n"
	  "expect b.got == 86400\n"
	  "expect a.gave_up == 0\n"
	  "expect b.initiations == 0\n"
	  "expect a.initiations >= 710\n"
	  "expect a.initiations <= 720\n"
	  "expect a.keepalives <= 720\n" /* each confirms a session */
	  "expect b.keepalives == 0\n" },
	{ "a day one way", "the listener's keepalives keep the sender calm",
	  "send a 1\n"
	  "run 1s\n"
	  "forget\n"
	  "send a 86400 1s\n"
	  "run 1s\n"
	  "expect b.got == 86400\n"
	  "expect b.initiations == 0\n"
	  "expect b.keepalives >= 7000\n"
	  "expect b.keepalives <= 8700\n"
	  "expect a.initiations <= 720\n" },
	{ "four hours of a bad network", "3 % lost, 2 % doubled, 200 ms of reordering",
	  "loss 30\n"
	  "dup 20\n"
	  "jitter 200ms\n"
	  "both 14400 1s\n"
	  "run 1s\n"
	  "expect a.got >= 13700\n"
	  "expect b.got >= 13700\n"
	  "expect a.drop.replay >= 200\n" /* each double is seen */
	  "expect a.drop.forged == 0\n"
	  "expect a.gave_up == 0\n" },
	{ "quiet workers", "steady traffic raises about one event for ten seconds and no more",
	  "send a 1\n"
	  "run 1s\n"
	  "send b 1\n"
	  "run 1s\n"
	  "forget\n"
	  "both 1000 100ms\n"
	  "expect a.events <= 12\n"
	  "expect b.events <= 12\n" },
	{ "roaming by data", "the endpoint follows authentic packets, and the answer finds it",
	  "send a 1\n"
	  "run 1s\n"
	  "move a 77 4444\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.peer_port == 4444\n"
	  "expect b.roamed == 1\n"
	  "send b 1\n"
	  "run 1s\n"
	  "expect a.got == 1\n" },
	{ "roaming by initiation", "message 1 alone moves the endpoint",
	  "down a\n"
	  "move a 78 4445\n"
	  "up a\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.peer_port == 4445\n"
	  "expect b.got == 1\n" },
	{ "roaming by response", "shipped bug: the endpoint is updated by initiations only",
	  "send a 1\n"
	  "run 5ms\n" /* message 1 is on its way to b's old address, where b still hears it */
	  "move b 79 4446\n"
	  "run 1s\n"
	  "expect a.peer_port == 4446\n"
	  "expect b.got == 1\n" },
	{ "roaming by keepalive", "an empty packet is authentic too",
	  "send a 1\n"
	  "run 1s\n"
	  "move b 80 4447\n"
	  "run 10s\n"
	  "expect b.keepalives == 1\n"
	  "expect a.peer_port == 4447\n" },
	{ "another port of one's own", "the peer is told at once, with one packet",
	  "send a 1\n"
	  "run 1s\n"
	  "send b 1\n"
	  "run 1s\n"
	  "forget\n"
	  "port b 4450\n"
	  "run 400ms\n"
	  "expect a.peer_port == 4450\n"
	  "expect b.keepalives == 1\n"
	  "expect b.initiations == 0\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.got == 1\n"
	  "run 7s\n"
	  "expect b.keepalives == 1\n" },
	{ "another port without a session", "there is nobody who would have to know",
	  "port b 4450\n"
	  "run 20s\n"
	  "expect b.keepalives == 0\n"
	  "expect b.initiations == 0\n" },
	{ "cookies", "under load message 1 earns a cookie, the retry carries it and is answered",
	  "load b on\n"
	  "send a 1\n"
	  "run 4s\n"
	  "expect b.cookies == 1\n"
	  "expect b.responses == 0\n"
	  "expect a.initiations == 1\n" /* nothing is sent at once */
	  "expect b.drop.need_cookie == 1\n"
	  "run 2s\n"
	  "expect a.initiations == 2\n"
	  "expect b.responses == 1\n"
	  "expect b.got == 1\n" },
	{ "a cookie does not roam", "shipped bug: whoever sees message 1 could move the endpoint",
	  "load b on\n"
	  "send a 1\n"
	  "run 5ms\n"
	  "move b 81 4448\n" /* the cookie reply comes from elsewhere */
	  "run 1s\n"
	  "expect b.cookies == 1\n"
	  "expect a.peer_port == 51820\n" },
	{ "a cookie belongs to a port", "shipped bug: the cookie's MAC without the source port",
	  "load b on\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.cookies == 1\n"
	  "move a 1 4449\n" /* the same address, another port */
	  "run 5s\n"
	  "expect b.responses == 0\n"
	  "expect b.cookies == 2\n" },
	{ "cookies under load for both messages", "a response can be asked for a cookie, too",
	  "load a on\n"
	  "load b on\n"
	  "send a 1\n"
	  "run 30s\n"
	  "expect a.cookies >= 1\n"
	  "expect b.got == 1\n" },
	{ "wall clock jumps back", "timestamps of a peer grow all the same",
	  "send a 1\n"
	  "run 1s\n"
	  "wall a -24h\n"
	  "run 10m\n" /* the session is gone */
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.got == 2\n"
	  "expect b.drop.old_timestamp == 0\n" },
	{ "preshared keys", "a change takes effect with the next handshake, without a restart",
	  "psk a 1\n"
	  "psk b 1\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.got == 1\n"
	  "psk b 2\n"
	  "send a 1\n" /* the session stays */
	  "run 1s\n"
	  "expect b.got == 2\n"
	  "run 10m\n"
	  "send a 1\n"
	  "run 1s\n"
	  "expect b.got == 2\n"
	  "expect a.drop.bad_handshake == 1\n"
	  "psk a 2\n"
	  "run 6s\n"
	  "expect b.got == 3\n" },
};

static void run_row(void **state)
{
	const struct row *r = *state;
	struct sim s;

	sim_init(&s, 0x5eed);
	sim_script(&s, r->name, r->script);
	sim_done(&s);
}

int main(void)
{
	struct CMUnitTest tests[ARRAY_LEN(rows)];

	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		tests[i] = (struct CMUnitTest){ .name = rows[i].name,
						.test_func = run_row,
						.initial_state = &rows[i] };
	return _cmocka_run_group_tests("wg/scenario", tests, ARRAY_LEN(tests), NULL, NULL);
}
