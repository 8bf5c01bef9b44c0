#include "io/tls_cert.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>
#include <unistd.h>

#include "base/fs.h"
#include "io/tls_pem.h"

#define SERIAL_LEN 16 /* RFC 5280 4.1.2.2: up to 20 octets, positive */
#define YEARS_10_S (3652LL * 24 * 3600)
#define EARLIER_S 3600 /* clocks of clients that lag */

static bool add_extension(X509 *cert, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *ext;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, cert, cert, NULL, NULL, 0);
	ext = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = ext && X509_add_ext(cert, ext, -1) == 1;
	X509_EXTENSION_free(ext);
	return ok;
}

static bool push_name(GENERAL_NAMES *names, int type, const void *p, size_t n)
{
	GENERAL_NAME *g = GENERAL_NAME_new();
	ASN1_STRING *value = type == GEN_DNS ? (ASN1_STRING *)ASN1_IA5STRING_new()
					     : (ASN1_STRING *)ASN1_OCTET_STRING_new();

	if (!g || !value || !ASN1_STRING_set(value, p, (int)n)) {
		GENERAL_NAME_free(g);
		ASN1_STRING_free(value);
		return false;
	}
	GENERAL_NAME_set0_value(g, type, value);
	if (sk_GENERAL_NAME_push(names, g) <= 0) {
		GENERAL_NAME_free(g);
		return false;
	}
	return true;
}

/* Built from bytes, not from OpenSSL's configuration syntax: a name cannot bring in another. */
static bool add_alternative_names(X509 *cert, const struct tls_cert_names *names)
{
	GENERAL_NAMES *list = GENERAL_NAMES_new();
	bool ok = list != NULL;

	for (size_t i = 0; ok && i < names->hosts_n; i++)
		ok = push_name(list, GEN_DNS, names->hosts[i], strlen(names->hosts[i]));
	for (size_t i = 0; ok && i < names->addrs_n; i++)
		ok = push_name(list, GEN_IPADD, names->addrs[i].b,
			       ip_bits(names->addrs[i].family) / 8);
	if (ok && names->hosts_n + names->addrs_n)
		ok = X509_add1_ext_i2d(cert, NID_subject_alt_name, list, 0, 0) == 1;
	GENERAL_NAMES_free(list);
	return ok;
}

static bool set_serial(X509 *cert)
{
	uint8_t random[SERIAL_LEN];
	BIGNUM *n = NULL;
	bool ok = RAND_bytes(random, sizeof random) == 1;

	random[0] &= 0x7f;
	random[0] |= 0x40; /* positive, and of full length */
	ok = ok && (n = BN_bin2bn(random, sizeof random, NULL)) != NULL &&
	     BN_to_ASN1_INTEGER(n, X509_get_serialNumber(cert)) != NULL;
	BN_free(n);
	return ok;
}

static bool set_subject(X509 *cert, const char *common_name)
{
	X509_NAME *name = X509_get_subject_name(cert);

	return X509_NAME_add_entry_by_NID(name, NID_commonName, MBSTRING_UTF8,
					  (const unsigned char *)common_name, -1, -1, 0) == 1 &&
	       X509_set_issuer_name(cert, name) == 1;
}

static bool fill(X509 *cert, EVP_PKEY *key, const struct tls_cert_names *names, int64_t now_s)
{
	return X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
	       ASN1_TIME_set(X509_getm_notBefore(cert), (time_t)(now_s - EARLIER_S)) &&
	       ASN1_TIME_set(X509_getm_notAfter(cert), (time_t)(now_s + YEARS_10_S)) &&
	       set_subject(cert, names->common_name ? names->common_name : "qanat") &&
	       X509_set_pubkey(cert, key) == 1 &&
	       /* Its own root: clients that pin it take it as the anchor. */
	       add_extension(cert, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") &&
	       add_extension(cert, NID_key_usage, "critical,digitalSignature,keyCertSign") &&
	       add_extension(cert, NID_ext_key_usage, "serverAuth") &&
	       add_extension(cert, NID_subject_key_identifier, "hash") &&
	       add_alternative_names(cert, names) && X509_sign(cert, key, EVP_sha256()) > 0;
}

static enum err_code write_bio(BIO *from, const char *path, mode_t mode, struct err *e)
{
	char *text = NULL;
	long n = BIO_get_mem_data(from, &text);

	return file_replace(path, text, n > 0 ? (size_t)n : 0, mode, e);
}

/* The key first: a certificate without its key would be taken for a lost key. */
static enum err_code write_pair(X509 *cert, EVP_PKEY *key, const char *cert_path,
				const char *key_path, struct err *e)
{
	BIO *key_pem = BIO_new(BIO_s_secmem()); /* wiped when freed */
	BIO *cert_pem = BIO_new(BIO_s_mem());
	enum err_code rc;

	if (!key_pem || !cert_pem ||
	    !PEM_write_bio_PrivateKey(key_pem, key, NULL, NULL, 0, NULL, NULL) ||
	    !PEM_write_bio_X509(cert_pem, cert))
		rc = tls_error(e, "write the new certificate %s", cert_path);
	else
		rc = write_bio(key_pem, key_path, 0600, e);
	if (rc == ERR_OK)
		rc = write_bio(cert_pem, cert_path, 0644, e);
	BIO_free(key_pem);
	BIO_free(cert_pem);
	return rc;
}

static enum err_code check_names(const struct tls_cert_names *names, struct err *e)
{
	for (size_t i = 0; i < names->hosts_n; i++) {
		size_t n = strlen(names->hosts[i]);
		char shown[80];

		text_escaped(shown, sizeof shown, str_of(names->hosts[i]));
		if (n == 0 || n > 253)
			return err_set(e, ERR_RANGE,
				       "host name \"%s\" for a certificate: %zu "
				       "characters, 1 to 253 are allowed",
				       shown, n);
		for (size_t k = 0; k < n; k++) {
			char c = names->hosts[i][k];

			if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') ||
			      (c >= 'A' && c <= 'Z') || c == '-' || c == '.' || c == '_'))
				return err_set(e, ERR_INVALID,
					       "host name \"%s\" for a certificate: letters, "
					       "digits, '-', '_' and '.' are allowed",
					       shown);
		}
	}
	for (size_t i = 0; i < names->addrs_n; i++) {
		if (!ip_bits(names->addrs[i].family))
			return err_set(e, ERR_INVALID, "address %zu for a certificate is not given",
				       i + 1);
	}
	return ERR_OK;
}

/* Takes over `key`, NULL: none could be made. */
static enum err_code certify(EVP_PKEY *key, const char *cert_path, const char *key_path,
			     const struct tls_cert_names *names, int64_t now_s, struct err *e)
{
	X509 *cert = X509_new();
	enum err_code rc;

	if (!key || !cert || !fill(cert, key, names, now_s))
		rc = tls_error(e, "make a certificate for %s", cert_path);
	else
		rc = write_pair(cert, key, cert_path, key_path, e);
	X509_free(cert);
	EVP_PKEY_free(key);
	return rc;
}

enum err_code tls_cert_create(const char *cert_path, const char *key_path,
			      const struct tls_cert_names *names, int64_t now_s, struct err *e)
{
	enum err_code rc = check_names(names, e);

	if (rc)
		return rc;
	return certify(EVP_PKEY_Q_keygen(NULL, NULL, "EC", "P-256"), cert_path, key_path, names,
		       now_s, e);
}

/* A crash between the two files leaves a key alone: it is kept. */
static enum err_code certify_found_key(const char *cert_path, const char *key_path,
				       const struct tls_cert_names *names, int64_t now_s,
				       struct err *e)
{
	EVP_PKEY *key = NULL;
	enum err_code rc = check_names(names, e);

	if (rc == ERR_OK)
		rc = tls_key_read(&key, key_path, NULL, e);
	return rc ? rc : certify(key, cert_path, key_path, names, now_s, e);
}

enum err_code tls_cert_ensure(const char *cert_path, const char *key_path,
			      const struct tls_cert_names *names, int64_t now_s, bool *created,
			      struct err *e)
{
	bool cert = access(cert_path, F_OK) == 0;
	bool key = access(key_path, F_OK) == 0;
	enum err_code rc;

	if (created)
		*created = false;
	if (cert && key)
		return ERR_OK;
	if (cert)
		return err_set(
			e, ERR_MISSING,
			"certificate %s is there without its key %s: bring the key, or remove "
			"the certificate to have both made anew",
			cert_path, key_path);
	rc = key ? certify_found_key(cert_path, key_path, names, now_s, e)
		 : tls_cert_create(cert_path, key_path, names, now_s, e);
	if (created)
		*created = rc == ERR_OK;
	return rc;
}
