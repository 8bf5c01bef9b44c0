#include "cli/serve.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fs.h"
#include "cli/child.h"
#include "cli/term.h"
#include "cli/welcome.h"
#include "model/client.h"

#define GATEWAY "qanat-gateway"
/* Opening a store and an interface takes well below a second; a slow disk's fsync some more. */
#define START_WAIT_NS (30 * NS_PER_S)
#define STOP_WAIT_NS (15 * NS_PER_S)
/* A gateway that served this long has recovered: the count of crashes starts anew. */
#define STEADY_NS (60 * NS_PER_S)
#define PAUSE_FIRST_NS (NS_PER_S / 2)
#define PAUSE_MAX_NS (30 * NS_PER_S)
#define CRASHES_MAX 10
#define FOREVER INT64_MAX
#define POLL_MAX_MS INT64_C(3600000) /* long waits in pieces: poll takes an int */
#define ARGS_MAX 28
#define ARGS_SPARE 4 /* --clean-up, and three of child_start's */

enum event {
	EVENT_READY, /* the gateway serves */
	EVENT_ENDED, /* it ended, for whatever reason */
	EVENT_STOP, /* somebody wants us to end */
	EVENT_TIMEOUT,
};

struct serve {
	const struct serve_options *options;
	struct term term; /* stdout */
	int64_t started_ns; /* wall clock */
	char *path; /* of the gateway */
	char *argv[ARGS_MAX];
	size_t argc;
	int signals; /* signalfd */
	bool serving; /* the gateway is ready */
	bool crashed; /* the last gateway ended without putting the host back */
	struct child child;
};

bool serve_time_parse(struct str text, int64_t *ns)
{
	struct str whole, fraction = text;
	uint64_t seconds, part = 0, unit = (uint64_t)NS_PER_S;

	if (!str_cut(&fraction, '.', &whole) ||
	    !u64_parse(whole, 0, INT64_MAX / NS_PER_S - 1, &seconds))
		return false;
	if (whole.n + 1 == text.n || fraction.n > 9)
		return false; /* a point without digits; more digits than nanoseconds */
	if (fraction.n && !u64_parse(fraction, 0, UINT64_MAX, &part))
		return false;
	for (size_t i = 0; i < fraction.n; i++)
		unit /= 10;
	*ns = (int64_t)(seconds * (uint64_t)NS_PER_S + part * unit);
	return true;
}

int64_t serve_pause_ns(unsigned crashes)
{
	int64_t pause = PAUSE_FIRST_NS;

	/* No jitter: one child on one host, nobody starts in step with it. */
	for (unsigned i = 1; i < crashes && pause < PAUSE_MAX_NS; i++)
		pause *= 2;
	return MIN(pause, PAUSE_MAX_NS);
}

static void say(const char *text)
{
	struct buf line = { 0 };

	buf_printf(&line, "qanat: %s\n", text);
	/* The terminal may be gone; serving goes on without it. */
	(void)!term_write(STDOUT_FILENO, buf_view(&line), NULL);
	buf_done(&line);
}

static void complain_end(const struct serve *s, const char *then)
{
	struct buf text = { 0 };

	buf_z(&text, "the gateway ");
	child_end_text(&text, s->child.status);
	buf_z(&text, then);
	term_complain(buf_view(&text).p);
	buf_done(&text);
}

static void arg_add(struct serve *s, const char *name, const char *value)
{
	if (!value)
		return;
	BUG_ON(s->argc + 2 + ARGS_SPARE > ARGS_MAX);
	s->argv[s->argc++] = (char *)(uintptr_t)name; /* execv(3) takes char *, and keeps them */
	s->argv[s->argc++] = (char *)(uintptr_t)value;
}

static void args_make(struct serve *s)
{
	const struct serve_options *o = s->options;

	s->argv[s->argc++] = s->path;
	arg_add(s, "--state", o->state);
	arg_add(s, "--socket", o->socket);
	arg_add(s, "--port", o->port);
	arg_add(s, "--network", o->network);
	arg_add(s, "--network6", o->network6);
	arg_add(s, "--endpoint", o->endpoint);
	arg_add(s, "--interface", o->interface);
	arg_add(s, "--dns", o->dns);
	arg_add(s, "--mtu", o->mtu);
	arg_add(s, "--backend", o->backend);
}

static enum err_code signals_open(struct serve *s, struct err *e)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL))
		return err_sys(e, errno, "block signals");
	s->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
	return s->signals < 0 ? err_sys(e, errno, "read signals") : ERR_OK;
}

/* The next signal: an event, or false for one that ends nothing (a SIGCHLD of nobody; SIGUSR2,
 * with which the gateway restarts in place, and which would kill one that has just begun). */
static bool signal_take(struct serve *s, enum event *event)
{
	struct signalfd_siginfo info;

	if (read(s->signals, &info, sizeof info) != (ssize_t)sizeof info)
		return false;
	if (info.ssi_signo == SIGUSR2) {
		if (s->serving)
			child_signal(&s->child, SIGUSR2);
		return false;
	}
	*event = info.ssi_signo == SIGCHLD ? EVENT_ENDED : EVENT_STOP;
	return *event == EVENT_STOP || child_reap(&s->child);
}

static enum event event_wait(struct serve *s, int64_t wait_ns)
{
	int64_t now = clock_mono_ns(), end = wait_ns == FOREVER ? FOREVER : now + wait_ns;

	for (; now < end; now = clock_mono_ns()) {
		int64_t left_ms = MIN((end - now) / NS_PER_MS + 1, POLL_MAX_MS);
		struct pollfd fds[] = { { .fd = s->signals, .events = POLLIN },
					{ .fd = s->child.ready_fd, .events = POLLIN } };
		enum event event;
		bool over = false;

		if (poll(fds, ARRAY_LEN(fds), (int)left_ms) <= 0)
			continue;
		if (fds[1].revents && child_ready(&s->child, &over))
			return EVENT_READY;
		if (fds[0].revents && signal_take(s, &event))
			return event;
	}
	return EVENT_TIMEOUT;
}

/* Waits for the child's end, and kills it when it takes too long: then false. */
static bool child_await(struct serve *s, const char *meanwhile)
{
	int64_t end = clock_mono_ns() + STOP_WAIT_NS;
	enum event event = EVENT_STOP;

	while (event != EVENT_ENDED && event != EVENT_TIMEOUT) {
		event = event_wait(s, end - clock_mono_ns());
		if (event == EVENT_STOP)
			say(meanwhile);
	}
	if (event == EVENT_ENDED)
		return true;
	child_signal(&s->child, SIGKILL);
	while (event_wait(s, FOREVER) != EVENT_ENDED)
		;
	return false;
}

/* Asks the gateway to stop and waits for it; returns our exit status. */
static int gateway_stop(struct serve *s)
{
	if (!s->child.pid)
		return CLI_DONE;
	child_signal(&s->child, SIGTERM);
	if (!child_await(s, "still stopping the gateway")) {
		term_complain("the gateway did not stop within 15 s and was killed");
		s->crashed = true;
	} else if (WIFSIGNALED(s->child.status) && WTERMSIG(s->child.status) == SIGTERM) {
		return CLI_DONE; /* it had not even begun */
	} else if (s->child.status) {
		complain_end(s, " when it was stopped");
		s->crashed = true;
	} else {
		s->crashed = false; /* it also put back what one before it had left */
	}
	return child_exit_status(s->child.status);
}

/* No gateway will start again and take over what a crashed one has left on the host: interface
 * and sockets, routes, forwarding, the nft table.  False when it may still be there. */
static bool host_restore(struct serve *s)
{
	struct err e = { 0 };
	enum err_code rc;

	say("putting the host's network back as it was before the gateway");
	s->argv[s->argc] = (char[]){ "--clean-up" };
	rc = child_start(&s->child, s->path, s->argv, s->argc + 1, &e);
	s->argv[s->argc] = NULL;
	if (rc)
		term_complain(e.msg);
	else if (child_await(s, "still putting the network back") && s->child.status == 0)
		return true;
	term_complain("the gateway's routes, forwarding and nft table may still be there: start it "
		      "once more and stop it");
	return false;
}

static enum err_code welcome(struct serve *s, struct err *e)
{
	struct buf text = { 0 };
	enum err_code rc = welcome_text(&text, s->options, &s->term, s->started_ns, e);

	if (!rc)
		rc = term_write(STDOUT_FILENO, buf_view(&text), e);
	if (text.p)
		wipe(text.p, text.n);
	buf_done(&text);
	return rc;
}

/* One life of the gateway, from its start to the event that ends it.  *served: it got ready. */
static enum event gateway_live(struct serve *s, bool first, bool *served)
{
	struct err e = { 0 };
	enum event event;

	*served = false;
	if (child_start(&s->child, s->path, s->argv, s->argc, &e)) {
		term_complain(e.msg);
		return EVENT_TIMEOUT;
	}
	event = event_wait(s, START_WAIT_NS);
	if (event == EVENT_TIMEOUT)
		term_complain("the gateway was not ready within 30 s");
	if (event != EVENT_READY)
		return event;
	*served = true;
	s->serving = true;
	if (!first) {
		say("the gateway serves again");
	} else if (welcome(s, &e)) {
		term_complain(e.msg);
		event = EVENT_TIMEOUT;
	}
	if (event == EVENT_READY)
		event = event_wait(s, FOREVER);
	s->serving = false;
	return event;
}

/* Starts the gateway, and again when it crashes; returns the exit status. */
static int supervise(struct serve *s)
{
	unsigned crashes = 0;
	bool first = true;

	for (;;) {
		int64_t since = clock_mono_ns();
		bool served;
		enum event event = gateway_live(s, first, &served);

		if (event != EVENT_ENDED) {
			int status = gateway_stop(s);

			return event == EVENT_STOP ? status : CLI_FAILED;
		}
		if (first && !served) {
			int status = child_exit_status(s->child.status);

			if (status >= CHILD_NOT_RUN) /* else it said why itself */
				complain_end(s, " before it was ready");
			s->crashed = WIFSIGNALED(s->child.status);
			return status;
		}
		first = false;
		if (s->child.status == 0) {
			say("the gateway has stopped");
			s->crashed = false;
			return CLI_DONE;
		}
		s->crashed = true;
		if (clock_mono_ns() - since >= STEADY_NS)
			crashes = 0;
		if (++crashes > CRASHES_MAX) {
			complain_end(s, " once more: giving up");
			return child_exit_status(s->child.status);
		}
		complain_end(s, ": starting it again");
		if (event_wait(s, serve_pause_ns(crashes)) == EVENT_STOP)
			return CLI_DONE;
	}
}

static enum err_code serve_open(struct serve *s, struct err *e)
{
	const struct serve_options *o = s->options;
	enum err_code rc = client_name_check(str_of(o->client), e);

	if (rc)
		return err_wrap(e, rc, "--client");
	if (o->started_at && !serve_time_parse(str_of(o->started_at), &s->started_ns))
		return err_set(e, ERR_INVALID, "--started-at: '%s' is not a number of seconds",
			       o->started_at);
	rc = child_find(&s->path, GATEWAY, e);
	if (rc)
		return rc;
	args_make(s);
	return signals_open(s, e);
}

int serve_run(const struct serve_options *o)
{
	struct serve s = { .options = o,
			   .term = term_probe(STDOUT_FILENO, o->no_color),
			   .started_ns = clock_real_ns(),
			   .signals = -1,
			   .child = { .ready_fd = -1 } };
	struct err e = { 0 };
	enum err_code rc = serve_open(&s, &e);
	int status;

	if (rc) {
		term_complain(e.msg);
		status = rc == ERR_INVALID || rc == ERR_RANGE ? CLI_USAGE : CLI_FAILED;
	} else {
		status = supervise(&s);
		if (s.crashed && !host_restore(&s) && status == CLI_DONE)
			status = CLI_FAILED;
	}
	fd_close(s.child.ready_fd);
	fd_close(s.signals);
	free(s.path);
	return status;
}
