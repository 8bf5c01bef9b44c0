/* The module "net": diff, repair, status of the host's network.  Ours; docs/protocols/control.md. */
#include "base/clock.h"
#include "core/core.h"

static enum api_code unsupported(struct err *e)
{
	(void)err_set(e, ERR_UNSUPPORTED, "the host's network is not in the care of this gateway");
	return API_SERVICE_ERROR;
}

static void difference_add(void *ctx, const struct net_difference *d)
{
	json_t *list = ctx;

	(void)json_array_append_new(list, json_pack("{s:s,s:s,s:s,s:b}", "change", d->change,
						    "found", d->sentence, "repair", d->repair,
						    "interface_away", d->is_away));
}

/* "nothing differs", "1 thing differs", "3 things were repaired". */
static json_t *message(size_t n, const char *one, const char *many, const char *none)
{
	return n ? json_sprintf("%zu %s", n, n == 1 ? one : many) : json_string(none);
}

enum api_code core_net_diff(struct core *c, json_t *params, json_t **data, struct err *e)
{
	json_t *list = json_array();
	size_t n;

	(void)params;
	if (!c->host.net_compare ||
	    c->host.net_compare(c->host.ctx, false, difference_add, list, e)) {
		json_decref(list);
		return c->host.net_compare ? API_NETWORK_ERROR : unsupported(e);
	}
	n = json_array_size(list);
	*data = json_pack("{s:b,s:o,s:o}", "differs", n > 0, "differences", list, "message",
			  message(n, "thing differs", "things differ", "nothing differs"));
	return API_OK;
}

enum api_code core_net_repair(struct core *c, json_t *params, json_t **data, struct err *e)
{
	json_t *list = json_array();
	size_t n;

	(void)params;
	if (!c->host.net_compare ||
	    c->host.net_compare(c->host.ctx, true, difference_add, list, e)) {
		json_decref(list);
		return c->host.net_compare ? API_NETWORK_ERROR : unsupported(e);
	}
	n = json_array_size(list);
	*data = json_pack("{s:o,s:o}", "repairs", list, "message",
			  message(n, "thing was repaired", "things were repaired",
				  "nothing differed"));
	return API_OK;
}

static json_t *culprit_json(const struct network_status *s)
{
	return s->culprit[0]
		       ? json_pack("{s:s,s:i}", "program", s->culprit, "pid", (int)s->culprit_pid)
		       : json_null();
}

static json_t *time_json(int64_t ns)
{
	char text[CLOCK_ISO_MAX];

	if (!ns)
		return json_null();
	clock_iso_plain(text, ns);
	return json_string(text);
}

enum api_code core_net_status(struct core *c, json_t *params, json_t **data, struct err *e)
{
	struct network_status s = { 0 };
	struct ip_addr source;
	char text[IP_TEXT_MAX] = "";

	(void)params;
	if (!c->host.net_status)
		return unsupported(e);
	c->host.net_status(c->host.ctx, &s);
	if (!c->host.default_source(c->host.ctx, &source, e))
		ip_format(text, &source);
	*data = json_pack("{s:b,s:I,s:I,s:o,s:o,s:I,s:o,s:o}", "firewall_active",
			  c->host.firewall_active(c->host.ctx), "looks", (json_int_t)s.looks,
			  "repairs", (json_int_t)s.repairs, "last_repair", time_json(s.repaired_ns),
			  "last_found", s.last[0] ? json_string(s.last) : json_null(),
			  "repairs_wait_seconds", (json_int_t)(s.wait_ns / NS_PER_S),
			  "table_touched_by", culprit_json(&s), "default_source",
			  text[0] ? json_string(text) : json_null());
	return API_OK;
}
