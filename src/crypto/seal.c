#include "crypto/seal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fault.h"
#include "base/fs.h"
#include "crypto/aead.h"
#include "crypto/hash.h"

/* The key file:
 *
 *    0            7         8         40
 *    | "qanatkf"  | form 1  | key     |
 */
#define KEY_FILE_MAGIC "qanatkf"
#define KEY_FILE_FORM 1
#define KEY_FILE_LEN (sizeof KEY_FILE_MAGIC - 1 + 1 + KEY_LEN)

#define SEAL_VERSION 1
#define KEY_ID_LEN 4
/* Nothing can make a lost key again: what is sealed needs the very file. */
#define RESTORE "restore it from a backup, or choose another state directory"

_Static_assert(SEAL_OVERHEAD == 1 + KEY_ID_LEN + XNONCE_LEN + AEAD_TAG_LEN, "the sealed form");

struct seal_key {
	uint8_t key[KEY_LEN];
	uint8_t id[KEY_ID_LEN]; /* tells key files apart; no secret */
};

static enum err_code read_all(int fd, uint8_t *out, size_t n, const char *path, struct err *e)
{
	size_t done = 0;

	while (done < n) {
		ssize_t got = read(fd, out + done, n - done);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return err_sys(e, errno, "read key file %s", path);
		if (got == 0)
			return err_set(e, ERR_CORRUPT, "key file %s ended while it was read", path);
		done += (size_t)got;
	}
	return ERR_OK;
}

static enum err_code write_all(int fd, const uint8_t *p, size_t n, const char *path, struct err *e)
{
	while (n) {
		ssize_t put = FAULT("seal.key_write") ? (errno = ENOSPC, -1) : write(fd, p, n);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return err_sys(e, errno, "write key file %s", path);
		p += put;
		n -= (size_t)put;
	}
	return ERR_OK;
}

/* Whoever else could read or replace the file could read all that is sealed. */
static enum err_code key_file_check(int fd, const char *path, struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "stat key file %s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "key file %s is not a regular file", path);
	if (st.st_uid != geteuid())
		return err_set(e, ERR_DENIED, "key file %s belongs to user %u, not to user %u",
			       path, st.st_uid, geteuid());
	if (st.st_mode & 077)
		return err_set(e, ERR_DENIED,
			       "key file %s has mode %04o and others may use it; run chmod 600 %s",
			       path, st.st_mode & 07777, path);
	if (st.st_size != (off_t)KEY_FILE_LEN)
		return err_set(e, ERR_CORRUPT,
			       "key file %s has %lld bytes instead of %zu; " RESTORE, path,
			       (long long)st.st_size, KEY_FILE_LEN);
	return ERR_OK;
}

static enum err_code key_file_parse(uint8_t key[KEY_LEN], const uint8_t file[KEY_FILE_LEN],
				    const char *path, struct err *e)
{
	struct rd r = rd_over(file, KEY_FILE_LEN);
	const uint8_t *magic = rd_bytes(&r, sizeof KEY_FILE_MAGIC - 1);
	uint8_t form = rd_u8(&r);

	if (!magic || memcmp(magic, KEY_FILE_MAGIC, sizeof KEY_FILE_MAGIC - 1) != 0)
		return err_set(e, ERR_CORRUPT, "%s is not a Qanat key file; " RESTORE, path);
	if (form != KEY_FILE_FORM)
		return err_set(e, ERR_UNSUPPORTED,
			       "key file %s has form %u; this version knows form %d", path, form,
			       KEY_FILE_FORM);
	BUG_ON(!rd_copy(&r, key, KEY_LEN) || !rd_done(&r));
	return ERR_OK;
}

/* ERR_NOT_FOUND when there is none. */
static enum err_code key_file_read(uint8_t key[KEY_LEN], const char *path, struct err *e)
{
	uint8_t file[KEY_FILE_LEN];
	enum err_code rc;
	int fd;

	/* O_NONBLOCK: a FIFO must not hold us up. */
	fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (fd < 0 && errno == ELOOP)
		return err_set(e, ERR_INVALID, "key file %s is a symbolic link", path);
	if (fd < 0)
		return err_sys(e, errno, "open key file %s", path);
	rc = key_file_check(fd, path, e);
	if (!rc)
		rc = read_all(fd, file, sizeof file, path, e);
	if (!rc)
		rc = key_file_parse(key, file, path, e);
	fd_close(fd);
	wipe(file, sizeof file);
	return rc;
}

static struct str directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return STR(".");
	return (struct str){ path, slash == path ? 1 : (size_t)(slash - path) };
}

/* Makes the file's name survive a power cut. */
static enum err_code directory_sync(const char *path, struct err *e)
{
	char dir[PATH_MAX];
	enum err_code rc = ERR_OK;
	int fd;

	if (!str_copy(dir, sizeof dir, directory_of(path)))
		return err_set(e, ERR_RANGE, "path of key file %s is too long", path);
	fd = open(dir, O_RDONLY | O_CLOEXEC | O_DIRECTORY);
	if (fd < 0 || fsync(fd) < 0)
		rc = err_sys(e, errno, "sync directory %s", dir);
	fd_close(fd);
	return rc;
}

/* Writes a fresh key beside `path`, then links it there: the file appears whole, and one that
 * appeared meanwhile is never replaced, since secrets may already be sealed under it. */
static enum err_code key_file_make(const char *path, struct err *e)
{
	struct wr w;
	uint8_t file[KEY_FILE_LEN], *key;
	char tmp[PATH_MAX];
	enum err_code rc;
	int n, fd;

	n = snprintf(tmp, sizeof tmp, "%s.%08x", path, random_u32());
	if (n < 0 || (size_t)n >= sizeof tmp)
		return err_set(e, ERR_RANGE, "path of key file %s is too long", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return err_sys(e, errno, "make key file %s", tmp);
	w = wr_over(file, sizeof file);
	wr_bytes(&w, KEY_FILE_MAGIC, sizeof KEY_FILE_MAGIC - 1);
	wr_u8(&w, KEY_FILE_FORM);
	key = wr_reserve(&w, KEY_LEN);
	BUG_ON(!key);
	random_bytes(key, KEY_LEN);
	rc = write_all(fd, file, sizeof file, tmp, e);
	wipe(file, sizeof file);
	if (!rc && fsync(fd) < 0)
		rc = err_sys(e, errno, "sync key file %s", tmp);
	if (!rc && link(tmp, path) < 0 && errno != EEXIST)
		rc = err_sys(e, errno, "link key file %s to %s", tmp, path);
	if (unlink(tmp) < 0 && !rc)
		rc = err_sys(e, errno, "remove %s", tmp);
	fd_close(fd);
	return rc ? rc : directory_sync(path, e);
}

static void key_id_of(uint8_t id[KEY_ID_LEN], const uint8_t key[KEY_LEN])
{
	static const char what[] = "qanat seal key id";

	blake2s_keyed(id, KEY_ID_LEN, key, KEY_LEN, what, sizeof what - 1);
}

enum err_code seal_key_open(struct seal_key **out, const char *path, bool create, struct err *e)
{
	/* Between guard pages, locked in memory where the limit allows, wiped by sodium_free. */
	struct seal_key *k = sodium_malloc(sizeof *k);
	enum err_code rc;

	if (!k)
		return err_set(e, ERR_NOMEM, "no memory for key file %s", path);
	rc = key_file_read(k->key, path, e);
	if (rc == ERR_NOT_FOUND && create) {
		rc = key_file_make(path, e);
		if (!rc)
			rc = key_file_read(k->key, path, e);
	}
	if (rc) {
		sodium_free(k);
		return rc;
	}
	key_id_of(k->id, k->key);
	*out = k;
	return ERR_OK;
}

void seal_key_close(struct seal_key *k)
{
	sodium_free(k);
}

void seal(const struct seal_key *k, uint8_t *out, const void *secret, size_t n, struct str label)
{
	uint8_t *id = out + 1;
	uint8_t *nonce = id + KEY_ID_LEN;

	out[0] = SEAL_VERSION;
	memcpy(id, k->id, KEY_ID_LEN);
	random_bytes(nonce, XNONCE_LEN);
	xaead_seal(nonce + XNONCE_LEN, k->key, nonce, secret, n, label.p, label.n);
}

enum err_code unseal(const struct seal_key *k, uint8_t *out, const void *sealed, size_t n,
		     struct str label, struct err *e)
{
	struct rd r = rd_over(sealed, n);
	uint8_t version = rd_u8(&r);
	const uint8_t *id = rd_bytes(&r, KEY_ID_LEN);
	const uint8_t *nonce = rd_bytes(&r, XNONCE_LEN);
	const uint8_t *text = rd_bytes(&r, r.left);

	if (r.bad || n < SEAL_OVERHEAD)
		return err_set(e, ERR_CORRUPT, "sealed secret %.*s has only %zu bytes",
			       STR_ARG(label), n);
	if (version != SEAL_VERSION)
		return err_set(e, ERR_CORRUPT, "sealed secret %.*s has form %u instead of %d",
			       STR_ARG(label), version, SEAL_VERSION);
	if (memcmp(id, k->id, KEY_ID_LEN) != 0)
		return err_set(e, ERR_CORRUPT, "sealed secret %.*s belongs to another key file",
			       STR_ARG(label));
	if (!xaead_open(out, k->key, nonce, text, n - SEAL_OVERHEAD + AEAD_TAG_LEN, label.p,
			label.n))
		return err_set(e, ERR_CORRUPT, "sealed secret %.*s does not open: it was altered",
			       STR_ARG(label));
	return ERR_OK;
}
