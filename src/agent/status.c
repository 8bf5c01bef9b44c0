/* /health, /v1/status, /v1/metrics: how the host and its interface are. */
#include <inttypes.h>

#include "base/fs.h"
#include "base/log.h"
#include "agent/iface.h"

/* Characters of a key in a label, as panels know it; all of them where that would be another's, too: a series that
 * stands twice spoils the page. */
#define LABEL_KEY_LEN 16
#define METRICS_TYPE "text/plain; version=0.0.4; charset=utf-8"

static int64_t wall_ns(const struct agent *a)
{
	const struct core *c = a->c.core;

	return c->host.wall_ns(c->host.ctx);
}

static double seconds(int64_t ns)
{
	return (double)(ns / NS_PER_MS) / 1000.0;
}

/* ---- /health ---- */

void agent_health(struct http_request *r, void *ctx)
{
	const struct agent *a = ctx;
	int64_t now = wall_ns(a);

	agent_json(r, 200,
		   json_pack("{s:s,s:f,s:f,s:s}", "status", "ok", "timestamp", seconds(now),
			     "uptime", seconds(now - a->started_ns), "version", AGENT_VERSION));
}

/* ---- /v1/status ---- */

/* Of all interfaces but lo. */
struct traffic {
	uint64_t received_bytes, received_packets, sent_bytes, sent_packets;
};

/* proc_pid_net(5): "  eth0: bytes packets errs drop fifo frame compressed multicast bytes …". */
static void traffic_read(struct traffic *t)
{
	AUTO(buf_done) struct buf text = { 0 };
	struct str rest, line, name, word;

	*t = (struct traffic){ 0 };
	if (file_read(&text, "/proc/net/dev", 1u << 20, NULL))
		return;
	rest = buf_view(&text);
	while (str_cut(&rest, '\n', &line)) {
		uint64_t v[10] = { 0 };
		size_t n = 0;

		if (!memchr(line.p, ':', line.n) || !str_cut(&line, ':', &name) ||
		    str_eq(str_trim(name), STR("lo")))
			continue;
		while (n < ARRAY_LEN(v) && str_cut(&line, ' ', &word)) {
			if (word.n && u64_parse(word, 0, UINT64_MAX, &v[n]))
				n++;
		}
		t->received_bytes += v[0];
		t->received_packets += v[1];
		t->sent_bytes += v[8];
		t->sent_packets += v[9];
	}
}

/* What cannot be read is zero: the rest of a status is worth having. */
static struct host_usage usage_read(struct agent *a)
{
	struct host_usage u;
	struct err e;

	if (host_usage_read(&u, &a->ticks, a->c.core->state_dir, &e))
		LOG_WARNING("agent.host_usage", F_ERR(&e));
	return u;
}

static json_t *system_json(struct agent *a)
{
	struct host_usage u = usage_read(a);
	struct traffic t;

	traffic_read(&t);
	return json_pack("{s:f,s:{s:I,s:I,s:f,s:I},s:{s:I,s:I,s:I,s:f},s:{s:I,s:I,s:I,s:I}}",
			 "cpu_percent", u.cpu_percent, "memory", "total",
			 (json_int_t)u.memory_total, "available", (json_int_t)u.memory_available,
			 "percent", host_memory_percent(&u), "used",
			 (json_int_t)(u.memory_total - u.memory_available), "disk", "total",
			 (json_int_t)u.disk_total, "used", (json_int_t)u.disk_used, "free",
			 (json_int_t)u.disk_free, "percent", host_disk_percent(&u), "network",
			 "bytes_sent", (json_int_t)t.sent_bytes, "bytes_recv",
			 (json_int_t)t.received_bytes, "packets_sent", (json_int_t)t.sent_packets,
			 "packets_recv", (json_int_t)t.received_packets);
}

struct count {
	int64_t now;
	uint64_t active, rx, tx, peers;
};

static bool count_peer(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	struct count *n = ctx;

	(void)ips;
	n->peers++;
	n->active += wg_is_connected(p->last_handshake_wall_ns, n->now);
	n->rx += p->rx_bytes;
	n->tx += p->tx_bytes;
	return true;
}

/* A device keeps the sums: where there is one, a status walks through no peers. */
static enum err_code count_all(const struct agent_iface *i, struct count *n, struct err *e)
{
	struct dataplane_status d;

	if (!i->ops->status(i, &d))
		return i->ops->walk(i, count_peer, n, e);
	n->peers = d.peer_count;
	n->active = d.connected_count;
	n->rx = d.rx_bytes;
	n->tx = d.tx_bytes;
	return ERR_OK;
}

static json_t *interface_json(const struct agent_iface *i, const struct count *n)
{
	return json_pack("{s:s,s:I,s:I,s:I,s:I}", "status", agent_is_up(i) ? "up" : "down",
			 "peer_count", (json_int_t)n->peers, "active_peers", (json_int_t)n->active,
			 "total_rx_bytes", (json_int_t)n->rx, "total_tx_bytes", (json_int_t)n->tx);
}

/* Takes `interfaces` over; NULL without memory. */
static json_t *wireguard_json(json_t *interfaces)
{
	return json_pack("{s:o,s:i}", "interfaces", interfaces, "interface_count",
			 (int)json_object_size(interfaces));
}

void agent_status(struct http_request *r, void *ctx)
{
	struct agent *a = ctx;
	struct agent_iface all[AGENT_IFACES_MAX];
	size_t n = agent_ifaces(a, all);
	json_t *interfaces = json_object();
	int64_t now = wall_ns(a);
	struct err e;

	for (size_t i = 0; i < n; i++) {
		struct count c = { .now = now };

		if (count_all(&all[i], &c, &e)) {
			json_decref(interfaces);
			agent_fail(r, &e);
			return;
		}
		(void)json_object_set_new(interfaces, all[i].ifname, interface_json(&all[i], &c));
	}
	agent_json(r, 200,
		   json_pack("{s:s,s:f,s:f,s:s,s:o,s:o}", "status", "ok", "timestamp", seconds(now),
			     "uptime", seconds(now - a->started_ns), "version", AGENT_VERSION,
			     "system", system_json(a), "wireguard", wireguard_json(interfaces)));
}

/* ---- /v1/metrics ---- */

/* "0.25": a part of 1 in thousandths; what is no such number counts as nothing. */
static unsigned thousandths(struct str s)
{
	unsigned q = 0, unit = 1000;

	for (size_t i = 0; i < s.n; i++) {
		if (i == 1 ? s.p[i] != '.' : s.p[i] < '0' || s.p[i] > '9')
			return 0;
		if (i == 1)
			continue;
		q += (unsigned)(s.p[i] - '0') * unit;
		unit /= 10;
	}
	return MIN(q, 1000);
}

/* How welcome a type is (RFC 9110 12.5.1) that is named; 0: it is not. */
static unsigned welcome(struct str accept, struct str type)
{
	struct str range, part;

	while (str_cut(&accept, ',', &range)) {
		unsigned q = 1000;

		if (!str_cut(&range, ';', &part) || !str_eq_nocase(str_trim(part), type))
			continue;
		while (str_cut(&range, ';', &part)) {
			part = str_trim(part);
			if (str_starts(part, STR("q=")) || str_starts(part, STR("Q=")))
				q = thousandths((struct str){ part.p + 2, part.n - 2 });
		}
		return q;
	}
	return 0;
}

bool agent_wants_json(struct str accept)
{
	unsigned json = welcome(accept, STR("application/json"));

	return json && json >= welcome(accept, STR("text/plain"));
}

struct peer_metrics {
	char key[KEY_TEXT_MAX];
	uint64_t rx, tx;
	int64_t age_s; /* of the last handshake; -1: there was none */
};

struct metrics {
	struct agent_iface of;
	struct count n;
	struct peer_metrics *p;
	size_t cap;
	bool no_memory;
};

static bool metrics_peer(void *ctx, const struct wg_peer_info *p, const struct ip_prefix *ips)
{
	struct metrics *m = ctx;
	int64_t age = m->n.now - p->last_handshake_wall_ns;
	struct peer_metrics *to;

	if (m->n.peers == m->cap) {
		size_t cap = m->cap ? m->cap * 2 : 64;
		struct peer_metrics *more = reallocarray(m->p, cap, sizeof *more);

		if (!more) {
			m->no_memory = true;
			return false;
		}
		m->p = more;
		m->cap = cap;
	}
	to = &m->p[m->n.peers];
	public_key_text(to->key, &p->public_key);
	to->rx = p->rx_bytes;
	to->tx = p->tx_bytes;
	to->age_s = p->last_handshake_wall_ns ? (age > 0 ? age / NS_PER_S : 0) : -1;
	return count_peer(&m->n, p, ips);
}

static int by_key(const void *a, const void *b)
{
	const struct peer_metrics *x = a, *y = b;

	return strcmp(x->key, y->key);
}

static bool begin_same(const struct peer_metrics *a, const struct peer_metrics *b)
{
	return memcmp(a->key, b->key, LABEL_KEY_LEN) == 0;
}

/* Orders them by key, and cuts the keys to what the labels hold. */
static void labels_make(struct metrics *m)
{
	bool same = false, next;

	if (m->n.peers)
		qsort(m->p, m->n.peers, sizeof *m->p, by_key);
	for (size_t i = 0; i < m->n.peers; i++) {
		next = i + 1 < m->n.peers && begin_same(&m->p[i], &m->p[i + 1]);
		if (!same && !next)
			m->p[i].key[LABEL_KEY_LEN] = 0;
		same = next;
	}
}

static void header_add(struct buf *out, const char *name, const char *type, const char *help)
{
	buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void gauge_add(struct buf *out, const char *name, const char *help, double v)
{
	header_add(out, name, "gauge", help);
	buf_printf(out, "%s %.15g\n", name, v);
}

static uint64_t peers_of(const struct metrics *m)
{
	return m->n.peers;
}

static uint64_t active_of(const struct metrics *m)
{
	return m->n.active;
}

static uint64_t rx_of(const struct metrics *m)
{
	return m->n.rx;
}

static uint64_t tx_of(const struct metrics *m)
{
	return m->n.tx;
}

/* Names of interfaces (base/ifname.h) and base64 hold nothing that a label would have to escape. */
static void interfaces_add(struct buf *out, const struct metrics *m, size_t n)
{
	static const struct {
		const char *name, *type, *help;
		uint64_t (*value)(const struct metrics *m);
	} rows[] = {
		{ "wireguard_peers_total", "gauge", "Peers of the interface", peers_of },
		{ "wireguard_peers_active", "gauge", "Peers with a handshake within 180 seconds",
		  active_of },
		{ "wireguard_interface_receive_bytes_total", "counter",
		  "Bytes received by the interface", rx_of },
		{ "wireguard_interface_transmit_bytes_total", "counter",
		  "Bytes sent by the interface", tx_of },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		header_add(out, rows[i].name, rows[i].type, rows[i].help);
		for (size_t k = 0; k < n; k++)
			buf_printf(out, "%s{interface=\"%s\"} %" PRIu64 "\n", rows[i].name,
				   m[k].of.ifname, rows[i].value(&m[k]));
	}
}

/* Row `i` of peers_add for one interface. */
static void peer_rows_add(struct buf *out, const struct metrics *m, size_t i, const char *name)
{
	for (size_t k = 0; k < m->n.peers; k++) {
		const struct peer_metrics *p = &m->p[k];

		if (i == 2 && p->age_s < 0)
			continue;
		buf_printf(out, "%s{interface=\"%s\",public_key=\"%s\"} %" PRIu64 "\n", name,
			   m->of.ifname, p->key,
			   i == 0   ? p->rx
			   : i == 1 ? p->tx
				    : (uint64_t)p->age_s);
	}
}

static void peers_add(struct buf *out, const struct metrics *m, size_t n)
{
	static const struct {
		const char *name, *type, *help;
	} rows[] = {
		{ "wireguard_peer_receive_bytes_total", "counter", "Bytes received from the peer" },
		{ "wireguard_peer_transmit_bytes_total", "counter", "Bytes sent to the peer" },
		{ "wireguard_peer_last_handshake_seconds", "gauge",
		  "Seconds since the peer's last handshake" },
	};

	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		header_add(out, rows[i].name, rows[i].type, rows[i].help);
		for (size_t k = 0; k < n; k++)
			peer_rows_add(out, &m[k], i, rows[i].name);
	}
}

static void metrics_text(struct http_request *r, struct agent *a, const struct metrics *m, size_t n)
{
	struct buf out = { 0 };
	struct host_usage u = usage_read(a);

	gauge_add(&out, "wgdashboard_agent_cpu_percent", "Use of the processors in percent",
		  u.cpu_percent);
	gauge_add(&out, "wgdashboard_agent_memory_used_bytes", "Memory in use",
		  (double)(u.memory_total - u.memory_available));
	gauge_add(&out, "wgdashboard_agent_memory_percent", "Memory in use in percent",
		  host_memory_percent(&u));
	gauge_add(&out, "wgdashboard_agent_disk_used_bytes", "Disk space in use",
		  (double)u.disk_used);
	gauge_add(&out, "wireguard_interface_count", "WireGuard interfaces", (double)n);
	interfaces_add(&out, m, n);
	peers_add(&out, m, n);
	http_respond(r, 200, METRICS_TYPE, &out);
	buf_done(&out);
}

static json_t *peers_json(const struct metrics *m)
{
	json_t *list = json_array();

	for (size_t i = 0; i < m->n.peers; i++) {
		const struct peer_metrics *p = &m->p[i];

		if (json_array_append_new(list, json_pack("{s:s,s:I,s:I,s:o}", "public_key", p->key,
							  "receive_bytes_total", (json_int_t)p->rx,
							  "transmit_bytes_total", (json_int_t)p->tx,
							  "last_handshake_seconds",
							  p->age_s < 0 ? json_null()
								       : json_integer(p->age_s)))) {
			json_decref(list);
			return NULL;
		}
	}
	return list;
}

static void metrics_json(struct http_request *r, struct agent *a, const struct metrics *m, size_t n,
			 int64_t now)
{
	json_t *interfaces = json_object(), *one;

	for (size_t i = 0; i < n; i++) {
		one = interface_json(&m[i].of, &m[i].n);
		if (json_object_set_new(one, "peers", peers_json(&m[i])) ||
		    json_object_set(interfaces, m[i].of.ifname, one)) {
			json_decref(one);
			json_decref(interfaces);
			agent_json(r, 500, NULL);
			return;
		}
		json_decref(one);
	}
	agent_json(r, 200,
		   json_pack("{s:f,s:o,s:o}", "timestamp", seconds(now), "system", system_json(a),
			     "wireguard", wireguard_json(interfaces)));
}

void agent_metrics(struct http_request *r, void *ctx)
{
	struct agent *a = ctx;
	struct agent_iface all[AGENT_IFACES_MAX];
	struct metrics m[AGENT_IFACES_MAX] = { 0 };
	size_t n = agent_ifaces(a, all);
	bool wants_json = agent_wants_json(http_header(r, "accept"));
	int64_t now = wall_ns(a);
	struct err e;
	enum err_code rc = ERR_OK;

	for (size_t i = 0; rc == ERR_OK && i < n; i++) {
		m[i] = (struct metrics){ .of = all[i], .n.now = now };
		rc = all[i].ops->walk(&all[i], metrics_peer, &m[i], &e);
		if (rc == ERR_OK && m[i].no_memory)
			rc = err_set(&e, ERR_NOMEM, "read the peers: out of memory");
		labels_make(&m[i]);
	}
	if (rc)
		agent_fail(r, &e);
	else if (wants_json)
		metrics_json(r, a, m, n, now);
	else
		metrics_text(r, a, m, n);
	for (size_t i = 0; i < n; i++)
		free(m[i].p);
}
