/* talk.h - a server and its client in one thread, over a socket pair.
 */
#ifndef QANAT_HTTP_TESTS_TALK_H
#define QANAT_HTTP_TESTS_TALK_H

#include "http/server.h"
#include "io/loop.h"

struct talk {
	struct loop *loop;
	struct http_server *server;
	int fd; /* the client's end, non-blocking; -1: none */
	struct buf got; /* what the client has read */
	bool eof; /* the server has closed */
};

/* A server with `routes`. */
void talk_start(struct talk *t, const struct http_server_options *o,
		const struct http_route *routes, size_t n, void *ctx);
/* Ends it all; what handlers still hold must have been answered. */
void talk_end(struct talk *t);
/* A new connection; the old one is closed by the client. */
void talk_connect(struct talk *t);
void talk_hang_up(struct talk *t);
/* Sends all of it, with turns of the loop as needed. */
void talk_send(struct talk *t, struct str text);
/* Turns of the loop, and reading, until nothing moves any more. */
void talk_turn(struct talk *t);
/* The same until the server has closed; fails after ten seconds. */
void talk_until_closed(struct talk *t);
/* One request on a connection of its own; the answer is in t->got. */
void talk_once(struct talk *t, const char *request);
/* How often `needle` is in t->got. */
size_t talk_count(const struct talk *t, const char *needle);
/* The status of the first answer; 0: none. */
unsigned talk_status(const struct talk *t);

#endif
