/* What an earlier run left in the journal becomes this run's own undo list: what change.h says
 * about it.
 *
 * A journal that was written before a change was made names steps of which some happened and some
 * did not, and may name one thing several times: "mtu 1500 1420", "mtu 1420 1380".  Undoing all of
 * it in reverse is right whatever happened.  So each thing's undoing is played through on paper,
 * from its present value back, and one change remains, from where that ends to the present. */
#include "net/change.h"

#define FORWARD_V4 "net/ipv4/ip_forward"
#define FORWARD_V6 "net/ipv6/conf/all/forwarding"

static bool first_of_its_kind(const struct changes *c, size_t i)
{
	return changes_find(c, &c->p[i]) == &c->p[i];
}

/* A setting that is remembered is put back after all else, whatever was done to it between. */
static bool remembered(const struct changes *c, const struct change *x)
{
	struct change keep = *x;

	keep.kind = CHANGE_KEEP;
	return x->kind == CHANGE_SYSCTL && changes_find(c, &keep);
}

/* The value that the undoing of all changes in `c` would leave. */
static uint32_t value_before(const struct changes *c, const struct change *x, uint32_t value)
{
	size_t i;

	if (x->kind == CHANGE_TABLE)
		return 0; /* a table of our name is never anybody else's */
	for (i = c->n; i-- > 0;)
		if (change_same_thing(&c->p[i], x) && c->p[i].now == value)
			value = c->p[i].old;
	return value;
}

/* One change of what the journal says about the thing of `x`, or none. */
static enum err_code settle(struct nl *nl, const struct changes *journal, const struct change *x,
			    struct changes *out, struct err *e)
{
	struct change settled = *x;
	enum err_code rc;

	if (x->kind == CHANGE_KEEP)
		return changes_add(out, x, e);
	if (remembered(journal, x))
		return ERR_OK;
	rc = change_read(nl, x, &settled.now, e);
	if (rc == ERR_NOT_FOUND)
		return ERR_OK; /* such as a TUN, which goes with its process */
	if (rc)
		return rc;
	settled.old = value_before(journal, x, settled.now);
	return settled.old == settled.now ? ERR_OK : changes_add(out, &settled, e);
}

static bool forwarding_is_ours(const struct changes *c, const struct change *keep)
{
	bool v4 = str_starts(str_of(keep->name), STR("net/ipv4/"));
	struct change x = { .kind = CHANGE_SYSCTL };

	BUG_ON(!str_copy(x.name, sizeof x.name, str_of(v4 ? FORWARD_V4 : FORWARD_V6)));
	return changes_find(c, &x) != NULL;
}

/* Forwarding was not yet turned on by us, or was being turned off: what the kernel has reset
 * meanwhile is set again, and need not be remembered. */
static enum err_code finish_keeping(struct nl *nl, struct changes *c, struct err *e)
{
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = c->n; i-- > 0 && !rc;) {
		if (c->p[i].kind != CHANGE_KEEP || forwarding_is_ours(c, &c->p[i]))
			continue;
		rc = change_undo(nl, &c->p[i], STR(""), e);
		if (!rc)
			changes_remove(c, &c->p[i]);
	}
	return rc;
}

static bool equal(const struct changes *a, const struct changes *b)
{
	size_t i;

	if (a->n != b->n)
		return false;
	for (i = 0; i < a->n; i++)
		if (!change_same_thing(&a->p[i], &b->p[i]) || a->p[i].old != b->p[i].old ||
		    a->p[i].now != b->p[i].now)
			return false;
	return true;
}

enum err_code changes_adopt(struct nl *nl, struct changes *c, bool *changed, struct err *e)
{
	struct changes out = { 0 }, journal;
	enum err_code rc = ERR_OK;
	size_t i;

	for (i = 0; i < c->n && !rc; i++)
		if (first_of_its_kind(c, i))
			rc = settle(nl, c, &c->p[i], &out, e);
	if (!rc)
		rc = finish_keeping(nl, &out, e);
	if (!rc) {
		*changed = !equal(c, &out);
		journal = *c;
		*c = out;
		out = journal;
	}
	changes_done(&out);
	return rc;
}
