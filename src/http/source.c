#include "http/source.h"

#include "base/clock.h"
#include "crypto/keys.h"

#define CHAINS 4096 /* a power of two */

struct http_sources {
	struct http_source entries[HTTP_SOURCES_MAX];
	struct http_source shared; /* of those who found no entry */
	size_t used; /* entries that were ever taken */
	struct list chains[CHAINS];
	struct list idle; /* entries without connections */
	int64_t cost_ns; /* of a request; 0: no limit */
	int64_t full_ns; /* of the bucket */
	uint64_t seed;
};

struct http_sources *http_sources_new(unsigned rate_per_s, unsigned burst)
{
	struct http_sources *t = calloc(1, sizeof *t);

	if (!t)
		return NULL;
	for (size_t i = 0; i < CHAINS; i++)
		list_init(&t->chains[i]);
	list_init(&t->idle);
	random_bytes(&t->seed, sizeof t->seed);
	if (rate_per_s) {
		t->cost_ns = MAX(NS_PER_S / rate_per_s, (int64_t)1);
		t->full_ns = t->cost_ns * (int64_t)MAX(burst, 1u);
	}
	t->shared.tokens_ns = t->full_ns;
	return t;
}

void http_sources_free(struct http_sources *t)
{
	free(t);
}

static struct ip_addr source_of(const struct ip_addr *addr)
{
	struct ip_addr a = *addr;

	if (a.family == IP_V6)
		memset(a.b + 8, 0, 8);
	return a;
}

/* Strangers choose addresses: the seed keeps them from choosing a chain.  (Two rounds of the
 * multiply-and-fold that murmur finishes with.) */
static struct list *chain_of(struct http_sources *t, const struct ip_addr *a)
{
	uint64_t h = t->seed ^ a->family, words[2];

	memcpy(words, a->b, sizeof words);
	for (size_t i = 0; i < ARRAY_LEN(words); i++) {
		h = (h ^ words[i]) * 0xff51afd7ed558ccdu;
		h ^= h >> 33;
		h = (h + t->seed) * 0xc4ceb9fe1a85ec53u;
		h ^= h >> 29;
	}
	return &t->chains[h & (CHAINS - 1)];
}

/* A fresh entry, or the one that has been without connections for longest. */
static struct http_source *entry_take(struct http_sources *t)
{
	struct http_source *s;

	if (t->used < HTTP_SOURCES_MAX)
		return &t->entries[t->used++];
	if (list_empty(&t->idle))
		return &t->shared;
	s = CONTAINER_OF(t->idle.next, struct http_source, age);
	list_del(&s->chain);
	return s;
}

struct http_source *http_source_enter(struct http_sources *t, const struct ip_addr *addr,
				      int64_t now)
{
	struct ip_addr key = source_of(addr);
	struct list *chain = chain_of(t, &key);
	struct http_source *s = NULL;

	LIST_FOR(at, chain) {
		struct http_source *c = CONTAINER_OF(at, struct http_source, chain);

		if (ip_eq(&c->addr, &key)) {
			s = c;
			break;
		}
	}
	if (!s) {
		s = entry_take(t);
		if (s != &t->shared) {
			list_del(&s->age);
			s->addr = key;
			s->tokens_ns = t->full_ns;
			s->filled_ns = now;
			list_add_tail(chain, &s->chain);
		}
	}
	list_del(&s->age);
	s->connections++;
	return s;
}

void http_source_leave(struct http_sources *t, struct http_source *s)
{
	BUG_ON(s->connections == 1 && s->bodies_bytes != 0);
	if (--s->connections == 0 && s != &t->shared)
		list_add_tail(&t->idle, &s->age);
}

bool http_source_allow(const struct http_sources *t, struct http_source *s, int64_t now,
		       unsigned *wait_s)
{
	int64_t missing;

	if (!t->cost_ns)
		return true;
	if (now > s->filled_ns) {
		s->tokens_ns = MIN(t->full_ns, s->tokens_ns + MIN(now - s->filled_ns, t->full_ns));
		s->filled_ns = now;
	}
	missing = t->cost_ns - s->tokens_ns;
	if (missing <= 0) {
		s->tokens_ns -= t->cost_ns;
		return true;
	}
	*wait_s = (unsigned)((missing + NS_PER_S - 1) / NS_PER_S);
	return false;
}
