/* tls_pem.h - inside io: PEM files, and OpenSSL's reasons behind sentences of ours.
 */
#ifndef QANAT_IO_TLS_PEM_H
#define QANAT_IO_TLS_PEM_H

#include <openssl/types.h>

#include "base/err.h"
#include "base/text.h"
#include "io/tls.h"

/* Writes the formatted text, ": " and OpenSSL's last reason; empties OpenSSL's queue of errors.
 * Returns ERR_INVALID. */
enum err_code tls_error(struct err *e, const char *fmt, ...) PRINTF(2, 3);

/* A BIO over the whole file at `path`, which `text` holds as long as the BIO is used.  `by` opens it; NULL,
 * or its function: it is opened here. */
MUST_CHECK enum err_code tls_pem_open(BIO **out, struct buf *text, const char *path,
				      const struct tls_opener *by, struct err *e);
/* For OpenSSL's readers: a key under a password is refused, instead of asking a terminal. */
int tls_no_password(char *out, int size, int writing, void *ctx);
/* The private key in a PEM file; the caller frees it. */
MUST_CHECK enum err_code tls_key_read(EVP_PKEY **out, const char *path, const struct tls_opener *by,
				      struct err *e);

#endif
