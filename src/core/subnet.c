#include "core/subnet.h"

#include <inttypes.h>

static const char *const private_ranges[] = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16" };

void subnet_check_done(struct subnet_check *c)
{
	json_decref(c->checks);
	json_decref(c->errors);
	json_decref(c->warnings);
	*c = (struct subnet_check){ 0 };
}

bool subnet_check_passed(const struct subnet_check *c)
{
	return json_array_size(c->errors) == 0;
}

/* A sentence more for `list`. */
static bool say(json_t *list, const char *fmt, ...) PRINTF(2, 3);
static bool say(json_t *list, const char *fmt, ...)
{
	char text[320];
	va_list ap;

	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof text, fmt, ap);
	va_end(ap);
	return json_array_append_new(list, json_string(text)) == 0;
}

static uint64_t usable(const struct ip_prefix *p)
{
	uint64_t size = ip_prefix_size(p);

	return size > 2 ? size - 2 : 0; /* network and broadcast */
}

static bool set(struct subnet_check *c, const char *name, json_t *result)
{
	return json_object_set_new(c->checks, name, result) == 0;
}

/* ---- the checks ---- */

static bool syntax(struct subnet_check *c, struct str text)
{
	char shown[80], masked[PREFIX_TEXT_MAX];
	struct ip_prefix p, whole;

	text_escaped(shown, sizeof shown, text);
	if (!memchr(text.p, '/', text.n) || !ip_prefix_parse(text, &p) || p.addr.family != IP_V4)
		return say(
			c->errors,
			"\"%s\" is not an IPv4 network with a prefix length, such as 10.9.0.0/24",
			shown);
	whole = p;
	ip_prefix_mask(&whole);
	ip_prefix_format(masked, &whole);
	if (!ip_eq(&whole.addr, &p.addr))
		return say(c->errors, "%s has host bits set; did you mean %s?", shown, masked);
	c->wanted = p;
	return true;
}

static bool size_fits(struct subnet_check *c)
{
	const struct ip_prefix *p = &c->wanted;
	char error[128];

	if (p->len <= SUBNET_LEN_MAX && p->len >= 8)
		return set(c, "subnet_size",
			   json_pack("{s:b,s:I,s:i}", "valid", 1, "usable_ips",
				     (json_int_t)usable(p), "prefixlen", (int)p->len));
	(void)snprintf(error, sizeof error,
		       p->len > SUBNET_LEN_MAX ? "/%u has %" PRIu64
						 " addresses for hosts; /28 with 14 is the smallest"
					       : "/%u has %" PRIu64
						 " addresses for hosts; /8 is the largest",
		       p->len, usable(p));
	return say(c->errors, "%s", error) &&
	       set(c, "subnet_size", json_pack("{s:b,s:s}", "valid", 0, "error", error));
}

/* RFC 1918: all of it inside one of the three. */
static bool is_private(struct subnet_check *c)
{
	char text[PREFIX_TEXT_MAX];
	struct ip_prefix range;

	for (size_t i = 0; i < ARRAY_LEN(private_ranges); i++) {
		BUG_ON(!ip_prefix_parse(str_of(private_ranges[i]), &range));
		if (c->wanted.len >= range.len && ip_prefix_contains(&range, &c->wanted.addr))
			return set(c, "private_subnet",
				   json_pack("{s:b,s:s}", "valid", 1, "private_range",
					     private_ranges[i]));
	}
	ip_prefix_format(text, &c->wanted);
	return say(c->errors,
		   "%s is not private: take one inside of 10.0.0.0/8, 172.16.0.0/12 or "
		   "192.168.0.0/16",
		   text) &&
	       set(c, "private_subnet", json_pack("{s:b,s:n}", "valid", 0, "private_range"));
}

struct conflicts {
	struct subnet_check *check;
	const char *except;
	json_t *list;
	bool full;
};

static bool conflict_look(void *arg, const char *ifname, const struct ip_prefix *address)
{
	struct conflicts *x = arg;
	char wanted[PREFIX_TEXT_MAX], network[PREFIX_TEXT_MAX];
	struct ip_prefix p = *address;

	ip_prefix_mask(&p);
	if (strcmp(ifname, x->except) == 0 || !ip_prefix_overlap(&p, &x->check->wanted))
		return true;
	ip_prefix_format(network, &p);
	ip_prefix_format(wanted, &x->check->wanted);
	x->full = !say(x->check->errors, "%s overlaps with %s of interface %s", wanted, network,
		       ifname) ||
		  json_array_append_new(x->list, json_pack("{s:s,s:s}", "interface", ifname,
							   "network", network)) < 0;
	return !x->full;
}

static enum err_code conflicts(struct subnet_check *c, const struct subnet_facts *f, bool *full,
			       struct err *e)
{
	struct conflicts x = { .check = c, .except = f->ifname, .list = json_array() };
	enum err_code rc = f->interfaces(f->ctx, conflict_look, &x, e);
	bool none = json_array_size(x.list) == 0;

	*full = x.full || !set(c, "network_conflicts",
			       json_pack("{s:b,s:o}", "valid", none, "conflicts", x.list));
	return rc;
}

/* Room for a fifth more, and the server. */
static bool capacity(struct subnet_check *c, const struct subnet_facts *f)
{
	uint64_t room = usable(&c->wanted);
	uint64_t required = f->clients + f->clients / 5 + 1; /* floor(1.2 n) + 1 */
	bool valid = required <= room;
	char used[32];

	(void)snprintf(used, sizeof used, "%.1f%%",
		       room ? 100.0 * (double)(f->clients + 1) / (double)room : 100.0);
	if (!valid && !say(c->errors,
			   "%" PRIu64 " clients need %" PRIu64 " addresses, and there are %" PRIu64,
			   f->clients, required, room))
		return false;
	return set(c, "capacity",
		   json_pack("{s:b,s:I,s:I,s:s}", "valid", valid, "usable_ips", (json_int_t)room,
			     "required_ips", (json_int_t)required, "utilization_after", used));
}

static bool is_same(const struct ip_prefix *a, const struct ip_prefix *b)
{
	return a->len == b->len && ip_eq(&a->addr, &b->addr);
}

/* What the reference calls blockers; who is connected is only warned. */
static bool blockers(struct subnet_check *c, const struct subnet_facts *f)
{
	if (is_same(&c->wanted, &f->current) &&
	    !say(c->errors, "this is the current subnet already"))
		return false;
	if (f->connected && !say(c->warnings,
				 "%" PRIu64 " connected client%s will lose the connection until "
				 "given a new configuration",
				 f->connected, f->connected == 1 ? "" : "s"))
		return false;
	return set(c, "blockers",
		   json_pack("{s:b,s:b,s:b,s:I}", "valid", 1, "ghost_mode", 0, "multihop", 0,
			     "active_connections", (json_int_t)f->connected));
}

enum err_code subnet_check(struct subnet_check *out, struct str text, const struct subnet_facts *f,
			   struct err *e)
{
	enum err_code rc = ERR_OK;
	bool ok, full = false;

	*out = (struct subnet_check){ .checks = json_object(),
				      .errors = json_array(),
				      .warnings = json_array() };
	ok = syntax(out, text);
	if (ok && out->wanted.addr.family != IP_NONE) {
		ok = size_fits(out) && is_private(out) && capacity(out, f) && blockers(out, f);
		rc = conflicts(out, f, &full, e);
	}
	if (rc == ERR_OK && (!ok || full))
		rc = err_set(e, ERR_NOMEM, "check the subnet: out of memory");
	if (rc)
		subnet_check_done(out);
	return rc;
}
