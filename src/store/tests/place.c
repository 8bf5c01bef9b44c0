#include "store/tests/place.h"

#include <dirent.h>
#include <unistd.h>

char place_base[64], place_dir[96];

int place_make(void **state)
{
	(void)state;
	(void)snprintf(place_base, sizeof place_base, "/tmp/qanat-store-XXXXXX");
	if (!crypto_init() || !mkdtemp(place_base))
		return -1;
	(void)snprintf(place_dir, sizeof place_dir, "%s/state", place_base);
	return 0;
}

void place_path(char out[PATH_MAX], const char *file)
{
	(void)snprintf(out, PATH_MAX, "%s/%s", place_dir, file);
}

int place_remove(void **state)
{
	DIR *d = opendir(place_dir);
	struct dirent *f;
	char path[PATH_MAX];

	(void)state;
	while (d && (f = readdir(d)) != NULL) {
		(void)snprintf(path, sizeof path, "%s/%s", place_dir, f->d_name);
		(void)unlink(path);
	}
	if (d)
		closedir(d);
	(void)rmdir(place_dir);
	return rmdir(place_base);
}

struct store *place_opened(void)
{
	struct store *s = NULL;
	struct err e = { 0 };

	if (store_open(&s, place_dir, &e))
		fail_msg("%s", e.msg);
	return s;
}

struct client client_named(const char *name, uint8_t host)
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

void client_add(struct store *s, const char *name, uint8_t host)
{
	struct client c = client_named(name, host);
	struct err e = { 0 };

	if (store_client_add(s, &c, &e))
		fail_msg("%s", e.msg);
	assert_true(c.id > 0);
	client_done(&c);
}

uint64_t client_count(struct store *s)
{
	uint64_t total, enabled;
	struct err e = { 0 };

	if (store_client_count(s, STR(""), &total, &enabled, &e))
		fail_msg("%s", e.msg);
	assert_true(enabled <= total);
	return total;
}

struct client client_stored(struct store *s, const char *name)
{
	struct client c = { 0 };
	struct err e = { 0 };

	if (store_client_by_name(s, str_of(name), &c, &e))
		fail_msg("%s", e.msg);
	client_done(&c); /* of secrets; the rest stays */
	return c;
}
