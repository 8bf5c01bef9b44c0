#include "base/lpm.h"

#include <stdatomic.h>

#include "base/bytes.h"
#include "base/host_table.h"

struct link {
	_Atomic(struct node *) to;
};

/* A prefix of the trie, shorter than a whole address.  Below child[b] are the longer prefixes whose next bit is b.  A node
 * without an owner only joins its two children.  Everything but children and owner is const once
 * the node is linked; both are stored with release and loaded with acquire. */
struct node {
	struct link child[2];
	_Atomic(void *) owner;
	struct retired_node retired;
	struct lpm_key key; /* host bits zero */
	unsigned len;
};

/* No trie path is longer: each step adds at least one bit. */
#define DEPTH_MAX 129
_Static_assert(sizeof(struct node) <= 80, "a million prefixes should stay below 80 MB");

struct family {
	struct link root;
	struct host_table hosts;
};

struct lpm {
	struct family v4, v6;
	struct retired *retired;
	size_t count; /* owner: writer */
};

static struct node *link_get(const struct link *l)
{
	return atomic_load_explicit(&l->to, memory_order_acquire);
}

static void link_set(struct link *l, struct node *n)
{
	atomic_store_explicit(&l->to, n, memory_order_release);
}

static void *owner_get(const struct node *n)
{
	return atomic_load_explicit(&n->owner, memory_order_acquire);
}

static struct lpm_key key_of(uint8_t family, const uint8_t *b)
{
	if (family == IP_V4)
		return (struct lpm_key){ .hi = (uint64_t)load_be32(b) << 32 };
	return (struct lpm_key){ .hi = load_be64(b), .lo = load_be64(b + 8) };
}

/* Bit `at` (0 is the most significant) of a key. */
static unsigned key_bit(struct lpm_key k, unsigned at)
{
	return (unsigned)((at < 64 ? k.hi >> (63 - at) : k.lo >> (127 - at)) & 1);
}

/* How many leading bits two keys share: 0..128. */
static unsigned key_common(struct lpm_key a, struct lpm_key b)
{
	if (a.hi != b.hi)
		return (unsigned)__builtin_clzll(a.hi ^ b.hi);
	return a.lo == b.lo ? 128 : 64 + (unsigned)__builtin_clzll(a.lo ^ b.lo);
}

static struct lpm_key key_mask(struct lpm_key k, unsigned len)
{
	if (len < 64)
		return (struct lpm_key){ .hi = len ? k.hi & ~UINT64_C(0) << (64 - len) : 0 };
	if (len < 128)
		k.lo = len > 64 ? k.lo & ~UINT64_C(0) << (128 - len) : 0;
	return k;
}

static void node_free(struct retired_node *r)
{
	free(CONTAINER_OF(r, struct node, retired));
}

static struct node *node_new(struct lpm_key key, unsigned len, void *owner)
{
	struct node *n = calloc(1, sizeof *n);

	if (n) {
		n->key = key_mask(key, len);
		n->len = len;
		atomic_init(&n->owner, owner);
	}
	return n;
}

struct lpm *lpm_new(struct retired *retired)
{
	struct lpm *t = calloc(1, sizeof *t);

	if (t) {
		t->retired = retired;
		host_table_init(&t->v4.hosts, 1);
		host_table_init(&t->v6.hosts, 2);
	}
	return t;
}

static void family_done(struct family *f)
{
	struct node *todo[DEPTH_MAX];
	size_t n = 0;

	/* Depth first with both children waiting: each level leaves at most one behind. */
	if (link_get(&f->root))
		todo[n++] = link_get(&f->root);
	while (n) {
		struct node *one = todo[--n];

		for (unsigned b = 0; b < 2; b++) {
			if (link_get(&one->child[b]))
				todo[n++] = link_get(&one->child[b]);
		}
		free(one);
	}
	host_table_done(&f->hosts);
}

void lpm_free(struct lpm *t)
{
	if (!t)
		return;
	family_done(&t->v4);
	family_done(&t->v6);
	free(t);
}

size_t lpm_count(const struct lpm *t)
{
	return t->count;
}

static struct family *family_of(struct lpm *t, uint8_t family)
{
	return family == IP_V4 ? &t->v4 : &t->v6;
}

/* Links a new prefix at `at`, in front of `below` (may be NULL), which shares `common` bits of it
 * and is not on the way to it.  When they part before either ends, a node without owner joins
 * them. */
static bool trie_link(struct link *at, struct node *below, unsigned common, struct lpm_key key,
		      unsigned len, void *owner)
{
	struct node *n = node_new(key, len, owner);
	struct node *join = n;

	if (!n)
		return false;
	if (below && common < len) {
		join = node_new(key, common, NULL);
		if (!join) {
			free(n);
			return false;
		}
		atomic_init(&join->child[key_bit(key, common)].to, n);
	}
	if (below)
		atomic_init(&join->child[key_bit(below->key, common)].to, below);
	link_set(at, join); /* complete now: readers may come */
	return true;
}

static bool trie_put(struct family *f, struct lpm_key key, unsigned len, void *owner, void **before)
{
	struct link *at = &f->root;
	struct node *n;
	unsigned common = 0;

	while ((n = link_get(at)) != NULL) {
		common = MIN(key_common(n->key, key), MIN(n->len, len));
		if (common < n->len)
			break; /* n lies beside or below the new prefix */
		if (n->len == len) {
			*before = owner_get(n);
			atomic_store_explicit(&n->owner, owner, memory_order_release);
			return true;
		}
		at = &n->child[key_bit(key, n->len)];
	}
	*before = NULL;
	return trie_link(at, n, common, key, len, owner);
}

/* Takes a node without owner and with at most one child out; true if it did.  Readers inside it
 * still find their way down: its own links stay as they are. */
static bool trie_prune(struct link *at, struct retired *retired)
{
	struct node *n = link_get(at);
	struct node *left, *right;

	if (!n || owner_get(n))
		return false;
	left = link_get(&n->child[0]);
	right = link_get(&n->child[1]);
	if (left && right)
		return false;
	link_set(at, left ? left : right);
	retired_add(retired, &n->retired, node_free);
	return true;
}

static bool trie_remove(struct family *f, struct lpm_key key, unsigned len, const void *owner,
			struct retired *retired)
{
	struct link *at = &f->root, *above = NULL;
	struct node *n;

	while ((n = link_get(at)) != NULL && n->len < len && key_common(n->key, key) >= n->len) {
		above = at;
		at = &n->child[key_bit(key, n->len)];
	}
	if (!n || n->len != len || key_common(n->key, key) < len || owner_get(n) != owner)
		return false;
	atomic_store_explicit(&n->owner, NULL, memory_order_release);
	/* Once the leaf is gone, the join above it may have nothing left to join. */
	if (trie_prune(at, retired) && above)
		(void)trie_prune(above, retired);
	return true;
}

static void *trie_find(const struct family *f, struct lpm_key key)
{
	const struct node *n = link_get(&f->root);
	void *best = NULL;

	while (n && key_common(n->key, key) >= n->len) {
		void *owner = owner_get(n);

		if (owner)
			best = owner;
		n = link_get(&n->child[key_bit(key, n->len)]);
	}
	return best;
}

enum err_code lpm_insert(struct lpm *t, const struct ip_prefix *p, void *owner, void **stolen_from)
{
	unsigned bits = ip_bits(p->addr.family);
	struct family *f = family_of(t, p->addr.family);
	struct lpm_key key;
	void *before = NULL;
	bool ok;

	if (bits == 0 || p->len > bits)
		return ERR_INVALID;
	key = key_of(p->addr.family, p->addr.b);
	if (p->len == bits)
		ok = host_table_put(&f->hosts, key, owner, &before, t->retired);
	else
		ok = trie_put(f, key_mask(key, p->len), p->len, owner, &before);
	if (!ok)
		return ERR_NOMEM;
	if (!before)
		t->count++;
	*stolen_from = before;
	return ERR_OK;
}

bool lpm_remove(struct lpm *t, const struct ip_prefix *p, const void *owner)
{
	unsigned bits = ip_bits(p->addr.family);
	struct family *f = family_of(t, p->addr.family);
	struct lpm_key key;
	bool removed;

	if (bits == 0 || p->len > bits || !owner)
		return false;
	key = key_of(p->addr.family, p->addr.b);
	if (p->len == bits)
		removed = host_table_remove(&f->hosts, key, owner, t->retired);
	else
		removed = trie_remove(f, key_mask(key, p->len), p->len, owner, t->retired);
	t->count -= removed;
	return removed;
}

void *lpm_find(const struct lpm *t, uint8_t family, const uint8_t *b)
{
	const struct family *f = family == IP_V4 ? &t->v4 : &t->v6;
	struct lpm_key key = key_of(family, b);
	void *owner = host_table_find(&f->hosts, key);

	return owner ? owner : trie_find(f, key);
}
