/* What of the agent API can be asked without a connection: keys, addresses, configurations, and that
 * its description lists its routes. */
#include "base/tests/cm.h"

#include <limits.h>

#include "base/fs.h"
#include "agent/iface.h"
#include "core/tests/fake_host.h"

static struct fake_host host;
static const struct settings_given given;

static struct agent *opened(void)
{
	struct agent_config c = { .core = &host.core, .secret = STR("a secret for tests") };
	struct agent *a = NULL;
	struct err e;

	if (!fake_host_open(&host, &given))
		fail_msg("no store");
	host.core.given = &given;
	assert_int_equal(agent_open(&a, &c, &e), ERR_OK);
	return a;
}

static void closed(struct agent *a)
{
	agent_close(a);
	fake_host_close(&host);
}

/* ---- types of answers ---- */

static void gives_the_type_that_is_liked_better(void **state)
{
	static const struct {
		const char *accept;
		bool json;
		const char *why;
	} rows[] = {
		{ "", false, "nothing is said" },
		{ "*/*", false, "anything" },
		{ "application/json", true, "by name" },
		{ "Application/JSON; charset=utf-8", true, "in another case, with a parameter" },
		{ "application/json, text/plain, */*", true, "equally" },
		{ "text/plain;version=0.0.4, application/json;q=0.9", false, "less than text" },
		{ "text/plain;q=0.5,application/json ; q=0.8", true, "more than text" },
		{ "application/json;q=0", false, "refused" },
		{ "application/json;q=0.000", false, "refused, to the last digit" },
		{ "application/json;q=0.001", true, "just so" },
		{ "application/json;q=x", false, "no number" },
		{ "application/jsonp", false, "another type" },
		{ "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/"
		  "*;q=0.1",
		  false, "Prometheus" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (agent_wants_json(str_of(rows[i].accept)) != rows[i].json)
			fail_msg("%s: %s", rows[i].accept, rows[i].why);
	}
}

/* ---- keys ---- */

static void reads_keys_in_each_form(void **state)
{
	static const struct {
		const char *text;
		bool ok;
		const char *why;
	} rows[] = {
		{ "+/8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", true, "standard" },
		{ "-_8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", true, "for URLs" },
		{ "-_8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", true, "without its end" },
		{ "+_8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=", true, "mixed" },
		{ "+/8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB=", false, "bits behind the end" },
		{ "+/8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", false, "31 bytes" },
		{ "+/8AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA==", false, "too long" },
		{ "../../../../../../../../../../../../../../..", false, "a path" },
		{ "", false, "nothing" },
	};
	struct public_key k;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (agent_key_parse(str_of(rows[i].text), &k) != rows[i].ok)
			fail_msg("%s: %s", rows[i].why, rows[i].text);
		if (rows[i].ok)
			assert_true(k.b[0] == 0xfb && k.b[1] == 0xff && k.b[2] == 0);
	}
}

static void makes_names_that_clients_may_have(void **state)
{
	struct public_key k;
	char name[CLIENT_NAME_MAX + 1];
	struct err e;

	(void)state;
	memset(&k, 0xff, sizeof k);
	agent_peer_name(name, &k);
	assert_int_equal(client_name_check(str_of(name), &e), ERR_OK);
	assert_int_equal(strlen(name), 48);
}

/* ---- addresses ---- */

static void takes_addresses_of_the_network_only(void **state)
{
	static const struct {
		const char *first, *second;
		bool ok;
		const char *why;
	} rows[] = {
		{ "10.8.0.2/32", NULL, true, "the first client" },
		{ "10.8.0.254/32", NULL, true, "the last" },
		{ "10.8.0.2/32", "fd00::2/128", true, "both families" },
		{ "fd00::2/128", NULL, true, "IPv6 alone" },
		{ "10.8.0.2/32", "10.8.0.2/32", true, "the same twice" },
		{ "10.8.0.2/32", "10.8.0.3/32", false, "two of one family" },
		{ "10.8.0.1/32", NULL, false, "the gateway" },
		{ "10.8.0.0/32", NULL, false, "the network" },
		{ "10.8.0.255/32", NULL, false, "broadcast" },
		{ "10.8.0.0/24", NULL, false, "all of it" },
		{ "10.9.0.2/32", NULL, false, "another network" },
		{ "0.0.0.0/0", NULL, false, "everything" },
		{ "fd00::1/128", NULL, false, "the gateway's IPv6" },
		{ "fd01::2/128", NULL, false, "another IPv6 network" },
	};
	struct settings s = { 0 };

	(void)state;
	assert_true(ip_prefix_parse(STR("10.8.0.0/24"), &s.network));
	assert_true(ip_prefix_parse(STR("fd00::/64"), &s.network6));
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct agent_peer p = { 0 };
		struct ip_prefix one;
		struct err e = { 0 };
		enum err_code rc;

		assert_true(ip_prefix_parse(str_of(rows[i].first), &one));
		rc = agent_peer_ip(&p, &s, &one, &e);
		if (rc == ERR_OK && rows[i].second) {
			assert_true(ip_prefix_parse(str_of(rows[i].second), &one));
			rc = agent_peer_ip(&p, &s, &one, &e);
		}
		if ((rc == ERR_OK) != rows[i].ok)
			fail_msg("%s: %s", rows[i].why, e.msg);
	}
}

/* ---- configurations ---- */

static void tells_what_changed_without_keys(void **state)
{
	struct agent *a = opened();
	struct agent_iface i = agent_own(a);
	struct agent_conf old, new;
	struct err e;
	json_t *changes;
	char *text, key[KEY_TEXT_MAX];

	(void)state;
	assert_int_equal(i.ops->load(&i, &old, &e), ERR_OK);
	new = old;
	changes = agent_conf_changes(&old, &new);
	assert_int_equal(json_array_size(changes), 0);
	json_decref(changes);
	secret_key_generate(&new.private_key);
	new.port = 4711;
	changes = agent_conf_changes(&old, &new);
	text = json_dumps(changes, JSON_COMPACT);
	assert_int_equal(json_array_size(changes), 2);
	assert_non_null(strstr(text, "4711"));
	base64_encode(key, new.private_key.b, KEY_LEN);
	assert_null(strstr(text, key));
	base64_encode(key, old.private_key.b, KEY_LEN);
	assert_null(strstr(text, key));
	free(text);
	json_decref(changes);
	agent_conf_done(&old);
	agent_conf_done(&new);
	closed(a);
}

static void refuses_what_cannot_be(void **state)
{
	struct agent *a = opened();
	struct agent_iface i = agent_own(a);
	struct agent_conf old, new;
	struct err e;

	(void)state;
	assert_int_equal(i.ops->load(&i, &old, &e), ERR_OK);
	new = old;
	assert_int_equal(agent_conf_check(&i, &old, &new, &e), ERR_OK);
	assert_true(str_copy(new.post_up, sizeof new.post_up, STR("sh -c id")));
	assert_int_equal(agent_conf_check(&i, &old, &new, &e), ERR_INVALID);
	assert_non_null(strstr(e.msg, "post_up"));
	new = old;
	new.mtu = 1000;
	assert_int_equal(agent_conf_check(&i, &old, &new, &e), ERR_INVALID);
	agent_conf_done(&old);
	agent_conf_done(&new);
	closed(a);
}

static void keeps_what_is_stored(void **state)
{
	struct agent *a = opened();
	struct agent_iface i = agent_own(a);
	struct agent_conf old, new, got;
	struct err e;

	(void)state;
	assert_int_equal(i.ops->load(&i, &old, &e), ERR_OK);
	new = old;
	secret_key_generate(&new.private_key);
	new.mtu = 1300;
	assert_true(str_copy(new.pre_down, sizeof new.pre_down, STR("ip link set %i down")));
	assert_int_equal(store_begin(host.core.store, &e), ERR_OK);
	assert_int_equal(i.ops->store(&i, &old, &new, &e), ERR_OK);
	assert_int_equal(store_commit(host.core.store, &e), ERR_OK);
	agent_close(a);
	assert_true(fake_host_reopen(&host));
	host.core.given = &given;
	assert_int_equal(agent_open(&a,
				    &(struct agent_config){ .core = &host.core,
							    .secret = STR("a secret for tests") },
				    &e),
			 ERR_OK);
	i = agent_own(a);
	assert_int_equal(i.ops->load(&i, &got, &e), ERR_OK);
	assert_memory_equal(&got.private_key, &new.private_key, sizeof got.private_key);
	assert_string_equal(got.pre_down, "ip link set %i down");
	assert_int_equal(got.mtu, 1300);
	agent_conf_done(&got);
	agent_conf_done(&old);
	agent_conf_done(&new);
	closed(a);
}

/* ---- the description ---- */

static bool description_read(struct buf *out)
{
	char path[PATH_MAX], *end;
	struct err e;

	/* Beside src/, wherever the tests are built. */
	assert_true(str_copy(path, sizeof path, STR(__FILE__)));
	end = strstr(path, "src/agent/tests");
	assert_non_null(end);
	(void)snprintf(end, sizeof path - (size_t)(end - path), "docs/openapi/gateway.yaml");
	return file_read(out, path, 1u << 20, &e) == ERR_OK;
}

/* The lines of the path, up to the next path. */
static struct str path_block(struct str doc, const char *pattern)
{
	char head[160];
	struct str line, from = { 0 };

	(void)snprintf(head, sizeof head, "  %s:", pattern);
	while (str_cut(&doc, '\n', &line)) {
		if (from.p && line.n > 2 && line.p[2] != ' ')
			break;
		if (str_eq(line, str_of(head)))
			from = (struct str){ line.p, 0 };
		if (from.p)
			from.n = (size_t)(line.p + line.n - from.p);
	}
	return from;
}

static void is_described_whole(void **state)
{
	AUTO(buf_done) struct buf doc = { 0 };
	struct agent *a = opened();
	struct http_service s = agent_service(a);
	size_t described = 0;
	struct str rest, line;

	(void)state;
	if (!description_read(&doc)) {
		print_message("skipped: docs/openapi/gateway.yaml is not beside the sources\n");
		closed(a);
		skip();
	}
	for (size_t i = 0; i < s.count; i++) {
		char pattern[128], method[16], *star;
		struct str block;
		size_t n;

		(void)snprintf(pattern, sizeof pattern, "%s", s.routes[i].pattern);
		star = strchr(pattern, '*');
		if (star)
			memmove(star, star + 1, strlen(star));
		n = (size_t)snprintf(method, sizeof method,
				     "    %s:", http_method_name(s.routes[i].method));
		block = path_block(buf_view(&doc), pattern);
		if (!block.p || str_find_nocase(block, (struct str){ method, n }) < 0)
			fail_msg("%s %s is not in the description",
				 http_method_name(s.routes[i].method), s.routes[i].pattern);
	}
	rest = buf_view(&doc);
	while (str_cut(&rest, '\n', &line))
		described += str_eq(line, STR("      tags: [agent]"));
	assert_int_equal(described, s.count);
	closed(a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(gives_the_type_that_is_liked_better),
		cmocka_unit_test(reads_keys_in_each_form),
		cmocka_unit_test(makes_names_that_clients_may_have),
		cmocka_unit_test(takes_addresses_of_the_network_only),
		cmocka_unit_test(tells_what_changed_without_keys),
		cmocka_unit_test(refuses_what_cannot_be),
		cmocka_unit_test(keeps_what_is_stored),
		cmocka_unit_test(is_described_whole),
	};

	if (!crypto_init())
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
