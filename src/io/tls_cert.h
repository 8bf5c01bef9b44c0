/* tls_cert.h - a self-signed certificate for a server's first start.
 *
 * ECDSA P-256 with SHA-256, valid for ten years, for the host names and addresses given.
 */
#ifndef QANAT_IO_TLS_CERT_H
#define QANAT_IO_TLS_CERT_H

#include "base/addr.h"
#include "base/err.h"

struct tls_cert_names {
	const char *common_name; /* NULL: "qanat" */
	const char *const *hosts; /* subject alternative names */
	size_t hosts_n;
	const struct ip_addr *addrs;
	size_t addrs_n;
};

/* Writes a new key (0600) and certificate (0644), each durably; `now_s` is the time since 1970.
 * Replaces what is there. */
MUST_CHECK enum err_code tls_cert_create(const char *cert_path, const char *key_path,
					 const struct tls_cert_names *names, int64_t now_s,
					 struct err *e);
/* The same unless both files are there; *created (may be NULL) says what it did.  A key without a
 * certificate is kept and gets one; a certificate without its key is ERR_MISSING. */
MUST_CHECK enum err_code tls_cert_ensure(const char *cert_path, const char *key_path,
					 const struct tls_cert_names *names, int64_t now_s,
					 bool *created, struct err *e);

#endif
