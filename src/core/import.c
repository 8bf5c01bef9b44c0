#include "core/import.h"

#include <stdarg.h>

static void say(struct import *m, json_t *list, const char *fmt, va_list ap) PRINTF(3, 0);
static void say(struct import *m, json_t *list, const char *fmt, va_list ap)
{
	char text[400];

	(void)vsnprintf(text, sizeof text, fmt, ap);
	if (json_array_append_new(list, json_string(text)) < 0)
		m->no_memory = true;
}

void import_conflict(struct import *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(m, m->conflicts, fmt, ap);
	va_end(ap);
}

void import_warning(struct import *m, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(m, m->warnings, fmt, ap);
	va_end(ap);
}

struct client *import_client_add(struct import *m)
{
	size_t cap = m->cap ? m->cap * 2 : 64;
	struct client *more;

	if (m->n == IMPORT_CLIENTS_MAX) {
		m->no_memory = true;
		return NULL;
	}
	if (m->n == m->cap) {
		more = calloc(cap,
			      sizeof *more); /* not realloc: what it leaves behind holds keys */
		if (!more) {
			m->no_memory = true;
			return NULL;
		}
		if (m->n) {
			memcpy(more, m->clients, m->n * sizeof *more);
			wipe(m->clients, m->n * sizeof *more);
		}
		free(m->clients);
		m->clients = more;
		m->cap = cap;
	}
	return &m->clients[m->n++];
}

/* Where the key stands in the index, or the empty place where it would. */
static size_t index_place(const struct import *m, const struct public_key *k)
{
	uint64_t hash;
	size_t at;

	memcpy(&hash, k->b, sizeof hash); /* as good as random, but for who harms himself */
	for (at = hash & (m->index_cap - 1); m->index[at]; at = (at + 1) & (m->index_cap - 1)) {
		if (memcmp(&m->clients[m->index[at] - 1].public_key, k, sizeof *k) == 0)
			break;
	}
	return at;
}

static bool index_grow(struct import *m)
{
	size_t cap = m->index_cap ? m->index_cap * 2 : 256;
	uint32_t *more;

	if (m->n * 2 <= m->index_cap)
		return true;
	while (cap < m->n * 2)
		cap *= 2;
	more = calloc(cap, sizeof *more);
	if (!more)
		return false;
	free(m->index);
	m->index = more;
	m->index_cap = cap;
	m->indexed = 0;
	return true;
}

struct client *import_client_find(struct import *m, const struct public_key *k)
{
	size_t at;

	if (!index_grow(m)) {
		m->no_memory = true;
		return NULL;
	}
	for (; m->indexed < m->n; m->indexed++) {
		at = index_place(m, &m->clients[m->indexed].public_key);
		if (!m->index[at])
			m->index[at] = (uint32_t)m->indexed + 1;
	}
	at = m->n ? index_place(m, k) : 0;
	return m->n && m->index[at] ? &m->clients[m->index[at] - 1] : NULL;
}

void import_key(struct import *m, const char *file, const struct secret_key *k)
{
	if (m->has_key && !ct_equal(&m->key, k, sizeof *k))
		import_conflict(m,
				"%s: the server's private key is another than in the files before",
				file);
	m->has_key = true;
	m->key = *k;
	secret_key_clamp(&m->key);
}

void import_port(struct import *m, const char *file, uint16_t port)
{
	if (m->has_port && m->port != port)
		import_conflict(m, "%s: the port is %u here and %u in the files before", file, port,
				m->port);
	m->has_port = true;
	m->port = port;
}

void import_network(struct import *m, const char *file, const struct ip_prefix *address)
{
	struct ip_prefix network = *address;
	char here[PREFIX_TEXT_MAX], before[PREFIX_TEXT_MAX];

	ip_prefix_mask(&network);
	if (!ip_eq(&network.addr, &address->addr))
		m->address = *address;
	if (m->has_network &&
	    (network.len != m->network.len || !ip_eq(&network.addr, &m->network.addr))) {
		ip_prefix_format(here, &network);
		ip_prefix_format(before, &m->network);
		import_conflict(m, "%s: the network is %s here and %s in the files before", file,
				here, before);
	}
	m->has_network = true;
	m->network = network;
}

void import_done(struct import *m)
{
	if (m->clients)
		wipe(m->clients, m->n * sizeof *m->clients);
	free(m->clients);
	free(m->index);
	json_decref(m->files);
	json_decref(m->conflicts);
	json_decref(m->warnings);
	wipe(m, sizeof *m);
}
