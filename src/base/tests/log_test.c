/* log_test.c - lines, escaping, levels and the limit of each call site. */
#include "base/tests/cm.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"

static void formats_lines(void **state)
{
	struct endpoint from;
	struct ip_addr ip;
	struct err e;
	struct buf b = { 0 };

	(void)state;
	assert_true(endpoint_parse(STR("[2001:db8::1]:5"), &from));
	assert_true(ip_parse(STR("10.8.0.2"), &ip));
	err_set(&e, ERR_INVALID, "bad \"mac1\"");
	const struct log_field fields[] = { F_STR("peer", "alice"),
					    F_ENDPOINT("from", &from),
					    F_IP("ip", &ip),
					    F_INT("n", -7),
					    F_ERR(&e),
					    F_VIEW("none", STR("")) };

	log_format(&b, false, 0, LOG_WARN, "peer.x", fields, ARRAY_LEN(fields));
	assert_string_equal(b.p, "warn peer.x peer=alice from=[2001:db8::1]:5 ip=10.8.0.2 n=-7 "
				 "why=\"bad \\\"mac1\\\"\" none=\"\"\n");
	buf_clear(&b);
	log_format(&b, true, 0, LOG_WARN, "peer.x", fields, ARRAY_LEN(fields));
	assert_string_equal(b.p, "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"warn\","
				 "\"event\":\"peer.x\",\"peer\":\"alice\","
				 "\"from\":\"[2001:db8::1]:5\",\"ip\":\"10.8.0.2\",\"n\":-7,"
				 "\"why\":\"bad \\\"mac1\\\"\",\"none\":\"\"}\n");
	buf_done(&b);
}

static void one_event_is_one_line(void **state)
{
	const struct log_field f = F_STR("name", "x\nerror forged.event \x1b[2J=\\");
	char longest[5000];
	struct buf b = { 0 };

	(void)state;
	log_format(&b, false, 0, LOG_INFO, "e", &f, 1);
	assert_string_equal(b.p, "info e name=\"x\\\\x0aerror forged.event \\\\x1b[2J=\\\\\"\n");
	buf_clear(&b);
	log_format(&b, true, 0, LOG_INFO, "e", &f, 1);
	assert_ptr_equal(strchr(b.p, '\n'), b.p + b.n - 1);
	buf_clear(&b);
	memset(longest, 'y', sizeof longest - 1);
	longest[sizeof longest - 1] = 0;
	log_format(&b, false, 0, LOG_INFO, "e", &F_STR("v", longest), 1);
	assert_true(b.n < 1100);
	assert_string_equal(b.p + b.n - 4, "...\n");
	buf_done(&b);
}

static void parses_levels(void **state)
{
	static const struct {
		const char *text;
		int level; /* -1: refused */
	} rows[] = {
		{ "silent", LOG_SILENT },
		{ "error", LOG_ERROR },
		{ "warn", LOG_WARN },
		{ "warning", LOG_WARN },
		{ "info", LOG_INFO },
		{ "debug", LOG_DEBUG },
		{ "verbose", LOG_DEBUG },
		{ "DEBUG", LOG_DEBUG },
		{ "loud", -1 },
		{ "", -1 },
		{ "3", -1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		enum log_level level = LOG_SILENT;

		assert_int_equal(log_level_parse(str_of(rows[i].text), &level), rows[i].level >= 0);
		assert_int_equal(level, MAX(rows[i].level, 0));
	}
}

static void limits_each_site(void **state)
{
	struct log_site site = { 0 };
	uint32_t held = 99;

	(void)state;
	for (int i = 0; i < LOG_BURST; i++) {
		assert_true(log_site_pass(&site, 5, &held));
		assert_int_equal(held, 0);
	}
	for (int i = 0; i < 3; i++)
		assert_false(log_site_pass(&site, 5, &held));
	assert_true(log_site_pass(&site, 9, &held)); /* the next second it is used */
	assert_int_equal(held, 3);
	assert_true(log_site_pass(&site, 9, &held));
	assert_int_equal(held, 0);
	assert_true(log_site_pass(&site, 10, &held));
	assert_int_equal(held, 0); /* said once */
}

/* What log_event writes to stderr while `run` runs. */
static size_t captured(char *out, size_t cap, void (*run)(void))
{
	int keep = dup(STDERR_FILENO), fds[2];
	ssize_t n;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	assert_true(dup2(fds[1], STDERR_FILENO) >= 0);
	run();
	assert_true(dup2(keep, STDERR_FILENO) >= 0);
	(void)close(keep);
	(void)close(fds[1]);
	n = read(fds[0], out, cap - 1);
	(void)close(fds[0]);
	assert_true(n >= 0);
	out[n] = 0;
	return (size_t)n;
}

static void at_each_level(void)
{
	LOG_ERR("a.error");
	LOG_WARNING("a.warn", F_INT("n", 1));
	LOG_NOTE("a.info", F_INT("n", 1), F_STR("s", "t"));
	LOG_TRACE("a.debug");
}

static void to_the_journal(void)
{
	char stream[48];
	struct stat st;

	assert_int_equal(fstat(STDERR_FILENO, &st), 0);
	(void)snprintf(stream, sizeof stream, "%llu:%llu", (unsigned long long)st.st_dev,
		       (unsigned long long)st.st_ino);
	log_journal(stream);
	at_each_level();
	log_journal("1:1"); /* of another descriptor, as one that was redirected since */
	LOG_ERR("b.error");
	log_journal(stream);
	log_journal(NULL);
	LOG_ERR("c.error");
}

static void says_priorities_to_the_journal(void **state)
{
	char text[1000];

	(void)state;
	log_set_level(LOG_DEBUG);
	captured(text, sizeof text, to_the_journal);
	log_set_level(LOG_INFO);
	assert_string_equal(text, "<3>error a.error\n"
				  "<4>warn a.warn n=1\n"
				  "<6>info a.info n=1 s=t\n"
				  "<7>debug a.debug\n"
				  "error b.error\n"
				  "error c.error\n");
}

static void writes_what_the_level_allows(void **state)
{
	char text[1000];

	(void)state;
	assert_int_equal(log_get_level(), LOG_INFO);
	captured(text, sizeof text, at_each_level);
	assert_string_equal(text, "error a.error\nwarn a.warn n=1\ninfo a.info n=1 s=t\n");
	log_set_level(LOG_SILENT);
	assert_int_equal(captured(text, sizeof text, at_each_level), 0);
	log_set_level(LOG_DEBUG);
	log_json(true);
	captured(text, sizeof text, at_each_level);
	assert_non_null(strstr(text, "\"level\":\"debug\",\"event\":\"a.debug\"}\n"));
	log_json(false);
	log_set_level(LOG_INFO);
}

/* A second may end at any point of a flood; the last held back ones are then still unsaid. */
static void flood(void)
{
	static struct log_site site;

	for (int i = 0; i < 40; i++)
		log_event(&site, LOG_WARN, "flood", NULL, 0);
	atomic_fetch_sub(&site.window, 1); /* as if a second had gone by */
	log_event(&site, LOG_WARN, "flood", NULL, 0);
}

static void says_how_many_were_held_back(void **state)
{
	char text[4000];
	struct str rest, line;
	unsigned said = 0, seen = 0;

	(void)state;
	rest = (struct str){ text, captured(text, sizeof text, flood) };
	while (str_cut(&rest, '\n', &line)) {
		struct str prefix = STR("warn log.held_back held=flood times=");
		uint32_t n;

		if (str_starts(line, prefix)) {
			line = (struct str){ line.p + prefix.n, line.n - prefix.n };
			assert_true(u32_parse(line, 1, 30, &n));
			said += n;
		} else {
			assert_true(str_eq(line, STR("warn flood")));
			seen++;
		}
	}
	assert_true(said > 0);
	assert_int_equal(said + seen, 41);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(formats_lines),
		cmocka_unit_test(one_event_is_one_line),
		cmocka_unit_test(parses_levels),
		cmocka_unit_test(limits_each_site),
		cmocka_unit_test(writes_what_the_level_allows),
		cmocka_unit_test(says_priorities_to_the_journal),
		cmocka_unit_test(says_how_many_were_held_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
