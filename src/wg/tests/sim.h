/* sim.h - two devices back to back on a fake clock, and a network between them that loses, delays,
 * doubles and reorders.  For tests only.
 *
 * Everything that happens is a function of the seed: hours pass in milliseconds, and each run is
 * the same.  Side a is 10.0.0.1 inside, b is 10.0.0.2; each is the other's only peer at first.
 * What is retired is freed after each step, so that the address sanitizer sees late uses.
 */
#ifndef QANAT_WG_TESTS_SIM_H
#define QANAT_WG_TESTS_SIM_H

#include "wg/transport.h"

#define SIM_DGRAM_MAX 2048
#define SIM_TYPES 5 /* by message type */
#define SIM_START (1000 * NS_PER_S)
#define SIM_WALL_START (1700000000LL * NS_PER_S)

struct sim;

/* What happened since the last sim_forget. */
struct sim_seen {
	uint64_t got; /* inner packets that arrived whole and allowed */
	uint64_t got_keepalives;
	uint64_t sent[SIM_TYPES]; /* datagrams by type; transport data only below */
	uint64_t sent_keepalives;
	uint64_t sent_data;
	uint64_t events;
	uint64_t notes[4]; /* by enum wg_note */
	uint64_t verdicts[WG_VERDICTS];
	int64_t last_sent_at[SIM_TYPES];
	int64_t first_sent_at[SIM_TYPES];
};

struct sim_side {
	struct sim *sim;
	unsigned id;
	struct wg_device *d;
	struct retired retired;
	struct secret_key secret;
	struct public_key public;
	struct wg_path here; /* `remote` is what others see of us, `local` our own address */
	int64_t wall_offset;
	bool under_load;

	struct sim_seen seen;
};

struct sim_dgram {
	struct sim_dgram *next;
	int64_t at;
	uint8_t ecn;
	unsigned to;
	struct wg_path path; /* as the receiver sees it */
	size_t n;
	uint8_t d[SIM_DGRAM_MAX];
};

struct sim {
	int64_t now;
	uint64_t rng;
	struct sim_side side[2];
	struct sim_dgram *wire; /* by arrival */

	/* The network. */
	int64_t delay;
	int64_t jitter;
	unsigned loss_permille, dup_permille;
	unsigned drop_next[2][SIM_TYPES]; /* so many of this side's next messages are lost */
	uint8_t mark_ecn; /* 3: congestion on the way */
	bool hold; /* datagrams stay on the wire */

	/* The last datagram of each side and type, for replaying by hand. */
	struct sim_dgram last[2][SIM_TYPES];

	/* Numbers given to ops->random before the generator's, by length: 4 and 32 bytes. */
	const uint8_t *script[2];
	size_t script_n[2];
};

void sim_init(struct sim *s, uint64_t seed);
void sim_done(struct sim *s);
/* Forgets the counts. */
void sim_forget(struct sim *s);
uint64_t sim_random(struct sim *s);

/* The other side as a peer of this one. */
struct wg_peer *sim_peer(struct sim *s, unsigned side);
/* Adds or changes it; the fields besides the key and the allowed IP are `c`'s. */
void sim_change_peer(struct sim *s, unsigned side, struct wg_peer_change c);
/* The device is told that it has another port, and hears there alone. */
void sim_set_port(struct sim *s, unsigned side, uint16_t port);
void sim_set_keepalive(struct sim *s, unsigned side, uint16_t seconds);

/* An inner packet of 20 + `len` bytes from this side to the other. */
enum wg_verdict sim_send(struct sim *s, unsigned side, size_t len);
/* The same with any addresses (last byte of 10.0.0.x) and TOS. */
enum wg_verdict sim_send_as(struct sim *s, unsigned side, uint8_t src, uint8_t dst, uint8_t tos,
			    size_t len);
/* Lets this side receive a datagram at once. */
enum wg_verdict sim_receive(struct sim *s, unsigned side, const struct sim_dgram *m);
/* Lets time pass: datagrams arrive, timers run. */
void sim_run(struct sim *s, int64_t duration);
/* Moves a side to another address and port. */
void sim_move(struct sim *s, unsigned side, uint8_t host, uint16_t port);

/* Runs a script, one command a line; fails the test with `name` and the line. */
void sim_script(struct sim *s, const char *name, const char *text);

#endif
