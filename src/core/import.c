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

struct client *import_client_find(struct import *m, const struct public_key *k)
{
	for (size_t i = 0; i < m->n; i++) {
		if (memcmp(&m->clients[i].public_key, k, sizeof *k) == 0)
			return &m->clients[i];
	}
	return NULL;
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
	json_decref(m->files);
	json_decref(m->conflicts);
	json_decref(m->warnings);
	wipe(m, sizeof *m);
}
