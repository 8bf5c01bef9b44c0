/* net_check and net_repair: the host against what was applied last. */
#include "net/inside.h"

/* To the caller's fn, in words. */
static enum err_code tell(net_difference_fn *fn, void *ctx, const struct change *x, struct err *e)
{
	AUTO(buf_done) struct buf change = { 0 }, sentence = { 0 }, repair = { 0 };
	struct net_difference d = { 0 };

	if (!fn || x->kind == CHANGE_KEEP) /* not a change but a memory */
		return ERR_OK;
	change_describe(&change, x);
	change_tell(&sentence, &repair, x);
	if (!buf_ok(&change) || !buf_ok(&sentence) || !buf_ok(&repair))
		return err_set(e, ERR_NOMEM, "no memory for a difference of the network");
	d.change = buf_view(&change).p;
	d.sentence = buf_view(&sentence).p;
	d.repair = buf_view(&repair).p;
	fn(ctx, &d);
	return ERR_OK;
}

static void tell_away(const struct net *n, net_difference_fn *fn, void *ctx)
{
	char change[64], sentence[64];
	size_t i;

	for (i = 0; i < n->links.n && fn; i++) {
		const char *name = n->want.tunnels[i].ifname;

		if (n->links.l[i].index)
			continue;
		snprintf(change, sizeof change, "! interface %s", name);
		snprintf(sentence, sizeof sentence, "interface %s does not exist", name);
		fn(ctx,
		   &(struct net_difference){
			   .change = change, .sentence = sentence, .repair = "", .is_away = true });
	}
}

static enum err_code compare(struct net *n, struct changes *plan, struct err *e)
{
	return plan_make(n->nl, &n->want, &n->links, &n->made, &n->table, plan, e);
}

enum err_code net_check(struct net *n, net_difference_fn *fn, void *ctx, struct err *e)
{
	AUTO(changes_done) struct changes plan = { 0 };
	enum err_code rc;
	size_t i;

	if (!n->applied)
		return ERR_OK;
	rc = plan_links(&n->links, n->nl, &n->want, true, e);
	if (!rc)
		rc = compare(n, &plan, e);
	if (!rc)
		tell_away(n, fn, ctx);
	for (i = 0; i < plan.n && !rc; i++)
		rc = tell(fn, ctx, &plan.p[i], e);
	return rc;
}

/* One thing; what it leaves to undo is accounted for at once. */
static enum err_code repair_one(struct net *n, const struct change *x, struct err *e)
{
	AUTO(buf_done) struct buf loaded = { 0 }, listing = { 0 };
	struct buf old;
	enum err_code rc = net_make(n, x, &loaded, &listing, e);

	if (rc)
		return rc;
	if (x->kind == CHANGE_TABLE) {
		plan_table_forget(&n->table);
		old = n->table.loaded;
		n->table.loaded = loaded;
		loaded = old;
		old = n->table.loaded_listing;
		n->table.loaded_listing = listing;
		listing = old;
	}
	return net_account(&n->made, x, e);
}

/* A change that failed may have been made in part: the journal keeps it, and so do we. */
static enum err_code repair_all(struct net *n, const struct changes *plan, net_difference_fn *fn,
				void *ctx, struct err *e)
{
	struct err why = { 0 }, first = { 0 };
	size_t i;

	for (i = 0; i < plan->n; i++) {
		enum err_code rc = repair_one(n, &plan->p[i], &why);

		if (!rc)
			rc = tell(fn, ctx, &plan->p[i], &why);
		if (rc && !first.code)
			first = why;
	}
	if (journal_write(n->journal, &n->made, &why) && !first.code)
		first = why;
	if (first.code && e)
		*e = first;
	return first.code;
}

enum err_code net_repair(struct net *n, net_difference_fn *fn, void *ctx, struct err *e)
{
	AUTO(changes_done) struct changes plan = { 0 };
	enum err_code rc;

	if (!n->applied)
		return ERR_OK;
	rc = plan_links(&n->links, n->nl, &n->want, true, e);
	if (!rc)
		rc = net_leave_others(n, &n->want, &n->links, e);
	if (!rc)
		rc = compare(n, &plan, e);
	if (rc)
		return rc;
	tell_away(n, fn, ctx);
	if (!plan.n)
		return ERR_OK;
	rc = net_announce(n, &plan, e);
	return rc ? rc : repair_all(n, &plan, fn, ctx, e);
}
