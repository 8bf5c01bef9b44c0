#include "io/tls.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>

#include "base/bytes.h"
#include "base/encode.h"
#include "io/tls_pem.h"

#define ALPN_WIRE_MAX 64

struct tls_server {
	SSL_CTX *ctx; /* connections hold it too: those of an exchanged one keep theirs */
	char *cert_path;
	char *key_path;
	struct tls_opener opener;
	bool allow_tls12;
	uint8_t alpn[ALPN_WIRE_MAX]; /* length-prefixed names, as RFC 7301 has them */
	unsigned alpn_len;
	const char *groups;
	char fingerprint[TLS_FINGERPRINT_MAX];
};

/* The first list that this OpenSSL knows whole is taken. */
static const char *const group_lists[] = {
	"X25519MLKEM768:X25519:P-256:P-384",
	"X25519:P-256:P-384",
};

/* Only suites with forward secrecy and AEAD, for those who allow TLS 1.2 (RFC 9325, 4.2). */
#define TLS12_CIPHERS "ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL:!SHA1"

/* ---- certificate and key ---- */

/* The certificates after the leaf, which the client is sent too. */
static enum err_code load_chain(SSL_CTX *ctx, BIO *in, const char *path, struct err *e)
{
	X509 *more;

	while ((more = PEM_read_bio_X509(in, NULL, tls_no_password, NULL)) != NULL) {
		if (!SSL_CTX_add0_chain_cert(ctx, more)) {
			X509_free(more);
			return tls_error(e, "certificate %s: its chain", path);
		}
	}
	if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE)
		return tls_error(e, "certificate %s: its chain", path);
	ERR_clear_error(); /* the end of the file */
	return ERR_OK;
}

static enum err_code load_cert(const struct tls_server *t, SSL_CTX *ctx, X509 **leaf,
			       const char *path, struct err *e)
{
	AUTO(buf_done) struct buf text = { 0 };
	BIO *in = NULL;
	enum err_code rc = tls_pem_open(&in, &text, path, &t->opener, e);

	if (rc == ERR_OK) {
		*leaf = PEM_read_bio_X509(in, NULL, tls_no_password, NULL);
		if (!*leaf)
			rc = tls_error(e, "certificate %s", path);
		else if (!SSL_CTX_use_certificate(ctx, *leaf))
			rc = tls_error(e, "certificate %s", path);
		else
			rc = load_chain(ctx, in, path, e);
	}
	BIO_free(in);
	return rc;
}

static enum err_code load_key(const struct tls_server *t, SSL_CTX *ctx, X509 *leaf,
			      const char *cert_path, const char *path, struct err *e)
{
	EVP_PKEY *key = NULL;
	enum err_code rc = tls_key_read(&key, path, &t->opener, e);

	if (rc)
		return rc;
	if (X509_check_private_key(leaf, key) != 1)
		rc = tls_error(e, "private key %s does not belong to certificate %s", path,
			       cert_path);
	else if (!SSL_CTX_use_PrivateKey(ctx, key))
		rc = tls_error(e, "private key %s", path);
	EVP_PKEY_free(key);
	return rc;
}

static void fingerprint_format(char out[TLS_FINGERPRINT_MAX], const X509 *leaf)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	struct wr w = wr_over(out, TLS_FINGERPRINT_MAX - 1);
	char hex[HEX_LEN(1) + 1];

	memset(out, 0, TLS_FINGERPRINT_MAX);
	if (!X509_digest(leaf, EVP_sha256(), hash, &len))
		return;
	for (unsigned i = 0; i < len; i++) {
		if (i)
			wr_u8(&w, ':');
		(void)snprintf(hex, sizeof hex, "%02X", hash[i]);
		wr_bytes(&w, hex, 2);
	}
}

/* ---- the context ---- */

static int choose_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned in_len, void *arg)
{
	const struct tls_server *t = arg;
	unsigned char *chosen = NULL;

	(void)ssl;
	/* RFC 7301, 3.2: nothing in common ends the handshake. */
	if (SSL_select_next_proto(&chosen, out_len, t->alpn, t->alpn_len, in, in_len) !=
	    OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	*out = chosen;
	return SSL_TLSEXT_ERR_OK;
}

static const char *set_groups(SSL_CTX *ctx)
{
	char list[64]; /* OpenSSL's macro takes no const */

	for (size_t i = 0; i < ARRAY_LEN(group_lists); i++) {
		if (str_copy(list, sizeof list, str_of(group_lists[i])) &&
		    SSL_CTX_set1_groups_list(ctx, list) == 1)
			return group_lists[i];
		ERR_clear_error();
	}
	return NULL;
}

static enum err_code set_rules(struct tls_server *t, SSL_CTX *ctx, struct err *e)
{
	static const unsigned char session_context[] = "qanat";

	t->groups = set_groups(ctx);
	if (!t->groups ||
	    !SSL_CTX_set_min_proto_version(ctx, t->allow_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) ||
	    !SSL_CTX_set_cipher_list(ctx, TLS12_CIPHERS) ||
	    !SSL_CTX_set_session_id_context(ctx, session_context, sizeof session_context - 1) ||
	    !SSL_CTX_set_num_tickets(ctx, 1))
		return tls_error(e, "set up TLS");
	SSL_CTX_set_options(ctx, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
					 SSL_OP_CIPHER_SERVER_PREFERENCE |
					 SSL_OP_PRIORITIZE_CHACHA | SSL_OP_IGNORE_UNEXPECTED_EOF);
	/* Tickets carry the state; a cache in memory would be filled by strangers. */
	SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
				      SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_read_ahead(ctx, 1);
	if (t->alpn_len)
		SSL_CTX_set_alpn_select_cb(ctx, choose_alpn, t);
	return ERR_OK;
}

/* A whole new context; `t` is changed only when all has gone well. */
static enum err_code context_load(struct tls_server *t, const char *cert_path, const char *key_path,
				  struct err *e)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	X509 *leaf = NULL;
	enum err_code rc;

	if (!ctx)
		return tls_error(e, "set up TLS");
	rc = set_rules(t, ctx, e);
	if (rc == ERR_OK)
		rc = load_cert(t, ctx, &leaf, cert_path, e);
	if (rc == ERR_OK)
		rc = load_key(t, ctx, leaf, cert_path, key_path, e);
	if (rc == ERR_OK) {
		fingerprint_format(t->fingerprint, leaf);
		SSL_CTX_free(t->ctx);
		t->ctx = ctx;
		ctx = NULL;
	}
	X509_free(leaf);
	SSL_CTX_free(ctx);
	return rc;
}

static enum err_code set_alpn(struct tls_server *t, const char *const *names, struct err *e)
{
	struct wr w = wr_over(t->alpn, sizeof t->alpn);

	for (; names && *names; names++) {
		size_t n = strlen(*names);

		if (n == 0 || n > UINT8_MAX)
			return err_set(e, ERR_INVALID, "protocol name \"%s\" for ALPN", *names);
		wr_u8(&w, (uint8_t)n);
		wr_bytes(&w, *names, n);
	}
	if (w.full)
		return err_set(e, ERR_RANGE, "too many protocol names for ALPN");
	t->alpn_len = (unsigned)w.n;
	return ERR_OK;
}

enum err_code tls_server_new(struct tls_server **out, const struct tls_options *o, struct err *e)
{
	struct tls_server *t = calloc(1, sizeof *t);
	enum err_code rc;

	if (!t)
		return err_set(e, ERR_NOMEM, "out of memory for TLS");
	t->allow_tls12 = o->allow_tls12;
	t->opener = o->opener;
	t->cert_path = str_dup(str_of(o->cert_path));
	t->key_path = str_dup(str_of(o->key_path));
	if (!t->cert_path || !t->key_path)
		rc = err_set(e, ERR_NOMEM, "out of memory for TLS");
	else
		rc = set_alpn(t, o->alpn, e);
	if (rc == ERR_OK)
		rc = context_load(t, t->cert_path, t->key_path, e);
	if (rc) {
		tls_server_free(t);
		return rc;
	}
	*out = t;
	return ERR_OK;
}

void tls_server_free(struct tls_server *t)
{
	if (!t)
		return;
	SSL_CTX_free(t->ctx);
	free(t->cert_path);
	free(t->key_path);
	free(t);
}

enum err_code tls_server_reload(struct tls_server *t, const char *cert_path, const char *key_path,
				struct err *e)
{
	char *cert = str_dup(str_of(cert_path ? cert_path : t->cert_path));
	char *key = str_dup(str_of(key_path ? key_path : t->key_path));
	enum err_code rc;

	if (!cert || !key)
		rc = err_set(e, ERR_NOMEM, "reload of the certificate: out of memory");
	else
		rc = context_load(t, cert, key, e);
	if (rc == ERR_OK) {
		char *old = t->cert_path;

		t->cert_path = cert;
		cert = old;
		old = t->key_path;
		t->key_path = key;
		key = old;
	}
	free(cert);
	free(key);
	return rc;
}

void tls_server_fingerprint(const struct tls_server *t, char out[TLS_FINGERPRINT_MAX])
{
	memcpy(out, t->fingerprint, TLS_FINGERPRINT_MAX);
}

const char *tls_server_groups(const struct tls_server *t)
{
	return t->groups;
}

SSL *tls_server_accept(struct tls_server *t)
{
	SSL *ssl = SSL_new(t->ctx);

	if (ssl)
		SSL_set_accept_state(ssl);
	return ssl;
}
