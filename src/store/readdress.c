#include "base/bytes.h"
#include "store/inside.h"

/* 0.0.0.0/8 is nobody's (RFC 6890), so that numbers in it never meet an address that is given. */
#define PARKED_MAX (1u << 24)

static enum err_code address_set(struct store *s, int64_t id, uint32_t ip,
				 const struct ip_addr *ip6, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "UPDATE clients SET ip = ?2, ip6 = ?3 WHERE id = ?1");
	enum err_code rc;

	db_bind_i64(&st, 1, id);
	db_bind_i64(&st, 2, ip);
	if (ip6->family == IP_V6)
		db_bind_blob(&st, 3, ip6->b, 16);
	else
		db_bind_null(&st, 3);
	rc = db_run(&st, e);
	if (rc == ERR_EXISTS)
		return err_set(e, rc, "%s: two clients would have one address", db_conflict(s->db));
	if (rc == ERR_OK && db_changes(s->db) == 0)
		return err_set(e, ERR_NOT_FOUND, "there is no client with number %lld",
			       (long long)id);
	return rc;
}

/* Two clients may swap addresses, and UNIQUE holds after each statement: all leave first. */
enum err_code store_clients_readdress(struct store *s, const struct store_address *a, size_t n,
				      struct err *e)
{
	const struct ip_addr none = { 0 };
	enum err_code rc = ERR_OK;

	if (n >= PARKED_MAX)
		return err_set(e, ERR_RANGE, "%zu clients are too many to move", n);
	s->full_to = s->full_from;
	for (size_t i = 0; rc == ERR_OK && i < n; i++)
		rc = address_set(s, a[i].id, (uint32_t)i + 1, &none, e);
	for (size_t i = 0; rc == ERR_OK && i < n; i++)
		rc = address_set(s, a[i].id, load_be32(a[i].ip.b), &a[i].ip6, e);
	return rc;
}
