/* What the peer API keeps of its clients, and what it asks of all of them. */
#include "base/bytes.h"
#include "store/inside.h"

enum err_code store_api_peer_add(struct store *s, int64_t client, const struct api_peer *p,
				 struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db,
		       "INSERT INTO api_peers (client, request_id, protocol, traffic, port, dns) "
		       "VALUES (?1, ?2, ?3, ?4, ?5, ?6)");
	const char *protocol = api_protocol_name(p->protocol);

	db_bind_i64(&st, 1, client);
	db_bind_text(&st, 2, str_of(p->request_id));
	if (protocol)
		db_bind_text(&st, 3, str_of(protocol));
	else
		db_bind_null(&st, 3);
	db_bind_i64(&st, 4, p->traffic);
	db_bind_i64(&st, 5, p->port);
	db_bind_text(&st, 6, str_of(p->dns));
	return db_run(&st, e);
}

enum err_code store_api_peer(struct store *s, int64_t client, struct api_peer *out, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT request_id, protocol, traffic, port, dns "
					  "FROM api_peers WHERE client = ?1");
	bool row = false, ok = true;
	enum err_code rc;

	db_bind_i64(&st, 1, client);
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	if (!row)
		return err_set(e, ERR_NOT_FOUND, "no backend made client number %lld",
			       (long long)client);
	*out = (struct api_peer){ .traffic = (unsigned)db_i64(&st, 2),
				  .port = (uint16_t)db_i64(&st, 3) };
	ok = str_copy(out->request_id, sizeof out->request_id, db_text(&st, 0)) &&
	     (db_is_null(&st, 1) || api_protocol_parse(db_text(&st, 1), &out->protocol)) &&
	     str_copy(out->dns, sizeof out->dns, db_text(&st, 4));
	rc = db_row_ok(&st, e);
	if (rc == ERR_OK && !ok)
		rc = err_set(e, ERR_CORRUPT, "the API's row of client number %lld is damaged",
			     (long long)client);
	return rc;
}

enum err_code store_client_total(struct store *s, uint64_t *out, struct err *e)
{
	AUTO(db_stmt_done) struct db_stmt st = db_sql(s->db, "SELECT count(*) FROM clients");
	bool row = false;
	enum err_code rc = db_step(&st, &row, e);

	if (rc)
		return rc;
	*out = (uint64_t)db_i64(&st, 0);
	return db_row_ok(&st, e);
}

enum err_code store_client_addresses(struct store *s,
				     bool (*fn)(void *ctx, const struct ip_addr *ip,
						const struct ip_addr *ip6, bool ipv6_only),
				     void *ctx, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "SELECT ip, ip6, ipv6_only FROM clients ORDER BY ip");
	bool row = false;
	enum err_code rc;

	while ((rc = db_step(&st, &row, e)) == ERR_OK && row) {
		struct ip_addr ip, ip6 = { 0 };
		bool ipv6_only = db_i64(&st, 2) != 0;
		uint8_t b[16];

		store_be32(b, (uint32_t)db_i64(&st, 0));
		ip = ip_v4(b);
		if (!db_is_null(&st, 1)) {
			db_blob_copy(&st, 1, b, sizeof b);
			ip6 = ip_v6(b);
		}
		rc = db_row_ok(&st, e);
		if (rc || !fn(ctx, &ip, &ip6, ipv6_only))
			return rc;
	}
	return rc;
}
