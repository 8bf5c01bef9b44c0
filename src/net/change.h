/* change.h - one change of the host's state: what it is, how it is made, undone and written down;
 * for this folder only.
 *
 * Every change takes one thing from the value `old` to the value `now`.  Undoing it means: if the
 * thing still has the value `now`, give it `old`.  So undoing a change that was written down but
 * never made does nothing, and what somebody else has changed since then is left alone.
 */
#ifndef QANAT_NET_CHANGE_H
#define QANAT_NET_CHANGE_H

#include "net/net.h"
#include "net/sysctl.h"
#include "nl/rtnl.h"

#define JOURNAL_MAX (1u << 20)

enum change_kind {
	CHANGE_ADDRESS, /* of `ifindex`: 0 absent, 1 there */
	CHANGE_MTU, /* of `ifindex` */
	CHANGE_UP, /* of `ifindex`: 0 down, 1 up */
	CHANGE_SYSCTL, /* `name` */
	/* `name` keeps the value `old` through the undoing of the change that follows it: the kernel
	 * resets it as a side effect.  Made: nothing.  Undone: written. */
	CHANGE_KEEP,
	CHANGE_TABLE, /* nft table `name`: 0 absent, 1 there */
	/* To the network `address` in `table` with `metric`: 0 absent, 1 there.  By `ifindex`, or a
	 * blackhole when that is 0. */
	CHANGE_ROUTE,
	CHANGE_RULE, /* `rule`: 0 absent, 1 there */
};

struct change {
	enum change_kind kind;
	char ifname[NL_NAME_MAX];
	uint32_t ifindex;
	struct ip_prefix address;
	struct ip_addr gateway; /* of a route; family IP_NONE: on the link */
	uint32_t table, metric; /* of a route, as the kernel reports them */
	struct net_rule rule;
	char name[SYSCTL_NAME_MAX];
	uint32_t old, now;
};

/* Told apart from rules that others make, whatever these select (rtnetlink(7), rtm_protocol). */
#define CHANGE_RULE_PROTOCOL 81
#define CHANGE_METRIC_WORST UINT32_MAX

/* The blackhole route that holds a tunnel's network: any other route is preferred to it. */
struct change change_hold(const struct ip_prefix *network);
bool change_is_hold(const struct change *x);

/* In the order in which they were, or are to be, made. */
struct changes {
	struct change *p;
	size_t n, cap;
};

void changes_done(struct changes *c);
MUST_CHECK enum err_code changes_add(struct changes *c, const struct change *x, struct err *e);
MUST_CHECK enum err_code changes_append(struct changes *to, const struct changes *from,
					struct err *e);
/* True when both are about the same thing, whatever the values. */
bool change_same_thing(const struct change *a, const struct change *b);
/* The one in `c` about the same thing as `x`, or NULL. */
struct change *changes_find(const struct changes *c, const struct change *x);
void changes_remove(struct changes *c, struct change *x);

/* Makes of a journal's changes the undo list of a run that goes on from there: each thing once, from
 * the value that undoing all would give it to its present one.  What is gone, what was never made
 * and what somebody else has changed since is left out (*changed then).  Nothing on the host is
 * touched but settings that the kernel reset when forwarding went off, and that were to be kept. */
MUST_CHECK enum err_code changes_adopt(struct nl *nl, struct changes *c, bool *changed,
				       struct err *e);

/* One line for a person, without newline: "+ address 10.8.0.1/24 dev wg_main". */
void change_describe(struct buf *out, const struct change *x);
/* The same as what was found, and what is done about it: "address 10.8.0.1/24 was missing on
 * wg_main", "it was added again". */
void change_tell(struct buf *found, struct buf *repair, const struct change *x);

/* The value that the thing has now; ERR_NOT_FOUND when it is gone. */
MUST_CHECK enum err_code change_read(struct nl *nl, const struct change *x, uint32_t *value,
				     struct err *e);
/* Takes the thing from x->old to x->now; `table_text` is what a CHANGE_TABLE to 1 loads. */
MUST_CHECK enum err_code change_make(struct nl *nl, const struct change *x, struct str table_text,
				     struct err *e);
/* See above; `table_text` is what a CHANGE_TABLE back to 1 loads.  A thing that is gone, such as a
 * deleted interface, needs no undoing. */
MUST_CHECK enum err_code change_undo(struct nl *nl, const struct change *x, struct str table_text,
				     struct err *e);

/* ---- the journal: a text file of changes, one a line ---- */

/* Until *lock is closed, by this process and by the programs that it runs (run_keep_open), nobody else has
 * the journal: so what a killed run had begun has ended before the next one looks.  Waits for that as long
 * as a program may take; ERR_IN_USE then.  The lock is on the directory, for the journal is replaced and
 * removed; -1 when there is no such directory, and thus no journal. */
MUST_CHECK enum err_code journal_lock(int *lock, const char *path, struct err *e);
/* Writes it durably with mode 0600; without changes the file is removed. */
MUST_CHECK enum err_code journal_write(const char *path, const struct changes *c, struct err *e);
/* Reads it; a missing file, or one of another boot or network namespace (whose changes are gone
 * or out of reach), is empty.  ERR_CORRUPT names file and line. */
MUST_CHECK enum err_code journal_read(const char *path, struct changes *out, struct err *e);
/* The text itself, for both and for tests: `boot` and `netns` say where the changes were made. */
void journal_format(struct buf *out, const struct changes *c, struct str boot, struct str netns);
MUST_CHECK enum err_code journal_parse(struct changes *out, struct str text, struct str boot,
				       struct str netns, struct err *e);

#endif
