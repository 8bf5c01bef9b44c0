/* limits_test.c - set_client_limits, client_limits, client_why, and what is kept of usage. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/log.h"
#include "core/tests/fake_host.h"

static struct fake_host h;

static int start(void **state)
{
	struct settings_given given = { 0 };

	(void)state;
	given.v[SETTING_NETWORK] = STR("10.8.0.0/24");
	given.v[SETTING_NETWORK6] = STR("none");
	h = (struct fake_host){ 0 };
	return fake_host_open(&h, &given) ? 0 : -1;
}

static int end(void **state)
{
	(void)state;
	fake_host_close(&h);
	return 0;
}

static json_t *ask(const char *action, const char *params)
{
	char line[512];

	(void)snprintf(
		line, sizeof line,
		"{\"module\":\"core\",\"action\":\"%s\",\"params\":{\"client_name\":\"a\"%s%s}}",
		action, *params ? "," : "", params);
	return fake_host_ask(&h, line);
}

/* The data of an answer that must be a success, as text without blanks, its keys sorted. */
static char *data_text(const char *action, const char *params)
{
	json_t *answer = ask(action, params);
	char *text;

	if (!json_is_true(json_object_get(answer, "success")))
		fail_msg("%s %s: %s", action, params,
			 json_string_value(json_object_get(answer, "error")));
	text = json_dumps(json_object_get(answer, "data"), JSON_COMPACT);
	json_decref(answer);
	assert_non_null(text);
	return text;
}

static void holds(const char *action, const char *params, const char *part)
{
	char *text = data_text(action, params);

	if (!strstr(text, part))
		fail_msg("%s %s: no %s in %s", action, params, part, text);
	free(text);
}

static void add(void)
{
	free(data_text("add_client", ""));
}

static struct wg_peer_info *live(void)
{
	assert_int_equal(h.peer_count, 1);
	return &h.peers[0].info;
}

/* ---- setting ---- */

static void sets_what_is_named(void **state)
{
	static const struct {
		const char *params, *shows, *why;
	} rows[] = {
		{ "",
		  "\"rate_up\":null,\"rate_up_bps\":null,\"rate_down\":null,\"rate_down_bps\":null,"
		  "\"quota_bytes\":null,\"quota_used_bytes\":null,\"quota_left_bytes\":null,"
		  "\"expires\":null,\"expired\":false",
		  "nothing" },
		{ "\"rate_up\":\"10M\"",
		  "\"rate_up\":\"10M\",\"rate_up_bps\":10000000,\"rate_down\":null",
		  "one direction" },
		{ "\"rate_down\":\"500k\"",
		  "\"rate_up\":\"10M\",\"rate_up_bps\":10000000,"
		  "\"rate_down\":\"500k\"",
		  "what is not named stays" },
		{ "\"quota\":\"20G\",\"rate_up\":\"none\"",
		  "\"rate_up\":null,\"rate_up_bps\":null,\"rate_down\":\"500k\",\"rate_down_bps\":"
		  "500000,"
		  "\"quota_bytes\":20000000000,\"quota_used_bytes\":0",
		  "two at once" },
		{ "\"expires\":\"2026-12-31\"",
		  "\"expires\":\"2026-12-31T00:00:00\",\"expired\":false", "a date" },
		{ "\"expires\":\"2020-01-01\"", "\"expired\":true", "a date that has gone by" },
		{ "\"expires\":null,\"rate_up\":\"1k\"", "\"expired\":true", "null is not named" },
		{ "\"expires\":\"none\",\"quota\":\"none\"",
		  "\"quota_left_bytes\":null,\"expires\":null", "none again" },
	};

	(void)state;
	add();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		if (*rows[i].params)
			holds("set_client_limits", rows[i].params, rows[i].shows);
		holds("client_limits", "", rows[i].shows);
	}
	assert_int_equal(live()->limits.rate_bps[WG_UP], 1000);
	assert_int_equal(live()->limits.rate_bps[WG_DOWN], 500000);
}

static void refuses_what_cannot_be(void **state)
{
	static const struct {
		const char *params, *code, *says;
	} rows[] = {
		{ "", "MISSING_PARAMETER", "name at least one" },
		{ "\"rate_up\":\"10\"", "INVALID_PARAMETER", "rate up 10:" },
		{ "\"rate_up\":\"2T\"", "INVALID_PARAMETER", "rate up 2000000000000:" },
		{ "\"rate_down\":\"fast\"", "INVALID_PARAMETER", "rate_down \\\"fast\\\"" },
		{ "\"rate_down\":5000", "INVALID_PARAMETER", "not a text" },
		{ "\"quota\":\"+5G\"", "INVALID_PARAMETER", "no quota to add to" },
		{ "\"quota\":\"9000000T\"", "INVALID_PARAMETER", "quota 9000000000000000000:" },
		{ "\"expires\":\"soon\"", "INVALID_PARAMETER", "expires \\\"soon\\\"" },
		{ "\"burst\":\"1M\"", "INVALID_PARAMETER", "burst" },
	};

	(void)state;
	add();
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		json_t *answer = ask("set_client_limits", rows[i].params);
		char *text = json_dumps(answer, JSON_COMPACT);

		if (json_is_true(json_object_get(answer, "success")) ||
		    strcmp(json_string_value(json_object_get(answer, "code")), rows[i].code) != 0 ||
		    !strstr(text, rows[i].says))
			fail_msg("%s: %s", rows[i].params, text);
		free(text);
		json_decref(answer);
	}
	assert_int_equal(live()->limits.rate_bps[WG_UP], 0);
}

static void a_quota_begins_or_grows(void **state)
{
	(void)state;
	add();
	holds("set_client_limits", "\"quota\":\"1000\"", "\"quota_left_bytes\":1000");
	live()->limits.quota_used = 600;
	holds("client_limits", "", "\"quota_used_bytes\":600,\"quota_left_bytes\":400");
	holds("set_client_limits", "\"quota\":\"+500\"",
	      "\"quota_bytes\":1500,\"quota_used_bytes\":600,\"quota_left_bytes\":900");
	assert_int_equal(live()->limits.quota_used, 600);
	holds("set_client_limits", "\"quota\":\"1000\"", "\"quota_used_bytes\":0");
	assert_int_equal(live()->limits.quota_used, 0);
}

/* A failure of the device leaves store and device as they were. */
static void a_failure_changes_nothing(void **state)
{
	json_t *answer;

	(void)state;
	add();
	holds("set_client_limits", "\"quota\":\"1000\",\"rate_up\":\"5k\"", "\"rate_up\":\"5k\"");
	live()->limits.quota_used = 77;
	h.change_fails_at = h.change_calls + 1;
	answer = ask("set_client_limits", "\"quota\":\"5G\",\"rate_up\":\"9k\"");
	assert_string_equal(json_string_value(json_object_get(answer, "code")),
			    "SERVICE_OPERATION_FAILED");
	json_decref(answer);
	h.change_fails_at = 0;
	holds("client_limits", "", "\"rate_up\":\"5k\"");
	holds("client_limits", "", "\"quota_bytes\":1000,\"quota_used_bytes\":77");
	assert_int_equal(live()->limits.quota, 1000);
	assert_int_equal(live()->limits.quota_used, 77);
}

/* ---- keeping ---- */

static void usage_survives(void **state)
{
	struct err e = { 0 };

	(void)state;
	add();
	holds("set_client_limits", "\"quota\":\"1000\",\"rate_down\":\"5k\"", "1000");
	live()->limits.quota_used = 600;
	assert_int_equal(core_save_usage(&h.core, &e), ERR_OK);
	h.peer_count = 0; /* another run */
	assert_true(fake_host_reopen(&h));
	assert_int_equal(core_restore_peers(&h.core, &e), ERR_OK);
	assert_int_equal(live()->limits.quota, 1000);
	assert_int_equal(live()->limits.quota_used, 600);
	assert_int_equal(live()->limits.rate_bps[WG_DOWN], 5000);
	/* Restored while it runs: what the device counted meanwhile is not set back. */
	live()->limits.quota_used = 800;
	assert_int_equal(core_restore_peers(&h.core, &e), ERR_OK);
	assert_int_equal(live()->limits.quota_used, 800);
}

/* ---- why ---- */

static void finds_the_cause(void **state)
{
	static const struct {
		const char *cause, *why;
		int64_t handshake_age_s; /* -1: never */
		uint64_t used, tx, refused, bad_mac1;
		int64_t end; /* before (<0) or after now */
		bool is_down, is_gone;
	} rows[] = {
		{ "connected", "a fresh handshake", 5, 0, 0, 0, 0, 0, false, false },
		{ "silent", "an old one", 500, 0, 0, 0, 0, 0, false, false },
		{ "never_seen", "none", -1, 0, 0, 0, 0, 0, false, false },
		{ "never_seen_wrong_server_key", "something arrives", -1, 0, 0, 0, 3, 0, false,
		  false },
		{ "no_answer", "it was called", -1, 0, 148, 0, 3, 0, false, false },
		{ "handshake_refused", "its own handshakes fail", -1, 0, 148, 2, 3, 0, false,
		  false },
		{ "quota_used_up", "also while connected", 5, 1000, 0, 0, 0, 0, false, false },
		{ "access_expired", "first of all", 5, 1000, 0, 0, 0, -1, false, false },
		{ "connected", "an end that is to come", 5, 0, 0, 0, 0, 100, false, false },
		{ "not_live", "removed by others", 5, 0, 0, 0, 0, -1, false, true },
		{ "interface_down", "nobody is served", 5, 0, 0, 0, 0, -1, true, true },
	};
	struct fake_peer kept;

	(void)state;
	add();
	holds("set_client_limits", "\"quota\":\"1000\"", "1000");
	kept = h.peers[0];
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		char want[64], params[96], iso[CLOCK_ISO_MAX];

		h.peers[0] = kept;
		h.peer_count = 1;
		clock_iso_plain(iso, h.now_ns + rows[i].end * NS_PER_S);
		(void)snprintf(params, sizeof params, "\"expires\":\"%s\"",
			       rows[i].end ? iso : "none");
		free(data_text("set_client_limits", params));
		if (rows[i].handshake_age_s >= 0)
			live()->last_handshake_wall_ns =
				h.now_ns - rows[i].handshake_age_s * NS_PER_S;
		live()->limits.quota_used = rows[i].used;
		live()->tx_bytes = rows[i].tx;
		h.peers[0].drops[DROP_HANDSHAKE] = rows[i].refused;
		h.bad_mac1 = rows[i].bad_mac1;
		h.is_down = rows[i].is_down;
		h.peer_count = !rows[i].is_gone;
		(void)snprintf(want, sizeof want, "\"cause\":{\"name\":\"%s\",", rows[i].cause);
		holds("client_why", "", want);
	}
}

static void most_frequent_first(void **state)
{
	(void)state;
	add();
	holds("client_why", "", "\"drops\":[]");
	h.peers[0].drops[DROP_REPLAY] = 3;
	h.peers[0].drops[DROP_RATE] = 1200;
	h.peers[0].drops[DROP_SOURCE] = 3;
	h.peers[0].drops[WG_OK] = 5;
	holds("client_why", "",
	      "\"drops\":[{\"reason\":\"over_rate\",\"packets\":1200,\"text\":\"");
	holds("client_why", "", "},{\"reason\":\"replay\",\"packets\":3,");
	holds("client_why", "", "},{\"reason\":\"source_not_allowed\",\"packets\":3,");
}

static void nobody(void **state)
{
	static const char *const actions[] = { "client_why", "client_limits", "set_client_limits" };

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(actions); i++) {
		json_t *answer = ask(actions[i], "");

		assert_string_equal(json_string_value(json_object_get(answer, "code")),
				    "CLIENT_NOT_FOUND");
		json_decref(answer);
	}
}

#define T(name) cmocka_unit_test_setup_teardown(name, start, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(sets_what_is_named),	    T(refuses_what_cannot_be),
		T(a_quota_begins_or_grows), T(a_failure_changes_nothing),
		T(usage_survives),	    T(finds_the_cause),
		T(most_frequent_first),	    T(nobody),
	};

	log_set_level(LOG_SILENT);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
