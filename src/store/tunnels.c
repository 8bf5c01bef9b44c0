#include "store/tunnels.h"

#include "store/inside.h"

#define SEALED_KEY_LEN (KEY_LEN + SEAL_OVERHEAD)
#define LABEL_MAX 64
#define ADDRESSES_TEXT_MAX (STORE_TUNNEL_ADDRESSES_MAX * (PREFIX_TEXT_MAX + 1))
#define DNS_TEXT_MAX (2 * IP_TEXT_MAX + 1)

_Static_assert(SEALED_KEY_LEN == 32 + 45, "the CHECKs of schema.c");
_Static_assert(STORE_COMMANDS_MAX == 2040 && ADDRESSES_TEXT_MAX <= 512, "the CHECKs of schema.c");

void store_tunnel_done(struct store_tunnel *t)
{
	wipe(t, sizeof *t);
}

/* A key that is moved to another interface's row does not open. */
static struct str label_of(char out[LABEL_MAX], const char *name)
{
	int n = snprintf(out, LABEL_MAX, "tunnel/%s/private_key", name);

	BUG_ON(n < 0 || n >= LABEL_MAX);
	return (struct str){ out, (size_t)n };
}

/* ---- lists as text ---- */

static struct str addresses_text(char out[ADDRESSES_TEXT_MAX], const struct store_tunnel *t)
{
	char text[PREFIX_TEXT_MAX];
	size_t n = 0;

	for (size_t i = 0; i < t->address_count; i++) {
		ip_prefix_format(text, &t->addresses[i]);
		n += (size_t)snprintf(out + n, ADDRESSES_TEXT_MAX - n, "%s%s", i ? "," : "", text);
		BUG_ON(n >= ADDRESSES_TEXT_MAX);
	}
	return (struct str){ out, n };
}

static bool addresses_read(struct store_tunnel *t, struct str text)
{
	struct str piece;

	while (str_cut(&text, ',', &piece)) {
		if (t->address_count == STORE_TUNNEL_ADDRESSES_MAX ||
		    !ip_prefix_parse(piece, &t->addresses[t->address_count]))
			return false;
		t->address_count++;
	}
	return t->address_count > 0;
}

static struct str dns_text(char out[DNS_TEXT_MAX], const struct store_tunnel *t)
{
	char text[IP_TEXT_MAX];
	size_t n = 0;

	for (size_t i = 0; i < ARRAY_LEN(t->dns); i++) {
		if (t->dns[i].family == IP_NONE)
			continue;
		ip_format(text, &t->dns[i]);
		n += (size_t)snprintf(out + n, DNS_TEXT_MAX - n, "%s%s", n ? "," : "", text);
		BUG_ON(n >= DNS_TEXT_MAX);
	}
	return (struct str){ out, n };
}

static bool dns_read(struct store_tunnel *t, struct str text)
{
	struct str piece;
	size_t n = 0;

	while (str_cut(&text, ',', &piece)) {
		if (n == ARRAY_LEN(t->dns) || !ip_parse(piece, &t->dns[n++]))
			return false;
	}
	return true;
}

/* ---- reading ---- */

#define TUNNEL_COLUMNS                                                               \
	"name, port, mtu, addresses, dns, route_table, post_up, pre_down, enabled, " \
	"may_be_live, private_key"

static enum err_code key_read(const struct store *s, struct db_stmt *st, struct store_tunnel *t,
			      struct err *e)
{
	uint8_t sealed[SEALED_KEY_LEN];
	char label[LABEL_MAX];
	enum err_code rc;

	db_blob_copy(st, 10, sealed, sizeof sealed);
	rc = db_row_ok(st, e);
	if (rc == ERR_OK)
		rc = unseal(s->key, t->private_key.b, sealed, sizeof sealed,
			    label_of(label, t->name), e);
	return rc ? err_wrap(e, rc, "interface %s", t->name) : ERR_OK;
}

/* The current row of a statement over TUNNEL_COLUMNS. */
static enum err_code tunnel_read(const struct store *s, struct db_stmt *st, bool secrets,
				 struct store_tunnel *t, struct err *e)
{
	bool ok;
	enum err_code rc;

	*t = (struct store_tunnel){ .port = (uint16_t)db_i64(st, 1),
				    .mtu = (uint16_t)db_i64(st, 2),
				    .enabled = db_i64(st, 8) != 0,
				    .may_be_live = db_i64(st, 9) != 0 };
	ok = str_copy(t->name, sizeof t->name, db_text(st, 0)) && ifname_ok(str_of(t->name)) &&
	     addresses_read(t, db_text(st, 3)) && dns_read(t, db_text(st, 4)) &&
	     str_copy(t->table, sizeof t->table, db_text(st, 5)) &&
	     str_copy(t->post_up, sizeof t->post_up, db_text(st, 6)) &&
	     str_copy(t->pre_down, sizeof t->pre_down, db_text(st, 7));
	rc = db_row_ok(st, e);
	if (rc == ERR_OK && !ok)
		rc = err_set(e, ERR_CORRUPT, "interface %s of the store is damaged", t->name);
	return rc || !secrets ? rc : key_read(s, st, t, e);
}

static enum err_code not_found(const char *name, struct err *e)
{
	return err_set(e, ERR_NOT_FOUND, "interface %s is not stored", name);
}

enum err_code store_tunnel(struct store *s, const char *name, bool secrets,
			   struct store_tunnel *out, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT " TUNNEL_COLUMNS " FROM tunnels WHERE name = ?1");
	bool row = false;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(name));
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	return row ? tunnel_read(s, &st, secrets, out, e) : not_found(name, e);
}

enum err_code store_tunnels(struct store *s, struct store_tunnel *out, size_t *n, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT " TUNNEL_COLUMNS " FROM tunnels ORDER BY name");
	bool row = false;
	enum err_code rc;

	*n = 0;
	while ((rc = db_step(&st, &row, e)) == ERR_OK && row) {
		if (*n == STORE_TUNNELS_MAX)
			return err_set(e, ERR_CORRUPT, "the store has more than %d interfaces",
				       STORE_TUNNELS_MAX);
		rc = tunnel_read(s, &st, false, &out[*n], e);
		if (rc)
			return rc;
		(*n)++;
	}
	return rc;
}

/* ---- writing ---- */

static enum err_code room_check(struct store *s, const char *name, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT count(*) FROM tunnels WHERE name <> ?1");
	bool row = false;
	int64_t others = 0;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(name));
	rc = db_step(&st, &row, e);
	if (rc == ERR_OK && row) {
		others = db_i64(&st, 0);
		rc = db_row_ok(&st, e);
	}
	if (rc == ERR_OK && others >= STORE_TUNNELS_MAX)
		return err_set(e, ERR_FULL,
			       "interface %s would be one too many: there are %d beside the "
			       "gateway's own, and no more are possible",
			       name, STORE_TUNNELS_MAX);
	return rc;
}

enum err_code store_tunnel_put(struct store *s, const struct store_tunnel *t, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db,
		       "INSERT INTO tunnels (name, port, mtu, addresses, dns, route_table, "
		       "post_up, pre_down, private_key) "
		       "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) "
		       "ON CONFLICT (name) DO UPDATE SET port = ?2, mtu = ?3, addresses = ?4, "
		       "dns = ?5, route_table = ?6, post_up = ?7, pre_down = ?8, private_key = ?9");
	char addresses[ADDRESSES_TEXT_MAX], dns[DNS_TEXT_MAX], label[LABEL_MAX];
	uint8_t sealed[SEALED_KEY_LEN];
	enum err_code rc = ifname_check(str_of(t->name), e);

	if (rc == ERR_OK)
		rc = room_check(s, t->name, e);
	if (rc)
		return rc;
	seal(s->key, sealed, t->private_key.b, KEY_LEN, label_of(label, t->name));
	db_bind_text(&st, 1, str_of(t->name));
	db_bind_i64(&st, 2, t->port);
	db_bind_i64(&st, 3, t->mtu);
	db_bind_text(&st, 4, addresses_text(addresses, t));
	db_bind_text(&st, 5, dns_text(dns, t));
	db_bind_text(&st, 6, str_of(t->table));
	db_bind_text(&st, 7, str_of(t->post_up));
	db_bind_text(&st, 8, str_of(t->pre_down));
	db_bind_blob(&st, 9, sealed, sizeof sealed);
	return db_run(&st, e);
}

static enum err_code history_forget(struct store *s, const char *name, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "DELETE FROM agent_configs WHERE interface = ?1");

	db_bind_text(&st, 1, str_of(name));
	return db_run(&st, e);
}

/* Runs a change of the row of `name`, its first parameter. */
static enum err_code row_change(struct store *s, struct db_stmt *st, const char *name,
				struct err *e)
{
	enum err_code rc;

	db_bind_text(st, 1, str_of(name));
	rc = db_run(st, e);
	return rc == ERR_OK && db_changes(s->db) == 0 ? not_found(name, e) : rc;
}

enum err_code store_tunnel_remove(struct store *s, const char *name, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "DELETE FROM tunnels WHERE name = ?1");
	enum err_code rc = row_change(s, &st, name, e);

	return rc ? rc : history_forget(s, name, e);
}

enum err_code store_tunnel_set_enabled(struct store *s, const char *name, bool on, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE tunnels SET enabled = ?2 WHERE name = ?1");

	db_bind_i64(&st, 2, on);
	return row_change(s, &st, name, e);
}

enum err_code store_tunnel_set_may_be_live(struct store *s, const char *name, bool on,
					   struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE tunnels SET may_be_live = ?2 WHERE name = ?1");

	db_bind_i64(&st, 2, on);
	return row_change(s, &st, name, e);
}

enum err_code store_tunnel_hooks_live(struct store *s, const char *name, struct buf *out,
				      struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT hooks_live FROM tunnels WHERE name = ?1");
	bool row = false;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(name));
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	if (!row)
		return not_found(name, e);
	buf_str(out, db_text(&st, 0));
	rc = db_row_ok(&st, e);
	if (rc == ERR_OK && !buf_ok(out))
		rc = err_set(e, ERR_NOMEM, "interface %s: out of memory", name);
	return rc;
}

enum err_code store_tunnel_set_hooks_live(struct store *s, const char *name, struct str commands,
					  struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE tunnels SET hooks_live = ?2 WHERE name = ?1");

	if (commands.n > STORE_VALUE_MAX)
		return err_set(e, ERR_RANGE,
			       "interface %s: %zu bytes of commands; at most %d are "
			       "stored",
			       name, commands.n, STORE_VALUE_MAX);
	db_bind_text(&st, 2, commands);
	return row_change(s, &st, name, e);
}
