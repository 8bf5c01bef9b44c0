#include "core/log_ring.h"

#include <pthread.h>

struct log_ring {
	pthread_mutex_t lock; /* of all that follows */
	char *lines[LOG_RING_LINES]; /* NULL: not used yet */
	size_t next; /* the oldest, and the next to be replaced */
};

struct log_ring *log_ring_new(void)
{
	struct log_ring *r = calloc(1, sizeof *r);

	if (r && pthread_mutex_init(&r->lock, NULL)) {
		free(r);
		return NULL;
	}
	return r;
}

void log_ring_free(struct log_ring *r)
{
	if (!r)
		return;
	for (size_t i = 0; i < LOG_RING_LINES; i++)
		free(r->lines[i]);
	(void)pthread_mutex_destroy(&r->lock);
	free(r);
}

static char *line_copy(struct str line)
{
	static const char cut[] = "...";
	char *copy;

	line = str_trim(line);
	if (line.n <= LOG_RING_LINE_MAX)
		return str_dup(line);
	line.n = LOG_RING_LINE_MAX - (sizeof cut - 1);
	/* Not in the middle of a character. */
	while (line.n && ((uint8_t)line.p[line.n] & 0xc0) == 0x80)
		line.n--;
	copy = malloc(LOG_RING_LINE_MAX + 1);
	if (!copy)
		return NULL;
	memcpy(copy, line.p, line.n);
	memcpy(copy + line.n, cut, sizeof cut);
	return copy;
}

void log_ring_add(void *arg, struct str line)
{
	struct log_ring *r = arg;
	char *copy = line_copy(line), *old;

	if (!copy)
		return; /* it has been written to the log all the same */
	(void)pthread_mutex_lock(&r->lock);
	old = r->lines[r->next];
	r->lines[r->next] = copy;
	r->next = (r->next + 1) % LOG_RING_LINES;
	(void)pthread_mutex_unlock(&r->lock);
	free(old);
}

void log_ring_walk(struct log_ring *r, size_t n, void (*fn)(void *ctx, struct str line), void *ctx)
{
	(void)pthread_mutex_lock(&r->lock);
	for (size_t i = n < LOG_RING_LINES ? LOG_RING_LINES - n : 0; i < LOG_RING_LINES; i++) {
		const char *line = r->lines[(r->next + i) % LOG_RING_LINES];

		if (line)
			fn(ctx, str_of(line));
	}
	(void)pthread_mutex_unlock(&r->lock);
}
