/* test_dns_servers and status: the DNS servers are asked, all at once, and answered for later. */
#include "base/log.h"
#include "dns/query.h"
#include "core/core.h"

#define DNS_PORT 53
#define SERVERS_MAX 16 /* of one request */
#define TEST_NS (5 * NS_PER_S) /* details 1.3 */
#define STATUS_NS (3 * NS_PER_S)
#define RESPONSE_MAX 50 /* characters of an answer that status shows */

static const char *const status_domains[] = { "google.com", "cloudflare.com" };
#define PROBES_MAX MAX(SERVERS_MAX, 2 * ARRAY_LEN(status_domains))

struct dns_call;

/* One question to one server. */
struct probe {
	struct dns_call *call;
	struct dns_query *query; /* NULL: over */
	struct ip_addr server;
	struct str domain; /* in the call, or a constant */
	const char *status; /* OK, FAILED, TIMEOUT, ERROR */
	int64_t took_ns; /* negative: there was no answer */
	char text[160]; /* the address, or what went wrong */
};

/* A request under way. */
struct dns_call {
	struct list node;
	struct core_later later;
	json_t *(*data)(const struct dns_call *call);
	struct probe probes[PROBES_MAX];
	size_t count, pending;
	char domain[DNS_NAME_TEXT_MAX];
};

static bool passed(const struct probe *p)
{
	return strcmp(p->status, "OK") == 0;
}

/* ---- results ---- */

static json_t *text_or_null(const char *text)
{
	return text ? json_string(text) : json_null();
}

/* Milliseconds with one digit behind the point. */
static json_t *took_json(int64_t ns)
{
	return ns < 0 ? json_null() : json_real((double)((ns + 50000) / 100000) / 10);
}

static json_t *test_probe_json(const struct probe *p)
{
	char server[IP_TEXT_MAX];

	ip_format(server, &p->server);
	return json_pack("{s:s,s:b,s:s,s:o,s:s#,s:o}", "server", server, "success", passed(p),
			 "status", p->status, "response_time_ms", took_json(p->took_ns),
			 "test_domain", p->domain.p, (int)p->domain.n, "error",
			 text_or_null(passed(p) ? NULL : p->text));
}

static json_t *test_json(const struct dns_call *call)
{
	json_t *results = json_array();
	bool all = true, full = false;

	for (size_t i = 0; i < call->count; i++) {
		all = all && passed(&call->probes[i]);
		full = json_array_append_new(results, test_probe_json(&call->probes[i])) || full;
	}
	if (full) {
		json_decref(results);
		return NULL;
	}
	return json_pack("{s:b,s:I,s:o}", "all_passed", all, "servers_tested",
			 (json_int_t)call->count, "results", results);
}

static json_t *status_probe_json(const struct probe *p)
{
	size_t n = MIN(strlen(p->text), (size_t)RESPONSE_MAX);

	return json_pack("{s:s#,s:b,s:s#,s:o}", "domain", p->domain.p, (int)p->domain.n, "success",
			 passed(p), "response", p->text, (int)n, "response_time_ms",
			 took_json(p->took_ns));
}

/* The probes of a server stand together. */
static json_t *status_servers_json(const struct dns_call *call, bool *healthy)
{
	json_t *list = json_array();

	for (size_t i = 0; i < call->count; i += ARRAY_LEN(status_domains)) {
		json_t *tests = json_array();
		char server[IP_TEXT_MAX];

		ip_format(server, &call->probes[i].server);
		for (size_t j = i; j < i + ARRAY_LEN(status_domains); j++) {
			*healthy = *healthy && passed(&call->probes[j]);
			(void)json_array_append_new(tests, status_probe_json(&call->probes[j]));
		}
		(void)json_array_append_new(list, json_pack("{s:s,s:o}", "server", server, "tests",
							    tests));
	}
	return list;
}

static json_t *status_json(const struct dns_call *call)
{
	bool healthy = call->count > 0;
	json_t *servers = status_servers_json(call, &healthy);

	return json_pack("{s:s,s:o,s:{s:s,s:o}}", "mode", "standard", "configuration",
			 core_dns_servers_json(&call->later.core->settings), "health", "status",
			 healthy ? "healthy" : "degraded", "test_results", servers);
}

/* ---- asking ---- */

static void call_free(struct dns_call *call)
{
	for (size_t i = 0; i < call->count; i++)
		dns_query_cancel(call->probes[i].query);
	list_del(&call->node);
	free(call);
}

static void call_done(struct dns_call *call)
{
	json_t *data = call->data(call);
	struct core_later later = call->later;
	struct err e = { 0 };

	call_free(call);
	if (!data)
		(void)err_set(&e, ERR_NOMEM, "dns: out of memory");
	core_later_answer(&later, data ? API_OK : API_INTERNAL_ERROR, data, &e);
}

static void probe_failed(struct probe *p, const char *status, const char *text)
{
	p->status = status;
	text_escaped(p->text, sizeof p->text, str_of(text));
}

static void answered_judge(struct probe *p, const struct dns_result *r)
{
	struct ip_addr ip;

	p->took_ns = r->took_ns;
	p->status = "FAILED";
	if (r->rcode != DNS_NOERROR && r->rcode <= DNS_REFUSED)
		(void)snprintf(p->text, sizeof p->text, "%s for %.*s", dns_rcode_name(r->rcode),
			       (int)MIN(p->domain.n, (size_t)100), p->domain.p);
	else if (r->rcode != DNS_NOERROR)
		(void)snprintf(p->text, sizeof p->text, "response code %u", r->rcode);
	else if (!dns_result_address(r, &ip))
		(void)snprintf(p->text, sizeof p->text, "the answer holds no IPv4 address");
	else {
		p->status = "OK";
		ip_format(p->text, &ip);
	}
}

static void probe_done(void *ctx, const struct dns_result *r)
{
	struct probe *p = ctx;

	p->query = NULL;
	switch (r->outcome) {
	case DNS_ANSWERED:
		answered_judge(p, r);
		break;
	case DNS_TIMED_OUT:
		(void)snprintf(p->text, sizeof p->text, "no answer within %d s",
			       (int)(r->ask->timeout_ns / NS_PER_S));
		p->status = "TIMEOUT";
		break;
	case DNS_UNREACHABLE:
		(void)snprintf(p->text, sizeof p->text, "cannot be reached%s: %s",
			       r->tcp ? " by TCP" : "", strerror(r->sys));
		p->status = "ERROR";
		break;
	case DNS_GARBAGE:
		probe_failed(p, "ERROR", "what it sends is no answer to the question");
		break;
	}
	if (--p->call->pending == 0)
		call_done(p->call);
}

static void probe_start(struct probe *p, const struct dns_ask *ask)
{
	struct err e;

	if (dns_query_start(&p->query, p->call->later.core->loop, ask, probe_done, p, &e))
		probe_failed(p, "ERROR", e.msg);
	else
		p->call->pending++;
}

static void probe_add(struct dns_call *call, const struct ip_addr *server, struct str domain)
{
	BUG_ON(call->count == ARRAY_LEN(call->probes));
	call->probes[call->count++] =
		(struct probe){ .call = call, .server = *server, .domain = domain, .took_ns = -1 };
}

/* The loop calls back only after this, so the last probe is started before the first is done. */
static enum api_code call_start(struct core *c, struct dns_call *call, int64_t timeout_ns,
				json_t **data, struct err *e)
{
	for (size_t i = 0; i < call->count; i++) {
		struct probe *p = &call->probes[i];
		struct dns_ask ask = {
			.server = { .addr = p->server, .port = DNS_PORT },
			.type = DNS_A,
			.timeout_ns = timeout_ns,
		};

		BUG_ON(!dns_name_parse(&ask.name, p->domain));
		probe_start(p, &ask);
	}
	if (call->pending) {
		list_add_tail(&c->dns_calls, &call->node);
		return CORE_LATER;
	}
	*data = call->data(call);
	call_free(call);
	return *data ? API_OK : core_code_of(err_set(e, ERR_NOMEM, "dns: out of memory"));
}

static enum api_code call_new(struct core *c, json_t *(*data)(const struct dns_call *call),
			      struct dns_call **out, struct err *e)
{
	struct core_later later;
	struct dns_call *call;

	if (!core_later(c, &later, e))
		return API_SERVICE_ERROR;
	call = calloc(1, sizeof *call);
	if (!call)
		return core_code_of(err_set(e, ERR_NOMEM, "dns: out of memory"));
	if (!c->dns_calls.next)
		list_init(&c->dns_calls);
	call->later = later;
	call->data = data;
	*out = call;
	return API_OK;
}

void core_dns_cancel(struct core *c)
{
	struct err e;

	(void)err_set(&e, ERR_CLOSED, "the gateway is stopping");
	while (c->dns_calls.next && !list_empty(&c->dns_calls)) {
		struct dns_call *call = CONTAINER_OF(c->dns_calls.next, struct dns_call, node);
		struct core_later later = call->later;

		call_free(call);
		core_later_answer(&later, API_SERVICE_ERROR, NULL, &e);
	}
}

/* ---- the actions ---- */

struct servers {
	struct ip_addr ip[SERVERS_MAX];
	size_t n, given;
};

static void server_add(struct servers *s, struct str text)
{
	struct ip_addr ip;

	s->given++;
	if (s->n < SERVERS_MAX && ip_parse(str_trim(text), &ip))
		s->ip[s->n++] = ip;
}

static void servers_configured(struct servers *s, const struct settings *settings)
{
	for (size_t i = 0; i < ARRAY_LEN(settings->dns); i++) {
		if (settings->dns[i].family != IP_NONE)
			s->ip[s->n++] = settings->dns[i];
	}
	s->given = s->n;
}

/* A list of texts, or one text with commas. */
static enum api_code servers_given(struct servers *s, const json_t *v, struct err *e)
{
	struct str rest = { json_string_value(v), json_string_length(v) }, piece;
	const json_t *one;
	size_t i;

	if (!json_is_array(v) && !json_is_string(v)) {
		(void)err_set(e, ERR_INVALID,
			      "servers must be a list of addresses, such as "
			      "[\"8.8.8.8\",\"1.1.1.1\"]");
		return API_INVALID_PARAMETER;
	}
	json_array_foreach(v, i, one)
		server_add(s, (struct str){ json_string_value(one), json_string_length(one) });
	while (json_is_string(v) && str_cut(&rest, ',', &piece))
		server_add(s, piece);
	if (s->given > SERVERS_MAX) {
		(void)err_set(e, ERR_RANGE, "servers: %zu are given, at most %d are tested",
			      s->given, SERVERS_MAX);
		return API_INVALID_PARAMETER;
	}
	return API_OK;
}

/* The domain as given, once it is known to be a host's name. */
static enum err_code domain_take(struct dns_call *call, const json_t *v, struct err *e)
{
	struct str text = { json_string_value(v), json_string_length(v) };
	struct dns_name name;
	char shown[128];

	if (dns_name_parse(&name, text) && dns_name_is_host(&name) &&
	    str_copy(call->domain, sizeof call->domain, text))
		return ERR_OK;
	text_escaped(shown, sizeof shown, text);
	return err_set(e, ERR_INVALID, "domain: \"%s\" is not the name of a host, such as %s",
		       shown, status_domains[0]);
}

enum api_code core_test_dns_servers(struct core *c, json_t *params, json_t **data, struct err *e)
{
	const json_t *given = json_object_get(params, "servers");
	struct servers servers = { 0 };
	struct dns_call *call;
	enum api_code code = API_OK;

	if (given)
		code = servers_given(&servers, given, e);
	else
		servers_configured(&servers, &c->settings);
	if (code)
		return code;
	if (servers.n == 0) {
		(void)err_set(e, ERR_INVALID,
			      given ? "servers: none of the %zu given is an IP address"
				    : "no DNS servers are configured, and none are given",
			      servers.given);
		return API_VALIDATION_ERROR;
	}
	code = call_new(c, test_json, &call, e);
	if (code)
		return code;
	if (domain_take(call, json_object_get(params, "domain"), e)) {
		call_free(call);
		return API_INVALID_PARAMETER;
	}
	for (size_t i = 0; i < servers.n; i++)
		probe_add(call, &servers.ip[i], str_of(call->domain));
	return call_start(c, call, TEST_NS, data, e);
}

enum api_code core_dns_status(struct core *c, json_t *params, json_t **data, struct err *e)
{
	struct servers servers = { 0 };
	struct dns_call *call;
	enum api_code code = call_new(c, status_json, &call, e);

	(void)params;
	if (code)
		return code;
	servers_configured(&servers, &c->settings);
	for (size_t i = 0; i < servers.n; i++) {
		for (size_t j = 0; j < ARRAY_LEN(status_domains); j++)
			probe_add(call, &servers.ip[i], str_of(status_domains[j]));
	}
	return call_start(c, call, STATUS_NS, data, e);
}
