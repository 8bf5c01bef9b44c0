#include "io/tls_pem.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include "base/fs.h"

#define PEM_FILE_MAX (1u << 20)

enum err_code tls_error(struct err *e, const char *fmt, ...)
{
	unsigned long code = ERR_peek_last_error();
	const char *reason = ERR_reason_error_string(code);
	AUTO(buf_done) struct buf what = { .limit = sizeof e->msg };
	va_list ap;

	va_start(ap, fmt);
	buf_vprintf(&what, fmt, ap);
	va_end(ap);
	ERR_clear_error();
	return err_set(e, ERR_INVALID, "%.*s: %s", STR_ARG(buf_view(&what)),
		       reason ? reason : "OpenSSL gives no reason");
}

/* A key under a password is refused, instead of asking a terminal for it. */
int tls_no_password(char *out, int size, int writing, void *ctx)
{
	(void)writing;
	(void)ctx;
	if (size > 0)
		out[0] = 0;
	return -1;
}

enum err_code tls_pem_open(BIO **out, struct buf *text, const char *path,
			   const struct tls_opener *by, struct err *e)
{
	AUTO(fd_done) int fd = -1;
	enum err_code rc;

	text->limit = PEM_FILE_MAX;
	if (by && by->open) {
		rc = by->open(by->ctx, path, &fd, e);
		if (rc == ERR_OK)
			rc = fd_read(text, fd, path, PEM_FILE_MAX, e);
	} else {
		rc = file_read(text, path, PEM_FILE_MAX, e);
	}
	if (rc)
		return rc;
	*out = BIO_new_mem_buf(buf_view(text).p, (int)text->n);
	return *out ? ERR_OK : err_set(e, ERR_NOMEM, "read %s: out of memory", path);
}

enum err_code tls_key_read(EVP_PKEY **out, const char *path, const struct tls_opener *by,
			   struct err *e)
{
	AUTO(buf_done) struct buf text = { 0 }; /* wiped */
	BIO *in = NULL;
	enum err_code rc = tls_pem_open(&in, &text, path, by, e);

	if (rc)
		return rc;
	*out = PEM_read_bio_PrivateKey(in, NULL, tls_no_password, NULL);
	if (!*out)
		rc = tls_error(e, "private key %s", path);
	BIO_free(in);
	return rc;
}
