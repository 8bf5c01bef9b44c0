/* The views of client_why, client_limits and set_client_limits. */
#include <inttypes.h>

#include "cli/view.h"

static void line(struct buf *out, const char *label, struct str value)
{
	if (!value.n)
		return;
	buf_printf(out, "  %-10s  ", label);
	buf_escaped(out, value);
	buf_char(out, '\n');
}

static void bytes_line(struct buf *out, const char *label, json_t *o, const char *name)
{
	struct buf text = { 0 };

	view_bytes(&text, view_number(o, name));
	line(out, label, buf_view(&text));
	out->full |= text.full;
	buf_done(&text);
}

static bool is_set(json_t *o, const char *name)
{
	json_t *v = json_object_get(o, name);

	return v && !json_is_null(v);
}

static void rate_line(struct buf *out, const char *label, json_t *o, const char *name)
{
	struct buf text = { 0 };

	if (!is_set(o, name))
		return;
	buf_str(&text, view_field(o, name));
	buf_z(&text, "bit/s");
	line(out, label, buf_view(&text));
	out->full |= text.full;
	buf_done(&text);
}

static void quota_line(struct buf *out, json_t *o)
{
	struct buf text = { 0 };

	if (!is_set(o, "quota_bytes"))
		return;
	view_bytes(&text, view_number(o, "quota_left_bytes"));
	buf_z(&text, " left of ");
	view_bytes(&text, view_number(o, "quota_bytes"));
	buf_printf(&text, " (%" PRId64 " of %" PRId64 " bytes used)",
		   view_number(o, "quota_used_bytes"), view_number(o, "quota_bytes"));
	line(out, "quota", buf_view(&text));
	out->full |= text.full;
	buf_done(&text);
}

static void expires_line(struct buf *out, json_t *o)
{
	struct buf text = { 0 };

	if (!is_set(o, "expires"))
		return;
	buf_str(&text, view_field(o, "expires"));
	buf_z(&text, view_flag(o, "expired") ? " UTC, which has passed" : " UTC");
	line(out, "expires", buf_view(&text));
	out->full |= text.full;
	buf_done(&text);
}

static void limits_lines(struct buf *out, json_t *limits)
{
	rate_line(out, "rate up", limits, "rate_up");
	rate_line(out, "rate down", limits, "rate_down");
	quota_line(out, limits);
	expires_line(out, limits);
}

void view_client_limits(struct buf *out, const struct term *t, json_t *data)
{
	buf_z(out, term_style(t, TERM_BOLD));
	buf_escaped(out, view_field(data, "client_name"));
	buf_z(out, term_style(t, TERM_PLAIN));
	if (!is_set(data, "rate_up") && !is_set(data, "rate_down") &&
	    !is_set(data, "quota_bytes") && !is_set(data, "expires"))
		buf_z(out, ": no limits");
	buf_char(out, '\n');
	limits_lines(out, data);
}

static void drop_draw(struct buf *out, const struct term *t, json_t *drop)
{
	buf_printf(out, "  %10" PRId64 "  %s", view_number(drop, "packets"),
		   term_style(t, TERM_BOLD));
	buf_escaped(out, view_field(drop, "reason"));
	buf_printf(out, "%s\n              ", term_style(t, TERM_PLAIN));
	buf_escaped(out, view_field(drop, "text"));
	buf_char(out, '\n');
}

void view_client_why(struct buf *out, const struct term *t, json_t *data)
{
	json_t *cause = json_object_get(data, "cause"), *drops = json_object_get(data, "drops");
	bool connected = view_flag(data, "connected");
	json_t *drop;
	size_t i;

	buf_z(out, term_style(t, TERM_BOLD));
	buf_escaped(out, view_field(data, "client_name"));
	buf_printf(out, "%s is %s%s%s\n", term_style(t, TERM_PLAIN),
		   connected ? term_style(t, TERM_GREEN) : "",
		   connected ? "connected" : "not connected", term_style(t, TERM_PLAIN));
	if (view_field(cause, "text").n) {
		buf_z(out, "  ");
		buf_escaped(out, view_field(cause, "text"));
		buf_char(out, '\n');
	}
	line(out, "handshake", view_field(data, "latest_handshake"));
	line(out, "endpoint", view_field(data, "endpoint"));
	bytes_line(out, "received", data, "received_bytes");
	bytes_line(out, "sent", data, "sent_bytes");
	limits_lines(out, json_object_get(data, "limits"));
	line(out, "quota out", view_field(data, "quota_out_since"));
	if (!json_array_size(drops)) {
		buf_z(out, "No packet of it was dropped.\n");
		return;
	}
	buf_z(out, "Packets dropped:\n");
	json_array_foreach(drops, i, drop) drop_draw(out, t, drop);
}
