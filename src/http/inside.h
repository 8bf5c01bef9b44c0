/* inside.h - inside http: the server as its files see it.
 */
#ifndef QANAT_HTTP_INSIDE_H
#define QANAT_HTTP_INSIDE_H

#include "base/clock.h"
#include "http/connection.h"
#include "http/server.h"

struct http_server {
	struct loop *loop;
	struct http_server_options o; /* with the limits filled in */
	struct http_router *router;
	struct http_sources *sources;
	struct list listeners;
	struct list connections;
	struct http_stats stats;
	size_t held; /* exchanges that are alive */
	bool freed; /* by the owner; goes when `held` is 0 */

	/* of request ids that are ours */
	uint64_t id_seed;
	uint64_t id_next;

	int64_t date_s; /* the second that `date` is of, real time */
	char date[32];

	bool stopping;
	struct loop_timer stop_deadline;
	struct loop_timer stop_soon; /* nothing is left to wait for */
	void (*stopped)(void *ctx);
	void *stopped_ctx;
};

/* A connection, or an exchange, has gone. */
void server_connection_gone(struct http_server *s);
void server_exchange_gone(struct http_server *s);
/* The Date header's value now. */
const char *server_date(struct http_server *s);
void server_request_id(struct http_server *s, char out[HTTP_REQUEST_ID_MAX + 1]);

#endif
