#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fault.h"
#include "base/fs.h"
#include "store/agent.h"
#include "store/inside.h"
#include "store/schema.h"

/* ---- a directory of its own for each test ---- */

static char base[64], dir[96];

static int place_make(void **state)
{
	(void)state;
	(void)snprintf(base, sizeof base, "/tmp/qanat-store-XXXXXX");
	if (!crypto_init() || !mkdtemp(base))
		return -1;
	(void)snprintf(dir, sizeof dir, "%s/state", base);
	return 0;
}

static void path_of(char out[PATH_MAX], const char *file)
{
	(void)snprintf(out, PATH_MAX, "%s/%s", dir, file);
}

static int place_remove(void **state)
{
	DIR *d = opendir(dir);
	struct dirent *f;
	char path[PATH_MAX];

	(void)state;
	while (d && (f = readdir(d)) != NULL) {
		(void)snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
		(void)unlink(path);
	}
	if (d)
		closedir(d);
	(void)rmdir(dir);
	return rmdir(base);
}

static struct store *opened(void)
{
	struct store *s = NULL;
	struct err e = { 0 };

	if (store_open(&s, dir, &e))
		fail_msg("%s", e.msg);
	return s;
}

static struct client client_named(const char *name, uint8_t host)
{
	struct client c = { .enabled = true, .created_ns = 1000000000LL * host };

	c.ip = ip_v4((const uint8_t[]){ 10, 8, 0, host });
	c.ip6 = ip_v6((const uint8_t[16]){ 0xfd, [15] = host });
	assert_true(str_copy(c.name, sizeof c.name, str_of(name)));
	secret_key_generate(&c.private_key);
	public_key_of(&c.public_key, &c.private_key);
	psk_generate(&c.psk);
	return c;
}

static void add(struct store *s, const char *name, uint8_t host)
{
	struct client c = client_named(name, host);
	struct err e = { 0 };

	if (store_client_add(s, &c, &e))
		fail_msg("%s", e.msg);
	assert_true(c.id > 0);
	client_done(&c);
}

static uint64_t count(struct store *s)
{
	uint64_t total, enabled;
	struct err e = { 0 };

	if (store_client_count(s, STR(""), &total, &enabled, &e))
		fail_msg("%s", e.msg);
	assert_true(enabled <= total);
	return total;
}

static mode_t mode_of(const char *path)
{
	struct stat st;

	assert_int_equal(stat(path, &st), 0);
	return st.st_mode & 07777;
}

/* ---- opening ---- */

static void makes_a_private_directory(void **state)
{
	static const char *const files[] = { STORE_FILE, STORE_KEY_FILE, "store.lock" };
	struct store *s = opened();
	char path[PATH_MAX];

	(void)state;
	assert_int_equal(mode_of(dir), 0700);
	for (size_t i = 0; i < ARRAY_LEN(files); i++) {
		path_of(path, files[i]);
		assert_int_equal(mode_of(path), 0600);
	}
	store_close(s);
	store_close(NULL);
}

static void one_process_at_a_time(void **state)
{
	struct store *s = opened(), *other = NULL;
	struct err e = { 0 };

	(void)state;
	assert_int_equal(store_open(&other, dir, &e), ERR_IN_USE);
	assert_null(other);
	assert_non_null(strstr(e.msg, dir));
	store_close(s);
	s = opened(); /* the lock has gone with its holder */
	store_close(s);
}

/* Killed while it starts a program: that one holds the lock until it has been loaded. */
static void waits_for_a_lock_that_goes(void **state)
{
	struct store *s = opened();
	int hold[2];
	char c;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe2(hold, O_CLOEXEC), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		(void)close(hold[1]);
		(void)!read(hold[0], &c, 1); /* until the parent has begun to open */
		(void)usleep(50000);
		_exit(0);
	}
	(void)close(hold[0]);
	store_close(s);
	(void)close(hold[1]);
	s = opened();
	store_close(s);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
}

static void refuses_a_directory_that_others_write_in(void **state)
{
	struct store *s = NULL;
	struct err e = { 0 };

	(void)state;
	store_close(opened());
	assert_int_equal(chmod(dir, 0770), 0);
	assert_int_equal(store_open(&s, dir, &e), ERR_DENIED);
	assert_non_null(strstr(e.msg, "chmod go-w"));
	assert_int_equal(chmod(dir, 0755), 0); /* others may look at the names */
	store_close(opened());
}

static void refuses_an_old_database_without_its_key(void **state)
{
	struct store *s = opened();
	struct err e = { 0 };
	char key[PATH_MAX];

	(void)state;
	add(s, "alice", 2);
	store_close(s);
	s = NULL;
	path_of(key, STORE_KEY_FILE);
	assert_int_equal(unlink(key), 0);
	assert_int_equal(store_open(&s, dir, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, key));
	assert_int_equal(access(key, F_OK), -1); /* and made none that would open nothing */
}

static void says_that_another_key_opens_nothing(void **state)
{
	struct store *s = opened();
	struct client c = { 0 };
	struct err e = { 0 };
	char key[PATH_MAX], db[PATH_MAX], aside[PATH_MAX];

	(void)state;
	add(s, "alice", 2);
	store_close(s);
	path_of(key, STORE_KEY_FILE);
	path_of(db, STORE_FILE);
	path_of(aside, "aside");
	assert_int_equal(unlink(key), 0);
	assert_int_equal(rename(db, aside), 0);
	store_close(opened()); /* a new key with a new database */
	assert_int_equal(rename(aside, db), 0);
	s = opened();
	assert_int_equal(store_client_by_name(s, STR("alice"), &c, &e), ERR_CORRUPT);
	assert_non_null(strstr(e.msg, "alice"));
	assert_true(ct_is_zero(&c.private_key, sizeof c.private_key));
	store_close(s);
}

static void refuses_a_corrupt_database(void **state)
{
	static const struct {
		off_t at;
		const char *why;
	} rows[] = { { 0, "the header" }, { 4096, "a page" } };
	static const char junk[4096] = "not a database at all, not a database at all";
	char path[PATH_MAX];

	(void)state;
	path_of(path, STORE_FILE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct store *s = opened();
		struct err e = { 0 };
		int fd;

		add(s, "alice", 2);
		store_close(s);
		s = NULL;
		fd = open(path, O_WRONLY | O_CLOEXEC);
		assert_true(fd >= 0);
		assert_int_equal(pwrite(fd, junk, sizeof junk, rows[i].at), sizeof junk);
		close(fd);
		if (store_open(&s, dir, &e) != ERR_CORRUPT)
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_non_null(strstr(e.msg, path));
		assert_int_equal(unlink(path), 0);
	}
}

/* ---- settings and secrets ---- */

static void keeps_settings(void **state)
{
	static char big[STORE_VALUE_MAX + 1];
	struct store *s = opened();
	struct buf b = { 0 };
	struct err e = { 0 };

	(void)state;
	memset(big, 'x', sizeof big);
	assert_int_equal(store_setting(s, "network", &b, &e), ERR_NOT_FOUND);
	assert_int_equal(store_set_setting(s, "network", STR("10.8.0.0/24"), &e), ERR_OK);
	assert_int_equal(store_set_setting(s, "network", STR("10.9.0.0/24"), &e), ERR_OK);
	assert_int_equal(store_set_setting(s, "empty", STR(""), &e), ERR_OK);
	assert_int_equal(store_set_setting(s, "big", (struct str){ big, STORE_VALUE_MAX }, &e),
			 ERR_OK);
	assert_int_equal(store_set_setting(s, "big", (struct str){ big, sizeof big }, &e),
			 ERR_RANGE);
	store_close(s);

	s = opened();
	assert_int_equal(store_setting(s, "network", &b, &e), ERR_OK);
	assert_string_equal(b.p, "10.9.0.0/24");
	buf_clear(&b);
	assert_int_equal(store_setting(s, "empty", &b, &e), ERR_OK);
	assert_int_equal(b.n, 0);
	assert_int_equal(store_setting(s, "big", &b, &e), ERR_OK);
	assert_int_equal(b.n, STORE_VALUE_MAX);
	buf_done(&b);
	store_close(s);
}

static void keeps_secrets(void **state)
{
	struct store *s = opened();
	uint8_t in[KEY_LEN] = "thirty-two bytes of a secret....", out[KEY_LEN + 1] = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(store_secret(s, "k", out, KEY_LEN, &e), ERR_NOT_FOUND);
	assert_int_equal(store_set_secret(s, "k", in, KEY_LEN, &e), ERR_OK);
	assert_int_equal(store_set_secret(s, "k", in, 0, &e), ERR_RANGE);
	store_close(s);
	s = opened();
	assert_int_equal(store_secret(s, "k", out, KEY_LEN, &e), ERR_OK);
	assert_memory_equal(in, out, KEY_LEN);
	assert_int_equal(store_secret(s, "k", out, KEY_LEN + 1, &e), ERR_CORRUPT);
	store_close(s);
}

/* True when some file of the directory holds the bytes. */
static bool files_hold(const void *p, size_t n)
{
	DIR *d = opendir(dir);
	struct dirent *f;
	bool found = false;

	assert_non_null(d);
	while ((f = readdir(d)) != NULL) {
		struct buf b = { 0 };
		struct err e = { 0 };
		char path[PATH_MAX];

		if (f->d_name[0] == '.')
			continue;
		(void)snprintf(path, sizeof path, "%s/%s", dir, f->d_name);
		assert_int_equal(file_read(&b, path, 16u << 20, &e), ERR_OK);
		found = found || (b.n && memmem(b.p, b.n, p, n));
		buf_done(&b);
	}
	closedir(d);
	return found;
}

static void files_hold_no_secret(void **state)
{
	struct store *s = opened();
	struct client c = client_named("alice", 2);
	uint8_t key[KEY_LEN] = "a server key that is easily seen";
	struct err e = { 0 };
	char text[KEY_TEXT_MAX];

	(void)state;
	assert_int_equal(store_client_add(s, &c, &e), ERR_OK);
	assert_int_equal(store_set_secret(s, "server", key, sizeof key, &e), ERR_OK);
	for (int i = 0; i < 2; i++) { /* in the log, then in the database */
		assert_true(files_hold(c.public_key.b, KEY_LEN)); /* the search does find */
		assert_false(files_hold(c.private_key.b, KEY_LEN));
		assert_false(files_hold(c.psk.b, KEY_LEN));
		assert_false(files_hold(key, sizeof key));
		base64_encode(text, c.private_key.b, KEY_LEN);
		assert_false(files_hold(text, strlen(text)));
		base64_encode(text, c.psk.b, KEY_LEN);
		assert_false(files_hold(text, strlen(text)));
		store_close(s);
		s = NULL;
	}
	client_done(&c);
}

/* ---- clients ---- */

static void assert_same(const struct client *a, const struct client *b)
{
	assert_int_equal(a->id, b->id);
	assert_string_equal(a->name, b->name);
	assert_true(ip_eq(&a->ip, &b->ip));
	assert_true(ip_eq(&a->ip6, &b->ip6));
	assert_memory_equal(&a->public_key, &b->public_key, KEY_LEN);
	assert_memory_equal(&a->private_key, &b->private_key, KEY_LEN);
	assert_memory_equal(&a->psk, &b->psk, KEY_LEN);
	assert_true(a->created_ns == b->created_ns);
	assert_int_equal(a->enabled, b->enabled);
}

static void gives_back_what_was_added(void **state)
{
	struct store *s = opened();
	struct client c = client_named("Alice_1-x", 2), got;
	struct client no6 = client_named("bob", 3);
	struct err e = { 0 };
	bool known = false;

	(void)state;
	no6.ip6 = (struct ip_addr){ 0 };
	no6.enabled = false;
	assert_int_equal(store_client_add(s, &c, &e), ERR_OK);
	assert_int_equal(store_client_add(s, &no6, &e), ERR_OK);
	store_close(s);
	s = opened();
	assert_int_equal(store_client_by_name(s, STR("Alice_1-x"), &got, &e), ERR_OK);
	assert_same(&got, &c);
	assert_int_equal(store_client_by_name(s, STR("bob"), &got, &e), ERR_OK);
	assert_same(&got, &no6);
	assert_int_equal(store_client_by_name(s, STR("alice_1-x"), &got, &e), ERR_NOT_FOUND);
	assert_int_equal(store_client_key_known(s, &c.public_key, &known, &e), ERR_OK);
	assert_true(known);
	assert_int_equal(store_client_remove(s, c.id, &e), ERR_OK);
	assert_int_equal(store_client_remove(s, c.id, &e), ERR_NOT_FOUND);
	assert_int_equal(store_client_key_known(s, &c.public_key, &known, &e), ERR_OK);
	assert_false(known);
	assert_int_equal(count(s), 1);
	store_close(s);
	client_done(&got);
	client_done(&c);
	client_done(&no6);
}

static void says_what_is_taken(void **state)
{
	struct store *s = opened();
	struct client old = client_named("alice", 2);
	struct err e = { 0 };
	static const struct {
		bool name, ip, ip6, key;
		const char *says;
	} rows[] = {
		{ true, false, false, false, "named alice" },
		{ false, true, false, false, "10.8.0.2" },
		{ false, false, true, false, "fd00::2" },
		{ false, false, false, true, "public key" },
	};

	(void)state;
	assert_int_equal(store_client_add(s, &old, &e), ERR_OK);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client c = client_named("bob", 3);

		if (rows[i].name)
			memcpy(c.name, old.name, sizeof c.name);
		if (rows[i].ip)
			c.ip = old.ip;
		if (rows[i].ip6)
			c.ip6 = old.ip6;
		if (rows[i].key)
			c.public_key = old.public_key;
		assert_int_equal(store_client_add(s, &c, &e), ERR_EXISTS);
		if (!strstr(e.msg, rows[i].says))
			fail_msg("no \"%s\" in: %s", rows[i].says, e.msg);
		client_done(&c);
	}
	add(s, "ALICE", 3); /* names are case-sensitive */
	assert_int_equal(count(s), 2);
	store_close(s);
	client_done(&old);
}

/* The model has checked before; the tables check again. */
static void tables_refuse_what_the_model_would(void **state)
{
	static const struct {
		const char *name;
		uint8_t ip[4];
		const char *why;
	} rows[] = {
		{ "", { 10, 8, 0, 2 }, "empty" },
		{ "a\nb", { 10, 8, 0, 2 }, "a newline" },
		{ "a b", { 10, 8, 0, 2 }, "a space" },
		{ "\xc3\xa4", { 10, 8, 0, 2 }, "not ASCII" },
		{ "zero", { 0, 0, 0, 0 }, "no address" },
		{ "ones", { 255, 255, 255, 255 }, "the broadcast address" },
	};
	struct store *s = opened();
	struct err e = { 0 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client c = client_named(rows[i].name, 2);

		c.ip = ip_v4(rows[i].ip);
		if (store_client_add(s, &c, &e) != ERR_INVALID)
			fail_msg("%s: %s", rows[i].why, e.msg);
		client_done(&c);
	}
	assert_int_equal(count(s), 0);
	store_close(s);
}

/* A sealed value in another's row does not open, nor one in another's column. */
static void sealed_values_stay_where_they_are(void **state)
{
	struct store *s = opened();
	struct client c = { 0 };
	struct err e = { 0 };

	(void)state;
	add(s, "alice", 2);
	add(s, "bob", 3);
	{
		AUTO(db_stmt_done)
		struct db_stmt st = db_sql(s->db, "UPDATE clients SET private_key = (SELECT o."
						  "private_key FROM clients o WHERE o.name = 'bob')"
						  " WHERE name = 'alice'");

		assert_int_equal(db_run(&st, &e), ERR_OK);
	}
	{
		AUTO(db_stmt_done)
		struct db_stmt st =
			db_sql(s->db, "UPDATE clients SET psk = private_key WHERE name = 'bob'");

		assert_int_equal(db_run(&st, &e), ERR_OK);
	}
	assert_int_equal(store_client_by_name(s, STR("alice"), &c, &e), ERR_CORRUPT);
	assert_int_equal(store_client_by_name(s, STR("bob"), &c, &e), ERR_CORRUPT);
	assert_true(ct_is_zero(&c.private_key, sizeof c.private_key));
	store_close(s);
}

/* ---- lists ---- */

struct names {
	char text[256];
	size_t stop_after; /* 0: never */
	size_t n;
	bool had_secrets;
};

static bool name_collect(void *ctx, const struct client *c)
{
	struct names *to = ctx;
	size_t n = strlen(to->text);

	(void)snprintf(to->text + n, sizeof to->text - n, "%s ", c->name);
	to->had_secrets = !ct_is_zero(&c->private_key, KEY_LEN) && !ct_is_zero(&c->psk, KEY_LEN);
	return ++to->n != to->stop_after;
}

static void lists_in_order(void **state)
{
	static const struct {
		const char *search;
		bool newest;
		uint64_t skip, limit;
		size_t stop_after;
		const char *want;
		const char *why;
	} rows[] = {
		{ "", false, 0, 100, 0, "cat dog Catfish ant ", "oldest first" },
		{ "", true, 0, 100, 0, "ant Catfish dog cat ", "newest first" },
		{ "", false, 1, 2, 0, "dog Catfish ", "a page" },
		{ "", false, 4, 2, 0, "", "a page behind the end" },
		{ "", false, 0, 0, 0, "", "nothing asked for" },
		{ "", false, 0, UINT64_MAX, 2, "cat dog ", "stopped by the caller" },
		{ "cAt", false, 0, 100, 0, "cat Catfish ", "case is ignored" },
		{ "cAt", false, 1, 100, 0, "Catfish ", "a page of what was found" },
		{ "%", false, 0, 100, 0, "", "no wildcards" },
		{ "_", false, 0, 100, 0, "", "none at all" },
		{ "' OR 1=1 --", false, 0, 100, 0, "", "text stays text" },
	};
	struct store *s = opened();
	struct err e = { 0 };

	(void)state;
	add(s, "ant", 9); /* the names' order, the ids' order and the ages' order all differ */
	add(s, "cat", 2);
	add(s, "Catfish", 7);
	add(s, "dog", 5);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct client_query q = { str_of(rows[i].search), rows[i].newest, rows[i].skip,
					  rows[i].limit };
		struct names got = { .stop_after = rows[i].stop_after };

		assert_int_equal(store_clients(s, &q, i % 2, name_collect, &got, &e), ERR_OK);
		if (strcmp(got.text, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].why, got.text);
		if (got.n)
			assert_int_equal(got.had_secrets, i % 2);
	}
	store_close(s);
}

struct peers_seen {
	struct store *store;
	size_t n, stop_after;
};

/* As the client that has the key says. */
static bool peer_collect(void *ctx, const struct store_peer *p)
{
	struct peers_seen *seen = ctx;
	struct client c = { 0 };
	struct err e;

	assert_int_equal(store_client_by_key(seen->store, &p->public_key, true, &c, &e), ERR_OK);
	assert_int_equal(p->id, c.id);
	assert_true(ip_eq(&p->ip, &c.ip) && ip_eq(&p->ip6, &c.ip6));
	assert_memory_equal(&p->psk, &c.psk, sizeof c.psk);
	assert_int_equal(p->ipv6_only, c.ipv6_only);
	assert_int_equal(p->keepalive_s, c.keepalive_s);
	client_done(&c);
	return ++seen->n != seen->stop_after;
}

static void peers_are_what_clients_are(void **state)
{
	struct store *s = opened();
	struct peers_seen seen = { .store = s };
	struct client six = client_named("six", 6);
	struct err e = { 0 };

	(void)state;
	assert_int_equal(store_peers(s, peer_collect, &seen, &e), ERR_OK);
	assert_int_equal(seen.n, 0);
	add(s, "ant", 9);
	add(s, "cat", 2);
	six.ip6 = ip_v6((const uint8_t[16]){ 0xfd, [15] = 6 });
	six.ipv6_only = true;
	six.keepalive_s = 25;
	assert_int_equal(store_client_add(s, &six, &e), ERR_OK);
	assert_int_equal(store_peers(s, peer_collect, &seen, &e), ERR_OK);
	assert_int_equal(seen.n, 3);
	seen = (struct peers_seen){ .store = s, .stop_after = 2 };
	assert_int_equal(store_peers(s, peer_collect, &seen, &e), ERR_OK);
	assert_int_equal(seen.n, 2);
	store_close(s);
	client_done(&six);
}

static void counts(void **state)
{
	struct store *s = opened();
	struct client off = client_named("catapult", 9);
	uint64_t total, enabled;
	struct err e = { 0 };

	(void)state;
	off.enabled = false;
	add(s, "cat", 2);
	add(s, "dog", 3);
	assert_int_equal(store_client_add(s, &off, &e), ERR_OK);
	assert_int_equal(store_client_count(s, STR("CAT"), &total, &enabled, &e), ERR_OK);
	assert_int_equal(total, 2);
	assert_int_equal(enabled, 1);
	assert_int_equal(count(s), 3);
	store_close(s);
	client_done(&off);
}

/* ---- addresses ---- */

static const struct ip_prefix net24 = { { IP_V4, { 10, 8, 0, 0 } }, 24 };

static uint64_t free_index(struct store *s, uint64_t last)
{
	uint64_t index = 0;
	struct err e = { 0 };
	enum err_code rc = store_free_index(s, &net24, 2, last, &index, &e);

	if (rc == ERR_FULL)
		return 0;
	if (rc)
		fail_msg("%s", e.msg);
	return index;
}

static void finds_the_lowest_free_address(void **state)
{
	struct store *s = opened();
	struct client c = { 0 };
	struct err e = { 0 };

	(void)state;
	assert_int_equal(free_index(s, 254), 2);
	add(s, "c2", 2);
	add(s, "c3", 3);
	add(s, "c5", 5);
	assert_int_equal(free_index(s, 254), 4);
	assert_int_equal(free_index(s, 254), 4); /* asking takes nothing */
	add(s, "c4", 4);
	assert_int_equal(free_index(s, 254), 6);
	assert_int_equal(free_index(s, 5), 0); /* full */
	assert_int_equal(free_index(s, 6), 6);

	assert_int_equal(store_client_by_name(s, STR("c3"), &c, &e), ERR_OK);
	assert_int_equal(store_client_remove(s, c.id, &e), ERR_OK);
	client_done(&c);
	assert_int_equal(free_index(s, 254), 3); /* a hole is filled first */

	assert_int_equal(store_begin(s, &e), ERR_OK);
	add(s, "c3", 3);
	assert_int_equal(free_index(s, 254), 6);
	store_rollback(s);
	assert_int_equal(free_index(s, 254), 3); /* as if it had never been */
	store_close(s);
}

static void refuses_addresses_outside_the_network(void **state)
{
	static const struct {
		uint8_t len;
		uint64_t first, last;
		enum err_code want;
		const char *why;
	} rows[] = {
		{ 24, 2, 254, ERR_OK, "the usual" },
		{ 24, 2, 255, ERR_OK, "the last address" },
		{ 24, 2, 256, ERR_RANGE, "one behind it" },
		{ 24, 3, 2, ERR_RANGE, "upside down" },
		{ 30, 2, 2, ERR_OK, "one client" },
		{ 0, 2, UINT32_MAX, ERR_OK, "all of IPv4" },
	};
	const struct ip_prefix v6 = { { IP_V6, { 0xfd } }, 64 };
	struct store *s = opened();
	struct err e = { 0 };
	uint64_t index;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct ip_prefix p = { net24.addr, rows[i].len };

		if (store_free_index(s, &p, rows[i].first, rows[i].last, &index, &e) !=
		    rows[i].want)
			fail_msg("%s", rows[i].why);
	}
	assert_int_equal(store_free_index(s, &v6, 2, 3, &index, &e), ERR_RANGE);
	store_close(s);
}

/* Thousands of random additions and removals beside a plain table. */
static void addresses_agree_with_a_table(void **state)
{
	int64_t id_at[64] = { 0 };
	struct store *s = opened();
	struct err e = { 0 };
	char name[16];

	(void)state;
	srandom(1);
	assert_int_equal(store_begin(s, &e), ERR_OK); /* one fsync for all */
	for (int i = 0; i < 2000; i++) {
		uint64_t want = 2, at = 2 + (uint64_t)random() % 62;

		while (want < 64 && id_at[want])
			want++;
		assert_int_equal(free_index(s, 63), want < 64 ? want : 0);
		if (random() % 3 && want < 64) {
			struct client c;

			(void)snprintf(name, sizeof name, "n%d", i);
			c = client_named(name, (uint8_t)want);
			assert_int_equal(store_client_add(s, &c, &e), ERR_OK);
			id_at[want] = c.id;
			client_done(&c);
		} else if (id_at[at]) {
			assert_int_equal(store_client_remove(s, id_at[at], &e), ERR_OK);
			id_at[at] = 0;
		}
	}
	assert_int_equal(store_commit(s, &e), ERR_OK);
	store_close(s);
}

/* ---- failures ---- */

#ifdef QANAT_FAULT_POINTS

/* Each change of the story is whole or absent; *done counts those that were answered with ERR_OK. */
static enum err_code story(unsigned *done, struct err *e)
{
	struct store *s = NULL;
	struct client c = client_named("alice", 2), got = { 0 };
	enum err_code rc = store_open(&s, dir, e);

	*done = 0;
	if (rc == ERR_OK)
		rc = store_set_setting(s, "a", STR("1"), e);
	if (rc == ERR_OK)
		*done = 1;
	if (rc == ERR_OK)
		rc = store_begin(s, e);
	if (rc == ERR_OK)
		rc = store_client_add(s, &c, e);
	if (rc == ERR_OK)
		rc = store_set_setting(s, "a", STR("2"), e);
	if (rc == ERR_OK)
		rc = store_commit(s, e);
	if (rc == ERR_OK)
		*done = 2;
	else
		store_rollback(s);
	if (rc == ERR_OK)
		rc = store_client_by_name(s, STR("alice"), &got, e);
	if (rc == ERR_OK)
		rc = store_set_secret(s, "k", got.psk.b, KEY_LEN, e);
	if (rc == ERR_OK)
		*done = 3;
	if (rc == ERR_OK)
		rc = store_client_remove(s, got.id, e);
	if (rc == ERR_OK)
		*done = 4;
	client_done(&c);
	client_done(&got);
	store_close(s);
	return rc;
}

static void story_holds(unsigned done, const char *fault)
{
	struct store *s = opened();
	struct buf value = { 0 };
	uint8_t secret[KEY_LEN];
	struct err e = { 0 };
	enum err_code a = store_setting(s, "a", &value, &e);
	uint64_t clients = count(s);
	bool ok = true;

	if (done == 0)
		ok = a == ERR_NOT_FOUND && clients == 0;
	else if (done == 1)
		ok = a == ERR_OK && strcmp(value.p, "1") == 0 && clients == 0;
	else
		ok = a == ERR_OK && strcmp(value.p, "2") == 0 && clients == (done < 4);
	ok = ok && (store_secret(s, "k", secret, KEY_LEN, &e) == ERR_OK) == (done >= 3);
	if (!ok)
		fail_msg("%s: after %u changes there is a=%s and %u clients", fault, done,
			 buf_view(&value).p, (unsigned)clients);
	buf_done(&value);
	store_close(s);
}

/* Every failure that can be injected below, each at its first, second, ... passing. */
static void survives_each_failure(void **state)
{
	static const char *const points[] = { "db.begin",   "db.write",	  "db.commit",
					      "db.migrate", "store.read", "seal.key_write" };
	char fault[64];
	unsigned tried = 0;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(points); i++) {
		for (unsigned k = 1;; k++) {
			struct err e = { 0 };
			unsigned done;
			enum err_code rc;

			(void)snprintf(fault, sizeof fault, "%s:%u", points[i], k);
			(void)setenv("QANAT_FAULT", fault, 1);
			fault_reload();
			rc = story(&done, &e);
			(void)unsetenv("QANAT_FAULT");
			fault_reload();
			if (rc)
				assert_true(e.msg[0]);
			story_holds(rc ? done : 4, fault);
			(void)place_remove(NULL);
			assert_int_equal(mkdir(base, 0700), 0);
			tried++;
			if (rc == ERR_OK)
				break; /* k is behind the last passing */
			assert_true(k < 100);
		}
	}
	print_message("%u runs\n", tried);
	assert_true(tried > 2 * ARRAY_LEN(points)); /* each point was met */
}

#else

static void survives_each_failure(void **state)
{
	(void)state;
	print_message("skipped: built without fault points\n");
	skip();
}

#endif

/* ---- endpoints ---- */

static struct client stored(struct store *s, const char *name)
{
	struct client c = { 0 };
	struct err e = { 0 };

	if (store_client_by_name(s, str_of(name), &c, &e))
		fail_msg("%s", e.msg);
	client_done(&c); /* of secrets; the rest stays */
	return c;
}

static void keeps_endpoints(void **state)
{
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "192.0.2.1:51820", "IPv4" },
		{ "1.1.1.1:1", "the shortest" },
		{ "[2001:db8::1]:65535", "IPv6" },
		{ "[fe80::ffff:ffff:ffff:ffff%4294967295]:65535", "the longest" },
	};
	struct store *s = opened();
	struct endpoint ep, got;
	struct err e = { 0 };

	(void)state;
	add(s, "a", 2);
	add(s, "b", 3);
	got = stored(s, "a").endpoint;
	assert_int_equal(got.addr.family, IP_NONE);
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		assert_true(endpoint_parse(str_of(rows[i].text), &ep));
		if (store_client_set_endpoint(s, stored(s, "a").id, &ep, 7, &e))
			fail_msg("%s: %s", rows[i].why, e.msg);
		store_close(s);
		s = opened();
		got = stored(s, "a").endpoint;
		assert_int_equal(stored(s, "a").seen_ns, 7);
		if (!endpoint_eq(&got, &ep))
			fail_msg("%s: another one came back", rows[i].why);
	}
	got = stored(s, "b").endpoint;
	assert_int_equal(got.addr.family, IP_NONE);
	ep = (struct endpoint){ 0 };
	assert_int_equal(store_client_set_endpoint(s, stored(s, "a").id, &ep, 7, &e), ERR_OK);
	got = stored(s, "a").endpoint;
	assert_int_equal(got.addr.family, IP_NONE);
	assert_int_equal(store_client_set_endpoint(s, 99, &ep, 7, &e), ERR_NOT_FOUND);
	assert_non_null(strstr(e.msg, "99"));
	store_close(s);
}

static bool file_holds(const char *file, const char *text)
{
	char path[PATH_MAX];
	AUTO(buf_done) struct buf all = { 0 };
	struct err e = { 0 };

	path_of(path, file);
	if (access(path, F_OK) < 0)
		return false;
	assert_int_equal(file_read(&all, path, 16u << 20, &e), ERR_OK);
	return memmem(all.p, all.n, text, strlen(text)) != NULL;
}

static void forgets_endpoints(void **state)
{
	const char *const text = "203.0.113.77:40077", *const other = "203.0.113.88:40088";
	struct store *s = opened();
	struct endpoint ep;
	struct err e = { 0 };

	(void)state;
	add(s, "a", 2);
	add(s, "b", 3);
	assert_true(endpoint_parse(str_of(text), &ep));
	assert_int_equal(store_client_set_endpoint(s, stored(s, "a").id, &ep, 7, &e), ERR_OK);
	assert_true(endpoint_parse(str_of(other), &ep));
	assert_int_equal(store_client_set_endpoint(s, stored(s, "b").id, &ep, 7, &e), ERR_OK);
	store_close(s);
	assert_true(file_holds(STORE_FILE, text)); /* it would be seen */
	s = opened();
	assert_int_equal(store_client_remove(s, stored(s, "a").id, &e), ERR_OK);
	store_close(s);
	assert_false(file_holds(STORE_FILE, text)); /* with its client */
	assert_true(file_holds(STORE_FILE, other));
	s = opened();
	assert_int_equal(store_forget_endpoints(s, &e), ERR_OK);
	assert_int_equal(store_forget_endpoints(s, &e), ERR_OK); /* there are none */
	assert_int_equal(stored(s, "b").seen_ns, 0);
	store_close(s);
	assert_false(file_holds(STORE_FILE, other));
	assert_false(file_holds(STORE_FILE "-wal", other));
}

/* ---- limits ---- */

static void keeps_limits(void **state)
{
	const struct client_limits some = { 1000, 8000000, 1ull << 62, 5, INT64_MAX }, none = { 0 };
	struct store *s = opened();
	struct client_limits got;
	struct err e = { 0 };

	(void)state;
	add(s, "a", 2);
	add(s, "b", 3);
	got = stored(s, "a").limits;
	assert_memory_equal(&got, &none, sizeof got);
	assert_int_equal(store_client_set_limits(s, stored(s, "a").id, &some, &e), ERR_OK);
	assert_int_equal(store_client_set_used(s, stored(s, "a").id, 77, &e), ERR_OK);
	store_close(s);
	s = opened();
	got = stored(s, "a").limits;
	assert_true(got.rate_up_bps == 1000 && got.rate_down_bps == 8000000);
	assert_true(got.quota == 1ull << 62 && got.quota_used == 77 && got.expires_ns == INT64_MAX);
	got = stored(s, "b").limits;
	assert_memory_equal(&got, &none, sizeof got);
	assert_int_equal(store_client_set_limits(s, 99, &some, &e), ERR_NOT_FOUND);
	assert_int_equal(store_client_set_used(s, 99, 1, &e), ERR_NOT_FOUND);
	store_close(s);
}

/* The database of a gateway of before endpoints were kept. */
static void takes_over_a_store_of_version_1(void **state)
{
	struct db_schema old = store_schema;
	struct db *db = NULL;
	char path[PATH_MAX];
	struct store *s = opened();
	struct err e = { 0 };

	(void)state;
	store_close(s); /* for the key */
	path_of(path, STORE_FILE);
	assert_int_equal(unlink(path), 0);
	old.n = 1;
	assert_int_equal(db_open(&db, path, &old, 0, &e), ERR_OK);
	{
		AUTO(db_stmt_done)
		struct db_stmt st =
			db_sql(db, "INSERT INTO clients (name, ip, public_key, private_key, psk, "
				   "created_ns, enabled) VALUES ('old', 168296450, zeroblob(32), "
				   "zeroblob(77), zeroblob(77), 5, 1)");

		assert_int_equal(db_run(&st, &e), ERR_OK);
	}
	db_close(db);
	s = opened();
	assert_int_equal(count(s), 1);
	add(s, "new", 3);
	store_close(s);
	assert_int_equal(db_open(&db, path, &old, 0, &e), ERR_UNSUPPORTED); /* no way back */
}

static void knows_nothing_of_an_endpoint_that_it_cannot_read(void **state)
{
	struct store *s = opened();
	struct endpoint got;
	struct err e = { 0 };

	(void)state;
	add(s, "a", 2);
	{
		AUTO(db_stmt_done)
		struct db_stmt st =
			db_sql(s->db, "UPDATE clients SET endpoint = '[fe80::1%gone]:1'");

		assert_int_equal(db_run(&st, &e), ERR_OK);
	}
	got = stored(s, "a").endpoint;
	assert_int_equal(got.addr.family, IP_NONE);
	store_close(s);
}

/* ---- the agent API's history ---- */

static bool configs_collect(void *ctx, const struct store_config *c)
{
	int64_t *ids = ctx;

	ids[++ids[0]] = c->id;
	assert_int_equal(c->config.n, 0);
	return true;
}

static void config_look(void *ctx, const struct store_config *c)
{
	*(bool *)ctx = str_eq(c->config, STR("{\"private_key\":\"secret\"}")) &&
		       str_eq(c->changes, STR("[]")) && strcmp(c->author, "0123abcd") == 0 &&
		       strcmp(c->source, "192.0.2.1") == 0 && strcmp(c->action, "update") == 0;
}

static void keeps_the_last_configurations(void **state)
{
	struct store_config c = { .made_ns = 7,
				  .author = "0123abcd",
				  .source = "192.0.2.1",
				  .action = "update",
				  .config = STR("{\"private_key\":\"secret\"}"),
				  .changes = STR("[]") };
	int64_t ids[STORE_CONFIGS_KEPT + 2] = { 0 }, id = 0;
	struct store *s = opened();
	struct err e = { 0 };
	bool same = false;

	(void)state;
	for (int i = 0; i < STORE_CONFIGS_KEPT + 5; i++)
		assert_int_equal(store_config_add(s, "wg_main", &c, &id, &e), ERR_OK);
	assert_int_equal(store_config_add(s, "other", &c, &id, &e), ERR_OK);
	store_close(s);
	s = opened();
	assert_int_equal(store_configs(s, "wg_main", configs_collect, ids, &e), ERR_OK);
	assert_int_equal(ids[0], STORE_CONFIGS_KEPT);
	assert_int_equal(ids[1], STORE_CONFIGS_KEPT + 5); /* newest first */
	assert_int_equal(store_config(s, "wg_main", ids[1], config_look, &same, &e), ERR_OK);
	assert_true(same);
	assert_int_equal(store_config(s, "wg_main", 1, config_look, &same, &e), ERR_NOT_FOUND);
	assert_int_equal(store_config(s, "other", ids[1], config_look, &same, &e), ERR_NOT_FOUND);
	c.config = STR("");
	assert_int_equal(store_config_add(s, "other", &c, &id, &e), ERR_RANGE);
	store_close(s);
}

static void keeps_keepalive_and_another_psk(void **state)
{
	struct psk psk = { .b = { 1, 2, 3 } };
	struct store *s = opened();
	struct client c = { 0 };
	struct err e = { 0 };

	(void)state;
	add(s, "a", 2);
	c = stored(s, "a");
	assert_int_equal(c.keepalive_s, 0);
	assert_int_equal(store_client_set_keepalive(s, c.id, 25, &e), ERR_OK);
	assert_int_equal(store_client_set_psk(s, c.id, &c.public_key, &psk, &e), ERR_OK);
	store_close(s);
	s = opened();
	assert_int_equal(store_client_by_name(s, STR("a"), &c, &e), ERR_OK);
	assert_int_equal(c.keepalive_s, 25);
	assert_memory_equal(&c.psk, &psk, sizeof psk);
	assert_int_equal(store_client_set_keepalive(s, 99, 25, &e), ERR_NOT_FOUND);
	assert_int_equal(store_client_set_psk(s, 99, &c.public_key, &psk, &e), ERR_NOT_FOUND);
	client_done(&c);
	store_close(s);
}

/* ---- what needs a file system of its own ---- */

#define CHILD_SKIP 77
#define CHILD_CHECK(cond)                                                             \
	do {                                                                          \
		if (!(cond)) {                                                        \
			fprintf(stderr, "line %d: %s: %s\n", __LINE__, #cond, e.msg); \
			return 1;                                                     \
		}                                                                     \
	} while (0)

static void in_mount(int (*fn)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		if (unshare(CLONE_NEWNS) < 0 ||
		    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
		    mount("qanat", base, "tmpfs", 0, "size=512k,mode=700") < 0)
			_exit(CHILD_SKIP);
		_exit(fn());
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status));
	if (WEXITSTATUS(status) == CHILD_SKIP) {
		print_message("skipped: no right to mount a file system of its own\n");
		skip();
	}
	assert_int_equal(WEXITSTATUS(status), 0);
}

static int read_only_steps(void)
{
	struct store *s = NULL;
	struct err e = { 0 };

	CHILD_CHECK(!store_open(&s, dir, &e));
	store_close(s);
	s = NULL;
	CHILD_CHECK(!mount(NULL, base, NULL, MS_REMOUNT | MS_RDONLY, NULL));
	CHILD_CHECK(store_open(&s, dir, &e) == ERR_DENIED);
	CHILD_CHECK(!s && strstr(e.msg, dir) && strstr(e.msg, "read-only"));
	return 0;
}

static void says_that_a_directory_is_read_only(void **state)
{
	(void)state;
	in_mount(read_only_steps);
}

/* Adds until the disk is full: all that were answered are there, the others leave no trace. */
static int full_disk_steps(void)
{
	struct store *s = NULL;
	struct err e = { 0 };
	enum err_code rc = ERR_OK;
	uint64_t added = 0, total, enabled;
	char name[32];

	CHILD_CHECK(!store_open(&s, dir, &e));
	while (rc == ERR_OK && added < 5000) {
		struct client c;

		(void)snprintf(name, sizeof name, "client-%llu", (unsigned long long)added);
		c = client_named(name, 2);
		c.ip = ip_v4((const uint8_t[]){ 10, 8, (uint8_t)(added >> 8), (uint8_t)added });
		c.ip6 = (struct ip_addr){ 0 };
		rc = store_begin(s, &e);
		if (!rc)
			rc = store_client_add(s, &c, &e);
		if (!rc)
			rc = store_commit(s, &e);
		if (rc)
			store_rollback(s);
		else
			added++;
		client_done(&c);
	}
	CHILD_CHECK(rc == ERR_IO && added > 10 && strstr(e.msg, dir));
	CHILD_CHECK(!store_client_count(s, STR(""), &total, &enabled, &e) && total == added);
	store_close(s);
	s = NULL;
	CHILD_CHECK(!store_open(&s, dir, &e));
	CHILD_CHECK(!store_client_count(s, STR(""), &total, &enabled, &e) && total == added);
	store_close(s);
	return 0;
}

static void keeps_what_it_has_on_a_full_disk(void **state)
{
	(void)state;
	in_mount(full_disk_steps);
}

#define T(f) cmocka_unit_test_setup_teardown(f, place_make, place_remove)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(makes_a_private_directory),
		T(one_process_at_a_time),
		T(waits_for_a_lock_that_goes),
		T(refuses_a_directory_that_others_write_in),
		T(refuses_an_old_database_without_its_key),
		T(says_that_another_key_opens_nothing),
		T(refuses_a_corrupt_database),
		T(keeps_settings),
		T(keeps_secrets),
		T(files_hold_no_secret),
		T(gives_back_what_was_added),
		T(says_what_is_taken),
		T(tables_refuse_what_the_model_would),
		T(sealed_values_stay_where_they_are),
		T(lists_in_order),
		T(peers_are_what_clients_are),
		T(counts),
		T(finds_the_lowest_free_address),
		T(refuses_addresses_outside_the_network),
		T(addresses_agree_with_a_table),
		T(keeps_endpoints),
		T(keeps_limits),
		T(forgets_endpoints),
		T(takes_over_a_store_of_version_1),
		T(keeps_the_last_configurations),
		T(keeps_keepalive_and_another_psk),
		T(knows_nothing_of_an_endpoint_that_it_cannot_read),
		T(survives_each_failure),
		T(says_that_a_directory_is_read_only),
		T(keeps_what_it_has_on_a_full_disk),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
