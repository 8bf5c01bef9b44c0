/* change_subnet: all clients to another network, or none.
 *
 * A backup, then one transaction of the store around the change of the live device and of the
 * host's network; the commit is last.  Killed before it, the next start finds the old network in
 * the store, after it the new one, and brings device and host to that.  A failure puts all back.
 */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <sys/stat.h>

#include "base/fault.h"
#include "base/fs.h"
#include "base/log.h"
#include "core/backups.h"
#include "core/move.h"
#include "core/files.h"

#define BACKUP_ID_MAX 64

struct change {
	struct core *core;
	struct settings old, new;
	struct moves_plan plan;
	size_t moved; /* peers of the plan that have been touched */
	char backup_id[BACKUP_ID_MAX];
	char backup_dir[PATH_MAX];
};

static enum err_code step(const char *name, struct err *e)
{
	(void)name;
	if (FAULT(name))
		return err_set(e, ERR_IO, "failure injected at %s", name);
	return ERR_OK;
}

/* ---- backup ---- */

static enum err_code backup_file(const struct change *x, const char *name, struct str text,
				 struct err *e)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/%s", x->backup_dir, name);

	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(e, ERR_RANGE, "the name of the state directory is too long");
	return file_replace(path, text.p, text.n, 0600, e);
}

static enum err_code backup_json(const struct change *x, const char *name, json_t *root,
				 struct err *e)
{
	char *text = root ? json_dumps(root, JSON_INDENT(2)) : NULL;
	enum err_code rc = text ? backup_file(x, name, str_of(text), e)
				: err_set(e, ERR_NOMEM, "write the backup: out of memory");

	json_decref(root);
	free(text);
	return rc;
}

/* Without keys: a change of the subnet does not touch them, and the store keeps them sealed. */
static enum err_code backup_view(const struct change *x, const char *name, struct err *e)
{
	AUTO(buf_done) struct buf text = { 0 };
	enum err_code rc = file_view(&text, x->core, str_of(name), false, e);

	return rc ? rc : backup_file(x, name, buf_view(&text), e);
}

static json_t *rules_json(const struct change *x)
{
	char network[PREFIX_TEXT_MAX];

	ip_prefix_format(network, &x->old.network);
	return json_pack("{s:o,s:[s],s:b}", "table",
			 json_sprintf("inet " NET_TABLE_PREFIX "%s", x->old.ifname), "masquerade",
			 network, "active", x->core->host.firewall_active(x->core->host.ctx));
}

static json_t *metadata_json(const struct change *x)
{
	char old[PREFIX_TEXT_MAX], new[PREFIX_TEXT_MAX], when[CLOCK_ISO_MAX];

	ip_prefix_format(old, &x->old.network);
	ip_prefix_format(new, &x->new.network);
	clock_iso_utc(when, x->core->host.wall_ns(x->core->host.ctx));
	return json_pack("{s:s,s:s,s:s,s:s,s:I,s:[s,s,s,s]}", "backup_id", x->backup_id,
			 "timestamp", when, "old_subnet", old, "new_subnet", new, "clients",
			 (json_int_t)x->plan.n, "files", "wg_main.conf", "phantom.json",
			 "clients.db", "firewall_rules.json");
}

/* A directory of its own, also for two changes in one second. */
static enum err_code backup_dir(struct change *x, struct err *e)
{
	int64_t now = x->core->host.wall_ns(x->core->host.ctx) / NS_PER_S;
	char all[PATH_MAX];
	enum err_code rc;
	int n = snprintf(all, sizeof all, "%s/" BACKUPS_DIR, x->core->state_dir);

	if (n < 0 || (size_t)n + BACKUP_ID_MAX >= sizeof all)
		return err_set(e, ERR_RANGE, "the name of the state directory is too long");
	rc = dir_make(all, 0700, e);
	if (rc)
		return rc;
	for (int64_t i = 0;; i++) {
		(void)snprintf(x->backup_id, sizeof x->backup_id, BACKUP_PREFIX "%" PRId64,
			       now + i);
		n = snprintf(x->backup_dir, sizeof x->backup_dir, "%s/%s", all, x->backup_id);
		if (n < 0 || (size_t)n >= sizeof x->backup_dir)
			return err_set(e, ERR_RANGE, "the name of the state directory is too long");
		if (mkdir(x->backup_dir, 0700) == 0)
			return ERR_OK;
		if (errno != EEXIST || i == 60)
			return err_sys(e, errno, "make %s", x->backup_dir);
	}
}

static enum err_code backup_write(struct change *x, struct err *e)
{
	static const char *const views[] = { "wg_main.conf", "phantom.json", "clients.db" };
	enum err_code rc = backup_dir(x, e);

	for (size_t i = 0; rc == ERR_OK && i < ARRAY_LEN(views); i++)
		rc = backup_view(x, views[i], e);
	if (rc == ERR_OK)
		rc = backup_json(x, BACKUP_RULES, rules_json(x), e);
	/* Last: a backup without it is not whole. */
	if (rc == ERR_OK)
		rc = backup_json(x, BACKUP_METADATA, metadata_json(x), e);
	backups_tidy(x->core->state_dir); /* of older ones, and of this when it is not whole */
	return rc;
}

/* ---- store, device, network ---- */

static enum err_code store_new(const struct change *x, struct err *e)
{
	struct store *s = x->core->store;
	struct store_address *a = calloc(x->plan.n + 1, sizeof *a);
	enum err_code rc;

	if (!a)
		return err_set(e, ERR_NOMEM, "change the subnet: out of memory");
	for (size_t i = 0; i < x->plan.n; i++)
		a[i] = (struct store_address){ x->plan.p[i].id, x->plan.p[i].new,
					       x->plan.p[i].new6 };
	rc = store_clients_readdress(s, a, x->plan.n, e);
	free(a);
	if (rc == ERR_OK)
		rc = settings_put(&x->new, s, SETTING_NETWORK, e);
	if (rc == ERR_OK)
		rc = settings_overrule(s, SETTING_NETWORK, x->core->network_given, e);
	return rc;
}

static enum err_code peer_set(const struct core *c, const struct move *m, const struct ip_addr *ip,
			      const struct ip_addr *ip6, struct err *e)
{
	struct wg_allowed_ip allowed[2] = { { .prefix = { *ip, 32 } },
					    { .prefix = { *ip6, 128 } } };
	struct wg_peer_change p = { .public_key = m->public_key,
				    .update_only = true,
				    .replace_allowed_ips = true,
				    .allowed_ips = allowed,
				    .allowed_ip_count = ip6->family == IP_NONE ? 1 : 2 };

	return m->enabled ? c->host.change_peer(c->host.ctx, &p, e) : ERR_OK;
}

/* An address that another client still has goes over to the new one, and the other gets its own in
 * its turn. */
static enum err_code peers_move(struct change *x, struct err *e)
{
	enum err_code rc = ERR_OK;

	while (rc == ERR_OK && x->moved < x->plan.n) {
		const struct move *m = &x->plan.p[x->moved++];

		rc = peer_set(x->core, m, &m->new, &m->new6, e);
		if (rc == ERR_OK)
			rc = step("subnet.peer", e);
	}
	return rc;
}

struct found {
	const char *ifname;
	struct ip_prefix want;
	bool yes;
};

static bool server_look(void *arg, const char *ifname, const struct ip_prefix *p)
{
	struct found *f = arg;

	f->yes = strcmp(ifname, f->ifname) == 0 && p->len == f->want.len &&
		 ip_eq(&p->addr, &f->want.addr);
	return !f->yes;
}

/* Is it so? */
static enum err_code verify(const struct change *x, struct err *e)
{
	const struct core *c = x->core;
	struct found f = { x->new.ifname, settings_server_address(&x->new.network), false };
	struct dataplane_status d;
	enum err_code rc = c->host.interfaces(c->host.ctx, server_look, &f, e);
	char text[PREFIX_TEXT_MAX];

	if (rc)
		return rc;
	c->host.status(c->host.ctx, &d);
	ip_prefix_format(text, &f.want);
	if (!f.yes)
		return err_set(e, ERR_IO, "interface %s did not get %s", x->new.ifname, text);
	if (!d.up)
		return err_set(e, ERR_IO, "interface %s is not up", x->new.ifname);
	if (!c->host.firewall_active(c->host.ctx))
		return err_set(e, ERR_IO, "the nft table of %s is not there", x->new.ifname);
	return step("subnet.verify", e);
}

static enum err_code change_make(struct change *x, struct err *e)
{
	struct core *c = x->core;
	enum err_code rc = store_new(x, e);

	if (rc == ERR_OK)
		rc = step("subnet.stored", e);
	if (rc == ERR_OK)
		rc = peers_move(x, e);
	if (rc)
		return rc;
	c->settings = x->new; /* what `apply` reads */
	rc = c->host.apply(c->host.ctx, e);
	if (rc == ERR_OK)
		rc = step("subnet.applied", e);
	if (rc == ERR_OK)
		rc = verify(x, e);
	if (rc == ERR_OK)
		rc = store_commit(c->store, e);
	return rc;
}

static void change_undo(struct change *x)
{
	struct core *c = x->core;
	struct err e;

	store_rollback(c->store);
	c->settings = x->old;
	for (size_t i = 0; i < x->moved; i++) {
		const struct move *m = &x->plan.p[i];

		if (peer_set(c, m, &m->old, &m->old6, &e))
			LOG_ERR("subnet.undo_failed", F_STR("client", m->name), F_ERR(&e));
	}
	if (c->host.apply(c->host.ctx, &e))
		LOG_ERR("subnet.undo_failed", F_ERR(&e));
}

/* ---- the action ---- */

static json_t *mapping_json(const struct change *x)
{
	struct ip_prefix old = settings_server_address(&x->old.network);
	struct ip_prefix new = settings_server_address(&x->new.network);
	json_t *map = json_object();
	char from[IP_TEXT_MAX], to[IP_TEXT_MAX];
	bool ok;

	ip_format(from, &old.addr);
	ip_format(to, &new.addr);
	ok = json_object_set_new(map, from, json_string(to)) == 0;
	for (size_t i = 0; ok && i < x->plan.n; i++) {
		ip_format(from, &x->plan.p[i].old);
		ip_format(to, &x->plan.p[i].new);
		ok = json_object_set_new(map, from, json_string(to)) == 0;
	}
	if (ok)
		return map;
	json_decref(map);
	return NULL;
}

static json_t *changed_json(const struct change *x)
{
	char old[PREFIX_TEXT_MAX], new[PREFIX_TEXT_MAX];

	ip_prefix_format(old, &x->old.network);
	ip_prefix_format(new, &x->new.network);
	return json_pack("{s:b,s:s,s:s,s:I,s:s,s:o}", "success", 1, "old_subnet", old, "new_subnet",
			 new, "clients_updated", (json_int_t)x->plan.n, "backup_id", x->backup_id,
			 "ip_mapping", mapping_json(x));
}

/* Everything that can fail before anything is changed. */
static enum err_code change_prepare(struct change *x, json_t **data, struct err *e)
{
	enum err_code rc = moves_plan_make(&x->plan, x->core, &x->new.network, e);

	if (rc == ERR_OK)
		rc = backup_write(x, e);
	if (rc == ERR_OK)
		rc = step("subnet.backup", e);
	if (rc == ERR_OK) {
		*data = changed_json(x);
		if (!*data)
			rc = err_set(e, ERR_NOMEM, "change_subnet: out of memory");
	}
	return rc ? rc : store_begin(x->core->store, e);
}

static enum api_code change(struct core *c, const struct ip_prefix *to, json_t **data,
			    struct err *e)
{
	struct change x = { .core = c, .old = c->settings, .new = c->settings };
	char old[PREFIX_TEXT_MAX], new[PREFIX_TEXT_MAX];
	enum err_code rc;

	x.new.network = *to;
	ip_prefix_format(old, &x.old.network);
	ip_prefix_format(new, &x.new.network);
	rc = change_prepare(&x, data, e);
	if (rc == ERR_OK) {
		rc = change_make(&x, e);
		if (rc)
			change_undo(&x);
	}
	if (rc) {
		moves_plan_done(&x.plan);
		(void)err_wrap(e, rc, "the subnet stays %s", old);
		return API_NETWORK_ERROR;
	}
	(void)FAULT("subnet.committed");
	LOG_NOTE("subnet.changed", F_STR("old", old), F_STR("new", new), F_INT("clients", x.plan.n),
		 F_STR("backup", x.backup_id));
	moves_plan_done(&x.plan);
	return API_OK;
}

/* All reasons in one sentence. */
static void refuse(const struct subnet_check *check, struct err *e)
{
	AUTO(buf_done) struct buf all = { .limit = sizeof e->msg };
	const json_t *one;
	size_t i;

	json_array_foreach(check->errors, i, one)
		buf_printf(&all, "%s%s", i ? "; " : "", json_string_value(one));
	(void)err_set(e, ERR_INVALID, "new_subnet: %s", buf_view(&all).p);
}

enum api_code core_change_subnet(struct core *c, json_t *params, json_t **data, struct err *e)
{
	const json_t *v = json_object_get(params, "new_subnet");
	struct str text = { json_string_value(v), json_string_length(v) };
	struct subnet_check check = { 0 };
	enum api_code code = API_VALIDATION_ERROR;
	enum err_code rc;

	if (!json_is_true(json_object_get(params, "confirm"))) {
		(void)err_set(e, ERR_INVALID,
			      "every client needs a new configuration afterwards: say confirm=true "
			      "to change the subnet");
		return API_VALIDATION_ERROR;
	}
	rc = core_subnet_check(&check, c, text, e);
	if (rc)
		return core_code_of(rc);
	if (subnet_check_passed(&check))
		code = change(c, &check.wanted, data, e);
	else
		refuse(&check, e);
	subnet_check_done(&check);
	return code;
}
