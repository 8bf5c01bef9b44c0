#include "gateway/clean_up.h"

#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "agent/agent.h"
#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "device/uapi_server.h"
#include "gateway/control_server.h"
#include "gateway/helper_process.h"
#include "gateway/rights.h"
#include "priv/helper_serve.h"
#include "tunnels/tunnels.h"

/* A directory without a store was never a gateway's; opening it would make one. */
static enum err_code state_exists(bool *out, const char *state_dir, struct err *e)
{
	char path[PATH_MAX];
	int n = snprintf(path, sizeof path, "%s/" STORE_FILE, state_dir);

	if (n < 0 || (size_t)n >= sizeof path)
		return err_set(e, ERR_RANGE, "the name of the state directory is too long");
	*out = access(path, F_OK) == 0;
	if (!*out && errno != ENOENT)
		return err_sys(e, errno, "look at %s", path);
	return ERR_OK;
}

/* Processes of a gateway that was killed end by themselves, a moment after it.  For all sockets together. */
#define PATIENCE_NS (3 * NS_PER_S)
#define PAUSE_NS (20 * NS_PER_MS)

typedef enum err_code listen_fn(int *out, const char *name, struct err *e);

/* Whether somebody still serves a socket is for those who listen to find out: what can be listened
 * at is nobody's.  ERR_IN_USE: somebody does, and goes on. */
static enum err_code listen_soon(int *out, listen_fn *listen, const char *name, int64_t until,
				 struct err *e)
{
	const struct timespec pause = { .tv_nsec = PAUSE_NS };
	enum err_code rc;

	for (;;) {
		rc = listen(out, name, e);
		if (rc != ERR_IN_USE || clock_mono_ns() >= until)
			return rc;
		(void)nanosleep(&pause, NULL);
	}
}

static enum err_code control_socket_remove(const char *path, int64_t until, struct err *e)
{
	struct stat st;
	enum err_code rc;
	int fd = -1;

	if (lstat(path, &st) < 0 || !S_ISSOCK(st.st_mode))
		return ERR_OK;
	rc = listen_soon(&fd, control_listen, path, until, e);
	if (rc == ERR_IN_USE)
		return ERR_OK;
	if (rc == ERR_OK && unlink(path) < 0)
		rc = err_sys(e, errno, "remove %s", path);
	fd_close(fd);
	return rc;
}

static enum err_code uapi_socket_remove(const char *ifname, int64_t until, struct err *e)
{
	int fd = -1;
	enum err_code rc = listen_soon(&fd, uapi_listen, ifname, until, e);

	if (rc == ERR_IN_USE)
		return ERR_OK;
	if (rc == ERR_OK)
		uapi_unlisten(ifname);
	fd_close(fd);
	return rc;
}

/* ---- what the store tells of ---- */

/* As much of a gateway as the store's functions need. */
struct cleaning {
	struct core core;
	struct tunnels *tunnels;
	int64_t until;
	enum err_code rc; /* the first failure, in *e */
	struct err *e;
};

static void keep_first(struct cleaning *c, enum err_code rc, const struct err *why)
{
	if (!rc || c->rc)
		return;
	c->rc = rc;
	*c->e = *why;
}

static enum err_code hooks_run_here(void *ctx, const char *ifname, const char *text, bool goes_on,
				    struct err *e)
{
	const struct options *o = ctx;

	return helper_hooks_run(ifname, text, buf_view(&o->api.commands), goes_on, e);
}

/* The gateway's own is named by the option, or as stored: a first run that crashed has not stored it. */
static enum err_code cleaning_begin(struct cleaning *c, struct options *o, struct store *s,
				    struct err *e)
{
	const struct tunnels_config further = { .core = &c->core };
	struct settings_given given = { 0 };
	enum err_code rc;

	given.v[SETTING_INTERFACE] = o->given.v[SETTING_INTERFACE];
	c->core.store = s;
	c->core.host.hooks = hooks_run_here;
	c->core.host.ctx = o;
	rc = settings_load(&c->core.settings, s, &given, e);
	return rc ? rc : tunnels_open(&c->tunnels, &further, e);
}

static void all_commands_undo(struct cleaning *c)
{
	struct err e;

	keep_first(c, agent_hooks(&c->core, c->core.settings.ifname, false, &e), &e);
	LIST_FOR(pos, &c->tunnels->list) {
		struct tunnel *t = CONTAINER_OF(pos, struct tunnel, node);

		keep_first(c, tunnel_commands(t, false, &e), &e);
	}
}

/* Another key: somebody else's by now, and the name is all that it has of ours. */
static enum err_code link_of(struct device **out, const char *ifname, const struct public_key *key,
			     struct err *e)
{
	const struct device_kernel_config c = { .ifname = ifname, .existing = DEVICE_MUST_EXIST };
	struct dataplane_status now;
	struct device *d = NULL;
	enum err_code rc = device_open_kernel(&d, &c, e);

	*out = NULL;
	/* None, one of another kind, or a kernel without WireGuard: nothing that outlives its process. */
	if (rc == ERR_NOT_FOUND || rc == ERR_IN_USE || rc == ERR_UNSUPPORTED)
		return ERR_OK;
	if (rc == ERR_OK)
		rc = device_status(d, &now, e);
	if (rc == ERR_OK && now.has_private_key && !ct_equal(&now.public_key, key, KEY_LEN)) {
		LOG_WARNING("device.stays", F_STR("interface", ifname),
			    F_STR("why", "its key is not the one that is stored"));
	} else if (rc == ERR_OK) {
		*out = d;
		return ERR_OK;
	}
	device_close(d);
	return rc;
}

/* False: something of it may still be there. */
static bool link_delete(struct cleaning *c, const char *ifname, const struct public_key *key)
{
	struct device *d;
	struct err e;
	enum err_code rc = link_of(&d, ifname, key, &e);

	if (rc == ERR_OK && d)
		rc = device_delete(d, &e);
	keep_first(c, rc, &e);
	return rc == ERR_OK;
}

static void tunnel_delete(struct cleaning *c, struct tunnel *t)
{
	struct store_tunnel row;
	struct err e;
	enum err_code rc = store_tunnel(c->core.store, t->name, false, &row, &e);

	if (rc == ERR_OK && row.may_be_live && link_delete(c, t->name, &t->key))
		rc = tunnel_renounce(t, &e);
	keep_first(c, rc, &e);
}

/* A daemon keeps its interface, but neither our key nor our clients. */
static enum err_code daemon_leave(const char *path, const struct public_key *key, struct err *e)
{
	const struct device_uapi_config c = { .fd = -1, .path = path };
	const struct device_change no_key = { .has_private_key = true };
	struct dataplane_status now;
	struct device *d = NULL;
	enum err_code rc = device_open_uapi(&d, &c, e);

	if (rc == ERR_OK)
		rc = device_status(d, &now, e);
	if (rc == ERR_OK && now.has_private_key && ct_equal(&now.public_key, key, KEY_LEN)) {
		rc = device_remove_peers(d, e);
		rc = rc ? rc : device_set(d, &no_key, e);
	}
	device_close(d);
	return rc;
}

static void own_delete(struct cleaning *c, const struct options *o)
{
	struct device_choice choice = { 0 };
	struct secret_key k;
	struct public_key own;
	struct err e;
	enum err_code rc = store_secret(c->core.store, CORE_SERVER_KEY, k.b, KEY_LEN, &e);

	if (rc == ERR_NOT_FOUND)
		return;
	if (rc == ERR_OK) {
		public_key_of(&own, &k);
		wipe(&k, sizeof k);
		rc = device_choice_parse(&choice, o->backend, &e);
	}
	if (rc == ERR_OK && choice.kind == DEVICE_UAPI)
		rc = access(choice.path, F_OK) == 0 ? daemon_leave(choice.path, &own, &e) : ERR_OK;
	else if (rc == ERR_OK)
		(void)link_delete(c, c->core.settings.ifname, &own);
	keep_first(c, rc, &e);
}

/* Of the gateway's own, the journal says that it may be there. */
static void devices_delete(struct cleaning *c, const struct options *o)
{
	if (helper_process_left(o->state_dir))
		own_delete(c, o);
	LIST_FOR(pos, &c->tunnels->list) {
		tunnel_delete(c, CONTAINER_OF(pos, struct tunnel, node));
	}
}

static void uapi_sockets_remove(struct cleaning *c)
{
	struct err e;

	keep_first(c, uapi_socket_remove(c->core.settings.ifname, c->until, &e), &e);
	LIST_FOR(pos, &c->tunnels->list) {
		const struct tunnel *t = CONTAINER_OF(pos, struct tunnel, node);

		keep_first(c, uapi_socket_remove(t->name, c->until, &e), &e);
	}
}

/* In the order of a stop: commands while their interface is there, interfaces before their masquerade. */
static enum err_code stored_clean_up(struct options *o, struct store *s, int64_t until,
				     struct err *e)
{
	struct cleaning *c = calloc(1, sizeof *c);
	enum err_code rc;

	if (!c)
		return err_set(e, ERR_NOMEM, "out of memory");
	c->until = until;
	c->e = e;
	rc = cleaning_begin(c, o, s, e);
	if (rc == ERR_OK) {
		all_commands_undo(c);
		devices_delete(c, o);
		uapi_sockets_remove(c);
		rc = c->rc;
	}
	tunnels_close(c->tunnels);
	free(c);
	return rc;
}

/* All of it is tried; the first failure is the answer.  A store that cannot be read is no reason
 * to leave the host as it is: only the interface's name is missing then. */
enum err_code gateway_clean_up(struct options *o, struct err *e)
{
	int64_t until = clock_mono_ns() + PATIENCE_NS;
	struct store *s = NULL;
	bool exists;
	enum err_code rc = state_exists(&exists, o->state_dir, e), next;

	if (rc || !exists)
		return rc;
	if (api_options_read_commands(&o->api, e))
		LOG_WARNING("agent.commands", F_ERR(e)); /* the rest is worth doing */
	rights_take_back(o->state_dir);
	rc = store_open(&s, o->state_dir, e);
	if (rc == ERR_IN_USE)
		return rc;
	if (rc == ERR_OK)
		rc = stored_clean_up(o, s, until, e);
	next = control_socket_remove(o->socket, until, rc ? NULL : e);
	rc = rc ? rc : next;
	next = helper_process_undo(o->state_dir, rc ? NULL : e);
	rc = rc ? rc : next;
	store_close(s);
	return rc;
}
