#include "gateway/https_server.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "base/log.h"
#include "io/tcp.h"
#include "io/tls.h"

#define TLS_DIR "tls"
#define PASSED_ENV "QANAT_GATEWAY_HTTPS"
/* A caller in order sends one request a connection and keeps it; a panel has a pool of them. */
#define CONNECTIONS_PER_SOURCE 256

static const char *const api_names[HTTPS_APIS] = {
	[HTTPS_PEERS] = "peers", [HTTPS_AGENT] = "agent"
};

/* One API that is served. */
struct api {
	struct https_server *server;
	enum https_api which;
	struct https_listener l;
	struct endpoint bound[HTTPS_ADDRESSES_MAX];
	int fds[HTTPS_ADDRESSES_MAX]; /* ours; the HTTP server has a copy of each */
	size_t n;
	struct http_server *http; /* NULL: not served */
	bool stopped;
};

struct https_server {
	struct loop *loop;
	struct tls_server *tls;
	bool serving; /* it came up whole */
	struct api apis[HTTPS_APIS];
	char cert_path[PATH_MAX], key_path[PATH_MAX];
	enum err_code (*open_tls)(void *ctx, bool is_key, int *fd, struct err *e);
	void *ctx;
};

/* ---- texts of options ---- */

static enum err_code piece_bad(struct err *e, const char *option, struct str piece,
			       const char *wanted)
{
	char shown[96];

	text_escaped(shown, sizeof shown, piece);
	return err_set(e, ERR_INVALID, "%s: \"%s\" is not %s", option, shown, wanted);
}

static bool address_parse(struct str s, uint16_t port, struct endpoint *out)
{
	*out = (struct endpoint){ .port = port };
	return ip_parse(s, &out->addr) || endpoint_parse(s, out);
}

enum err_code https_addresses_parse(struct https_listener *l, const char *option, struct str text,
				    uint16_t port, struct err *e)
{
	struct str rest = text, piece;

	l->at_n = 0;
	while (str_cut(&rest, ',', &piece)) {
		if (l->at_n == HTTPS_ADDRESSES_MAX)
			return err_set(e, ERR_RANGE, "%s: more than %d addresses", option,
				       HTTPS_ADDRESSES_MAX);
		piece = str_trim(piece);
		if (!address_parse(piece, port, &l->at[l->at_n]))
			return piece_bad(e, option, piece,
					 "an address such as 192.0.2.1, 192.0.2.1:8000 or "
					 "[2001:db8::1]:8000");
		l->at_n++;
	}
	if (l->at_n == 0)
		return err_set(e, ERR_MISSING, "%s: no address is given", option);
	return ERR_OK;
}

/* Callers of IPv4 are seen as such: a network of mapped addresses would let nobody in. */
static void prefix_unmap(struct ip_prefix *p)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (p->addr.family != IP_V6 || p->len < 8 * sizeof mapped ||
	    memcmp(p->addr.b, mapped, sizeof mapped) != 0)
		return;
	p->addr = ip_v4(p->addr.b + sizeof mapped);
	p->len = (uint8_t)(p->len - 8 * sizeof mapped);
}

enum err_code https_networks_parse(struct https_listener *l, const char *option, struct str text,
				   struct err *e)
{
	struct str rest = text, piece;

	l->allow_n = 0;
	while (str_cut(&rest, ',', &piece)) {
		struct ip_prefix *p = &l->allow[l->allow_n];

		if (l->allow_n == HTTPS_NETWORKS_MAX)
			return err_set(e, ERR_RANGE, "%s: more than %d networks", option,
				       HTTPS_NETWORKS_MAX);
		piece = str_trim(piece);
		if (!ip_prefix_parse(piece, p))
			return piece_bad(e, option, piece,
					 "a network such as 192.0.2.0/24 or 2001:db8::/32");
		prefix_unmap(p);
		ip_prefix_mask(p);
		l->allow_n++;
	}
	/* An empty list would mean everybody, and nobody who writes an option wants to say that. */
	if (l->allow_n == 0)
		return err_set(e, ERR_MISSING, "%s: no network is given", option);
	return ERR_OK;
}

bool https_listener_admits(const struct https_listener *l, const struct ip_addr *from)
{
	for (size_t i = 0; i < l->allow_n; i++) {
		if (ip_prefix_contains(&l->allow[i], from))
			return true;
	}
	return l->allow_n == 0;
}

/* ---- what the HTTP server calls ---- */

static bool admit(void *ctx, const struct endpoint *peer)
{
	const struct api *a = ctx;
	bool ok = https_listener_admits(&a->l, &peer->addr);

	if (!ok)
		LOG_WARNING("https.not_admitted", F_STR("api", api_names[a->which]),
			    F_ENDPOINT("from", peer));
	return ok;
}

/* Three places, since each holds back on its own when there are many lines: a flood of one kind
 * does not hide the others. */
static void access_log(void *ctx, const struct http_access *x)
{
	const struct api *a = ctx;
	const struct log_field f[] = {
		F_STR("api", api_names[a->which]), F_STR("method", x->method),
		F_STR("route", x->pattern),	   F_INT("status", x->status),
		F_INT("bytes", x->bytes),	   F_INT("us", x->duration_ns / NS_PER_US),
		F_ENDPOINT("from", x->peer),	   F_STR("id", x->request_id),
	};
	static struct log_site failed, refused, served;

	if (x->status >= 500 && log_get_level() >= LOG_ERROR)
		log_event(&failed, LOG_ERROR, "https.request", f, ARRAY_LEN(f));
	else if (x->status >= 400 && x->status < 500 && log_get_level() >= LOG_WARN)
		log_event(&refused, LOG_WARN, "https.request", f, ARRAY_LEN(f));
	else if (x->status < 400 && log_get_level() >= LOG_INFO)
		log_event(&served, LOG_INFO, "https.request", f, ARRAY_LEN(f));
}

/* ---- the certificate ---- */

static enum err_code path_make(char out[PATH_MAX], const char *dir, const char *file, struct err *e)
{
	int n = snprintf(out, PATH_MAX, "%s/%s", dir, file);

	if (n < 0 || n >= PATH_MAX)
		return err_set(e, ERR_RANGE, "the name of the state directory is too long");
	return ERR_OK;
}

static enum err_code cert_own(struct https_server *s, const struct https_config *c, struct err *e)
{
	char dir[PATH_MAX];
	bool created = false;
	enum err_code rc = path_make(dir, c->state_dir, TLS_DIR, e);

	if (rc == ERR_OK)
		rc = path_make(s->cert_path, c->state_dir, HTTPS_CERT_FILE, e);
	if (rc == ERR_OK)
		rc = path_make(s->key_path, c->state_dir, HTTPS_KEY_FILE, e);
	if (rc == ERR_OK)
		rc = dir_make(dir, 0700, e);
	if (rc == ERR_OK)
		rc = tls_cert_ensure(s->cert_path, s->key_path, &c->names,
				     clock_real_ns() / NS_PER_S, &created, e);
	if (rc == ERR_OK && created)
		LOG_NOTE("https.certificate_made", F_STR("file", s->cert_path));
	return rc;
}

static enum err_code tls_file_open(void *ctx, const char *path, int *fd, struct err *e)
{
	const struct https_server *s = ctx;

	return s->open_tls(s->ctx, strcmp(path, s->key_path) == 0, fd, e);
}

static enum err_code cert_load(struct https_server *s, const struct https_config *c, struct err *e)
{
	static const char *const alpn[] = { "h2", "http/1.1", NULL };
	struct tls_options o = { .allow_tls12 = c->allow_tls12, .alpn = alpn };
	enum err_code rc = ERR_OK;

	if (!c->cert_path != !c->key_path)
		return err_set(e, ERR_MISSING,
			       "a certificate without its key, or a key without it");
	if (!c->cert_path)
		rc = cert_own(s, c, e);
	else if (!str_copy(s->cert_path, sizeof s->cert_path, str_of(c->cert_path)) ||
		 !str_copy(s->key_path, sizeof s->key_path, str_of(c->key_path)))
		rc = err_set(e, ERR_RANGE, "the name of the certificate or its key is too long");
	s->open_tls = c->open_tls;
	s->ctx = c->ctx;
	if (s->open_tls)
		o.opener = (struct tls_opener){ tls_file_open, s };
	o.cert_path = s->cert_path;
	o.key_path = s->key_path;
	return rc ? rc : tls_server_new(&s->tls, &o, e);
}

enum err_code https_server_reload(struct https_server *s, struct err *e)
{
	char fingerprint[TLS_FINGERPRINT_MAX];
	enum err_code rc = tls_server_reload(s->tls, s->cert_path, s->key_path, e);

	if (rc)
		return rc;
	tls_server_fingerprint(s->tls, fingerprint);
	LOG_NOTE("https.certificate_loaded", F_STR("fingerprint", fingerprint));
	return ERR_OK;
}

/* ---- sockets of the program before ---- */

size_t https_server_pass_on(struct https_server *s, int *fds, uint8_t *apis, size_t max)
{
	size_t n = 0;

	for (size_t i = 0; s && i < HTTPS_APIS; i++) {
		struct api *a = &s->apis[i];

		for (size_t k = 0; k < a->n && n < max; k++) {
			apis[n] = (uint8_t)i;
			fds[n++] = a->fds[k];
			a->fds[k] = -1;
		}
	}
	return n;
}

/* "0:17,0:18,1:19": which API, which descriptor. */
void https_listeners_keep(const int *fds, const uint8_t *apis, size_t n)
{
	struct buf text = { .limit = 1024 };

	for (size_t i = 0; i < n; i++)
		if (fcntl(fds[i], F_SETFD, 0) == 0) /* else it is opened anew then */
			buf_printf(&text, "%s%u:%d", text.n ? "," : "", apis[i], fds[i]);
	if (text.n && buf_ok(&text))
		(void)setenv(PASSED_ENV, text.p, 1);
	buf_done(&text);
}

struct passed {
	int fds[HTTPS_APIS * HTTPS_ADDRESSES_MAX]; /* -1: taken */
	enum https_api apis[HTTPS_APIS * HTTPS_ADDRESSES_MAX];
	size_t n;
};

/* Somebody else may have set the variable. */
static bool is_listening(int fd)
{
	int yes = 0;
	socklen_t len = sizeof yes;

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &yes, &len) == 0 && yes &&
	       fcntl(fd, F_SETFD, FD_CLOEXEC) == 0;
}

static void passed_take(struct passed *p)
{
	struct str rest = str_of(getenv(PASSED_ENV)), piece, api;
	uint32_t which, fd;

	*p = (struct passed){ 0 };
	while (p->n < ARRAY_LEN(p->fds) && str_cut(&rest, ',', &piece)) {
		if (!str_cut(&piece, ':', &api) || !u32_parse(api, 0, HTTPS_APIS - 1, &which) ||
		    !u32_parse(piece, 3, INT_MAX, &fd) || !is_listening((int)fd))
			continue;
		p->apis[p->n] = (enum https_api)which;
		p->fds[p->n++] = (int)fd;
	}
	(void)unsetenv(PASSED_ENV);
}

/* The socket that listens at `at` already, or -1. */
static int passed_find(struct passed *p, enum https_api api, const struct endpoint *at)
{
	for (size_t i = 0; i < p->n; i++) {
		struct endpoint local;
		int fd = p->fds[i];

		if (fd < 0 || p->apis[i] != api)
			continue;
		local = tcp_local(fd);
		if (endpoint_eq(&local, at)) {
			p->fds[i] = -1;
			return fd;
		}
	}
	return -1;
}

static void passed_close(struct passed *p)
{
	for (size_t i = 0; i < p->n; i++)
		fd_close(p->fds[i]);
}

void https_listeners_inherit(void)
{
	const char *before = getenv(PASSED_ENV);
	char *text = before ? str_dup(str_of(before)) : NULL;
	struct passed p;

	passed_take(&p);
	for (size_t i = 0; i < p.n; i++)
		(void)fcntl(p.fds[i], F_SETFD, 0); /* else it is opened anew */
	if (text)
		(void)setenv(PASSED_ENV, text, 1);
	free(text);
}

void https_listeners_leave(void)
{
	struct passed p;

	passed_take(&p);
	passed_close(&p);
}

/* ---- listening ---- */

static enum err_code socket_open(struct api *a, const struct endpoint *at, struct passed *p,
				 struct err *e)
{
	int copy, fd = passed_find(p, a->which, at);
	enum err_code rc = ERR_OK;

	if (fd >= 0)
		a->bound[a->n] = *at;
	else
		rc = tcp_listen(&fd, at, &a->bound[a->n], e);
	if (rc)
		return rc;
	a->fds[a->n++] = fd; /* from here on, https_server_close closes it */
	copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
	if (copy < 0)
		return err_sys(e, errno, "listen for the API of %s", api_names[a->which]);
	return http_server_adopt_listener(a->http, copy, e);
}

static void say_listening(const struct api *a, const struct endpoint *at)
{
	char fingerprint[TLS_FINGERPRINT_MAX];

	tls_server_fingerprint(a->server->tls, fingerprint);
	LOG_NOTE("https.listening", F_STR("api", api_names[a->which]), F_ENDPOINT("at", at),
		 F_STR("from", a->l.allow_n ? "the networks listed" : "everywhere"),
		 F_STR("fingerprint", fingerprint));
}

static enum err_code api_listen(struct api *a, struct passed *p, struct err *e)
{
	for (size_t i = 0; i < a->l.at_n; i++) {
		const struct endpoint *at = &a->l.at[i];
		enum err_code rc = socket_open(a, at, p, e);

		if (rc && a->l.any_family && at->addr.family == IP_V6 && a->n > 0 && e &&
		    (e->sys == EAFNOSUPPORT || e->sys == EADDRNOTAVAIL)) {
			LOG_NOTE("https.no_ipv6", F_STR("api", api_names[a->which]));
			continue;
		}
		if (rc)
			return err_wrap(e, rc, "API of %s", api_names[a->which]);
		say_listening(a, &a->bound[a->n - 1]);
	}
	return ERR_OK;
}

static enum err_code api_open(struct https_server *s, enum https_api which,
			      const struct https_listener *l, const struct http_service *service,
			      struct passed *p, struct err *e)
{
	struct api *a = &s->apis[which];
	struct http_server_options o = {
		.tls = s->tls,
		.limits = {
			.rate_per_s = l->rate_per_s ? l->rate_per_s : HTTPS_RATE_DEFAULT,
			.connections_per_source = CONNECTIONS_PER_SOURCE,
		},
		.admit = admit,
		.access = access_log,
		.ctx = a,
		.unrouted = service->unrouted,
	};
	enum err_code rc;

	a->server = s;
	a->which = which;
	a->l = *l;
	rc = http_server_new(&a->http, s->loop, &o, e);
	if (rc == ERR_OK)
		rc = http_server_add_routes(a->http, service->routes, service->count, service->ctx,
					    e);
	return rc ? err_wrap(e, rc, "service %s", service->name) : api_listen(a, p, e);
}

enum err_code https_server_open(struct https_server **out, struct loop *l,
				const struct https_config *c, struct err *e)
{
	struct https_server *s = calloc(1, sizeof *s);
	struct passed passed;
	enum err_code rc;

	passed_take(&passed); /* whatever follows: they must not stay open unheard */
	if (!s) {
		passed_close(&passed);
		return err_set(e, ERR_NOMEM, "out of memory for the HTTPS server");
	}
	s->loop = l;
	rc = cert_load(s, c, e);
	for (size_t i = 0; rc == ERR_OK && i < HTTPS_APIS; i++) {
		if (c->listeners[i].at_n)
			rc = api_open(s, (enum https_api)i, &c->listeners[i], &c->services[i],
				      &passed, e);
	}
	passed_close(&passed);
	if (rc) {
		https_server_close(s);
		return rc;
	}
	s->serving = true;
	*out = s;
	return ERR_OK;
}

/* ---- closing ---- */

static bool all_stopped(const struct https_server *s)
{
	for (size_t i = 0; i < HTTPS_APIS; i++) {
		if (s->apis[i].http && !s->apis[i].stopped)
			return false;
	}
	return true;
}

static void api_stopped(void *ctx)
{
	struct api *a = ctx;

	a->stopped = true;
	if (all_stopped(a->server))
		loop_stop(a->server->loop);
}

static void api_leave(struct api *a)
{
	for (size_t i = 0; i < a->n; i++)
		fd_close(a->fds[i]);
	a->n = 0;
}

/* A signal on the way ends the waiting: what is left is broken off. */
static void stop_in_order(struct https_server *s)
{
	struct err e;

	/* At once: who connects now would be kept waiting for nothing. */
	for (size_t i = 0; i < HTTPS_APIS; i++)
		api_leave(&s->apis[i]);
	for (size_t i = 0; i < HTTPS_APIS; i++) {
		if (s->apis[i].http)
			http_server_stop(s->apis[i].http, HTTPS_STOP_MS, api_stopped, &s->apis[i]);
	}
	if (!all_stopped(s) && loop_run(s->loop, &e))
		LOG_WARNING("https.stop_failed", F_ERR(&e));
}

void https_server_close(struct https_server *s)
{
	if (!s)
		return;
	if (s->serving)
		stop_in_order(s);
	for (size_t i = 0; i < HTTPS_APIS; i++) {
		struct api *a = &s->apis[i];

		http_server_free(a->http);
		api_leave(a);
	}
	tls_server_free(s->tls);
	free(s);
}

/* ---- status ---- */

static json_t *addresses_json(const struct api *a)
{
	json_t *list = json_array();
	char text[ENDPOINT_TEXT_MAX];

	for (size_t i = 0; i < a->n; i++) {
		endpoint_format(text, &a->bound[i]);
		(void)json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *networks_json(const struct api *a)
{
	json_t *list = json_array();
	char text[PREFIX_TEXT_MAX];

	for (size_t i = 0; i < a->l.allow_n; i++) {
		ip_prefix_format(text, &a->l.allow[i]);
		(void)json_array_append_new(list, json_string(text));
	}
	return list;
}

static json_t *api_json(const struct api *a)
{
	struct http_stats st;

	if (!a->http)
		return json_null();
	http_server_stats(a->http, &st);
	return json_pack("{s:o,s:o,s:I,s:I,s:I,s:I,s:I}", "listen", addresses_json(a), "allow",
			 networks_json(a), "connections", (json_int_t)st.connections, "requests",
			 (json_int_t)st.requests, "refused_connections",
			 (json_int_t)st.refused_connections, "bad_requests",
			 (json_int_t)st.bad_requests, "rate_limited", (json_int_t)st.rate_limited);
}

json_t *https_server_json(const struct https_server *s)
{
	char fingerprint[TLS_FINGERPRINT_MAX];

	tls_server_fingerprint(s->tls, fingerprint);
	return json_pack("{s:{s:s,s:s,s:s},s:o,s:o}", "certificate", "file", s->cert_path,
			 "fingerprint", fingerprint, "groups", tls_server_groups(s->tls), "peers",
			 api_json(&s->apis[HTTPS_PEERS]), "agent", api_json(&s->apis[HTTPS_AGENT]));
}

uint16_t https_server_port(const struct https_server *s, enum https_api api)
{
	return s->apis[api].n ? s->apis[api].bound[0].port : 0;
}
