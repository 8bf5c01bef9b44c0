/* udpblast - many small UDP packets a second, and how many of them arrive.
 *
 * usage: bench_udpblast send --device DEV --from ADDRESS [--flows N] [--rate PPS] [--size BYTES]
 *                            [--seconds S] ADDRESS:PORT
 *        bench_udpblast sink [--warm MS] [--seconds S] ADDRESS:PORT [PID...]
 *
 * `send` puts packets into a tunnel's interface by a packet socket, as if they were forwarded from
 * elsewhere; neighbours belong to different flows when there are several.  It prints: packets
 * sent, nanoseconds.  What a full queue drops counts as sent.
 *
 * `sink` begins with the first packet, waits until the flow is steady, and prints for the time of
 * measuring: packets read, nanoseconds, packets that its own socket dropped, then the processor
 * nanoseconds that each process PID took in the same time.  Status 1 when nothing arrived.
 */
#include <errno.h>
#include <linux/sock_diag.h>
#include <stdio.h>
#include <sys/prctl.h>

#include "base/opt.h"
#include "frame.h"
#include "pace.h"

#define FLOWS_MAX 1024
#define PORT_FIRST 20000 /* of a flow */
#define SINK_BATCH 64
#define SIZE_MAX_BYTES 1400
#define SINK_BUFFER (16 << 20)
#define SINK_SLEEP NS_PER_MS
#define PIDS_MAX 8
#define NOTHING_AFTER (10 * NS_PER_S) /* a sink that gets nothing ends then */

struct options {
	const char *device;
	struct ip_addr from;
	uint32_t flows, rate, size, seconds, warm_ms;
};

#define AT(field) offsetof(struct options, field)
static const struct opt rows[] = {
	{ "device", 'd', OPT_TEXT, AT(device), 1, IFNAMSIZ - 1, NULL, NULL, "DEV",
	  "send: the tunnel's interface", NULL },
	{ "from", 'F', OPT_IP, AT(from), 0, 0, NULL, NULL, "ADDRESS", "send: the source", NULL },
	{ "flows", 'f', OPT_U32, AT(flows), 1, FLOWS_MAX, "1", NULL, "N", "source ports", NULL },
	{ "rate", 'r', OPT_U32, AT(rate), 0, UINT32_MAX, "0", NULL, "PPS",
	  "packets a second; 0: as fast as it goes", NULL },
	{ "size", 's', OPT_U32, AT(size), 1, SIZE_MAX_BYTES, "64", NULL, "BYTES", "UDP payload",
	  NULL },
	{ "seconds", 't', OPT_U32, AT(seconds), 1, 3600, "2", NULL, "S", "how long", NULL },
	{ "warm", 'w', OPT_U32, AT(warm_ms), 0, 60000, "500", NULL, "MS",
	  "sink: not measured at the start", NULL },
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

/* ---- send ---- */

static int run_send(const struct options *o, const struct endpoint *to)
{
	static struct frame_batch b;
	static uint8_t zeros[SIZE_MAX_BYTES];
	struct frame_payload payload = { zeros, o->size, checksum_add(0, zeros, o->size) };
	struct pace pace;
	int64_t start, now;

	if (!frame_open(&b, o->device, to->addr.family, NULL))
		die(o->device);
	pace = pace_begin(o->rate);
	start = now = pace.begin;
	while (now < start + o->seconds * NS_PER_S) {
		size_t n = pace_due(&pace, FRAME_BATCH);
		int sent;

		for (size_t i = 0; i < n; i++) {
			uint64_t flow = (pace.done + i) % o->flows;
			struct endpoint src = { o->from, (uint16_t)(PORT_FIRST + flow), 0 };

			frame_set(&b, i, &src, to, &payload);
		}
		sent = frame_send(&b, n);
		if (sent < 0)
			die("send");
		pace.done += (uint64_t)sent;
		now = pace_now_ns();
	}
	printf("%llu %lld\n", (unsigned long long)pace.done, (long long)(now - start));
	return 0;
}

/* ---- sink ---- */

struct sink {
	int fd;
	struct mmsghdr msg[SINK_BATCH];
	struct iovec iov[SINK_BATCH];
	uint8_t payload[SINK_BATCH][SIZE_MAX_BYTES];
	size_t pids;
	clockid_t clock[PIDS_MAX]; /* of each process */
	int64_t cpu[PIDS_MAX]; /* when measuring began */
};

static void sink_open(struct sink *k, const struct endpoint *at)
{
	struct sockaddr_storage sa;
	socklen_t len = endpoint_to_sockaddr(at, &sa);
	int room = SINK_BUFFER;

	k->fd = socket(at->addr.family == IP_V4 ? AF_INET : AF_INET6, SOCK_DGRAM, 0);
	if (k->fd < 0)
		die("socket");
	if (bind(k->fd, (struct sockaddr *)&sa, len) != 0)
		die("bind");
	if (setsockopt(k->fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room) != 0)
		die("setsockopt");
	for (size_t i = 0; i < ARRAY_LEN(k->msg); i++) {
		k->iov[i] = (struct iovec){ k->payload[i], sizeof k->payload[i] };
		k->msg[i].msg_hdr = (struct msghdr){ .msg_iov = &k->iov[i], .msg_iovlen = 1 };
	}
}

/* What has come by now.  Sleeps a while when there is little: a sink that waits in its socket is
 * woken for every packet, at the expense of the end that delivers it. */
static uint64_t sink_read(struct sink *k)
{
	int n = recvmmsg(k->fd, k->msg, ARRAY_LEN(k->msg), MSG_DONTWAIT, NULL);

	if (n < 0 && errno != EAGAIN && errno != EINTR)
		die("recvmmsg");
	if (n < (int)ARRAY_LEN(k->msg))
		pace_sleep_until(pace_now_ns() + SINK_SLEEP);
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
	if (argc < 2 || !endpoint_parse(str_of(argv[1]), &e) || argc - 2 > PIDS_MAX ||
	    (!is_sink && (argc != 2 || !o.device || o.from.family != e.addr.family))) {
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
