/* inside.h - what the files of the peer API share; nobody else includes it.
 */
#ifndef QANAT_PEERS_INSIDE_H
#define QANAT_PEERS_INSIDE_H

#include "api/signature.h"
#include "core/host_usage.h"
#include "peers/body.h"
#include "peers/peers.h"
#include "peers/batch.h"

struct peers_api {
	struct core *core;
	struct peers_batch *batch;
	struct signature_checker *signatures;
	struct payload_key payload_key;
	bool refuse_legacy;
	struct host_ticks ticks; /* of the last metrics */
};

/* Answers with `root`, which is taken over; NULL is a failure of memory: 500. */
void peers_respond(struct http_request *r, unsigned status, json_t *root);
/* {"detail": text} */
void peers_respond_detail(struct http_request *r, unsigned status, const char *text);

/* Handlers that only read. */
void peers_ip_usage(struct http_request *r, void *ctx);
void peers_server_status(struct http_request *r, void *ctx);
void peers_server_metrics(struct http_request *r, void *ctx);

#endif
