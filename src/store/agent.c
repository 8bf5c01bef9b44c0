#include "store/agent.h"

#include <inttypes.h>

#include "store/inside.h"

#define LABEL_MAX 128

/* ---- history of configurations ---- */

/* A text that is moved to another interface or moment does not open. */
static struct str label_of(char out[LABEL_MAX], const char *ifname, int64_t made_ns)
{
	int n = snprintf(out, LABEL_MAX, "agent/%s/%" PRId64, ifname, made_ns);

	BUG_ON(n < 0 || n >= LABEL_MAX);
	return (struct str){ out, (size_t)n };
}

static enum err_code old_forget(struct store *s, const char *ifname, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "DELETE FROM agent_configs WHERE interface = ?1 AND id "
					  "NOT IN (SELECT id FROM agent_configs WHERE interface = "
					  "?1 ORDER BY id DESC LIMIT ?2)");

	db_bind_text(&st, 1, str_of(ifname));
	db_bind_i64(&st, 2, STORE_CONFIGS_KEPT);
	return db_run(&st, e);
}

enum err_code store_config_add(struct store *s, const char *ifname, const struct store_config *c,
			       int64_t *id, struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st = db_sql(s->db, "INSERT INTO agent_configs (interface, made_ns, author, "
					  "source, action, config, changes) "
					  "VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)");
	char label[LABEL_MAX];
	uint8_t *sealed;
	enum err_code rc;

	if (c->config.n < 1 || c->config.n > STORE_CONFIG_MAX || c->changes.n > STORE_CHANGES_MAX)
		return err_set(e, ERR_RANGE,
			       "a configuration of %zu bytes with changes of %zu is not kept; at "
			       "most %d and %d are",
			       c->config.n, c->changes.n, STORE_CONFIG_MAX, STORE_CHANGES_MAX);
	sealed = malloc(c->config.n + SEAL_OVERHEAD);
	if (!sealed)
		return err_set(e, ERR_NOMEM, "keep a configuration: out of memory");
	seal(s->key, sealed, c->config.p, c->config.n, label_of(label, ifname, c->made_ns));
	db_bind_text(&st, 1, str_of(ifname));
	db_bind_i64(&st, 2, c->made_ns);
	db_bind_text(&st, 3, str_of(c->author));
	db_bind_text(&st, 4, str_of(c->source));
	db_bind_text(&st, 5, str_of(c->action));
	db_bind_blob(&st, 6, sealed, c->config.n + SEAL_OVERHEAD);
	db_bind_text(&st, 7, c->changes);
	rc = db_run(&st, e);
	free(sealed);
	if (rc)
		return rc;
	*id = db_last_id(s->db);
	return old_forget(s, ifname, e);
}

struct texts {
	char author[STORE_AUTHOR_MAX + 1], source[ENDPOINT_TEXT_MAX + 1], action[17];
};

/* The current row; its short texts go to `t`, the changes stay a view into the row. */
static enum err_code config_read(struct db_stmt *st, struct texts *t, struct store_config *c,
				 struct err *e)
{
	bool fits = str_copy(t->author, sizeof t->author, db_text(st, 2)) &&
		    str_copy(t->source, sizeof t->source, db_text(st, 3)) &&
		    str_copy(t->action, sizeof t->action, db_text(st, 4));
	enum err_code rc;

	*c = (struct store_config){ .id = db_i64(st, 0),
				    .made_ns = db_i64(st, 1),
				    .author = t->author,
				    .source = t->source,
				    .action = t->action };
	c->changes = db_text(st, 5);
	rc = db_row_ok(st, e);
	if (rc == ERR_OK && !fits)
		rc = err_set(e, ERR_CORRUPT, "configuration %" PRId64 " of the store is damaged",
			     c->id);
	return rc;
}

enum err_code store_configs(struct store *s, const char *ifname,
			    bool (*fn)(void *ctx, const struct store_config *c), void *ctx,
			    struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "SELECT id, made_ns, author, source, action, changes FROM "
			      "agent_configs WHERE interface = ?1 ORDER BY id DESC");
	struct store_config c;
	struct texts t;
	bool row = false;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(ifname));
	while ((rc = db_step(&st, &row, e)) == ERR_OK && row) {
		rc = config_read(&st, &t, &c, e);
		if (rc || !fn(ctx, &c))
			return rc;
	}
	return rc;
}

/* Opens the sealed text of column 6 and hands all of it to fn. */
static enum err_code config_open(struct store *s, struct db_stmt *st, const char *ifname,
				 struct store_config *c,
				 void (*fn)(void *ctx, const struct store_config *c), void *ctx,
				 struct err *e)
{
	struct str sealed = db_blob(st, 6);
	char label[LABEL_MAX];
	enum err_code rc = db_row_ok(st, e);
	uint8_t *text;

	if (rc)
		return rc;
	if (sealed.n <= SEAL_OVERHEAD)
		return err_set(e, ERR_CORRUPT, "configuration %" PRId64 " of the store is damaged",
			       c->id);
	text = malloc(sealed.n - SEAL_OVERHEAD);
	if (!text)
		return err_set(e, ERR_NOMEM, "read a configuration: out of memory");
	rc = unseal(s->key, text, sealed.p, sealed.n, label_of(label, ifname, c->made_ns), e);
	if (rc == ERR_OK) {
		c->config = (struct str){ (const char *)text, sealed.n - SEAL_OVERHEAD };
		fn(ctx, c);
		wipe(text, sealed.n - SEAL_OVERHEAD);
	}
	free(text);
	return rc;
}

enum err_code store_config(struct store *s, const char *ifname, int64_t id,
			   void (*fn)(void *ctx, const struct store_config *c), void *ctx,
			   struct err *e)
{
	AUTO(db_stmt_done)
	struct db_stmt st =
		db_sql(s->db, "SELECT id, made_ns, author, source, action, changes, config "
			      "FROM agent_configs WHERE interface = ?1 AND id = ?2");
	struct store_config c;
	struct texts t;
	bool row = false;
	enum err_code rc;

	db_bind_text(&st, 1, str_of(ifname));
	db_bind_i64(&st, 2, id);
	rc = db_step(&st, &row, e);
	if (rc)
		return rc;
	if (!row)
		return err_set(e, ERR_NOT_FOUND,
			       "interface %s has no configuration number %" PRId64
			       " in its history",
			       ifname, id);
	rc = config_read(&st, &t, &c, e);
	return rc ? rc : config_open(s, &st, ifname, &c, fn, ctx, e);
}
