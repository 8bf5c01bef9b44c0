#include "net/net.h"

#include "base/fs.h"
#include "net/inside.h"
#include "net/nft.h"
#include "net/run.h"

/* ---- keeping account ---- */

enum err_code net_account(struct changes *made, const struct change *x, struct err *e)
{
	struct change *ours = changes_find(made, x), kept = *x;

	kept.kind = CHANGE_KEEP;
	if (x->kind == CHANGE_SYSCTL && changes_find(made, &kept)) {
		changes_remove(made, changes_find(made, &kept));
		return ERR_OK; /* it has its own value again */
	}
	if (ours) {
		ours->now = x->now;
		if (ours->now == ours->old && x->kind != CHANGE_KEEP)
			changes_remove(made, ours);
		return ERR_OK;
	}
	kept = *x;
	if (x->kind == CHANGE_TABLE)
		kept.old = 0; /* a table of our name that was there is a leftover of ours */
	return changes_add(made, &kept, e);
}

static enum err_code account_all(struct changes *out, const struct changes *made,
				 const struct changes *plan, struct err *e)
{
	enum err_code rc = changes_append(out, made, e);
	size_t i;

	for (i = 0; i < plan->n && !rc; i++)
		rc = net_account(out, &plan->p[i], e);
	return rc;
}

/* Of an interface that is not wanted: a crashed run cared for that one, or ours was deleted and made
 * again.  A route may go by any interface: the plan decides, unless that one has gone. */
static bool of_other_link(struct net *n, const struct change *x, const struct net_want *want,
			  const struct plan_links *links)
{
	char table[NFT_TABLE_MAX];
	uint32_t value;

	if (x->kind == CHANGE_TABLE) {
		nft_table_name(table, want->tunnels[0].ifname);
		return strcmp(x->name, table) != 0;
	}
	if (!x->ifindex || plan_links_have(links, x->ifindex))
		return false;
	return x->kind != CHANGE_ROUTE || change_read(n->nl, x, &value, NULL) == ERR_NOT_FOUND;
}

enum err_code net_leave_others(struct net *n, const struct net_want *want,
			       const struct plan_links *links, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i, before = n->made.n;

	for (i = n->made.n; i-- > 0 && !rc;) {
		struct change *x = &n->made.p[i];

		if (!of_other_link(n, x, want, links))
			continue;
		rc = change_undo(n->nl, x, STR(""), e);
		if (!rc)
			changes_remove(&n->made, x);
	}
	if (!rc && n->made.n != before)
		rc = journal_write(n->journal, &n->made, e);
	return rc ? err_wrap(e, rc, "put back what an earlier run changed") : ERR_OK;
}

/* What the above would do, as lines of text. */
static enum err_code describe_others(struct net *n, const struct net_want *want,
				     const struct plan_links *links, struct buf *out, struct err *e)
{
	enum err_code rc = ERR_OK;
	uint32_t value;
	size_t i;

	for (i = n->made.n; i-- > 0 && !rc;) {
		struct change x = n->made.p[i];

		if (!of_other_link(n, &x, want, links))
			continue;
		rc = change_read(n->nl, &x, &value, e);
		if (rc == ERR_NOT_FOUND || (!rc && value != x.now)) {
			rc = ERR_OK;
			continue;
		}
		x.now = x.old;
		x.old = value;
		change_describe(out, &x);
		buf_char(out, '\n');
	}
	return rc;
}

/* ---- opening ---- */

/* The journal is written anew only when it says something else now: most often because interface
 * and addresses have gone with the process. */
static enum err_code adopt(struct net *n, struct err *e)
{
	bool changed = false;
	enum err_code rc = journal_read(n->journal, &n->made, e);

	if (rc)
		return rc;
	rc = changes_adopt(n->nl, &n->made, &changed, e);
	if (!rc && changed)
		rc = journal_write(n->journal, &n->made, e);
	return rc ? err_wrap(e, rc, "take over what an earlier run changed") : ERR_OK;
}

enum err_code net_open(struct net **out, const char *journal, struct err *e)
{
	struct net *n = calloc(1, sizeof *n);
	enum err_code rc;

	if (!n)
		return err_set(e, ERR_NOMEM, "no memory for the network's state");
	n->lock = -1;
	n->journal = str_dup(str_of(journal));
	if (!n->journal) {
		rc = err_set(e, ERR_NOMEM, "no memory for the path %s", journal);
		goto out;
	}
	rc = journal_lock(&n->lock, n->journal, e);
	if (rc)
		goto out;
	run_keep_open(n->lock);
	rc = nl_open(&n->nl, e);
	if (rc)
		goto out;
	rc = adopt(n, e);
	if (rc)
		goto out;
	*out = n;
	n = NULL;
out:
	net_close(n);
	return rc;
}

void net_close(struct net *n)
{
	if (!n)
		return;
	nl_close(n->nl);
	if (n->lock >= 0)
		run_keep_open(-1);
	fd_close(n->lock);
	free(n->journal);
	changes_done(&n->made);
	plan_table_done(&n->table);
	free(n);
}

/* ---- applying ---- */

/* One net_apply under way. */
struct attempt {
	struct net *n;
	struct plan_links links;
	struct changes plan;
	bool announced; /* the journal has the plan */
	size_t made; /* of the plan, the last perhaps in part */
	struct changes after; /* the undo list once all is made */
	struct buf old_listing; /* our table before, as nft printed it */
	struct buf loaded, loaded_listing; /* and after, for n->table */
};

static void attempt_done(struct attempt *a)
{
	changes_done(&a->plan);
	changes_done(&a->after);
	buf_done(&a->old_listing);
	buf_done(&a->loaded);
	buf_done(&a->loaded_listing);
}

static const struct change *table_change(const struct changes *c)
{
	size_t i;

	for (i = 0; i < c->n; i++)
		if (c->p[i].kind == CHANGE_TABLE)
			return &c->p[i];
	return NULL;
}

enum err_code net_announce(struct net *n, const struct changes *plan, struct err *e)
{
	struct changes all = { 0 };
	enum err_code rc = changes_append(&all, &n->made, e);

	if (!rc)
		rc = changes_append(&all, plan, e);
	if (!rc)
		rc = journal_write(n->journal, &all, e);
	changes_done(&all);
	return rc;
}

enum err_code net_make(struct net *n, const struct change *x, struct buf *loaded,
		       struct buf *loaded_listing, struct err *e)
{
	struct str text = buf_view(&n->table.wanted);

	if (x->kind != CHANGE_TABLE || !x->now)
		return change_make(n->nl, x, text, e);
	buf_str(loaded, text);
	if (!buf_ok(loaded))
		return err_set(e, ERR_NOMEM, "no memory for nft table inet %s", x->name);
	return nft_table_load_listed(x->name, text, loaded_listing, &n->table.own_generation, e);
}

static void swap_loaded(struct attempt *a)
{
	struct plan_table *t = &a->n->table;
	struct buf text = t->loaded, listing = t->loaded_listing;

	t->loaded = a->loaded;
	t->loaded_listing = a->loaded_listing;
	t->has_generation = false;
	a->loaded = text;
	a->loaded_listing = listing;
}

static enum err_code make_all(struct attempt *a, struct err *e)
{
	enum err_code rc = ERR_OK;

	while (!rc && a->made < a->plan.n)
		rc = net_make(a->n, &a->plan.p[a->made++], &a->loaded, &a->loaded_listing, e);
	return rc;
}

/* Reads the host again: a change may be acknowledged and yet not last, or undo another. */
static enum err_code find_missing(struct attempt *a, const struct net_want *want,
				  struct changes *missing, struct err *e)
{
	enum err_code rc = plan_links(&a->links, a->n->nl, want, false, e);

	return rc ? rc : plan_make(a->n->nl, want, &a->links, &a->after, &a->n->table, missing, e);
}

static enum err_code did_not_last(const struct change *x, struct err *e)
{
	AUTO(buf_done) struct buf text = { 0 };

	change_describe(&text, x);
	return err_set(e, ERR_IO, "a change of the network did not last: %.*s",
		       STR_ARG(buf_view(&text)));
}

/* The kernel drops all IPv4 routes by an interface with its last address: they join the plan, once. */
static enum err_code make_again(struct attempt *a, const struct changes *missing, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < missing->n && !rc; i++) {
		const struct change *x = &missing->p[i];

		if (x->kind != CHANGE_ROUTE || !x->ifindex)
			return did_not_last(x, e);
		rc = changes_add(&a->plan, x, e);
		if (!rc)
			rc = net_account(&a->after, x, e);
	}
	if (!rc)
		rc = net_announce(a->n, &a->plan, e);
	return rc ? rc : make_all(a, e);
}

static enum err_code verify(struct attempt *a, const struct net_want *want, struct err *e)
{
	AUTO(changes_done) struct changes missing = { 0 }, still = { 0 };
	enum err_code rc = find_missing(a, want, &missing, e);

	if (rc || !missing.n)
		return rc;
	rc = make_again(a, &missing, e);
	if (!rc)
		rc = find_missing(a, want, &still, e);
	return rc || !still.n ? rc : did_not_last(&still.p[0], e);
}

/* Routes of before that the kernel has dropped with the last address of their interface. */
static enum err_code restore_routes(struct net *n, struct err *e)
{
	enum err_code rc = ERR_OK;
	uint32_t value;
	size_t i;

	for (i = 0; i < n->made.n && !rc; i++) {
		const struct change *x = &n->made.p[i];

		if (x->kind == CHANGE_ROUTE && x->ifindex && x->now &&
		    change_read(n->nl, x, &value, NULL) == ERR_OK && !value)
			rc = change_make(n->nl, x, STR(""), e);
	}
	return rc;
}

/* Undoes what was made of the plan; what resists joins the undo list. */
static void roll_back(struct attempt *a, struct err *e)
{
	struct net *n = a->n;
	struct err why = { 0 }, first = { 0 }, cause = { 0 };

	while (a->made-- > 0) {
		const struct change *x = &a->plan.p[a->made];

		if (!change_undo(n->nl, x, buf_view(&a->old_listing), &why))
			continue;
		if (!first.code)
			first = why;
		if (changes_add(&n->made, x, &why))
			break;
	}
	if (restore_routes(n, &why) && !first.code)
		first = why;
	if (a->announced && journal_write(n->journal, &n->made, &why) && !first.code)
		first = why;
	if (!first.code || !e)
		return;
	cause = *e;
	(void)err_set(e, cause.code, "%.250s; and not all could be put back: %.200s", cause.msg,
		      first.msg);
	e->sys = cause.sys;
}

static enum err_code carry_out(struct attempt *a, const struct net_want *want, struct err *e)
{
	bool table = table_change(&a->plan) != NULL;
	struct changes before;
	enum err_code rc;

	rc = account_all(&a->after, &a->n->made, &a->plan, e);
	if (!rc)
		rc = net_announce(a->n, &a->plan, e);
	a->announced = !rc;
	if (!rc)
		rc = make_all(a, e);
	if (table)
		swap_loaded(a);
	if (!rc)
		rc = verify(a, want, e);
	if (!rc)
		rc = journal_write(a->n->journal, &a->after, e);
	if (rc) {
		if (table)
			swap_loaded(a);
		roll_back(a, e);
		return rc;
	}
	before = a->n->made;
	a->n->made = a->after;
	a->after = before;
	return ERR_OK;
}

/* Whether this may be applied after what was applied last. */
static enum err_code check_in_care(const struct net *n, const struct net_want *want, struct err *e)
{
	if (!n->applied || !strcmp(n->want.tunnels[0].ifname, want->tunnels[0].ifname))
		return ERR_OK;
	return err_set(e, ERR_IN_USE, "interface %s is in care, %s cannot take its place",
		       n->want.tunnels[0].ifname, want->tunnels[0].ifname);
}

enum err_code net_apply(struct net *n, const struct net_want *want, struct err *e)
{
	struct attempt a = { .n = n };
	enum err_code rc = plan_check(want, e);

	if (!rc)
		rc = check_in_care(n, want, e);
	if (!rc)
		rc = plan_links(&a.links, n->nl, want, false, e);
	if (!rc)
		rc = net_leave_others(n, want, &a.links, e);
	if (rc)
		return rc;
	rc = plan_make(n->nl, want, &a.links, &n->made, &n->table, &a.plan, e);
	if (rc || !a.plan.n)
		goto out;
	buf_str(&a.old_listing, buf_view(&n->table.listing));
	if (!buf_ok(&a.old_listing)) {
		rc = err_set(e, ERR_NOMEM, "no memory for the nft table of %s",
			     want->tunnels[0].ifname);
		goto out;
	}
	rc = carry_out(&a, want, e);
out:
	if (!rc) {
		n->applied = true;
		n->want = *want;
		n->links = a.links;
	}
	attempt_done(&a);
	return rc;
}

enum err_code net_diff(struct net *n, const struct net_want *want, struct buf *out, struct err *e)
{
	struct changes plan = { 0 };
	struct plan_links links;
	enum err_code rc = plan_check(want, e);
	size_t i;

	if (!rc)
		rc = plan_links(&links, n->nl, want, false, e);
	if (!rc)
		rc = describe_others(n, want, &links, out, e);
	if (rc)
		return rc;
	rc = plan_make(n->nl, want, &links, &n->made, &n->table, &plan, e);
	for (i = 0; i < plan.n && !rc; i++) {
		if (plan.p[i].kind == CHANGE_KEEP)
			continue; /* not a change but a memory */
		change_describe(out, &plan.p[i]);
		buf_char(out, '\n');
	}
	changes_done(&plan);
	if (!rc && !buf_ok(out))
		rc = err_set(e, ERR_FULL, "no room for the differences of %s",
			     want->tunnels[0].ifname);
	return rc;
}

enum err_code net_undo(struct net *n, struct err *e)
{
	struct err why = { 0 }, first = { 0 };
	size_t i;

	for (i = n->made.n; i-- > 0;) {
		struct change *x = &n->made.p[i];

		if (!change_undo(n->nl, x, STR(""), &why))
			changes_remove(&n->made, x);
		else if (!first.code)
			first = why;
	}
	plan_table_forget(&n->table);
	if (journal_write(n->journal, &n->made, &why) && !first.code)
		first = why;
	n->applied = n->applied && n->made.n;
	if (first.code && e)
		*e = first;
	return first.code;
}

/* ---- questions ---- */

enum err_code net_default_route(struct net *n, uint8_t family, struct ip_addr *source,
				char ifname[16], struct err *e)
{
	struct nl_route r;
	struct nl_link l;
	enum err_code rc = nl_default_route(n->nl, family, &r, e);

	if (!rc)
		rc = nl_link_by_index(n->nl, r.oif, &l, e);
	if (rc)
		return rc;
	*source = r.source;
	memcpy(ifname, l.name, sizeof l.name);
	return ERR_OK;
}

struct overlap {
	const struct ip_prefix *p;
	uint32_t except, found;
};

static bool look_for_overlap(void *ctx, const struct nl_address *a)
{
	struct overlap *o = ctx;

	if (a->ifindex != o->except && ip_prefix_overlap(&a->prefix, o->p))
		o->found = a->ifindex;
	return !o->found;
}

enum err_code net_overlap(struct net *n, const struct ip_prefix *p, const char *except_ifname,
			  bool *overlaps, char ifname[16], struct err *e)
{
	struct overlap o = { .p = p };
	struct nl_link l;
	enum err_code rc = ERR_OK;

	if (except_ifname && nl_link_by_name(n->nl, except_ifname, &l, NULL) == ERR_OK)
		o.except = l.index;
	rc = nl_addresses(n->nl, 0, look_for_overlap, &o, e);
	if (!rc && o.found)
		rc = nl_link_by_index(n->nl, o.found, &l, e);
	if (rc)
		return rc;
	*overlaps = o.found != 0;
	if (o.found)
		memcpy(ifname, l.name, sizeof l.name);
	return ERR_OK;
}

bool net_link_exists(struct net *n, const char *ifname)
{
	struct nl_link l;

	return nl_link_by_name(n->nl, ifname, &l, NULL) == ERR_OK;
}

bool net_firewall_active(struct net *n UNUSED, const char *ifname)
{
	AUTO(buf_done) struct buf listing = { 0 };
	char table[NFT_TABLE_MAX];

	if (!ifname_ok(str_of(ifname)))
		return false;
	nft_table_name(table, ifname);
	return nft_table_list(table, &listing, NULL) == ERR_OK &&
	       str_find_nocase(buf_view(&listing), STR("masquerade")) >= 0;
}
