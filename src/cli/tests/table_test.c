/* Tables and views as a person sees them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "cli/table.h"
#include "cli/view.h"

static const struct term wide = { .tty = true };

static void table_fill(struct table *t)
{
	table_column(t, "NAME", false, false);
	table_column(t, "SENT", true, false);
	table_column(t, "NOTE", false, true);
	table_cell(t, STR("a"), NULL);
	table_cell(t, STR("1.5 MiB"), NULL);
	table_cell(t, STR("first"), NULL);
	table_cell(t, STR("caf\xc3\xa9\033"), TERM_GREEN);
	table_cell(t, STR("2 B"), NULL);
	table_cell(t, STR(""), NULL);
}

static void test_table(void **state)
{
	static const struct {
		struct term term;
		size_t indent;
		const char *want, *why;
	} rows[] = {
		{ { 0 },
		  0,
		  "NAME         SENT  NOTE\n"
		  "a         1.5 MiB  first\n"
		  "caf\xc3\xa9\\x1b      2 B  -\n",
		  "aligned by columns, not bytes; an empty cell is a dash; no blanks at the end" },
		{ { .columns = 24 },
		  2,
		  "  NAME         SENT\n"
		  "  a         1.5 MiB\n"
		  "  caf\xc3\xa9\\x1b      2 B\n"
		  "  (1 column not shown: widen the terminal, or use --json)\n",
		  "an optional column gives way, and it is said" },
		{ { .columns = 5 },
		  0,
		  "NAME         SENT\n"
		  "a         1.5 MiB\n"
		  "caf\xc3\xa9\\x1b      2 B\n"
		  "(1 column not shown: widen the terminal, or use --json)\n",
		  "what is not optional stays" },
		{ { .colour = true },
		  0,
		  TERM_BOLD "NAME" TERM_PLAIN "         " TERM_BOLD "SENT" TERM_PLAIN "  " TERM_BOLD
			    "NOTE" TERM_PLAIN "\n"
			    "a         1.5 MiB  first\n" TERM_GREEN "caf\xc3\xa9\\x1b" TERM_PLAIN
			    "      2 B  -\n",
		  "colours take no columns" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct table t = { 0 };
		struct buf out = { 0 };

		table_fill(&t);
		assert_int_equal(table_rows(&t), 2);
		table_draw(&out, &t, &rows[i].term, rows[i].indent);
		if (strcmp(out.p, rows[i].want) != 0)
			fail_msg("%s:\n%s", rows[i].why, out.p);
		table_done(&t);
		buf_done(&out);
	}
}

static void test_bytes(void **state)
{
	static const struct {
		int64_t bytes;
		const char *want, *why;
	} rows[] = {
		{ 0, "0 B", "nothing" },
		{ 1023, "1023 B", "below a KiB: whole" },
		{ 1024, "1.0 KiB", "the first unit" },
		{ 1048524, "1023.9 KiB", "just below the next" },
		{ 1048575, "1.0 MiB", "rounds up into the next unit, never 1024.0" },
		{ INT64_MAX, "8.0 EiB", "the greatest" },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct buf out = { 0 };

		view_bytes(&out, rows[i].bytes);
		if (strcmp(out.p, rows[i].want) != 0)
			fail_msg("%s: %s", rows[i].why, out.p);
		buf_done(&out);
	}
}

static const struct {
	const char *module, *action, *data, *want, *why;
} views[] = {
	{ "core", "add_client",
	  "{\"client\":{\"name\":\"x\",\"ip\":\"10.8.0.2\",\"ipv6\":\"fd00::2\",\"public_key\":"
	  "\"K\"},"
	  "\"message\":\"Client 'x' added successfully\"}",
	  "Client 'x' added successfully\n  address     10.8.0.2, fd00::2\n  public key  K\n"
	  "Next, for its QR code: qanat core export_client client_name=x --qr\n",
	  "a sentence, the facts, the next step" },
	{ "core", "remove_client",
	  "{\"removed\":true,\"client_name\":\"x\",\"client_ip\":\"10.8.0.2\"}",
	  "Removed client 'x'; its address 10.8.0.2 is free again\n", "a sentence" },
	{ "core", "list_clients", "{\"total\":0,\"clients\":[],\"pagination\":{}}",
	  "No clients.  Add one: qanat core add_client client_name=NAME\n",
	  "an empty list says so" },
	{ "core", "list_clients",
	  "{\"total\":12,\"clients\":[{\"name\":\"a\",\"ip\":\"10.8.0.2\",\"enabled\":true,"
	  "\"connected\":true,\"created\":\"2025-01-30T10:15:00\",\"connection\":{"
	  "\"latest_handshake\":\"1 minute ago\",\"transfer_rx\":\"1.2 GB\",\"transfer_tx\":\"4 "
	  "MB\"}},"
	  "{\"name\":\"bb\",\"ip\":\"10.8.0.3\",\"enabled\":false,\"connected\":false,"
	  "\"created\":\"2025-01-30T10:15:01\"}],\"pagination\":{\"page\":1,\"total_pages\":6,"
	  "\"showing_from\":1,\"showing_to\":2,\"has_next\":true}}",
	  "NAME  ADDRESS   STATE      HANDSHAKE     RECEIVED  SENT  CREATED\n"
	  "a     10.8.0.2  connected  1 minute ago    1.2 GB  4 MB  2025-01-30T10:15:00\n"
	  "bb    10.8.0.3  disabled   -                    -     -  2025-01-30T10:15:01\n"
	  "1 to 2 of 12, page 1 of 6; next: page=2\n",
	  "columns, and where the rest is" },
	{ "core", "client_limits", "{\"client_name\":\"x\",\"rate_up\":null}", "x: no limits\n",
	  "none" },
	{ "core", "set_client_limits",
	  "{\"client_name\":\"x\",\"rate_up\":\"10M\",\"rate_down\":null,\"quota_bytes\":2048,"
	  "\"quota_used_bytes\":1024,\"quota_left_bytes\":1024,"
	  "\"expires\":\"2026-12-31T00:00:00\",\"expired\":true}",
	  "x\n  rate up     10Mbit/s\n"
	  "  quota       1.0 KiB left of 2.0 KiB (1024 of 2048 bytes used)\n"
	  "  expires     2026-12-31T00:00:00 UTC, which has passed\n",
	  "only what is limited" },
	{ "core", "client_why",
	  "{\"client_name\":\"x\",\"connected\":false,\"latest_handshake\":\"never\","
	  "\"endpoint\":null,\"received_bytes\":0,\"sent_bytes\":148,\"limits\":{\"rate_up\":"
	  "\"1k\"},"
	  "\"quota_out_since\":null,\"cause\":{\"name\":\"no_answer\",\"text\":\"It did not.\"},"
	  "\"drops\":[{\"reason\":\"over_rate\",\"packets\":12,\"text\":\"Too much.\"},"
	  "{\"reason\":\"replay\",\"packets\":3,\"text\":\"Twice.\"}]}",
	  "x is not connected\n  It did not.\n  handshake   never\n  received    0 B\n"
	  "  sent        148 B\n  rate up     1kbit/s\nPackets dropped:\n"
	  "          12  over_rate\n              Too much.\n"
	  "           3  replay\n              Twice.\n",
	  "the cause first, then the reasons" },
	{ "core", "client_why", "{\"client_name\":\"x\",\"connected\":true}",
	  "x is connected\n  received    0 B\n  sent        0 B\nNo packet of it was dropped.\n",
	  "nothing to say" },
	{ "core", "latest_clients",
	  "{\"latest_clients\":[{\"name\":\"a\",\"ip\":\"10.8.0.2\",\"enabled\":true}],\"count\":1,"
	  "\"total_clients\":3}",
	  "NAME  ADDRESS   STATE    HANDSHAKE  RECEIVED  SENT  CREATED\n"
	  "a     10.8.0.2  enabled  -                 -     -  -\n"
	  "newest 1 of 3\n",
	  "absent fields are dashes" },
	{ "core", "export_client", "{\"config\":\"[Interface]\\nPrivateKey = k\\u001b[0m\"}",
	  "[Interface]\nPrivateKey = k\\x1b[0m\n", "the configuration, escaped, ending its line" },
	{ "core", "server_status",
	  "{\"service\":{\"running\":true,\"service_name\":\"qanat\"},\"interface\":{\"active\":"
	  "true,"
	  "\"rx_bytes\":2048,\"peers\":[{\"name\":\"a\",\"allowed_ips\":\"10.8.0.2/32\","
	  "\"rx_bytes\":1024,\"tx_bytes\":5}]},\"configuration\":{\"dns\":[\"1.1.1.1\",\"9.9.9.9\"]"
	  "}}",
	  "service\n  running       yes\n  service name  qanat\n"
	  "interface\n  active    yes\n  rx bytes  2.0 KiB\n"
	  "  PEER  ALLOWED IPS  HANDSHAKE  ENDPOINT  RECEIVED  SENT\n"
	  "  a     10.8.0.2/32  -          -          1.0 KiB   5 B\n"
	  "configuration\n  dns  1.1.1.1, 9.9.9.9\n",
	  "sections in order, peers as a table" },
	{ "core", "get_tweak_settings",
	  "{\"restart_service_after_client_creation\":false,"
	  "\"restart_service_after_client_creation_description\":\"Restarts it\"}",
	  "restart_service_after_client_creation = no\n  Restarts it\n",
	  "setting and description" },
	{ "core", "update_tweak_setting",
	  "{\"setting\":\"s\",\"new_value\":true,\"old_value\":false,\"message\":\"Updated\"}",
	  "s = yes (was no)\n  Updated\n", "what it is and what it was" },
	{ "dns", "get_dns_servers", "{\"primary\":\"1.1.1.1\",\"secondary\":\"9.9.9.9\"}",
	  "primary    1.1.1.1\nsecondary  9.9.9.9\n", "no view of its own: aligned pairs" },
	{ "x", "y",
	  "{\"a\":{\"b\":{\"c\":1}},\"list\":[1,true,null,\"t\"],\"empty\":[],\"rows\":[{\"k\":1},"
	  "{\"k\":22,\"l\":{\"m\":1}}],\"text\":\"one\\ntwo\\u001b\",\"real\":1.5,\"none\":{}}",
	  "list   1, yes, -, t\nempty  -\nreal   1.5\nnone   {}\n"
	  "a\n  b\n    c  1\nrows\n   k  l\n   1  -\n  22  {\"m\":1}\ntext\n  one\n  two\\x1b\n",
	  "any shape" },
	{ "x", "y", "{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":{\"a\":1}}}}}}}}",
	  "a\n  a\n    a\n      a\n        a\n          a\n            a  {\"a\":1}\n",
	  "deep nesting ends as JSON" },
	{ "dns", "status",
	  "{\"r\":[{\"server\":\"s1\",\"tests\":[{\"d\":\"a\",\"ok\":true}]},{\"tests\":[{\"d\":1}]"
	  "},{}]}",
	  "r\n  s1\n    tests\n      d  ok\n      a  yes\n  tests\n    d\n    1\n",
	  "rows in rows are listed" },
	{ "x", "y", "{\"bad\\u001bkey\":1}", "bad\\x1bkey  1\n", "keys are escaped too" },
	{ "x", "y", "[{},{}]", "", "rows without columns" },
	{ "x", "y", "\"text\"", "text\n", "no object at all" },
	{ "core", "list_clients", "{\"clients\":7,\"pagination\":[]}",
	  "No clients.  Add one: qanat core add_client client_name=NAME\n", "wrong types" },
	{ "core", "server_status", "{\"service\":[],\"interface\":{\"peers\":{}}}", "service  -\n",
	  "wrong types in sections" },
	{ "core", "server_status",
	  "{\"drops\":{\"replay\":7,\"no_peer\":0},\"sky\":{\"clear\":true},\"clients\":{\"n\":1}}",
	  "clients\n  n  1\ndrops\n  replay  7\nsky\n  clear  yes\n",
	  "drops that occurred, and a section that is not known" },
	{ "core", "server_status", "{\"drops\":{\"replay\":0}}", "", "no drops, no heading" },
	{ "core", "add_client", "{}",
	  "Added client ''\n  address     \n  public key  \n"
	  "Next, for its QR code: qanat core export_client client_name= --qr\n",
	  "nothing that was expected" },
};

static void test_views(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(views); i++) {
		json_t *data = json_loads(views[i].data, JSON_DECODE_ANY, NULL);
		struct buf out = { 0 };

		assert_non_null(data);
		view_answer(&out, &wide, str_of(views[i].module), str_of(views[i].action), data);
		if (strcmp(buf_view(&out).p, views[i].want) != 0)
			fail_msg("%s %s: %s:\n%s", views[i].module, views[i].action, views[i].why,
				 buf_view(&out).p);
		json_decref(data);
		buf_done(&out);
	}
}

static void test_no_data(void **state)
{
	struct buf out = { 0 };

	(void)state;
	view_answer(&out, &wide, STR("core"), STR("add_client"), NULL);
	assert_string_equal(out.p, "done\n");
	buf_done(&out);
}

/* Memory that runs out is seen by whoever sends the text. */
static void test_limit(void **state)
{
	json_t *data = json_pack("{s:s}", "key", "a value longer than the limit");
	struct buf out = { .limit = 16 };

	(void)state;
	view_answer(&out, &wide, STR("x"), STR("y"), data);
	assert_false(buf_ok(&out));
	json_decref(data);
	buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table), cmocka_unit_test(test_bytes),
		cmocka_unit_test(test_views), cmocka_unit_test(test_no_data),
		cmocka_unit_test(test_limit),
	};

	return cmocka_run_group_tests_name("cli/table", tests, NULL, NULL);
}
