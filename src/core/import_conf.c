/* Files of wg-quick(8): a server's, and those of its clients. */
#include "base/bytes.h"
#include "core/import.h"

/* What the scripts that install WireGuard write around a peer: "### Client laptop", "### begin laptop ###",
 * "# BEGIN_PEER laptop", and after the one before "# END_PEER tablet", "### end tablet ###". */
static struct str comment_name(struct str s)
{
	static const struct {
		struct str word;
		bool names;
	} words[] = { { { "Client ", 7 }, true },
		      { { "BEGIN_PEER ", 11 }, true },
		      { { "begin ", 6 }, true },
		      { { "END_PEER ", 9 }, false },
		      { { "end ", 4 }, false } };
	bool framed = s.n && s.p[0] == '#';

	while (s.n && (s.p[0] == '#' || s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == '#' || s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		/* "end of the hall" is somebody's own words. */
		if (!str_starts(s, words[i].word) || (!framed && words[i].word.p[0] > 'Z'))
			continue;
		s.p += words[i].word.n;
		s.n -= words[i].word.n;
		return words[i].names ? str_trim(s) : (struct str){ 0 };
	}
	return s;
}

/* A comment is for people: what a client's name may not hold becomes '_'. */
static void name_fit(struct import *m, const char *file, char out[CLIENT_NAME_MAX + 1],
		     struct str comment)
{
	size_t n = MIN(comment.n, (size_t)CLIENT_NAME_MAX);
	char shown[80];
	bool changed = comment.n > n;

	for (size_t i = 0; i < n; i++) {
		char c = comment.p[i];
		bool ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
			  (c >= '0' && c <= '9') || c == '_' || c == '-';

		out[i] = ok ? c : '_';
		changed = changed || !ok;
	}
	out[n] = 0;
	text_escaped(shown, sizeof shown, comment);
	if (changed)
		import_warning(m, "%s: \"%s\" becomes %s", file, shown, out);
}

/* How it is called in sentences: by its key while it has no name. */
static const char *called(const struct client *c, char key[KEY_TEXT_MAX])
{
	if (*c->name)
		return c->name;
	public_key_text(key, &c->public_key);
	return key;
}

/* The one address that is its own, of each family; anything more is a network behind it. */
static void allowed_read(struct import *m, const char *file, const struct wg_conf_peer *p,
			 struct client *c)
{
	char text[PREFIX_TEXT_MAX], key[KEY_TEXT_MAX];

	for (size_t i = 0; i < p->allowed_ip_count; i++) {
		const struct ip_prefix *a = &p->allowed_ips[i];

		if (a->addr.family == IP_V4 && a->len == 32 && c->ip.family == IP_NONE) {
			c->ip = a->addr;
		} else if (a->addr.family == IP_V6 && a->len == 128 && c->ip6.family == IP_NONE) {
			c->ip6 = a->addr;
		} else {
			ip_prefix_format(text, a);
			import_conflict(m,
					"%s: client %s has %s besides its address, which a client "
					"of this gateway cannot have",
					file, called(c, key), text);
		}
	}
	if (c->ip.family == IP_NONE)
		import_conflict(m, "%s: client %s has no IPv4 address of its own", file,
				called(c, key));
}

/* A peer that a clients.db has named already is only compared with it. */
static void peer_known(struct import *m, const char *file, const struct wg_conf_peer *p,
		       const struct client *known)
{
	struct client c = { 0 };

	memcpy(c.name, known->name, sizeof c.name);
	allowed_read(m, file, p, &c);
	if (c.ip.family == IP_V4 && !ip_eq(&c.ip, &known->ip))
		import_conflict(m, "%s: client %s has another address than in the files before",
				file, c.name);
	if (p->has_psk && !ct_equal(&p->psk, &known->psk, sizeof p->psk))
		import_conflict(m,
				"%s: client %s has another preshared key than in the files before",
				file, c.name);
}

static void peer_read(struct import *m, const char *file, const struct wg_conf_peer *p)
{
	const struct client *known = import_client_find(m, &p->public_key);
	struct client *c;

	if (known) {
		peer_known(m, file, p, known);
		return;
	}
	c = import_client_add(m);
	if (!c)
		return;
	c->public_key = p->public_key;
	c->enabled = true;
	if (p->has_psk)
		c->psk = p->psk;
	if (p->name)
		name_fit(m, file, c->name, comment_name(str_of(p->name)));
	allowed_read(m, file, p, c);
}

static void address6_more(struct import *m, const char *file, const struct ip_prefix *a)
{
	char text[PREFIX_TEXT_MAX];

	ip_prefix_format(text, a);
	if (!ip_eq(&a->addr, &m->address6.addr) || a->len != m->address6.len)
		import_warning(m, "%s: the IPv6 address %s is left out: one is taken over", file,
			       text);
}

void import_conf_server(struct import *m, const char *file, const struct wg_conf *conf)
{
	if (conf->has_private_key)
		import_key(m, file, &conf->private_key);
	if (conf->has_listen_port)
		import_port(m, file, conf->listen_port);
	for (size_t i = 0; i < conf->address_count; i++) {
		if (conf->addresses[i].addr.family == IP_V4)
			import_network(m, file, &conf->addresses[i]);
		else if (m->address6.addr.family == IP_NONE)
			m->address6 = conf->addresses[i];
		else
			address6_more(m, file, &conf->addresses[i]);
	}
	if (conf->command_count)
		import_warning(m,
			       "%s: %zu commands (PostUp and such) are left out: this gateway "
			       "forwards and translates by itself",
			       file, conf->command_count);
	for (size_t i = 0; i < conf->peer_count; i++)
		peer_read(m, file, &conf->peers[i]);
}

/* "laptop" of "clients/laptop.conf". */
static void name_of_file(char out[WG_CONF_NAME_MAX + 1], const char *file)
{
	const char *slash = strrchr(file, '/');
	struct str stem = str_of(slash ? slash + 1 : file);

	if (stem.n > 5)
		stem.n -= 5; /* ".conf" */
	if (!str_copy(out, WG_CONF_NAME_MAX + 1, stem))
		out[0] = 0;
}

bool import_conf_client(struct import *m, const char *file, const struct wg_conf *conf)
{
	char stem[WG_CONF_NAME_MAX + 1];
	struct public_key k;
	struct client *c;

	if (!conf->has_private_key)
		return false;
	public_key_of(&k, &conf->private_key);
	c = import_client_find(m, &k);
	if (!c)
		return false;
	c->private_key = conf->private_key;
	secret_key_clamp(&c->private_key);
	if (!*c->name) {
		name_of_file(stem, file);
		name_fit(m, file, c->name, str_of(stem));
	}
	for (size_t i = 0; i < conf->dns_count && i < ARRAY_LEN(m->dns); i++) {
		if (m->dns[i].family == IP_NONE)
			m->dns[i] = conf->dns[i];
	}
	return true;
}
