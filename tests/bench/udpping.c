/* udpping - round-trip times and losses of UDP probes that leave at exact times.
 *
 * usage: bench_udpping echo ADDRESS:PORT
 *        bench_udpping ping [--count N] [--interval US] [--size BYTES] ADDRESS:PORT
 *
 * `echo` sends each datagram back, until it is killed.  `ping` sends probe i at i times the
 * interval, whatever came back so far, waits a second for the last ones and prints, on one line:
 * probes sent, probes without answer, then of the round-trip times in nanoseconds the median, the
 * 90th and 99th percentile, the greatest and the mean.  Status 1 when no probe was answered.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/bytes.h"
#include "base/opt.h"
#include "pace.h"

#define COUNT_MAX 10000000
#define SIZE_MAX_BYTES 1400
#define SIZE_MIN 8 /* the probe's number */
#define LINGER NS_PER_S
#define BUFFER (4 << 20)

struct options {
	uint32_t count, interval_us, size;
};

#define AT(field) offsetof(struct options, field)
static const struct opt rows[] = {
	{ "count", 'c', OPT_U32, AT(count), 1, COUNT_MAX, "1000", NULL, "N", "probes", NULL },
	{ "interval", 'i', OPT_U32, AT(interval_us), 10, 10000000, "1000", NULL, "US",
	  "microseconds between two probes", NULL },
	{ "size", 's', OPT_U32, AT(size), SIZE_MIN, SIZE_MAX_BYTES, "64", NULL, "BYTES",
	  "UDP payload", NULL },
	{ 0 },
};
static const struct opt_program program = {
	.name = "bench_udpping",
	.usage = "echo|ping [OPTION...] ADDRESS:PORT",
	.opts = rows,
};

static NORETURN void die(const char *what)
{
	fprintf(stderr, "bench_udpping: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int udp_open(const struct endpoint *e, bool bound)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(e, &sa);
	int fd = socket(e->addr.family == IP_V4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
	int room = BUFFER;

	if (fd < 0)
		die("socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
		die("setsockopt");
	if ((bound ? bind : connect)(fd, (struct sockaddr *)&sa, len) != 0)
		die(bound ? "bind" : "connect");
	return fd;
}

/* Refusals that pass: a probe is then lost, which is what is counted. */
static bool passes(int error)
{
	return error == ENOBUFS || error == ECONNREFUSED || error == EAGAIN || error == EINTR ||
	       error == EHOSTUNREACH || error == ENETUNREACH || error == EDESTADDRREQ;
}

static NORETURN void run_echo(const struct endpoint *at)
{
	int fd = udp_open(at, true);
	uint8_t data[SIZE_MAX_BYTES];

	printf("ready\n");
	fflush(stdout);
	for (;;) {
		struct sockaddr_storage from;
		socklen_t len = sizeof from;
		ssize_t n = recvfrom(fd, data, sizeof data, 0, (struct sockaddr *)&from, &len);

		if (n >= 0)
			n = sendto(fd, data, (size_t)n, 0, (struct sockaddr *)&from, len);
		if (n < 0 && !passes(errno))
			die("echo");
	}
}

struct run {
	int fd;
	uint32_t count, sent, answered;
	int64_t *sent_at; /* by number */
	int64_t *took; /* 0: no answer yet */
};

static void probe_send(struct run *r, const struct options *o)
{
	uint8_t data[SIZE_MAX_BYTES] = { 0 };

	store_le64(data, r->sent);
	r->sent_at[r->sent++] = pace_now_ns();
	if (send(r->fd, data, o->size, 0) < 0 && !passes(errno))
		die("send");
}

/* Takes what has come by now; a repeated or foreign answer does not count. */
static void answers_take(struct run *r)
{
	uint8_t data[SIZE_MAX_BYTES];
	ssize_t n;

	while ((n = recv(r->fd, data, sizeof data, MSG_DONTWAIT)) >= SIZE_MIN) {
		int64_t now = pace_now_ns();
		uint64_t number = load_le64(data);

		if (number < r->sent && r->took[number] == 0) {
			r->took[number] = MAX(now - r->sent_at[number], 1);
			r->answered++;
		}
	}
	if (n < 0 && !passes(errno))
		die("recv");
}

static void answers_wait(struct run *r, int64_t until)
{
	for (;;) {
		int64_t left = until - pace_now_ns();
		struct timespec t = { .tv_sec = left / NS_PER_S, .tv_nsec = left % NS_PER_S };
		struct pollfd p = { .fd = r->fd, .events = POLLIN };

		if (left <= 0 || r->answered == r->count)
			return;
		if (ppoll(&p, 1, &t, NULL) > 0)
			answers_take(r);
	}
}

static int compare(const void *a, const void *b)
{
	const int64_t *x = a, *y = b;

	return (*x > *y) - (*x < *y);
}

static void print_result(const struct run *r)
{
	int64_t *v = r->took, sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < r->count; i++)
		if (v[i])
			sum += v[n++] = v[i];
	qsort(v, n, sizeof *v, compare);
	printf("%u %u %lld %lld %lld %lld %lld\n", r->sent, r->sent - r->answered,
	       (long long)v[n / 2], (long long)v[n * 9 / 10], (long long)v[n * 99 / 100],
	       (long long)v[n - 1], (long long)(sum / (int64_t)n));
}

static int run_ping(const struct options *o, const struct endpoint *to)
{
	struct run r = { .fd = udp_open(to, false), .count = o->count };
	int64_t begin;
	int rc = 0;

	r.sent_at = calloc(o->count, sizeof *r.sent_at);
	r.took = calloc(o->count, sizeof *r.took);
	if (!r.sent_at || !r.took)
		die("memory");
	begin = pace_now_ns();
	while (r.sent < r.count) {
		answers_wait(&r, begin + r.sent * (o->interval_us * NS_PER_US));
		probe_send(&r, o);
	}
	answers_wait(&r, pace_now_ns() + LINGER);
	if (r.answered == 0) {
		fprintf(stderr, "bench_udpping: none of %u probes was answered\n", r.sent);
		rc = 1;
	} else {
		print_result(&r);
	}
	free(r.sent_at);
	free(r.took);
	close(r.fd);
	return rc;
}

int main(int argc, char **argv)
{
	struct options o = { 0 };
	struct endpoint e;
	struct err err = { 0 };
	bool is_echo = argc > 1 && strcmp(argv[1], "echo") == 0;

	if (argc < 2 || (!is_echo && strcmp(argv[1], "ping") != 0)) {
		fprintf(stderr, "usage: bench_udpping %s\n", program.usage);
		return 2;
	}
	argc--;
	argv++;
	if (opt_parse(&program, &o, &argc, argv, false, &err)) {
		fprintf(stderr, "bench_udpping: %s\n", err.msg);
		return 2;
	}
	if (argc != 2 || !endpoint_parse(str_of(argv[1]), &e)) {
		fprintf(stderr, "usage: bench_udpping %s\n", program.usage);
		return 2;
	}
	if (prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) != 0)
		die("timer slack");
	if (is_echo)
		run_echo(&e);
	return run_ping(&o, &e);
}
