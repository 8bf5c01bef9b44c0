/* tls.h - what a TLS server is known by: certificate, key, versions, groups, protocols (ALPN).
 *
 * TLS 1.3 (RFC 8446), 1.2 on request.  The post-quantum hybrid X25519MLKEM768 comes first where
 * this OpenSSL offers it (3.5).  A certificate is exchanged while connections run: those made
 * before keep theirs.  Belongs to one thread; streams (io/stream.h) of that thread use it.
 */
#ifndef QANAT_IO_TLS_H
#define QANAT_IO_TLS_H

#include "base/err.h"

struct tls_server;
typedef struct ssl_st SSL; /* as OpenSSL declares it */

/* Opens the files of certificate and key where the caller's rights do not reach. */
struct tls_opener {
	/* *fd is given away. */
	enum err_code (*open)(void *ctx, const char *path, int *fd, struct err *e);
	void *ctx;
};

struct tls_options {
	const char *cert_path; /* PEM, the leaf first */
	const char *key_path; /* PEM, unencrypted */
	struct tls_opener opener; /* open NULL: they are opened here */
	bool allow_tls12;
	/* ALPN names in order of preference, NULL-terminated; NULL: none is chosen. */
	const char *const *alpn;
};

/* Loads certificate and key; errors name the file, and say when the two do not match. */
MUST_CHECK enum err_code tls_server_new(struct tls_server **out, const struct tls_options *o,
					struct err *e);
void tls_server_free(struct tls_server *t);
/* Loads certificate and key again, from the same or other paths (NULL: the same).  A failure
 * changes nothing. */
MUST_CHECK enum err_code tls_server_reload(struct tls_server *t, const char *cert_path,
					   const char *key_path, struct err *e);

/* SHA-256 of the leaf certificate as served now, "AB:CD:…" as openssl x509 -fingerprint prints. */
#define TLS_FINGERPRINT_MAX 96
void tls_server_fingerprint(const struct tls_server *t, char out[TLS_FINGERPRINT_MAX]);
/* The groups that are offered, such as "X25519MLKEM768:X25519:P-256". */
const char *tls_server_groups(const struct tls_server *t);

/* For io/stream: a connection in the server's role. */
SSL *tls_server_accept(struct tls_server *t);

#endif
