#include "gateway/lines.h"

/* A line that is being answered. */
struct line {
	struct core_reply reply;
	struct control_turn *turn;
};

static void line_send(struct core_reply *r, json_t *envelope)
{
	struct line *l = CONTAINER_OF(r, struct line, reply);
	struct buf out = { .limit = CONTROL_ANSWER_MAX };

	if (!core_envelope_line(envelope, &out))
		out.full = true; /* the connection is dropped */
	control_turn_end(l->turn, &out);
	free(l);
}

static int line_hand_over(struct core_reply *r)
{
	struct line *l = CONTAINER_OF(r, struct line, reply);
	int fd = control_turn_take(l->turn);

	free(l);
	return fd;
}

static enum control_answer answer(void *ctx, struct str text, struct control_turn *turn,
				  struct buf *out)
{
	struct line *l = calloc(1, sizeof *l);
	bool ok, is_later;

	if (!l)
		return CONTROL_DROP;
	l->reply.send = line_send;
	l->reply.hand_over = line_hand_over;
	l->turn = turn;
	ok = core_answer_line(ctx, text, &l->reply, &is_later, out);
	if (is_later)
		return CONTROL_LATER; /* the line is freed with its answer */
	free(l);
	return ok ? CONTROL_ANSWERED : CONTROL_DROP;
}

static bool refuse(void *ctx, const char *why, struct buf *out)
{
	const struct core *c = ctx;

	return core_refuse_line(c->host.wall_ns(c->host.ctx), why, out);
}

struct control_handler lines_handler(struct core *c)
{
	return (struct control_handler){ .ctx = c, .answer = answer, .refuse = refuse };
}
