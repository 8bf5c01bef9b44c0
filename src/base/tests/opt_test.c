/* opt_test.c - parsing by the table, nearest names, help and manual. */
#include "base/tests/cm.h"

#include "base/opt.h"

struct options {
	bool foreground, verbose;
	uint32_t port;
	const char *state;
	struct ip_prefix network;
	struct ip_addr dns;
};

#define FIELD(f) offsetof(struct options, f)

static const struct opt opts[] = {
	{ "foreground", 'f', OPT_FLAG, FIELD(foreground), 0, 0, NULL, "QANAT_T_FG", NULL,
	  "stay in the foreground" },
	{ "verbose", 'v', OPT_FLAG, FIELD(verbose), 0, 0, NULL, NULL, NULL, "say more" },
	{ "port", 'p', OPT_U32, FIELD(port), 1, 65535, "51820", "QANAT_T_PORT", "PORT",
	  "UDP port that clients of this host send their datagrams to", "Network" },
	{ "state", 0, OPT_TEXT, FIELD(state), 1, 8, "/var", NULL, "DIR", "where things are" },
	{ "network", 0, OPT_PREFIX, FIELD(network), 0, 0, "10.8.0.0/24", NULL, "PREFIX", "inside" },
	{ "dns", 0, OPT_IP, FIELD(dns), 0, 0, NULL, NULL, "ADDRESS", "name server" },
	{ 0 },
};

static const struct opt_program prog = {
	.name = "qanat-t",
	.section = 8,
	.summary = "a \"test\"",
	.usage = "[OPTION ...] IFNAME",
	.opts = opts,
	.description = "First.\n\n.Second `qanat serve` a\\b.",
	.extra = "FILES\n  'tis one.\n\n    literal\n    .lines\n  Two.\nSEE ALSO\n  wg\n",
};

/* A command line in one text, words separated by '|'. */
struct line {
	char text[200];
	char *argv[16];
	int argc;
};

static void split(struct line *l, const char *text)
{
	*l = (struct line){ .argc = 0 };
	(void)snprintf(l->text, sizeof l->text, "t%s%s", *text ? "|" : "", text);
	for (char *c = l->text; c; l->argc++) {
		char *bar = strchr(c, '|');

		l->argv[l->argc] = c;
		if (bar)
			*bar = 0;
		c = bar ? bar + 1 : NULL;
	}
}

static void words_are(const struct line *l, const char *want)
{
	struct buf b = { 0 };

	for (int i = 1; i < l->argc; i++)
		buf_printf(&b, "%s%s", i > 1 ? "|" : "", l->argv[i]);
	assert_true(str_eq(buf_view(&b), str_of(want)));
	assert_null(l->argv[l->argc]);
	buf_done(&b);
}

static void accepts(void **state)
{
	static const struct {
		const char *line;
		bool stop;
		const char *words;
		uint32_t port;
		bool fg, verbose;
		const char *why;
	} rows[] = {
		{ "", false, "", 51820, false, false, "defaults" },
		{ "--port|1", false, "", 1, false, false, "long, apart" },
		{ "--port=65535", false, "", 65535, false, false, "long, joined" },
		{ "-p|2", false, "", 2, false, false, "short, apart" },
		{ "-p3", false, "", 3, false, false, "short, joined" },
		{ "-fv", false, "", 51820, true, true, "letters together" },
		{ "-fp4", false, "", 4, true, false, "the last letter takes the value" },
		{ "--port=1|--port=9", false, "", 9, false, false, "the last one wins" },
		{ "--foreground=no", false, "", 51820, false, false, "a flag spelled out" },
		{ "wg0|-f|x", false, "wg0|x", 51820, true, false, "words between" },
		{ "wg0|-f", true, "wg0|-f", 51820, false, false, "stops at a word" },
		{ "-f|--|-v", false, "-v", 51820, true, false, "stops at --" },
		{ "a|--|-v|--", false, "a|-v|--", 51820, false, false, "only the first --" },
		{ "-|-f", false, "-", 51820, true, false, "a dash is a word" },
	};
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct options o = { 0 };
		struct err e = { 0 };
		struct line l;

		split(&l, rows[i].line);
		if (opt_parse(&prog, &o, &l.argc, l.argv, rows[i].stop, &e))
			fail_msg("%s: %s", rows[i].why, e.msg);
		words_are(&l, rows[i].words);
		if (o.port != rows[i].port || o.foreground != rows[i].fg ||
		    o.verbose != rows[i].verbose)
			fail_msg("%s", rows[i].why);
		assert_string_equal(o.state, "/var");
		assert_int_equal(o.network.len, 24);
		assert_int_equal(o.dns.family, IP_NONE); /* no default: untouched */
	}
}

static void refuses(void **state)
{
	static const struct {
		const char *line, *message;
	} rows[] = {
		{ "--porr=1", "unknown option --porr: did you mean --port?" },
		{ "--xyzzy", "unknown option --xyzzy" },
		{ "--a\nb", "unknown option --a\\x0ab" },
		{ "-x", "unknown option -x" },
		{ "-fx", "unknown option -x" },
		{ "--port", "--port needs a value: PORT" },
		{ "-p", "-p needs a value: PORT" },
		{ "--port=0", "--port: \"0\" is not a number from 1 to 65535" },
		{ "-p|1x", "-p: \"1x\" is not a number from 1 to 65535" },
		{ "--state=", "--state: \"\" is not a text of 1 to 8 bytes" },
		{ "--state=/too/long", "--state: \"/too/long\" is not a text of 1 to 8 bytes" },
		{ "--network=10", "--network: \"10\" is not a network such as 10.8.0.0/24" },
		{ "--dns=x", "--dns: \"x\" is not an IPv4 or IPv6 address" },
		{ "--verbose=maybe", "--verbose: \"maybe\" is not yes or no" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct options o = { 0 };
		struct err e = { 0 };
		struct line l;

		split(&l, rows[i].line);
		assert_int_not_equal(opt_parse(&prog, &o, &l.argc, l.argv, false, &e), ERR_OK);
		assert_string_equal(e.msg, rows[i].message);
	}
}

static void reads_the_environment(void **state)
{
	struct options o = { 0 };
	struct err e = { 0 };
	struct line l;

	(void)state;
	assert_int_equal(setenv("QANAT_T_PORT", "77", 1), 0);
	assert_int_equal(setenv("QANAT_T_FG", "1", 1), 0);
	split(&l, "");
	assert_int_equal(opt_parse(&prog, &o, &l.argc, l.argv, false, &e), ERR_OK);
	assert_int_equal(o.port, 77);
	assert_true(o.foreground);
	split(&l, "-p78");
	assert_int_equal(opt_parse(&prog, &o, &l.argc, l.argv, false, &e), ERR_OK);
	assert_int_equal(o.port, 78);
	assert_int_equal(setenv("QANAT_T_PORT", "", 1), 0);
	split(&l, "");
	assert_int_equal(opt_parse(&prog, &o, &l.argc, l.argv, false, &e), ERR_OK);
	assert_int_equal(o.port, 51820); /* empty is unset */
	assert_int_equal(setenv("QANAT_T_PORT", "many", 1), 0);
	assert_int_equal(opt_parse(&prog, &o, &l.argc, l.argv, false, &e), ERR_INVALID);
	assert_string_equal(e.msg, "QANAT_T_PORT: \"many\" is not a number from 1 to 65535");
	assert_int_equal(unsetenv("QANAT_T_PORT"), 0);
	assert_int_equal(unsetenv("QANAT_T_FG"), 0);
}

static void finds_the_nearest_name(void **state)
{
	static const char *const names[] = { "add_client", "remove_client", "list_clients", "page",
					     "per_page" };
	static const struct {
		const char *got, *want, *why;
	} rows[] = {
		{ "add_client", "add_client", "the name itself" },
		{ "add_clinet", "add_client", "two neighbours swapped" },
		{ "addclient", "add_client", "one left out" },
		{ "ADD_CLIENT", "add_client", "case" },
		{ "pagee", "page", "one too many" },
		{ "pgae", "page", "a swap is one step" },
		{ "perpage", "per_page", "not page" },
		{ "restart", NULL, "another word" },
		{ "", NULL, "nothing" },
	};
	char longest[100];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		const char *got = opt_nearest(str_of(rows[i].got), names, ARRAY_LEN(names));

		if (got != rows[i].want && (!got || !rows[i].want || strcmp(got, rows[i].want)))
			fail_msg("%s: %s (%s)", rows[i].got, got ? got : "none", rows[i].why);
	}
	memset(longest, 'a', sizeof longest);
	assert_null(opt_nearest((struct str){ longest, sizeof longest }, names, 5));
}

static void helps_in_columns(void **state)
{
	static const char want[] =
		"qanat-t - a \"test\"\n\n"
		"Usage: qanat-t [OPTION ...] IFNAME\n\n"
		"Options:\n"
		"  -f, --foreground      stay in the foreground (environment QANAT_T_FG)\n"
		"  -v, --verbose         say more\n\n"
		"Network:\n"
		"  -p, --port PORT       UDP port that clients of this host send their datagrams\n"
		"                        to (1 to 65535; default 51820; environment QANAT_T_PORT)\n"
		"      --state DIR       where things are (default /var)\n"
		"      --network PREFIX  inside (default 10.8.0.0/24)\n"
		"      --dns ADDRESS     name server\n";
	struct buf b = { 0 };

	(void)state;
	opt_help(&prog, &b);
	assert_true(buf_ok(&b));
	assert_string_equal(b.p, want);
	buf_done(&b);
}

static void man_holds(const struct buf *page, const char *part)
{
	if (!strstr(page->p, part))
		fail_msg("the manual does not hold: %s", part);
}

static void writes_the_manual(void **state)
{
	struct buf b = { 0 };

	(void)state;
	opt_man(&prog, &b);
	assert_true(buf_ok(&b));
	man_holds(&b, ".Dt QANAT-T 8\n.Os\n");
	man_holds(&b, "\n.Nd a \\(dqtest\\(dq\n");
	man_holds(&b, "\nFirst.\n.Pp\n\\&.Second \\fBqanat serve\\fR a\\eb.\n");
	man_holds(&b, "\n.It Fl p , Fl \\-port Ar PORT\n");
	man_holds(&b, "\n.It Ev QANAT_T_PORT\n");
	man_holds(&b, "\n.Sh FILES\n\\&'tis one.\n.Bd -literal -offset indent\nliteral\n"
		      "\\&.lines\n.Ed\n.Pp\nTwo.\n.Sh SEE ALSO\nwg\n");
	buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(accepts),
		cmocka_unit_test(refuses),
		cmocka_unit_test(reads_the_environment),
		cmocka_unit_test(finds_the_nearest_name),
		cmocka_unit_test(helps_in_columns),
		cmocka_unit_test(writes_the_manual),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
