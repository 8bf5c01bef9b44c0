#include <inttypes.h>

#include "base/bytes.h"
#include "base/fault.h"
#include "store/agent.h"
#include "store/inside.h"

#define SEALED_KEY_LEN (KEY_LEN + SEAL_OVERHEAD)
#define LABEL_MAX (KEY_TEXT_MAX + 32)

_Static_assert(SEALED_KEY_LEN == 32 + 45, "the CHECKs of schema.c");

/* ---- one row ---- */

/* The label holds the public key: a sealed value does not open in another client's row. */
static struct str label_of(char out[LABEL_MAX], const struct public_key *k, const char *what)
{
	static const char front[] = "client/";
	size_t at = sizeof front - 1, n = strlen(what);

	BUG_ON(at + KEY_TEXT_MAX + n > LABEL_MAX);
	memcpy(out, front, at);
	public_key_text(out + at, k);
	at += KEY_TEXT_MAX - 1;
	out[at++] = '/';
	memcpy(out + at, what, n);
	return (struct str){ out, at + n };
}

static enum err_code secret_read(const struct store *s, struct db_stmt *st, int column,
				 const struct public_key *k, const char *what, uint8_t out[KEY_LEN],
				 struct err *e)
{
	uint8_t sealed[SEALED_KEY_LEN];
	char label[LABEL_MAX];
	enum err_code rc;

	db_blob_copy(st, column, sealed, sizeof sealed);
	rc = db_row_ok(st, e);
	return rc ? rc : unseal(s->key, out, sealed, sizeof sealed, label_of(label, k, what), e);
}

/* Addresses as they are stored; false for what is none. */
static bool addresses_read(struct db_stmt *st, int ip_column, int ip6_column, struct ip_addr *ip,
			   struct ip_addr *ip6)
{
	int64_t number = db_i64(st, ip_column);
	uint8_t b[16];

	store_be32(b, (uint32_t)number);
	*ip = ip_v4(b);
	*ip6 = (struct ip_addr){ 0 };
	if (!db_is_null(st, ip6_column)) {
		db_blob_copy(st, ip6_column, b, sizeof b);
		*ip6 = ip_v6(b);
	}
	return number >= 1 && number <= UINT32_MAX;
}

static enum err_code damaged(int64_t id, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "client number %" PRId64 " of the store is damaged", id);
}

#define CLIENT_COLUMNS                                                                     \
	"id, name, ip, ip6, public_key, created_ns, enabled, private_key, psk, endpoint, " \
	"seen_ns, "                                                                        \
	"rate_up, rate_down, quota, quota_used, expires_ns, ipv6_only, "                   \
	"keepalive_s"

/* What cannot be read, such as the name of an interface that is no more, is not known: the client
 * will tell. */
static struct endpoint endpoint_read(struct db_stmt *st, int column)
{
	struct endpoint seen = { 0 };

	if (!db_is_null(st, column) && !endpoint_parse(db_text(st, column), &seen))
		seen = (struct endpoint){ 0 };
	return seen;
}

/* The current row of a statement over CLIENT_COLUMNS. */
static enum err_code client_read(const struct store *s, struct db_stmt *st, bool secrets,
				 struct client *c, struct err *e)
{
	struct str name = db_text(st, 1);
	enum err_code rc;
	bool ok;

	*c = (struct client){ .id = db_i64(st, 0) };
	ok = addresses_read(st, 2, 3, &c->ip, &c->ip6);
	db_blob_copy(st, 4, c->public_key.b, KEY_LEN);
	c->created_ns = db_i64(st, 5);
	c->enabled = db_i64(st, 6) != 0;
	c->endpoint = endpoint_read(st, 9);
	c->seen_ns = db_i64(st, 10);
	c->limits = (struct client_limits){ .rate_up_bps = (uint64_t)db_i64(st, 11),
					    .rate_down_bps = (uint64_t)db_i64(st, 12),
					    .quota = (uint64_t)db_i64(st, 13),
					    .quota_used = (uint64_t)db_i64(st, 14),
					    .expires_ns = db_i64(st, 15) };
	c->ipv6_only = db_i64(st, 16) != 0;
	c->keepalive_s = (uint16_t)db_i64(st, 17);
	rc = db_row_ok(st, e);
	if (rc)
		return rc;
	if (FAULT("store.read"))
		return err_set(e, ERR_IO, "failure injected at store.read");
	if (!str_copy(c->name, sizeof c->name, name) || !ok)
		return damaged(c->id, e);
	if (!secrets)
		return ERR_OK;
	rc = secret_read(s, st, 7, &c->public_key, "private_key", c->private_key.b, e);
	if (rc == ERR_OK)
		rc = secret_read(s, st, 8, &c->public_key, "preshared_key", c->psk.b, e);
	if (rc == ERR_OK)
		return ERR_OK;
	rc = err_wrap(e, rc, "client %s", c->name);
	client_done(c);
	return rc;
}

/* ---- adding and removing ---- */

static enum err_code taken(const struct store *s, const struct client *c, struct err *e)
{
	const char *what = db_conflict(s->db);
	char ip[IP_TEXT_MAX], key[KEY_TEXT_MAX];

	if (strcmp(what, "clients.name") == 0)
		return err_set(e, ERR_EXISTS, "a client named %s exists already", c->name);
	if (strcmp(what, "clients.ip") == 0 || strcmp(what, "clients.ip6") == 0) {
		ip_format(ip, strcmp(what, "clients.ip") == 0 ? &c->ip : &c->ip6);
		return err_set(e, ERR_EXISTS, "address %s belongs to another client already", ip);
	}
	public_key_text(key, &c->public_key);
	return err_set(e, ERR_EXISTS, "public key %s belongs to another client already", key);
}

enum err_code store_client_add(struct store *s, struct client *c, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "INSERT INTO clients (name, ip, ip6, public_key, "
					  "created_ns, enabled, private_key, psk, ipv6_only, "
					  "keepalive_s) "
					  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)");
	uint8_t private_key[SEALED_KEY_LEN], psk[SEALED_KEY_LEN];
	char label[LABEL_MAX];
	enum err_code rc;

	if (c->ip.family != IP_V4)
		return err_set(e, ERR_INVALID, "client %s has no IPv4 address", c->name);
	seal(s->key, private_key, c->private_key.b, KEY_LEN,
	     label_of(label, &c->public_key, "private_key"));
	seal(s->key, psk, c->psk.b, KEY_LEN, label_of(label, &c->public_key, "preshared_key"));
	db_bind_text(&st, 1, str_of(c->name));
	db_bind_i64(&st, 2, load_be32(c->ip.b));
	if (c->ip6.family == IP_V6)
		db_bind_blob(&st, 3, c->ip6.b, 16);
	else
		db_bind_null(&st, 3);
	db_bind_blob(&st, 4, c->public_key.b, KEY_LEN);
	db_bind_i64(&st, 5, c->created_ns);
	db_bind_i64(&st, 6, c->enabled);
	db_bind_blob(&st, 7, private_key, sizeof private_key);
	db_bind_blob(&st, 8, psk, sizeof psk);
	db_bind_i64(&st, 9, c->ipv6_only);
	db_bind_i64(&st, 10, c->keepalive_s);
	rc = db_run(&st, e);
	if (rc == ERR_EXISTS)
		return taken(s, c, e);
	if (rc == ERR_OK)
		c->id = db_last_id(s->db);
	return rc;
}

enum err_code store_client_remove(struct store *s, int64_t id, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "DELETE FROM clients WHERE id = ?1");
	enum err_code rc;

	s->full_to = s->full_from; /* its address may become the lowest free one */
	db_bind_i64(&st, 1, id);
	rc = db_run(&st, e);
	if (rc == ERR_OK && db_changes(s->db) == 0)
		return err_set(e, ERR_NOT_FOUND, "there is no client with number %" PRId64, id);
	return rc;
}

/* ---- endpoints ---- */

static enum err_code update_one(struct store *s, struct db_stmt *st, int64_t id, struct err *e)
{
	enum err_code rc = db_run(st, e);

	if (rc == ERR_OK && db_changes(s->db) == 0)
		return err_set(e, ERR_NOT_FOUND, "there is no client with number %" PRId64, id);
	return rc;
}

enum err_code store_client_set_endpoint(struct store *s, int64_t id, const struct endpoint *seen,
					int64_t seen_ns, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "UPDATE clients SET endpoint = ?2, seen_ns = ?3 WHERE id = ?1");
	char text[ENDPOINT_TEXT_MAX];

	endpoint_format(text, seen);
	db_bind_i64(&st, 1, id);
	if (seen->addr.family == IP_NONE)
		db_bind_null(&st, 2);
	else
		db_bind_text(&st, 2, str_of(text));
	db_bind_i64(&st, 3, seen_ns);
	return update_one(s, &st, id, e);
}

enum err_code store_forget_endpoints(struct store *s, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE clients SET endpoint = NULL, seen_ns = 0 "
					  "WHERE endpoint IS NOT NULL");
	enum err_code rc = db_run(&st, e);

	return rc ? rc : tunnel_peers_forget_seen(s, e);
}

/* ---- limits ---- */

enum err_code store_client_set_limits(struct store *s, int64_t id, const struct client_limits *l,
				      struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "UPDATE clients SET rate_up = ?2, rate_down = ?3, quota = ?4, "
			      "quota_used = ?5, expires_ns = ?6 WHERE id = ?1");

	db_bind_i64(&st, 1, id);
	db_bind_i64(&st, 2, (int64_t)l->rate_up_bps);
	db_bind_i64(&st, 3, (int64_t)l->rate_down_bps);
	db_bind_i64(&st, 4, (int64_t)l->quota);
	db_bind_i64(&st, 5, (int64_t)l->quota_used);
	db_bind_i64(&st, 6, l->expires_ns);
	return update_one(s, &st, id, e);
}

enum err_code store_client_set_used(struct store *s, int64_t id, uint64_t quota_used, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE clients SET quota_used = ?2 WHERE id = ?1");

	db_bind_i64(&st, 1, id);
	db_bind_i64(&st, 2, (int64_t)quota_used);
	return update_one(s, &st, id, e);
}

enum err_code store_client_set_enabled(struct store *s, int64_t id, bool enabled, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE clients SET enabled = ?2 WHERE id = ?1");

	db_bind_i64(&st, 1, id);
	db_bind_i64(&st, 2, enabled);
	return update_one(s, &st, id, e);
}

/* ---- what the agent API says of clients ---- */

enum err_code store_client_set_keepalive(struct store *s, int64_t id, uint16_t keepalive_s,
					 struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE clients SET keepalive_s = ?2 WHERE id = ?1");

	db_bind_i64(&st, 1, id);
	db_bind_i64(&st, 2, keepalive_s);
	return update_one(s, &st, id, e);
}

enum err_code store_client_set_psk(struct store *s, int64_t id, const struct public_key *key,
				   const struct psk *psk, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE clients SET psk = ?2 WHERE id = ?1");
	uint8_t sealed[SEALED_KEY_LEN];
	char label[LABEL_MAX];

	seal(s->key, sealed, psk->b, KEY_LEN, label_of(label, key, "preshared_key"));
	db_bind_i64(&st, 1, id);
	db_bind_blob(&st, 2, sealed, sizeof sealed);
	return update_one(s, &st, id, e);
}

/* ---- reading ---- */

enum err_code store_client_by_name(struct store *s, struct str name, struct client *out,
				   struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT " CLIENT_COLUMNS " FROM clients WHERE name = ?1");
	char shown[128];
	bool row = false;
	enum err_code rc;

	db_bind_text(&st, 1, name);
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	if (row)
		return client_read(s, &st, true, out, e);
	text_escaped(shown, sizeof shown, name); /* a stranger's, of any length */
	return err_set(e, ERR_NOT_FOUND, "there is no client named \"%s\"", shown);
}

enum err_code store_client_by_key(struct store *s, const struct public_key *k, bool secrets,
				  struct client *out, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "SELECT " CLIENT_COLUMNS " FROM clients WHERE public_key = ?1");
	char key[KEY_TEXT_MAX];
	bool row = false;
	enum err_code rc;

	db_bind_blob(&st, 1, k->b, KEY_LEN);
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	if (row)
		return client_read(s, &st, secrets, out, e);
	public_key_text(key, k);
	return err_set(e, ERR_NOT_FOUND, "there is no client with the public key %s", key);
}

enum err_code store_client_name_known(struct store *s, struct str name, bool *known, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT 1 FROM clients WHERE name = ?1");

	db_bind_text(&st, 1, name);
	return db_step(&st, known, e);
}

enum err_code store_client_key_known(struct store *s, const struct public_key *k, bool *known,
				     struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT 1 FROM clients WHERE public_key = ?1");

	db_bind_blob(&st, 1, k->b, KEY_LEN);
	return db_step(&st, known, e);
}

/* instr and lower are byte for byte and ASCII only, and know no wildcards. */
static enum err_code run_query(struct store *s, struct db_stmt *st, const struct client_query *q,
			       bool secrets, bool (*fn)(void *ctx, const struct client *c),
			       void *ctx, struct err *e)
{
	struct client c;
	bool row = false, more = true;
	enum err_code rc;

	db_bind_text(st, 1, q->search);
	db_bind_i64(st, 2, (int64_t)MIN(q->limit, (uint64_t)INT64_MAX));
	db_bind_i64(st, 3, (int64_t)MIN(q->skip, (uint64_t)INT64_MAX));
	while (more && (rc = db_step(st, &row, e)) == ERR_OK && row) {
		rc = client_read(s, st, secrets, &c, e);
		if (rc)
			return rc;
		more = fn(ctx, &c);
		client_done(&c);
	}
	return more ? rc : ERR_OK;
}

enum err_code store_clients(struct store *s, const struct client_query *q, bool secrets,
			    bool (*fn)(void *ctx, const struct client *c), void *ctx, struct err *e)
{
	struct db_stmt st;
	enum err_code rc;

	if (q->newest_first)
		st = db_sql(s->db, "SELECT " CLIENT_COLUMNS " FROM clients "
				   "WHERE ?1 = '' OR instr(lower(name), lower(?1)) > 0 "
				   "ORDER BY created_ns DESC, id DESC LIMIT ?2 OFFSET ?3");
	else
		st = db_sql(s->db, "SELECT " CLIENT_COLUMNS " FROM clients "
				   "WHERE ?1 = '' OR instr(lower(name), lower(?1)) > 0 "
				   "ORDER BY created_ns, id LIMIT ?2 OFFSET ?3");
	rc = run_query(s, &st, q, secrets, fn, ctx, e);
	db_stmt_done(&st);
	return rc;
}

static enum err_code peer_read(const struct store *s, struct db_stmt *st, struct store_peer *p,
			       struct err *e)
{
	enum err_code rc;
	bool ok;

	*p = (struct store_peer){ .id = db_i64(st, 0) };
	ok = addresses_read(st, 1, 2, &p->ip, &p->ip6);
	db_blob_copy(st, 3, p->public_key.b, KEY_LEN);
	p->ipv6_only = db_i64(st, 5) != 0;
	p->keepalive_s = (uint16_t)db_i64(st, 6);
	if (FAULT("store.read"))
		return err_set(e, ERR_IO, "failure injected at store.read");
	rc = secret_read(s, st, 4, &p->public_key, "preshared_key", p->psk.b, e);
	if (rc == ERR_OK && !ok)
		rc = damaged(p->id, e);
	return rc;
}

enum err_code store_peers(struct store *s, bool (*fn)(void *ctx, const struct store_peer *p),
			  void *ctx, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT id, ip, ip6, public_key, psk, ipv6_only, "
					  "keepalive_s FROM clients");
	struct store_peer p;
	bool row = false, more = true;
	enum err_code rc;

	while (more && (rc = db_step(&st, &row, e)) == ERR_OK && row) {
		rc = peer_read(s, &st, &p, e);
		more = rc == ERR_OK && fn(ctx, &p);
		wipe(&p, sizeof p);
		if (rc)
			return rc;
	}
	return more ? rc : ERR_OK;
}

enum err_code store_client_count(struct store *s, struct str search, uint64_t *total,
				 uint64_t *enabled, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT count(*), count(CASE enabled WHEN 1 THEN 1 END) "
					  "FROM clients WHERE ?1 = '' OR "
					  "instr(lower(name), lower(?1)) > 0");
	bool row = false;
	enum err_code rc;
	int64_t all, on;

	db_bind_text(&st, 1, search);
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	all = db_i64(&st, 0);
	on = db_i64(&st, 1);
	rc = db_row_ok(&st, e);
	if (rc)
		return rc;
	*total = (uint64_t)all;
	*enabled = (uint64_t)on;
	return ERR_OK;
}

/* ---- addresses ---- */

static enum err_code is_taken(struct store *s, uint64_t ip, bool *out, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT 1 FROM clients WHERE ip = ?1");

	db_bind_i64(&st, 1, (int64_t)ip);
	return db_step(&st, out, e);
}

/* The first free address behind `from`, which is taken: the end of the run of taken ones.  May lie
 * behind `to`. */
static enum err_code end_of_run(struct store *s, uint64_t from, uint64_t to, uint64_t *out,
				struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "SELECT c.ip + 1 FROM clients c WHERE c.ip BETWEEN ?1 AND ?2 "
			      "AND NOT EXISTS (SELECT 1 FROM clients n WHERE n.ip = c.ip + 1) "
			      "ORDER BY c.ip LIMIT 1");
	bool row = false;
	enum err_code rc;

	db_bind_i64(&st, 1, (int64_t)from);
	db_bind_i64(&st, 2, (int64_t)to);
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	*out = row ? (uint64_t)db_i64(&st, 0) : to + 1;
	return db_row_ok(&st, e);
}

enum err_code store_free_index(struct store *s, const struct ip_prefix *net, uint64_t first,
			       uint64_t last, uint64_t *out, struct err *e)
{
	struct ip_prefix masked = *net;
	char text[PREFIX_TEXT_MAX];
	uint64_t base, from, to, free_ip;
	enum err_code rc;
	bool is_full;

	ip_prefix_mask(&masked);
	ip_prefix_format(text, &masked);
	if (masked.addr.family != IP_V4 || first > last || last >= ip_prefix_size(&masked))
		return err_set(e, ERR_RANGE, "network %s has no addresses %" PRIu64 " to %" PRIu64,
			       text, first, last);
	base = load_be32(masked.addr.b);
	from = base + first;
	to = base + last;
	free_ip = s->full_from == from && s->full_to > from ? s->full_to : from;
	if (free_ip <= to) {
		rc = is_taken(s, free_ip, &is_full, e);
		if (rc == ERR_OK && is_full)
			rc = end_of_run(s, free_ip, to, &free_ip, e);
		if (rc)
			return rc;
	}
	s->full_from = from;
	s->full_to = free_ip;
	if (free_ip > to)
		return err_set(e, ERR_FULL, "all %" PRIu64 " addresses for clients in %s are taken",
			       last - first + 1, text);
	*out = free_ip - base;
	return ERR_OK;
}
