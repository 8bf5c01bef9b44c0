/* Peers of further interfaces (tunnels.h). */
#include <inttypes.h>

#include "base/bytes.h"
#include "store/inside.h"
#include "store/tunnels.h"

#define SEALED_KEY_LEN (KEY_LEN + SEAL_OVERHEAD)
#define LABEL_MAX (KEY_TEXT_MAX + 64)

/* A preshared key that is moved to another row does not open. */
static struct str label_of(char out[LABEL_MAX], const char *tunnel, const struct public_key *k)
{
	char text[KEY_TEXT_MAX];
	int n;

	public_key_text(text, k);
	n = snprintf(out, LABEL_MAX, "tunnel/%s/peer/%s/preshared_key", tunnel, text);
	BUG_ON(n < 0 || n >= LABEL_MAX);
	return (struct str){ out, (size_t)n };
}

/* ---- networks as bytes: family, length, address without host bits ---- */

#define NETWORK_MAX 18

static size_t network_pack(uint8_t out[NETWORK_MAX], const struct ip_prefix *p)
{
	struct ip_prefix net = *p;
	size_t n = ip_bits(p->addr.family) / 8;

	ip_prefix_mask(&net);
	out[0] = net.addr.family;
	out[1] = net.len;
	memcpy(out + 2, net.addr.b, n);
	return 2 + n;
}

static bool network_unpack(struct ip_prefix *out, struct str blob)
{
	struct rd r = rd_over((const uint8_t *)blob.p, blob.n);
	uint8_t family = rd_u8(&r), len = rd_u8(&r);
	unsigned bits = ip_bits(family);
	const uint8_t *b = rd_bytes(&r, bits / 8);

	if (!rd_done(&r) || !bits || len > bits)
		return false;
	*out = (struct ip_prefix){ .addr = family == IP_V4 ? ip_v4(b) : ip_v6(b), .len = len };
	return true;
}

/* ---- reading ---- */

#define PEER_COLUMNS \
	"p.id, p.public_key, p.psk, p.keepalive_s, p.endpoint, p.seen, p.seen_ns, i.network"
#define PEER_TABLES "tunnel_peers p LEFT JOIN tunnel_peer_ips i ON i.peer = p.id"

struct reader {
	struct store *s;
	const char *tunnel;
	bool secrets, some; /* some: `peer` is being filled */
	struct store_tunnel_peer peer;
	struct ip_prefix ips[STORE_PEER_IPS_MAX];
};

static enum err_code damaged(int64_t id, struct err *e)
{
	return err_set(e, ERR_CORRUPT, "peer number %" PRId64 " of the store is damaged", id);
}

/* What cannot be read any more is not known: the peer will tell. */
static struct endpoint endpoint_read(struct db_stmt *st, int column)
{
	struct endpoint out = { 0 };

	if (!db_is_null(st, column) && !endpoint_parse(db_text(st, column), &out))
		out = (struct endpoint){ 0 };
	return out;
}

static enum err_code head_read(struct reader *r, struct db_stmt *st, struct err *e)
{
	struct store_tunnel_peer *p = &r->peer;
	uint8_t sealed[SEALED_KEY_LEN];
	char label[LABEL_MAX];
	enum err_code rc;

	*p = (struct store_tunnel_peer){ .id = db_i64(st, 0), .ips = r->ips };
	db_blob_copy(st, 1, p->key.b, KEY_LEN);
	db_blob_copy(st, 2, sealed, sizeof sealed);
	p->keepalive_s = (uint16_t)db_i64(st, 3);
	p->endpoint = endpoint_read(st, 4);
	p->seen = endpoint_read(st, 5);
	p->seen_ns = db_i64(st, 6);
	rc = db_row_ok(st, e);
	if (rc == ERR_OK && r->secrets)
		rc = unseal(r->s->key, p->psk.b, sealed, sizeof sealed,
			    label_of(label, r->tunnel, &p->key), e);
	r->some = rc == ERR_OK;
	return rc ? err_wrap(e, rc, "a peer of interface %s", r->tunnel) : ERR_OK;
}

static enum err_code network_read(struct reader *r, struct db_stmt *st, struct err *e)
{
	struct store_tunnel_peer *p = &r->peer;
	enum err_code rc;

	if (db_is_null(st, 7))
		return ERR_OK;
	if (p->ip_count == STORE_PEER_IPS_MAX ||
	    !network_unpack(&r->ips[p->ip_count], db_blob(st, 7)))
		return damaged(p->id, e);
	rc = db_row_ok(st, e);
	p->ip_count += rc == ERR_OK;
	return rc;
}

static void reader_done(struct reader *r)
{
	wipe(&r->peer.psk, sizeof r->peer.psk);
}

/* Rows of one peer follow each other. */
static enum err_code peers_read(struct reader *r, struct db_stmt *st,
				bool (*fn)(void *ctx, const struct store_tunnel_peer *p), void *ctx,
				struct err *e)
{
	bool row = false, goes_on = true;
	enum err_code rc;

	while ((rc = db_step(st, &row, e)) == ERR_OK && row) {
		int64_t id = db_i64(st, 0);

		if (r->some && id != r->peer.id) {
			goes_on = fn(ctx, &r->peer);
			reader_done(r);
			r->some = false;
			if (!goes_on)
				return ERR_OK;
		}
		if (!r->some)
			rc = head_read(r, st, e);
		if (rc == ERR_OK)
			rc = network_read(r, st, e);
		if (rc)
			break;
	}
	if (rc == ERR_OK && r->some)
		(void)fn(ctx, &r->peer);
	return rc;
}

enum err_code store_tunnel_peers(struct store *s, const char *tunnel, bool secrets,
				 bool (*fn)(void *ctx, const struct store_tunnel_peer *p),
				 void *ctx, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT " PEER_COLUMNS " FROM " PEER_TABLES
					  " WHERE p.interface = ?1 ORDER BY p.id, i.position");
	AUTO(reader_done) struct reader r = { .s = s, .tunnel = tunnel, .secrets = secrets };

	db_bind_text(&st, 1, str_of(tunnel));
	return peers_read(&r, &st, fn, ctx, e);
}

struct found {
	struct store_tunnel_peer *out;
	struct ip_prefix *ips;
	bool some;
};

static bool peer_take(void *ctx, const struct store_tunnel_peer *p)
{
	struct found *f = ctx;

	*f->out = *p;
	memcpy(f->ips, p->ips, p->ip_count * sizeof *p->ips);
	f->out->ips = f->ips;
	f->some = true;
	return false;
}

static enum err_code not_found(const char *tunnel, const struct public_key *k, struct err *e)
{
	char key[KEY_TEXT_MAX];

	public_key_text(key, k);
	return err_set(e, ERR_NOT_FOUND, "interface %s has no peer %s", tunnel, key);
}

enum err_code store_tunnel_peer(struct store *s, const char *tunnel, const struct public_key *k,
				struct store_tunnel_peer *out,
				struct ip_prefix ips[STORE_PEER_IPS_MAX], struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT " PEER_COLUMNS " FROM " PEER_TABLES
					  " WHERE p.interface = ?1 AND p.public_key = ?2 "
					  "ORDER BY i.position");
	AUTO(reader_done) struct reader r = { .s = s, .tunnel = tunnel, .secrets = true };
	struct found f = { .out = out, .ips = ips };
	enum err_code rc;

	db_bind_text(&st, 1, str_of(tunnel));
	db_bind_blob(&st, 2, k->b, KEY_LEN);
	rc = peers_read(&r, &st, peer_take, &f, e);
	if (rc == ERR_OK && !f.some)
		rc = not_found(tunnel, k, e);
	return rc;
}

enum err_code store_tunnel_peer_known(struct store *s, const char *tunnel,
				      const struct public_key *k, bool *known, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db,
		       "SELECT 1 FROM tunnel_peers WHERE interface = ?1 AND public_key = ?2");

	db_bind_text(&st, 1, str_of(tunnel));
	db_bind_blob(&st, 2, k->b, KEY_LEN);
	return db_step(&st, known, e);
}

enum err_code store_tunnel_peer_count(struct store *s, const char *tunnel, uint64_t *out,
				      struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT count(*) FROM tunnel_peers WHERE interface = ?1");
	bool row = false;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(tunnel));
	rc = db_step(&st, &row, e);
	if (rc == ERR_OK && row) {
		*out = (uint64_t)db_i64(&st, 0);
		rc = db_row_ok(&st, e);
	}
	return rc;
}

/* ---- writing ---- */

static enum err_code id_of(struct store *s, const char *tunnel, const struct public_key *k,
			   int64_t *id, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db,
		       "SELECT id FROM tunnel_peers WHERE interface = ?1 AND public_key = ?2");
	bool row = false;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(tunnel));
	db_bind_blob(&st, 2, k->b, KEY_LEN);
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	if (!row)
		return not_found(tunnel, k, e);
	*id = db_i64(&st, 0);
	return db_row_ok(&st, e);
}

static void endpoint_bind(struct db_stmt *st, int index, char text[ENDPOINT_TEXT_MAX],
			  const struct endpoint *seen)
{
	if (seen->addr.family == IP_NONE) {
		db_bind_null(st, index);
		return;
	}
	endpoint_format(text, seen);
	db_bind_text(st, index, str_of(text));
}

static enum err_code row_put(struct store *s, const char *tunnel, const struct store_tunnel_peer *p,
			     struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "INSERT INTO tunnel_peers (interface, public_key, psk, keepalive_s, "
			      "endpoint) VALUES (?1, ?2, ?3, ?4, ?5) "
			      "ON CONFLICT (interface, public_key) DO UPDATE SET psk = ?3, "
			      "keepalive_s = ?4, endpoint = ?5");
	uint8_t sealed[SEALED_KEY_LEN];
	char label[LABEL_MAX], endpoint[ENDPOINT_TEXT_MAX];

	seal(s->key, sealed, p->psk.b, KEY_LEN, label_of(label, tunnel, &p->key));
	db_bind_text(&st, 1, str_of(tunnel));
	db_bind_blob(&st, 2, p->key.b, KEY_LEN);
	db_bind_blob(&st, 3, sealed, sizeof sealed);
	db_bind_i64(&st, 4, p->keepalive_s);
	endpoint_bind(&st, 5, endpoint, &p->endpoint);
	return db_run(&st, e);
}

/* Whose is it? */
static enum err_code taken(struct store *s, const char *tunnel, const struct ip_prefix *net,
			   const uint8_t *packed, size_t n, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT p.public_key FROM tunnel_peer_ips i JOIN "
					  "tunnel_peers p ON p.id = i.peer "
					  "WHERE i.interface = ?1 AND i.network = ?2");
	struct ip_prefix masked = *net;
	struct public_key owner = { 0 };
	char key[KEY_TEXT_MAX], text[PREFIX_TEXT_MAX];
	bool row = false;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(tunnel));
	db_bind_blob(&st, 2, packed, n);
	rc = db_step(&st, &row, e);
	if (rc == ERR_OK && row) {
		db_blob_copy(&st, 0, owner.b, KEY_LEN);
		rc = db_row_ok(&st, e);
	}
	if (rc)
		return rc;
	ip_prefix_mask(&masked);
	ip_prefix_format(text, &masked);
	public_key_text(key, &owner);
	return err_set(e, ERR_EXISTS, "allowed_ips: %s belongs to peer %s of interface %s already",
		       text, key, tunnel);
}

static enum err_code network_add(struct store *s, const char *tunnel, int64_t id, size_t position,
				 const struct ip_prefix *net, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "INSERT INTO tunnel_peer_ips (interface, network, peer, "
					  "position) VALUES (?1, ?2, ?3, ?4)");
	uint8_t packed[NETWORK_MAX];
	size_t n = network_pack(packed, net);
	enum err_code rc;

	db_bind_text(&st, 1, str_of(tunnel));
	db_bind_blob(&st, 2, packed, n);
	db_bind_i64(&st, 3, id);
	db_bind_i64(&st, 4, (int64_t)position);
	rc = db_run(&st, e);
	return rc == ERR_EXISTS ? taken(s, tunnel, net, packed, n, e) : rc;
}

enum err_code store_tunnel_peer_put(struct store *s, const char *tunnel,
				    const struct store_tunnel_peer *p, struct err *e)
{
	int64_t id = 0;
	enum err_code rc;

	if (p->ip_count > STORE_PEER_IPS_MAX)
		return err_set(e, ERR_RANGE, "allowed_ips: %zu networks; a peer has at most %d",
			       p->ip_count, STORE_PEER_IPS_MAX);
	rc = row_put(s, tunnel, p, e);
	if (rc == ERR_OK)
		rc = id_of(s, tunnel, &p->key, &id, e);
	if (rc == ERR_OK)
		rc = store_tunnel_peer_free_ips(s, id, e);
	for (size_t i = 0; rc == ERR_OK && i < p->ip_count; i++)
		rc = network_add(s, tunnel, id, i, &p->ips[i], e);
	return rc;
}

enum err_code store_tunnel_peer_free_ips(struct store *s, int64_t id, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "DELETE FROM tunnel_peer_ips WHERE peer = ?1");

	db_bind_i64(&st, 1, id);
	return db_run(&st, e);
}

enum err_code store_tunnel_peer_remove(struct store *s, const char *tunnel,
				       const struct public_key *k, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "DELETE FROM tunnel_peers WHERE interface = ?1 AND public_key = ?2");
	enum err_code rc;

	db_bind_text(&st, 1, str_of(tunnel));
	db_bind_blob(&st, 2, k->b, KEY_LEN);
	rc = db_run(&st, e);
	return rc == ERR_OK && db_changes(s->db) == 0 ? not_found(tunnel, k, e) : rc;
}

enum err_code store_tunnel_peer_set_seen(struct store *s, int64_t id, const struct endpoint *seen,
					 int64_t seen_ns, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "UPDATE tunnel_peers SET seen = ?2, seen_ns = ?3 WHERE id = ?1");
	char text[ENDPOINT_TEXT_MAX];
	enum err_code rc;

	db_bind_i64(&st, 1, id);
	endpoint_bind(&st, 2, text, seen);
	db_bind_i64(&st, 3, seen_ns);
	rc = db_run(&st, e);
	if (rc == ERR_OK && db_changes(s->db) == 0)
		return err_set(e, ERR_NOT_FOUND, "there is no peer with number %" PRId64, id);
	return rc;
}

enum err_code tunnel_peers_forget_seen(struct store *s, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE tunnel_peers SET seen = NULL, seen_ns = 0 "
					  "WHERE seen IS NOT NULL");

	return db_run(&st, e);
}
