/* signature.h - requests signed with a key that both sides hold: three forms, and none twice.
 *
 * HMAC-SHA256 over a text that names what is asked for:
 *
 *   SIGNATURE_LENGTH  "timestamp=" ts ", body_length=" n
 *                     the peer API's older clients: neither method nor path nor body is covered,
 *                     only a length, so whoever sees one signature can sign others with it
 *   SIGNATURE_AGENT   METHOD "|" path "|" body "|" ts
 *                     panels that steer agents: the path as decoded, without query
 *   SIGNATURE_WHOLE   "QANAT1-HMAC-SHA256\n" METHOD "\n" path "\n" query "\n"
 *                     hex(SHA-256(body)) "\n" ts "\n" nonce
 *                     ours: path and query as sent
 *
 * `ts` is the time in whole seconds since 1970, as the client wrote it.  docs/protocols/signatures.md
 * shows each with an example.
 *
 * A checker remembers what it accepted for as long as the window lasts, so that a copy of a request
 * is refused.  When it cannot remember more, it refuses rather than forgets.  One thread at a time;
 * never: the clock, I/O, logging.
 */
#ifndef QANAT_API_SIGNATURE_H
#define QANAT_API_SIGNATURE_H

#include "base/err.h"
#include "base/text.h"

enum signature_form { SIGNATURE_LENGTH, SIGNATURE_AGENT, SIGNATURE_WHOLE };

#define SIGNATURE_HEX_LEN 64
#define SIGNATURE_NONCE_MIN 16 /* characters */
#define SIGNATURE_NONCE_MAX 128
#define SIGNATURE_WINDOW_MAX_S 3600
/* Accepted requests that are remembered within a window (32 bytes each). */
#define SIGNATURE_REMEMBERED_MAX (1u << 20)

/* A request and its proof, all borrowed. */
struct signed_request {
	struct str method; /* in capitals */
	struct str path; /* SIGNATURE_AGENT: decoded; SIGNATURE_WHOLE: as sent */
	struct str query; /* as sent, without '?' */
	struct str body;
	struct str timestamp, nonce, signature; /* of the headers; p NULL: there was none */
	bool ignores_body; /* SIGNATURE_LENGTH: the call takes none, so a length of 0 fits any */
};

enum signature_verdict {
	SIGNATURE_OK,
	SIGNATURE_MISSING, /* a header that the form needs */
	SIGNATURE_BAD_TIMESTAMP, /* no number */
	SIGNATURE_BAD_NONCE, /* too short, too long, or other than letters, digits, "-", "_" */
	SIGNATURE_OLD, /* outside of the window, on either side */
	SIGNATURE_WRONG,
	SIGNATURE_REPLAYED,
	SIGNATURE_FULL, /* more requests than can be remembered: try again later */
};
/* One sentence without a full stop; the verdict "ok" has none. */
const char *signature_verdict_text(enum signature_verdict v);

struct signature_checker;

/* `window_s`: 1..SIGNATURE_WINDOW_MAX_S, the largest difference between the clocks.  `key` is copied,
 * and wiped when freed; ERR_RANGE for an empty key. */
MUST_CHECK enum err_code signature_checker_new(struct signature_checker **out, const void *key,
					       size_t key_len, unsigned window_s, struct err *e);
void signature_checker_free(struct signature_checker *c);

/* Checks a request at `now_s` (seconds since 1970).  A right one is remembered; one that changes
 * nothing (`is_read`: GET, HEAD) may come again in SIGNATURE_LENGTH and SIGNATURE_AGENT for five
 * seconds: their clients send the same text whenever they ask twice within one.
 *
 * In SIGNATURE_LENGTH the body counts by its bytes or by the length of the JSON that it means,
 * written with sorted keys, ", " and ": ", and everything beyond ASCII escaped: clients sign either. */
enum signature_verdict signature_check(struct signature_checker *c, enum signature_form form,
				       const struct signed_request *r, bool is_read, int64_t now_s);

/* What a client sends: the signature of `r`, whose `signature` is not looked at. */
void signature_make(char out[SIGNATURE_HEX_LEN + 1], enum signature_form form, const void *key,
		    size_t key_len, const struct signed_request *r);
/* A fresh nonce of 32 characters. */
void signature_nonce(char out[33]);

#endif
