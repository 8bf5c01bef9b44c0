/* control.h - the control socket between `qanat` and `qanat-gateway`: framing and envelope.
 *
 * A request is one line of JSON, {"module":…,"action":…,"params":{…}}, of at most
 * CONTROL_REQUEST_MAX bytes; the answer is one line, the envelope of the reference (details 1.1):
 * success, metadata{module,action,timestamp,version}, data | error, code.  Requests of one
 * connection are answered in order.  docs/protocols/control.md.
 */
#ifndef QANAT_API_CONTROL_H
#define QANAT_API_CONTROL_H

#include "api/modules.h"

#define CONTROL_SOCKET "/run/qanat/control.sock"
#define CONTROL_SOCKET_ENV "QANAT_SOCKET"
#define CONTROL_REQUEST_MAX 65536 /* without the newline */
#define CONTROL_ANSWER_MAX (64u << 20)
#define CONTROL_TIMEOUT_MS 60000
#define CONTROL_VERSION "core-v1"

struct control_request {
	json_t *root; /* owned; the views below point into it */
	struct str module, action;
	json_t *params; /* object; borrowed from root */
};

/* Reads one line; depth, size, duplicate keys, UTF-8 and types are checked. */
MUST_CHECK enum err_code control_request_parse(struct control_request *out, struct str line,
					       struct err *e);
void control_request_done(struct control_request *r);
/* One line with its newline. */
MUST_CHECK enum err_code control_request_write(struct buf *out, struct str module,
					       struct str action, json_t *params, struct err *e);

/* Envelopes; they take over the reference to `data` (which may be NULL: then none is in it), also
 * when they fail.  New reference; NULL without memory. */
json_t *envelope_success(struct str module, struct str action, int64_t wall_ns, json_t *data);
json_t *envelope_failure(struct str module, struct str action, int64_t wall_ns, enum api_code code,
			 const char *message, json_t *data);

/* Client side: sends one request to the socket at `path` and waits for the answer (new reference)
 * up to CONTROL_TIMEOUT_MS.  ERR_NOT_FOUND: no such socket; ERR_IO with sys ECONNREFUSED: nobody
 * behind it; ERR_INVALID: that is no socket; ERR_DENIED; ERR_TIMEOUT; ERR_CLOSED: the gateway went away before answering, so it is
 * not known whether the request was done; ERR_CORRUPT: that was no gateway. */
MUST_CHECK enum err_code control_call(json_t **answer, const char *path, struct str module,
				      struct str action, json_t *params, struct err *e);
/* The same with a time of one's own. */
MUST_CHECK enum err_code control_call_within(json_t **answer, const char *path, struct str module,
					     struct str action, json_t *params, int timeout_ms,
					     struct err *e);

#endif
