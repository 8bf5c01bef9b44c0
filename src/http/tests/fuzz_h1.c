/* A stream of HTTP/1.1 requests into a whole server, at once and cut up: the same requests come out
 * with the same answers, and nothing stays behind. */
#include "base/tests/cm.h"

#include "crypto/keys.h"
#include "http/tests/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

struct outcome {
	unsigned requests;
	uint64_t digest; /* of methods, patterns, statuses and lengths */
};

static struct outcome seen;

static void note(void *ctx, const struct http_access *a)
{
	(void)ctx;
	seen.requests++;
	seen.digest = seen.digest * 1000003 + a->status;
	seen.digest = seen.digest * 1000003 + (uintptr_t)a->pattern;
	seen.digest = seen.digest * 1000003 + (uintptr_t)a->method;
	/* A problem holds the request's id, whose length may differ. */
	if (a->status == 200)
		seen.digest = seen.digest * 1000003 + a->bytes;
}

static void echo(struct http_request *r, void *ctx)
{
	(void)ctx;
	BUG_ON(r->body.n > 4096);
	BUG_ON(r->version == 11 && r->host.n == 0);
	BUG_ON(r->path_raw.n == 0 || r->path_raw.p[0] != '/');
	for (size_t i = 0; i < r->headers_n; i++)
		BUG_ON(memchr(r->headers[i].value.p, '\n', r->headers[i].value.n) ||
		       memchr(r->headers[i].value.p, '\r', r->headers[i].value.n));
	http_respond_text(r, 200, "text/plain", r->body);
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/", echo, NULL, 0, 4096 },	      { HTTP_POST, "/", echo, NULL, 0, 4096 },
	{ HTTP_PUT, "/a/{b}", echo, NULL, 0, 10 },    { HTTP_GET, "/r/{rest*}", echo, NULL, 0, 0 },
	{ HTTP_DELETE, "/a/{b}", echo, NULL, 0, 10 },
};

static struct outcome run(struct talk *t, struct str in, size_t step)
{
	struct http_stats s;

	seen = (struct outcome){ 0 };
	talk_connect(t);
	while (in.n) {
		size_t n = MIN(step, in.n);

		talk_send(t, (struct str){ in.p, n });
		in.p += n;
		in.n -= n;
	}
	talk_turn(t);
	talk_hang_up(t);
	talk_turn(t);
	http_server_stats(t->server, &s);
	BUG_ON(s.connections || s.requests_running || s.bodies_bytes);
	return seen;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static struct talk t;
	struct str in = { (const char *)data, len };
	struct outcome whole, cut;

	if (!t.server) {
		const struct http_server_options o = {
			.access = note, .limits = { .head_bytes = 1024, .head_fields = 10 }
		};

		BUG_ON(!crypto_init());
		talk_start(&t, &o, routes, ARRAY_LEN(routes), NULL);
	}
	if (len == 0 || len > 8192)
		return 0;
	whole = run(&t, in, len);
	cut = run(&t, in, 1 + len % 7 * 5);
	BUG_ON(whole.requests != cut.requests || whole.digest != cut.digest);
	return 0;
}
