/* HTTP/2 frames into a whole server, behind the preface: nothing stays behind. */
#include "base/tests/cm.h"

#include "crypto/keys.h"
#include "http/tests/talk.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static struct http_request *held[64];
static size_t held_n;

static void echo(struct http_request *r, void *ctx)
{
	(void)ctx;
	BUG_ON(r->body.n > 1000);
	BUG_ON(r->path_raw.n == 0 || r->path_raw.p[0] != '/');
	http_respond_text(r, 200, "text/plain", r->body);
}

/* Answered after the frames, or after the connection. */
static void hold(struct http_request *r, void *ctx)
{
	(void)ctx;
	if (held_n < ARRAY_LEN(held))
		held[held_n++] = r;
	else
		http_respond_problem(r, 503, "full");
}

static enum http_pull pull(void *ctx, struct buf *out, size_t room)
{
	unsigned *left = ctx;

	buf_add(out, "0123456789", MIN(room, (size_t)10));
	return --*left ? HTTP_MORE : HTTP_END;
}

static void streamed(struct http_request *r, void *ctx)
{
	unsigned *left = malloc(sizeof *left);

	(void)ctx;
	BUG_ON(!left);
	*left = 1000;
	http_respond_stream(r, 200, NULL, &(struct http_producer){ pull, free, left });
}

static const struct http_route routes[] = {
	{ HTTP_GET, "/", echo, NULL, 0, 0 },
	{ HTTP_POST, "/", echo, NULL, 0, 1000 },
	{ HTTP_GET, "/hold", hold, NULL, 0, 0 },
	{ HTTP_GET, "/s", streamed, NULL, 0, 0 },
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char begin[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0";
	static struct talk t;
	struct http_stats s;
	size_t half = len / 2;

	if (!t.server) {
		const struct http_server_options o = { .plain_h2 = true,
						       .limits = { .head_bytes = 1024 } };

		BUG_ON(!crypto_init());
		talk_start(&t, &o, routes, ARRAY_LEN(routes), NULL);
	}
	if (len > 8192)
		return 0;
	talk_connect(&t);
	talk_send(&t, (struct str){ begin, sizeof begin }); /* with the last byte of the frame */
	talk_send(&t, (struct str){ (const char *)data, len });
	talk_turn(&t);
	while (held_n > half % 3)
		http_respond_text(held[--held_n], 200, NULL, STR("held"));
	talk_turn(&t);
	talk_hang_up(&t);
	talk_turn(&t);
	while (held_n)
		http_respond_text(held[--held_n], 200, NULL, STR("late"));
	http_server_stats(t.server, &s);
	BUG_ON(s.connections || s.requests_running || s.bodies_bytes);
	return 0;
}
