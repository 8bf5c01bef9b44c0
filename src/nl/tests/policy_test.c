/* policy_test - rules of policy routing and reports of nftables against a real kernel, in a network
 * namespace of the test's own.  Needs root; skipped with a reason otherwise. */
#include <errno.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "io/loop.h"
#include "nl/nft_watch.h"
#include "nl/rtnl.h"

#define NFT "/usr/sbin/nft"
#define GIVE_UP_NS (10 * NS_PER_S)

static bool have_namespace;
static struct nl *nl;

static int group_setup(void **state UNUSED)
{
	struct err e = { 0 };

	if (unshare(CLONE_NEWNET)) {
		print_message("skipped: no network namespace: %s\n", strerror(errno));
		return 0;
	}
	if (nl_open(&nl, &e)) {
		print_message("%s\n", e.msg);
		return -1;
	}
	have_namespace = true;
	return 0;
}

static int group_teardown(void **state UNUSED)
{
	nl_close(nl);
	return 0;
}

#define NEED_NAMESPACE()             \
	do {                         \
		if (!have_namespace) \
			skip();      \
	} while (0)

static struct ip_prefix prefix(const char *text)
{
	struct ip_prefix p = { 0 };

	assert_true(!*text || ip_prefix_parse(str_of(text), &p));
	return p;
}

struct seen {
	const struct nl_rule *want;
	unsigned n;
};

static bool same_side(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->addr.family == b->addr.family && a->len == b->len &&
	       (!a->addr.family || ip_eq(&a->addr, &b->addr));
}

static bool see(void *ctx, const struct nl_rule *r)
{
	struct seen *s = ctx;

	s->n += r->priority == s->want->priority && r->table == s->want->table &&
		r->mark == s->want->mark && !strcmp(r->ifname, s->want->ifname) &&
		same_side(&r->from, &s->want->from) && same_side(&r->to, &s->want->to) &&
		r->protocol == (s->want->protocol ? s->want->protocol : 4) && !r->further;
	return true;
}

static unsigned count(const struct nl_rule *want)
{
	struct seen s = { .want = want };
	struct err e = { 0 };

	if (nl_rules(nl, want->family, see, &s, &e))
		fail_msg("%s", e.msg);
	return s.n;
}

static void rule_changes(void **state UNUSED)
{
	static const struct {
		uint8_t family;
		const char *from, *to, *ifname;
		uint32_t mark, table, priority;
		uint8_t protocol;
		const char *why;
	} rows[] = {
		{ IP_V4, "10.8.0.0/24", "10.8.0.0/24", "", 0, 254, 99, 0, "both sides" },
		{ IP_V4, "10.8.0.0/24", "", "", 0, 100, 100, 81, "a source" },
		{ IP_V4, "", "", "lo", 0x51, 100000, 7, 0, "interface, mark, a high table" },
		{ IP_V6, "fd00::/64", "", "", 0, 100, 100, 0, "the other family" },
		{ IP_V6, "", "", "", 0, 100, 32000, 0, "everything" },
	};
	struct err e = { 0 };
	size_t i;

	NEED_NAMESPACE();
	for (i = 0; i < ARRAY_LEN(rows); i++) {
		struct nl_rule r = { .family = rows[i].family,
				     .from = prefix(rows[i].from),
				     .to = prefix(rows[i].to),
				     .mark = rows[i].mark,
				     .table = rows[i].table,
				     .priority = rows[i].priority,
				     .protocol = rows[i].protocol };

		assert_true(str_copy(r.ifname, sizeof r.ifname, str_of(rows[i].ifname)));
		assert_int_equal(count(&r), 0);
		if (nl_rule_add(nl, &r, &e))
			fail_msg("%s: %s", rows[i].why, e.msg);
		if (count(&r) != 1)
			fail_msg("%s: not read as it was made", rows[i].why);
		assert_int_equal(nl_rule_add(nl, &r, &e), ERR_EXISTS);
		if (nl_rule_delete(nl, &r, &e))
			fail_msg("%s: %s", rows[i].why, e.msg);
		assert_int_equal(count(&r), 0);
		assert_int_equal(nl_rule_delete(nl, &r, &e), ERR_NOT_FOUND);
	}
}

/* The kernel's own rules are plain ones. */
static void rules_of_the_kernel(void **state UNUSED)
{
	const struct nl_rule main_table = {
		.family = IP_V4, .priority = 32766, .table = 254, .protocol = 2
	};

	NEED_NAMESPACE();
	assert_int_equal(count(&main_table), 1);
}

/* ---- nftables ---- */

struct heard {
	struct loop *loop;
	unsigned changes;
	struct nl_nft_change last;
};

static void hear(void *ctx, const struct nl_nft_change *c)
{
	struct heard *h = ctx;

	assert_non_null(c);
	h->changes++;
	h->last = *c;
	loop_stop(h->loop);
}

static void give_up(struct loop_timer *t UNUSED)
{
	fail_msg("no report within 10 s");
}

static pid_t nft(const char *command)
{
	pid_t pid = fork();
	int status;

	assert_true(pid >= 0);
	if (!pid) {
		execl(NFT, "nft", command, NULL);
		_exit(127);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	return pid;
}

static void one_report(struct heard *h, pid_t by)
{
	struct loop_timer late = { .fire = give_up };
	unsigned before = h->changes;
	uint32_t generation = 0;
	struct err e = { 0 };

	loop_timer_set(h->loop, &late, loop_now(h->loop) + GIVE_UP_NS);
	assert_int_equal(loop_run(h->loop, &e), ERR_OK);
	loop_timer_cancel(&late);
	assert_int_equal(h->changes, before + 1);
	assert_string_equal(h->last.program, "nft");
	assert_int_equal(h->last.pid, by);
	assert_int_equal(nl_nft_generation(&generation, &e), ERR_OK);
	assert_int_equal(generation, h->last.generation);
}

static void reports_of_one_table(void **state UNUSED)
{
	struct heard h = { 0 };
	struct nl_nft_watch *w = NULL;
	struct err e = { 0 };
	uint32_t before = 0, after = 0;
	pid_t by;

	NEED_NAMESPACE();
	if (access(NFT, X_OK)) {
		print_message("skipped: no %s\n", NFT);
		skip();
	}
	assert_int_equal(loop_new(&h.loop, &e), ERR_OK);
	if (nl_nft_watch_open(&w, h.loop, "ours", hear, &h, &e))
		fail_msg("%s", e.msg);
	assert_int_equal(nl_nft_generation(&before, &e), ERR_OK);
	by = nft("add table inet ours");
	one_report(&h, by);
	/* Others, and one of our name in another family, are passed over. */
	(void)nft("add table inet other; add table ip ours; add chain inet other ours");
	by = nft("add chain inet ours c");
	one_report(&h, by);
	by = nft("add rule inet ours c accept");
	one_report(&h, by);
	by = nft("flush ruleset");
	one_report(&h, by);
	assert_int_equal(h.changes, 4);
	assert_int_equal(nl_nft_generation(&after, &e), ERR_OK);
	assert_int_equal(after - before, 5);
	nl_nft_watch_close(w);
	loop_free(h.loop);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rule_changes),
		cmocka_unit_test(rules_of_the_kernel),
		cmocka_unit_test(reports_of_one_table),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
