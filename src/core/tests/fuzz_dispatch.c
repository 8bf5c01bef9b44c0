/* fuzz_dispatch.c - lines of a stranger at the control socket, carried out against a real store.
 *
 * Input: requests, one a line.  Each has one line as its answer; store and device hold the same clients
 * after each; no answer but export_client's shows a private key.
 */
#include "base/log.h"
#include "core/tests/fake_host.h"

#define CLIENTS_MAX 64 /* a store that has more is emptied: runs stay alike and quick */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct fake_host h;

static bool check_live(void *ctx, const struct client *c)
{
	size_t *n = ctx;

	BUG_ON(!fake_host_peer(&h, &c->public_key));
	(*n)++;
	return true;
}

static void check_agreement(void)
{
	const struct client_query all = { .search = STR(""), .limit = UINT64_MAX };
	struct err e = { 0 };
	size_t n = 0;

	BUG_ON(store_clients(h.core.store, &all, false, check_live, &n, &e));
	BUG_ON(n != h.peer_count);
}

static void check_answer(const struct buf *out)
{
	json_t *answer = json_loadb(out->p, out->n, JSON_REJECT_DUPLICATES, NULL);

	BUG_ON(!answer || memchr(out->p, '\n', out->n) != out->p + out->n - 1);
	BUG_ON(!json_is_boolean(json_object_get(answer, "success")));
	BUG_ON(json_is_true(json_object_get(answer, "success")) !=
	       (json_object_get(answer, "code") == NULL));
	/* A member's name with its quotes: no value holds quotes that are not escaped. */
	BUG_ON(memmem(out->p, out->n, "\"private_key\":", 14) &&
	       !memmem(out->p, out->n, "\"action\":\"export_client\"", 24));
	json_decref(answer);
}

static void close_at_exit(void)
{
	fake_host_close(&h);
}

static void open_once(void)
{
	const struct settings_given none = { 0 };
	static bool registered;

	if (!registered && atexit(close_at_exit) == 0)
		registered = true;
	if (h.core.store && h.peer_count < CLIENTS_MAX)
		return;
	if (h.core.store)
		fake_host_close(&h);
	log_set_level(LOG_SILENT);
	BUG_ON(!fake_host_open(&h, &none));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct str rest = { (const char *)data, len }, line;

	open_once();
	while (str_cut(&rest, '\n', &line)) {
		struct buf out = { 0 };

		BUG_ON(!core_answer_line(&h.core, line, NULL, NULL, &out));
		check_answer(&out);
		buf_done(&out);
		if (h.peer_count >= FAKE_PEERS_MAX / 2)
			break;
	}
	check_agreement();
	return 0;
}
