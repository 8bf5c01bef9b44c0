/* The language of sim_script: one command a line, '#' begins a comment.
 *
 *    up a|b / down a|b       the interface
 *    send a|b N [EVERY]      N packets, one after another or with a pause
 *    both N EVERY            N times a packet each way
 *    run TIME                time passes: 5s, 20ms, 3m, 24h
 *    keepalive a|b SECONDS
 *    port a|b PORT           of the device; its host stays
 *    drop a|b TYPE N         the next N datagrams of a type (1..4) that this side sends are lost
 *    loss N / dup N          of a thousand, from now on
 *    delay TIME / jitter TIME
 *    move a|b HOST PORT      to another address
 *    wall a|b [-]TIME        the wall clock jumps
 *    load a|b on|off         demands cookies
 *    psk a|b N               the preshared key whose bytes are all N
 *    forget                  counts begin anew
 *    expect a|b.WHAT OP N    WHAT: see values[]; OP: == >= <=
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "wg/core.h"
#include "wg/tests/sim.h"

struct cursor {
	struct sim *s;
	const char *name;
	struct str line, rest;
};

NORETURN static void bad(const struct cursor *c, const char *why)
{
	fail_msg("%s: \"%.*s\": %s", c->name, STR_ARG(c->line), why);
	abort();
}

static struct str word(struct cursor *c)
{
	struct str w = { 0 };

	while (str_cut(&c->rest, ' ', &w) && !w.n)
		;
	return w;
}

static uint64_t number(struct cursor *c)
{
	uint64_t n;

	if (!u64_parse(word(c), 0, UINT64_MAX, &n))
		bad(c, "a number is missing");
	return n;
}

static int64_t duration_of(struct cursor *c, struct str w)
{
	static const struct {
		struct str unit;
		int64_t ns;
	} units[] = { { STR("ms"), NS_PER_MS },
		      { STR("s"), NS_PER_S },
		      { STR("m"), 60 * NS_PER_S },
		      { STR("h"), 3600 * NS_PER_S } };
	size_t digits = 0;
	uint64_t n;

	while (digits < w.n && w.p[digits] >= '0' && w.p[digits] <= '9')
		digits++;
	if (!u64_parse((struct str){ w.p, digits }, 0, 1000000, &n))
		bad(c, "a time is missing");
	for (size_t i = 0; i < ARRAY_LEN(units); i++)
		if (str_eq((struct str){ w.p + digits, w.n - digits }, units[i].unit))
			return (int64_t)n * units[i].ns;
	bad(c, "a unit is missing");
}

static int64_t duration(struct cursor *c)
{
	return duration_of(c, word(c));
}

static unsigned side(struct cursor *c)
{
	struct str w = word(c);

	if (w.n != 1 || (w.p[0] != 'a' && w.p[0] != 'b'))
		bad(c, "a or b is missing");
	return w.p[0] == 'b';
}

/* ---- what can be expected ---- */

static uint64_t sessions(struct sim *s, unsigned i)
{
	struct wg_peer *p = sim_peer(s, i);

	return (uint64_t) !!atomic_load(&p->current) + !!atomic_load(&p->previous) +
	       !!atomic_load(&p->next);
}

static uint64_t is_initiator(struct sim *s, unsigned i)
{
	struct wg_session *c = atomic_load(&sim_peer(s, i)->current);

	return c && c->is_initiator;
}

static uint64_t value(struct cursor *c, unsigned i, struct str what)
{
	struct sim *s = c->s;
	struct sim_side *me = &s->side[i];
	struct wg_peer *p = sim_peer(s, i);
	struct wg_path_node *path = wg_peer_path(p);
	const struct {
		struct str name;
		uint64_t v;
	} values[] = {
		{ STR("got"), me->seen.got },
		{ STR("got_keepalives"), me->seen.got_keepalives },
		{ STR("initiations"), me->seen.sent[WG_INITIATION] },
		{ STR("responses"), me->seen.sent[WG_RESPONSE] },
		{ STR("cookies"), me->seen.sent[WG_COOKIE_REPLY] },
		{ STR("keepalives"), me->seen.sent_keepalives },
		{ STR("data"), me->seen.sent_data },
		{ STR("done"), me->seen.notes[WG_NOTE_HANDSHAKE_DONE] },
		{ STR("gave_up"), me->seen.notes[WG_NOTE_HANDSHAKE_GAVE_UP] },
		{ STR("roamed"), me->seen.notes[WG_NOTE_ROAMED] },
		{ STR("expired"), me->seen.notes[WG_NOTE_SESSION_EXPIRED] },
		{ STR("sessions"), sessions(s, i) },
		{ STR("is_initiator"), is_initiator(s, i) },
		{ STR("staged"), p->active ? p->active->staged_count : 0 },
		{ STR("active"), p->active != NULL },
		{ STR("events"), me->seen.events },
		{ STR("has_source"), path && path->path.local.family != IP_NONE },
		{ STR("peer_port"), path ? path->path.remote.port : 0 },
		{ STR("first_initiation_ms"),
		  (uint64_t)((me->seen.first_sent_at[WG_INITIATION] - SIM_START) / NS_PER_MS) },
		{ STR("last_initiation_ms"),
		  (uint64_t)((me->seen.last_sent_at[WG_INITIATION] - SIM_START) / NS_PER_MS) },
		{ STR("last_transport_ms"),
		  (uint64_t)((me->seen.last_sent_at[WG_TRANSPORT] - SIM_START) / NS_PER_MS) },
		{ STR("now_ms"), (uint64_t)((s->now - SIM_START) / NS_PER_MS) },
	};
	uint64_t counts[WG_VERDICTS];

	for (size_t k = 0; k < ARRAY_LEN(values); k++)
		if (str_eq(what, values[k].name))
			return values[k].v;
	wg_counts(me->d, NULL, counts);
	for (unsigned v = 0; v < WG_VERDICTS; v++) { /* "drop.bad_mac1" */
		char name[64];

		(void)snprintf(name, sizeof name, "drop.%s", wg_verdict_name((enum wg_verdict)v));
		if (str_eq(what, str_of(name)))
			return counts[v];
	}
	bad(c, "no such value");
}

static void expect(struct cursor *c)
{
	struct str who = word(c), what, op;
	uint64_t have, want;
	bool ok;

	if (who.n < 3 || (who.p[0] != 'a' && who.p[0] != 'b') || who.p[1] != '.')
		bad(c, "a. or b. is missing");
	what = (struct str){ who.p + 2, who.n - 2 };
	have = value(c, who.p[0] == 'b', what);
	op = word(c);
	want = number(c);
	ok = str_eq(op, STR("=="))   ? have == want
	     : str_eq(op, STR(">=")) ? have >= want
	     : str_eq(op, STR("<=")) ? have <= want
				     : false;
	if (!ok)
		fail_msg("%s: \"%.*s\": it is %llu", c->name, STR_ARG(c->line),
			 (unsigned long long)have);
}

/* ---- commands ---- */

static void do_up(struct cursor *c)
{
	wg_device_set_up(c->s->side[side(c)].d, true, c->s->now);
}

static void do_down(struct cursor *c)
{
	wg_device_set_up(c->s->side[side(c)].d, false, c->s->now);
}

static void do_send(struct cursor *c)
{
	unsigned from = side(c);
	uint64_t n = number(c);
	struct str every = word(c);
	int64_t pause = every.n ? duration_of(c, every) : 0;

	for (uint64_t i = 0; i < n; i++) {
		sim_send(c->s, from, 100 + i % 500);
		if (pause)
			sim_run(c->s, pause);
	}
}

static void do_both(struct cursor *c)
{
	uint64_t n = number(c);
	int64_t pause = duration(c);

	for (uint64_t i = 0; i < n; i++) {
		sim_send(c->s, 0, 100 + i % 500);
		sim_send(c->s, 1, 100 + i % 500);
		sim_run(c->s, pause);
	}
}

static void do_run(struct cursor *c)
{
	sim_run(c->s, duration(c));
}

static void do_keepalive(struct cursor *c)
{
	unsigned who = side(c);

	sim_set_keepalive(c->s, who, (uint16_t)number(c));
}

static void do_port(struct cursor *c)
{
	unsigned who = side(c);

	sim_set_port(c->s, who, (uint16_t)number(c));
}

static void do_drop(struct cursor *c)
{
	unsigned who = side(c);
	uint64_t type = number(c);

	if (type >= SIM_TYPES)
		bad(c, "no such type");
	c->s->drop_next[who][type] = (unsigned)number(c);
}

static void do_loss(struct cursor *c)
{
	c->s->loss_permille = (unsigned)number(c);
}

static void do_dup(struct cursor *c)
{
	c->s->dup_permille = (unsigned)number(c);
}

static void do_delay(struct cursor *c)
{
	c->s->delay = duration(c);
}

static void do_jitter(struct cursor *c)
{
	c->s->jitter = duration(c);
}

static void do_move(struct cursor *c)
{
	unsigned who = side(c);
	uint64_t host = number(c);

	sim_move(c->s, who, (uint8_t)host, (uint16_t)number(c));
}

static void do_wall(struct cursor *c)
{
	struct sim_side *me = &c->s->side[side(c)];
	struct str w = word(c);

	if (w.n && w.p[0] == '-')
		me->wall_offset -= duration_of(c, (struct str){ w.p + 1, w.n - 1 });
	else
		me->wall_offset += duration_of(c, w);
}

static void do_load(struct cursor *c)
{
	unsigned who = side(c);

	c->s->side[who].under_load = str_eq(word(c), STR("on"));
}

static void do_psk(struct cursor *c)
{
	unsigned who = side(c);
	struct wg_peer_change change = { .has_psk = true };

	memset(change.psk.b, (int)number(c), sizeof change.psk.b);
	sim_change_peer(c->s, who, change);
}

static void do_forget(struct cursor *c)
{
	sim_forget(c->s);
}

static const struct {
	struct str name;
	void (*run)(struct cursor *c);
} commands[] = {
	{ STR("up"), do_up },	      { STR("down"), do_down },
	{ STR("send"), do_send },     { STR("both"), do_both },
	{ STR("run"), do_run },	      { STR("keepalive"), do_keepalive },
	{ STR("drop"), do_drop },     { STR("loss"), do_loss },
	{ STR("dup"), do_dup },	      { STR("delay"), do_delay },
	{ STR("jitter"), do_jitter }, { STR("move"), do_move },
	{ STR("wall"), do_wall },     { STR("load"), do_load },
	{ STR("psk"), do_psk },	      { STR("forget"), do_forget },
	{ STR("expect"), expect },    { STR("port"), do_port },
};

static void run_line(struct cursor *c)
{
	struct str name = word(c);

	if (!name.n)
		return;
	for (size_t i = 0; i < ARRAY_LEN(commands); i++) {
		if (!str_eq(name, commands[i].name))
			continue;
		commands[i].run(c);
		if (str_trim(c->rest).n)
			bad(c, "too many words");
		return;
	}
	bad(c, "no such command");
}

void sim_script(struct sim *s, const char *name, const char *text)
{
	struct str all = str_of(text), line, code;

	while (str_cut(&all, '\n', &line)) {
		struct cursor c = { .s = s, .name = name };

		code = (struct str){ 0 };
		str_cut(&line, '#', &code);
		c.line = c.rest = str_trim(code);
		run_line(&c);
	}
}
