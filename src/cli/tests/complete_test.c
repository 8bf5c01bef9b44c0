/* The completion scripts: every module, action, key and option of the tables is in them, and no
 * shell can trip over a help text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "api/modules.h"
#include "cli/complete.h"
#include "cli/help.h"
#include "cli/options.h"

static void must_hold(const struct buf *text, const char *what)
{
	if (!strstr(text->p, what))
		fail_msg("'%s' is missing", what);
}

static void check_tables(const struct buf *script)
{
	char key[128];

	for (const struct action *a = api_actions; a->module; a++) {
		must_hold(script, a->name);
		for (const struct action_param *p = a->params; p->name; p++)
			must_hold(script, p->name);
		snprintf(key, sizeof key, "'%s %s')", a->module, a->name);
		must_hold(script, key);
	}
	for (const struct opt *o = cli_program.opts; o->name; o++)
		must_hold(script, o->name);
	for (const struct opt *o = serve_program.opts; o->name; o++)
		must_hold(script, o->name);
	must_hold(script, "'core export_client client_name') clients=1");
	/* A new client's name is not completed from the old ones. */
	assert_null(strstr(script->p, "'core add_client client_name') clients=1"));
}

static void test_bash(void **state)
{
	struct buf script = { 0 };

	(void)state;
	complete_bash(&script);
	assert_true(buf_ok(&script));
	check_tables(&script);
	must_hold(&script, "complete -F _qanat qanat phantom-api\n");
	buf_done(&script);
}

static void test_zsh(void **state)
{
	struct buf script = { 0 };

	(void)state;
	complete_zsh(&script);
	assert_true(buf_ok(&script));
	check_tables(&script);
	assert_int_equal(strncmp(script.p, "#compdef qanat phantom-api\n", 27), 0);
	buf_done(&script);
}

/* Help and manual come from the same tables. */
static void test_help(void **state)
{
	struct buf man = { 0 };

	(void)state;
	help_man(&man);
	assert_true(buf_ok(&man));
	for (const struct action *a = api_actions; a->module; a++) {
		struct buf help = { 0 };

		must_hold(&man, a->name);
		help_action(&help, "qanat", a);
		must_hold(&help, a->help);
		for (const struct action_param *p = a->params; p->name; p++) {
			must_hold(&help, p->name);
			must_hold(&help, p->help);
		}
		buf_done(&help);
	}
	buf_done(&man);
}

static void test_help_program(void **state)
{
	struct buf help = { 0 };

	(void)state;
	help_program(&help, "qanat");
	for (const struct module *m = api_modules; m->name; m++)
		must_hold(&help, m->name);
	must_hold(&help, "--json");
	must_hold(&help, "serve");
	assert_null(strstr(help.p, "--man")); /* the build asks for it, people do not */
	buf_done(&help);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bash),
		cmocka_unit_test(test_zsh),
		cmocka_unit_test(test_help),
		cmocka_unit_test(test_help_program),
	};

	return cmocka_run_group_tests_name("cli/complete", tests, NULL, NULL);
}
