/* udpblast - many small UDP packets a second, and how many of them arrive.
 *
 * usage: bench_udpblast send [--flows N] [--rate PPS] [--size BYTES] [--seconds S] ADDRESS:PORT
 *        bench_udpblast sink [--warm MS] [--seconds S] ADDRESS:PORT [PID...]
 *
 * `send` prints: packets sent, nanoseconds.  Packets of one flow leave in calls of many; those of
 * several flows one by one, a flow after the other, so that nothing on the way can join
 * neighbours.  What the kernel drops on the way counts as sent.
 *
 * `sink` begins with the first packet, waits until the flow is steady, and prints for the time of
 * measuring: packets read, nanoseconds, packets that its own socket dropped, then the processor
 * nanoseconds that each process PID took in the same time.  Status 1 when nothing arrived.
 */
#include <errno.h>
#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/addr.h"
#include "base/opt.h"
#include "pace.h"

#define FLOWS_MAX 1024
#define BATCH 32
#define SIZE_MAX_BYTES 1400
#define SINK_BUFFER (4 << 20)
#define PIDS_MAX 8
#define NOTHING_AFTER (10 * NS_PER_S) /* a sink that gets nothing ends then */

struct options {
	uint32_t flows, rate, size, seconds, warm_ms;
	bool gso;
};

#define AT(field) offsetof(struct options, field)
static const struct opt rows[] = {
	{ "flows", 'f', OPT_U32, AT(flows), 1, FLOWS_MAX, "1", NULL, "N", "source ports", NULL },
	{ "rate", 'r', OPT_U32, AT(rate), 0, UINT32_MAX, "0", NULL, "PPS",
	  "packets a second; 0: as fast as it goes", NULL },
	{ "size", 's', OPT_U32, AT(size), 1, SIZE_MAX_BYTES, "64", NULL, "BYTES", "UDP payload",
	  NULL },
	{ "seconds", 't', OPT_U32, AT(seconds), 1, 3600, "2", NULL, "S", "how long", NULL },
	{ "warm", 'w', OPT_U32, AT(warm_ms), 0, 60000, "500", NULL, "MS",
	  "sink: not measured at the start", NULL },
	{ "gso", 'g', OPT_FLAG, AT(gso), 0, 0, NULL, NULL, NULL,
	  "send: hand many packets over as one (UDP_SEGMENT)", NULL },
	{ 0 },
};
static const struct opt_program program = {
	.name = "bench_udpblast",
	.usage = "send|sink [OPTION...] ADDRESS:PORT [PID...]",
	.opts = rows,
};

/* A failed call of ours ends the program; the kernel's words say what to do. */
static NORETURN void die(const char *what)
{
	fprintf(stderr, "bench_udpblast: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int udp_socket(const struct endpoint *e)
{
	int fd = socket(e->addr.family == IP_V4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);

	if (fd < 0)
		die("socket");
	return fd;
}

/* ---- send ---- */

struct sender {
	int fd[FLOWS_MAX];
	struct mmsghdr msg[BATCH];
	struct iovec iov;
	uint8_t payload[BATCH * SIZE_MAX_BYTES];
	uint64_t sent;
};

static void sender_open(struct sender *s, const struct options *o, const struct endpoint *to)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(to, &sa);
	int size = (int)o->size;

	for (size_t i = 0; i < o->flows; i++) {
		s->fd[i] = udp_socket(to);
		if (connect(s->fd[i], (struct sockaddr *)&sa, len) != 0)
			die("connect");
		if (o->gso && setsockopt(s->fd[i], SOL_UDP, UDP_SEGMENT, &size, sizeof size) != 0)
			die("UDP_SEGMENT");
	}
	s->iov = (struct iovec){ s->payload, o->gso ? o->size * BATCH : o->size };
	for (size_t i = 0; i < BATCH; i++)
		s->msg[i].msg_hdr = (struct msghdr){ .msg_iov = &s->iov, .msg_iovlen = 1 };
}

/* Sends up to n packets; a refusal that passes (full queues, an ICMP error) counts as sent and
 * lost, as it would for any application. */
static uint64_t sender_batch(struct sender *s, const struct options *o, uint64_t n)
{
	int fd = s->fd[s->sent % o->flows];
	int r;

	if (o->gso) {
		if (send(fd, s->payload, s->iov.iov_len, 0) < 0 && errno != ENOBUFS &&
		    errno != ECONNREFUSED)
			die("send");
		return BATCH;
	}
	if (o->flows > 1)
		n = 1;
	r = sendmmsg(fd, s->msg, (unsigned)n, 0);
	if (r < 0) {
		if (errno != ENOBUFS && errno != ECONNREFUSED && errno != EAGAIN && errno != EINTR)
			die("send");
		r = 1;
	}
	return (uint64_t)r;
}

static int run_send(const struct options *o, const struct endpoint *to)
{
	static struct sender s;
	int64_t end;
	struct pace pace;

	sender_open(&s, o, to);
	pace = pace_begin(o->rate);
	end = pace.begin + o->seconds * NS_PER_S;
	for (int64_t start = pace.begin;;) {
		/* The clock once in a batch; several flows make one of BATCH calls. */
		uint64_t n = pace_due(&pace, BATCH), went = 0;
		int64_t now;

		while (went < n) {
			uint64_t k = sender_batch(&s, o, n - went);

			went += k;
			s.sent += k;
		}
		pace.done += went;
		now = pace_now_ns();
		if (now >= end) {
			printf("%llu %lld\n", (unsigned long long)s.sent, (long long)(now - start));
			return 0;
		}
	}
}

/* ---- sink ---- */

struct sink {
	int fd;
	struct mmsghdr msg[BATCH * 2];
	struct iovec iov[BATCH * 2];
	uint8_t payload[BATCH * 2][SIZE_MAX_BYTES];
	size_t pids;
	clockid_t clock[PIDS_MAX]; /* of each process */
	int64_t cpu[PIDS_MAX]; /* when measuring began */
};

static void sink_open(struct sink *k, const struct endpoint *at)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(at, &sa);
	struct timeval tick = { .tv_usec = 100000 };
	int room = SINK_BUFFER;

	k->fd = udp_socket(at);
	if (bind(k->fd, (struct sockaddr *)&sa, len) != 0)
		die("bind");
	if (setsockopt(k->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0 ||
	    setsockopt(k->fd, SOL_SOCKET, SO_RCVTIMEO, &tick, sizeof tick) != 0)
		die("setsockopt");
	for (size_t i = 0; i < ARRAY_LEN(k->msg); i++) {
		k->iov[i] = (struct iovec){ k->payload[i], sizeof k->payload[i] };
		k->msg[i].msg_hdr = (struct msghdr){ .msg_iov = &k->iov[i], .msg_iovlen = 1 };
	}
}

static uint64_t sink_read(struct sink *k)
{
	int n = recvmmsg(k->fd, k->msg, ARRAY_LEN(k->msg), MSG_WAITFORONE, NULL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		die("recvmmsg");
	return n > 0 ? (uint64_t)n : 0;
}

static uint32_t sink_drops(const struct sink *k)
{
	uint32_t info[SK_MEMINFO_VARS] = { 0 };
	socklen_t len = sizeof info;

	if (getsockopt(k->fd, SOL_SOCKET, SO_MEMINFO, info, &len) != 0)
		die("SO_MEMINFO");
	return info[SK_MEMINFO_DROPS];
}

static int64_t cpu_ns(clockid_t c)
{
	struct timespec t;

	if (clock_gettime(c, &t) != 0)
		die("a process to measure is gone");
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

static int run_sink(const struct options *o, const struct endpoint *at, struct sink *k)
{
	int64_t begin = pace_now_ns(), now;
	uint64_t packets = 0;
	uint32_t drops;

	sink_open(k, at);
	printf("ready\n");
	fflush(stdout);
	while (sink_read(k) == 0)
		if (pace_now_ns() - begin > NOTHING_AFTER) {
			fprintf(stderr, "bench_udpblast: nothing arrived\n");
			return 1;
		}
	begin = pace_now_ns() + o->warm_ms * NS_PER_MS;
	while ((now = pace_now_ns()) < begin)
		sink_read(k);
	begin = now;
	drops = sink_drops(k);
	for (size_t i = 0; i < k->pids; i++)
		k->cpu[i] = cpu_ns(k->clock[i]);
	while ((now = pace_now_ns()) < begin + o->seconds * NS_PER_S)
		packets += sink_read(k);
	printf("%llu %lld %u", (unsigned long long)packets, (long long)(now - begin),
	       sink_drops(k) - drops);
	for (size_t i = 0; i < k->pids; i++)
		printf(" %lld", (long long)(cpu_ns(k->clock[i]) - k->cpu[i]));
	printf("\n");
	return 0;
}

int main(int argc, char **argv)
{
	static struct sink k;
	struct options o = { 0 };
	struct endpoint e;
	struct err err = { 0 };
	bool is_sink = argc > 1 && strcmp(argv[1], "sink") == 0;
	uint32_t pid;

	if (argc < 2 || (!is_sink && strcmp(argv[1], "send") != 0)) {
		fprintf(stderr, "usage: bench_udpblast %s\n", program.usage);
		return 2;
	}
	argc--;
	argv++;
	if (opt_parse(&program, &o, &argc, argv, false, &err)) {
		fprintf(stderr, "bench_udpblast: %s\n", err.msg);
		return 2;
	}
	if (argc < 2 || !endpoint_parse(str_of(argv[1]), &e) || (!is_sink && argc != 2) ||
	    argc - 2 > PIDS_MAX) {
		fprintf(stderr, "usage: bench_udpblast %s\n", program.usage);
		return 2;
	}
	for (int i = 2; i < argc; i++) {
		if (!u32_parse(str_of(argv[i]), 1, INT32_MAX, &pid) ||
		    clock_getcpuclockid((pid_t)pid, &k.clock[k.pids++]) != 0) {
			fprintf(stderr, "bench_udpblast: no process \"%s\"\n", argv[i]);
			return 2;
		}
	}
	if (prctl(PR_SET_TIMERSLACK, 1UL, 0UL, 0UL, 0UL) != 0)
		die("timer slack");
	return is_sink ? run_sink(&o, &e, &k) : run_send(&o, &e);
}
