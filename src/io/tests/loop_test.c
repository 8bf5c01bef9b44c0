/* The loop: order of timers, removal inside callbacks, work from other threads, signals. */
#include "io/loop.h"

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"

static struct loop *new_loop(void)
{
	struct loop *l = NULL;
	struct err e = { 0 };

	assert_int_equal(loop_new(&l, &e), ERR_OK);
	return l;
}

static void run(struct loop *l)
{
	struct err e = { 0 };

	assert_int_equal(loop_run(l, &e), ERR_OK);
}

#define TIMERS 500

static struct {
	struct loop *loop;
	struct loop_timer timer[TIMERS];
	int64_t last_at;
	int fired;
} many;

static void many_fire(struct loop_timer *t)
{
	assert_true(t->at >= many.last_at);
	assert_true(loop_now(many.loop) >= t->at);
	many.last_at = t->at;
	many.fired++;
}

static void stop_fire(struct loop_timer *t)
{
	(void)t;
	loop_stop(many.loop);
}

/* Timers set in a scrambled order, every third moved and every fifth cancelled, fire in order. */
static void test_timer_order(void **state)
{
	struct loop_timer end = { .fire = stop_fire };
	int cancelled = 0;
	uint32_t x = 12345;
	int64_t base;

	(void)state;
	memset(&many, 0, sizeof many);
	many.loop = new_loop();
	base = loop_now(many.loop);
	for (int i = 0; i < TIMERS; i++) {
		x = x * 1664525u + 1013904223u;
		many.timer[i].fire = many_fire;
		loop_timer_set(many.loop, &many.timer[i], base + x % 1000000);
	}
	for (int i = 0; i < TIMERS; i++) {
		x = x * 1664525u + 1013904223u;
		if (i % 3 == 0)
			loop_timer_set(many.loop, &many.timer[i], base + x % 1000000);
		if (i % 5 == 0) {
			loop_timer_cancel(&many.timer[i]);
			loop_timer_cancel(&many.timer[i]);
			cancelled++;
		}
	}
	loop_timer_set(many.loop, &end, base + 1000001);
	run(many.loop);
	assert_int_equal(many.fired, TIMERS - cancelled);
	loop_free(many.loop);
}

static struct {
	struct loop *loop;
	struct loop_timer again;
	struct loop_fd pipe;
	int rounds;
} hog;

static void hog_fire(struct loop_timer *t)
{
	hog.rounds++;
	loop_timer_set(hog.loop, t, 0);
}

static void hog_ready(struct loop_fd *w, uint32_t events)
{
	(void)w;
	(void)events;
	if (hog.rounds > 3)
		loop_stop(hog.loop);
}

/* A timer that is always due does not keep descriptors from being served. */
static void test_timer_in_the_past(void **state)
{
	int fd[2];
	struct err e = { 0 };

	(void)state;
	memset(&hog, 0, sizeof hog);
	hog.loop = new_loop();
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	hog.pipe = (struct loop_fd){ .fd = fd[0], .events = LOOP_READ, .ready = hog_ready };
	assert_int_equal(loop_fd_add(hog.loop, &hog.pipe, &e), ERR_OK);
	hog.again.fire = hog_fire;
	loop_timer_set(hog.loop, &hog.again, 0);
	run(hog.loop);
	assert_true(hog.rounds > 3);
	loop_free(hog.loop);
	close(fd[0]);
	close(fd[1]);
}

static struct {
	struct loop *loop;
	struct loop_fd a, b;
	int calls;
} pair;

static void pair_ready(struct loop_fd *w, uint32_t events)
{
	(void)w;
	assert_true(events & LOOP_READ);
	pair.calls++;
	/* both are ready in this turn: the other one must not be called any more */
	loop_fd_remove(&pair.a);
	loop_fd_remove(&pair.b);
	loop_stop(pair.loop);
}

static void test_remove_in_callback(void **state)
{
	int fd[2], other[2];
	struct err e = { 0 };

	(void)state;
	memset(&pair, 0, sizeof pair);
	pair.loop = new_loop();
	assert_int_equal(pipe(fd), 0);
	assert_int_equal(pipe(other), 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	assert_int_equal(write(other[1], "x", 1), 1);
	pair.a = (struct loop_fd){ .fd = fd[0], .events = LOOP_READ, .ready = pair_ready };
	pair.b = (struct loop_fd){ .fd = other[0], .events = LOOP_READ, .ready = pair_ready };
	assert_int_equal(loop_fd_add(pair.loop, &pair.a, &e), ERR_OK);
	assert_int_equal(loop_fd_add(pair.loop, &pair.b, &e), ERR_OK);
	run(pair.loop);
	assert_int_equal(pair.calls, 1);
	loop_free(pair.loop);
	for (int i = 0; i < 2; i++) {
		close(fd[i]);
		close(other[i]);
	}
}

static void hangup_ready(struct loop_fd *w, uint32_t events)
{
	assert_true(events & LOOP_HANGUP);
	loop_fd_remove(w);
	loop_stop(pair.loop);
}

static void test_hangup_without_interest(void **state)
{
	int fd[2];
	struct err e = { 0 };
	struct loop_fd w;

	(void)state;
	pair.loop = new_loop();
	assert_int_equal(pipe(fd), 0);
	w = (struct loop_fd){ .fd = fd[0], .events = LOOP_READ, .ready = hangup_ready };
	assert_int_equal(loop_fd_add(pair.loop, &w, &e), ERR_OK);
	loop_fd_change(&w, 0);
	close(fd[1]);
	run(pair.loop);
	loop_free(pair.loop);
	close(fd[0]);
}

#define POSTS 20000
#define POSTERS 4

struct poster {
	struct loop *loop;
	struct loop_work work[POSTS];
	int next; /* the one expected: order within one poster is kept */
};
static struct poster *posters;
static int posted_total;

static void posted_run(struct loop_work *w)
{
	for (int i = 0; i < POSTERS; i++) {
		struct poster *p = &posters[i];

		if (w >= p->work && w < p->work + POSTS) {
			assert_int_equal(w - p->work, p->next);
			p->next++;
		}
	}
	if (++posted_total == POSTS * POSTERS)
		loop_stop(posters[0].loop);
}

static void *poster_main(void *arg)
{
	struct poster *p = arg;

	for (int i = 0; i < POSTS; i++) {
		p->work[i].fn = posted_run;
		loop_post(p->loop, &p->work[i]);
	}
	return NULL;
}

static void test_post_from_threads(void **state)
{
	pthread_t thread[POSTERS];
	struct loop *l = new_loop();

	(void)state;
	posters = calloc(POSTERS, sizeof *posters);
	assert_non_null(posters);
	for (int i = 0; i < POSTERS; i++) {
		posters[i].loop = l;
		assert_int_equal(pthread_create(&thread[i], NULL, poster_main, &posters[i]), 0);
	}
	run(l);
	for (int i = 0; i < POSTERS; i++)
		pthread_join(thread[i], NULL);
	assert_int_equal(posted_total, POSTS * POSTERS);
	loop_free(l);
	free(posters);
}

static int got_signal;

static void on_signal(void *ctx, int signo)
{
	got_signal = signo;
	loop_stop(ctx);
}

static void test_signal(void **state)
{
	struct loop *l = new_loop();
	struct err e = { 0 };

	(void)state;
	assert_int_equal(loop_signal(l, SIGUSR1, on_signal, l, &e), ERR_OK);
	assert_int_equal(loop_signal(l, SIGUSR2, on_signal, l, &e), ERR_OK);
	assert_int_equal(loop_signal(l, 1000, on_signal, l, &e), ERR_INVALID);
	raise(SIGUSR2);
	run(l);
	assert_int_equal(got_signal, SIGUSR2);
	loop_free(l);
}

static void test_stop_before_run(void **state)
{
	struct loop *l = new_loop();

	(void)state;
	loop_stop(l);
	run(l);
	loop_free(l);
	loop_free(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_timer_order),
		cmocka_unit_test(test_timer_in_the_past),
		cmocka_unit_test(test_remove_in_callback),
		cmocka_unit_test(test_hangup_without_interest),
		cmocka_unit_test(test_post_from_threads),
		cmocka_unit_test(test_signal),
		cmocka_unit_test(test_stop_before_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
