/* The views that actions of module core have of their own.  Field names: reference 000, details
 * 1.2; a connection carries two sets of names, of which the readable texts are shown. */
#include "cli/view.h"

#include <inttypes.h>

#include "cli/table.h"

/* "Client 'x' …" as the gateway says it, or `fallback` and the name when it says nothing. */
static void sentence_draw(struct buf *out, json_t *data, const char *fallback, struct str name)
{
	struct str message = view_field(data, "message");

	if (message.n) {
		buf_escaped(out, message);
	} else {
		buf_z(out, fallback);
		buf_z(out, " '");
		buf_escaped(out, name);
		buf_char(out, '\'');
	}
}

static void add_client_draw(struct buf *out, const struct term *t, json_t *data)
{
	json_t *client = json_object_get(data, "client");
	struct str name = view_field(client, "name"), ip6 = view_field(client, "ipv6");

	sentence_draw(out, data, "Added client", name);
	buf_z(out, "\n  address     ");
	buf_escaped(out, view_field(client, "ip"));
	if (ip6.n) {
		buf_z(out, ", ");
		buf_escaped(out, ip6);
	}
	buf_z(out, "\n  public key  ");
	buf_escaped(out, view_field(client, "public_key"));
	buf_printf(out, "\n%sNext, for its QR code:%s qanat core export_client client_name=",
		   term_style(t, TERM_DIM), term_style(t, TERM_PLAIN));
	buf_escaped(out, name);
	buf_z(out, " --qr\n");
}

static void remove_client_draw(struct buf *out, const struct term *t, json_t *data)
{
	struct str ip = view_field(data, "client_ip");

	(void)t;
	sentence_draw(out, data, "Removed client", view_field(data, "client_name"));
	if (ip.n) {
		buf_z(out, "; its address ");
		buf_escaped(out, ip);
		buf_z(out, " is free again");
	}
	buf_char(out, '\n');
}

static const struct table_column client_columns[] = {
	{ "NAME", .right = false },	 { "ADDRESS", .right = false },
	{ "STATE", .right = false },	 { "HANDSHAKE", .optional = true },
	{ "RECEIVED", true, true },	 { "SENT", true, true },
	{ "CREATED", .optional = true },
};

static void client_state_cell(struct table *table, json_t *client)
{
	if (!view_flag(client, "enabled"))
		table_cell(table, STR("disabled"), TERM_DIM);
	else if (view_flag(client, "connected"))
		table_cell(table, STR("connected"), TERM_GREEN);
	else
		table_cell(table, STR("enabled"), NULL);
}

static void clients_draw(struct buf *out, const struct term *t, json_t *clients)
{
	struct table table = { 0 };
	json_t *client;
	size_t i;

	for (i = 0; i < ARRAY_LEN(client_columns); i++)
		table_column(&table, client_columns[i].title, client_columns[i].right,
			     client_columns[i].optional);
	json_array_foreach(clients, i, client)
	{
		json_t *connection = json_object_get(client, "connection");

		table_cell(&table, view_field(client, "name"), TERM_BOLD);
		table_cell(&table, view_field(client, "ip"), NULL);
		client_state_cell(&table, client);
		table_cell(&table, view_field(connection, "latest_handshake"), NULL);
		table_cell(&table, view_field(connection, "transfer_rx"), NULL);
		table_cell(&table, view_field(connection, "transfer_tx"), NULL);
		table_cell(&table, view_field(client, "created"), NULL);
	}
	table_draw(out, &table, t, 0);
	table_done(&table);
}

static void list_clients_draw(struct buf *out, const struct term *t, json_t *data)
{
	json_t *clients = json_object_get(data, "clients");
	json_t *paging = json_object_get(data, "pagination");
	int64_t page = view_number(paging, "page"), pages = view_number(paging, "total_pages");

	if (!json_array_size(clients)) {
		buf_z(out, "No clients.  Add one: qanat core add_client client_name=NAME\n");
		return;
	}
	clients_draw(out, t, clients);
	buf_printf(out, "%s%" PRId64 " to %" PRId64 " of %" PRId64 ", page %" PRId64 " of %" PRId64,
		   term_style(t, TERM_DIM), view_number(paging, "showing_from"),
		   view_number(paging, "showing_to"), view_number(data, "total"), page, pages);
	if (view_flag(paging, "has_next"))
		buf_printf(out, "; next: page=%" PRId64, page + 1);
	buf_printf(out, "%s\n", term_style(t, TERM_PLAIN));
}

static void latest_clients_draw(struct buf *out, const struct term *t, json_t *data)
{
	json_t *clients = json_object_get(data, "latest_clients");

	if (!json_array_size(clients)) {
		buf_z(out, "No clients.  Add one: qanat core add_client client_name=NAME\n");
		return;
	}
	clients_draw(out, t, clients);
	buf_printf(out, "%snewest %zu of %" PRId64 "%s\n", term_style(t, TERM_DIM),
		   json_array_size(clients), view_number(data, "total_clients"),
		   term_style(t, TERM_PLAIN));
}

/* Just the configuration: what was asked for, and ready to be copied. */
static void export_client_draw(struct buf *out, const struct term *t, json_t *data)
{
	struct str config = view_field(data, "config");

	(void)t;
	term_lines(out, config);
	if (config.n && config.p[config.n - 1] != '\n')
		buf_char(out, '\n');
}

static const struct table_column peer_columns[] = {
	{ "PEER", .right = false },	 { "ALLOWED IPS", .right = false },
	{ "HANDSHAKE", .right = false }, { "ENDPOINT", .optional = true },
	{ "RECEIVED", true, true },	 { "SENT", true, true },
};

static void bytes_cell(struct table *table, json_t *peer, const char *name)
{
	struct buf text = { 0 };

	view_bytes(&text, view_number(peer, name));
	table_cell(table, buf_view(&text), NULL);
	table->full |= text.full;
	buf_done(&text);
}

static void peers_draw(struct buf *out, const struct term *t, json_t *peers)
{
	struct table table = { 0 };
	json_t *peer;
	size_t i;

	for (i = 0; i < ARRAY_LEN(peer_columns); i++)
		table_column(&table, peer_columns[i].title, peer_columns[i].right,
			     peer_columns[i].optional);
	json_array_foreach(peers, i, peer)
	{
		struct str name = view_field(peer, "name");

		table_cell(&table, name.n ? name : view_field(peer, "public_key"), TERM_BOLD);
		table_cell(&table, view_field(peer, "allowed_ips"), NULL);
		table_cell(&table, view_field(peer, "latest_handshake"), NULL);
		table_cell(&table, view_field(peer, "endpoint"), NULL);
		bytes_cell(&table, peer, "rx_bytes");
		bytes_cell(&table, peer, "tx_bytes");
	}
	table_draw(out, &table, t, 2);
	table_done(&table);
}

/* The section without its peers, which are a table, and of drops only the reasons that occurred:
 * there are some forty. */
static json_t *section_rest(const char *name, json_t *section)
{
	json_t *rest = json_copy(section), *v;
	const char *key;
	void *next;

	json_object_del(rest, "peers");
	if (strcmp(name, "drops") != 0)
		return rest;
	json_object_foreach_safe(rest, next, key,
				 v) if (json_is_integer(v) && json_integer_value(v) == 0)
		json_object_del(rest, key);
	return rest;
}

static void section_draw(struct buf *out, const struct term *t, const char *name, json_t *section)
{
	json_t *peers = json_object_get(section, "peers");
	json_t *rest;

	rest = section_rest(name, section);
	if (!rest) {
		out->full = true;
		return;
	}
	if (json_object_size(rest) || json_array_size(peers)) {
		buf_z(out, term_style(t, TERM_BOLD));
		view_label(out, name);
		buf_printf(out, "%s\n", term_style(t, TERM_PLAIN));
	}
	if (json_object_size(rest))
		view_value(out, t, rest, 2);
	json_decref(rest);
	if (json_array_size(peers))
		peers_draw(out, t, peers);
}

/* The sections that are known in a fixed order, then those that a later gateway adds. */
static void server_status_draw(struct buf *out, const struct term *t, json_t *data)
{
	static const char *const sections[] = { "service",	 "interface", "clients",
						"configuration", "system",    "drops" };
	json_t *others = json_copy(data);

	if (!others) {
		out->full = true;
		return;
	}
	for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
		json_t *section = json_object_get(data, sections[i]);

		if (!json_is_object(section))
			continue;
		section_draw(out, t, sections[i], section);
		json_object_del(others, sections[i]);
	}
	if (json_object_size(others))
		view_value(out, t, others, 0);
	json_decref(others);
}

/* Each setting on one line, its description below it. */
static void get_tweak_settings_draw(struct buf *out, const struct term *t, json_t *data)
{
	static const char tail[] = "_description";
	const char *key;
	json_t *v;

	json_object_foreach(data, key, v)
	{
		size_t n = strlen(key), cut = sizeof tail - 1;
		struct buf described = { 0 };

		if (n > cut && strcmp(key + n - cut, tail) == 0)
			continue;
		buf_printf(&described, "%s%s", key, tail);
		buf_escaped(out, str_of(key));
		buf_z(out, " = ");
		view_value(out, t, v, 0);
		if (described.p && view_field(data, described.p).n) {
			buf_z(out, "  ");
			buf_escaped(out, view_field(data, described.p));
			buf_char(out, '\n');
		}
		buf_done(&described);
	}
}

static void update_tweak_setting_draw(struct buf *out, const struct term *t, json_t *data)
{
	json_t *was = json_object_get(data, "old_value"), *is = json_object_get(data, "new_value");

	(void)t;
	buf_escaped(out, view_field(data, "setting"));
	if (json_is_boolean(was) && json_is_boolean(is))
		buf_printf(out, " = %s (was %s)", json_is_true(is) ? "yes" : "no",
			   json_is_true(was) ? "yes" : "no");
	buf_char(out, '\n');
	if (view_field(data, "message").n) {
		buf_z(out, "  ");
		buf_escaped(out, view_field(data, "message"));
		buf_char(out, '\n');
	}
}

/* Line for line, as it was written. */
static void service_logs_draw(struct buf *out, const struct term *t, json_t *data)
{
	json_t *line;
	size_t i;

	(void)t;
	json_array_foreach(json_object_get(data, "logs"), i, line)
	{
		buf_escaped(out, (struct str){ json_string_value(line), json_string_length(line) });
		buf_char(out, '\n');
	}
}

/* Just the file. */
static void show_file_draw(struct buf *out, const struct term *t, json_t *data)
{
	(void)t;
	term_lines(out, view_field(data, "content"));
}

view_draw *view_find(struct str module, struct str action)
{
	static const struct {
		const char *module, *action;
		view_draw *draw;
	} views[] = {
		{ "core", "add_client", add_client_draw },
		{ "core", "remove_client", remove_client_draw },
		{ "core", "list_clients", list_clients_draw },
		{ "core", "latest_clients", latest_clients_draw },
		{ "core", "export_client", export_client_draw },
		{ "core", "client_why", view_client_why },
		{ "core", "client_limits", view_client_limits },
		{ "core", "set_client_limits", view_client_limits },
		{ "core", "server_status", server_status_draw },
		{ "core", "get_tweak_settings", get_tweak_settings_draw },
		{ "core", "update_tweak_setting", update_tweak_setting_draw },
		{ "core", "service_logs", service_logs_draw },
		{ "core", "show_file", show_file_draw },
	};

	for (size_t i = 0; i < ARRAY_LEN(views); i++)
		if (str_eq(module, str_of(views[i].module)) &&
		    str_eq(action, str_of(views[i].action)))
			return views[i].draw;
	return NULL;
}
