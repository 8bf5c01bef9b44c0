#include "priv/engine_link.h"

#include "base/fs.h"
#include "nl/rtnl.h"
#include "priv/message.h"

enum request_kind { ASK_SOCKETS = 1, ASK_MARK, ASK_SUPER_PACKET, SAY_READY, SAY_FAILED, SAY_GONE };

struct request {
	uint32_t kind;
	struct udp_options sockets; /* of ASK_SOCKETS */
	uint32_t mark; /* of ASK_MARK; of ASK_SUPER_PACKET the length */
	struct err why; /* of SAY_FAILED */
};

struct reply {
	struct err why; /* code ERR_OK: done */
	uint32_t pairs;
	bool has_v6; /* descriptors: of each pair the IPv4 socket, then the IPv6 one if there is */
};

_Static_assert(2 * UDP_PAIRS_MAX <= MESSAGE_FDS_MAX, "all pairs fit one answer");

/* ---- the engine's end ---- */

static int sock_of(const void *link)
{
	return *(const int *)link;
}

static enum err_code ask(const void *link, const struct request *q, struct reply *a, int *fds,
			 size_t *fd_count, struct err *e)
{
	enum err_code rc = message_send(sock_of(link), q, sizeof *q, NULL, 0, e);

	if (rc == ERR_OK)
		rc = message_receive(sock_of(link), a, sizeof *a, fds, fd_count, e);
	if (rc || a->why.code == ERR_OK)
		return rc;
	if (e)
		*e = a->why;
	return a->why.code;
}

enum err_code engine_link_sockets(void *link, struct udp **out, const struct udp_options *o,
				  struct err *e)
{
	struct request q = { .kind = ASK_SOCKETS, .sockets = *o };
	int fds[MESSAGE_FDS_MAX];
	size_t n = ARRAY_LEN(fds), used = 0;
	unsigned opened = 0;
	struct reply a;
	enum err_code rc = ask(link, &q, &a, fds, &n, e);

	if (rc)
		return rc;
	if (a.pairs != o->pairs || n != (size_t)o->pairs * (a.has_v6 ? 2 : 1))
		rc = err_set(e, ERR_INVALID, "the keeper sent %zu sockets for %u pairs", n,
			     o->pairs);
	while (rc == ERR_OK && opened < o->pairs) {
		rc = udp_adopt(&out[opened], fds[used], a.has_v6 ? fds[used + 1] : -1, o, e);
		if (rc)
			break;
		opened++;
		used += a.has_v6 ? 2 : 1;
	}
	if (rc == ERR_OK)
		return ERR_OK;
	for (unsigned i = 0; i < opened; i++)
		udp_close(out[i]);
	while (used < n)
		fd_close(fds[used++]);
	return rc;
}

enum err_code engine_link_mark(void *link, uint32_t mark, struct err *e)
{
	const struct request q = { .kind = ASK_MARK, .mark = mark };
	struct reply a;
	size_t none = 0;

	return ask(link, &q, &a, NULL, &none, e);
}

enum err_code engine_link_super_packet(void *link, uint32_t len, struct err *e)
{
	const struct request q = { .kind = ASK_SUPER_PACKET, .mark = len };
	struct reply a;
	size_t none = 0;

	return ask(link, &q, &a, NULL, &none, e);
}

enum err_code engine_link_report(void *link, enum err_code rc, const struct err *why, struct err *e)
{
	struct request q = { .kind = SAY_READY };

	if (rc) {
		q.kind = SAY_FAILED;
		q.why = *why;
	}
	return message_send(sock_of(link), &q, sizeof q, NULL, 0, e);
}

enum err_code engine_link_gone(void *link, struct err *e)
{
	const struct request q = { .kind = SAY_GONE };

	return message_send(sock_of(link), &q, sizeof q, NULL, 0, e);
}

/* ---- the keeper's ---- */

void engine_keeper_done(struct engine_keeper *k)
{
	for (unsigned i = 0; i < k->pairs; i++)
		udp_close(k->udp[i]);
	k->pairs = 0;
}

static size_t fds_of(struct udp *const *udp, unsigned pairs, int fds[MESSAGE_FDS_MAX])
{
	size_t n = 0;

	for (unsigned i = 0; i < pairs; i++) {
		fds[n++] = udp_fd(udp[i], IP_V4);
		if (udp_fd(udp[i], IP_V6) >= 0)
			fds[n++] = udp_fd(udp[i], IP_V6);
	}
	return n;
}

/* The old ones are let go of only when the new ones have been sent, and before the next request,
 * which may be for the port that they had. */
static enum err_code answer_sockets(struct engine_keeper *k, const struct udp_options *o,
				    struct err *e)
{
	struct udp *fresh[UDP_PAIRS_MAX];
	int fds[MESSAGE_FDS_MAX];
	struct reply a = { 0 };
	size_t n = 0;
	bool opened;
	enum err_code rc;

	if (o->pairs < 1 || o->pairs > UDP_PAIRS_MAX)
		opened = err_set(&a.why, ERR_RANGE, "%u pairs of sockets", o->pairs) == ERR_OK;
	else
		opened = udp_open(fresh, o, &a.why) == ERR_OK;
	if (opened) {
		a.why.code = ERR_OK;
		a.pairs = o->pairs;
		a.has_v6 = udp_fd(fresh[0], IP_V6) >= 0;
		n = fds_of(fresh, o->pairs, fds);
	}
	rc = message_send(k->sock, &a, sizeof a, fds, n, e);
	if (!opened)
		return rc;
	engine_keeper_done(k);
	memcpy(k->udp, fresh, o->pairs * sizeof fresh[0]);
	k->pairs = o->pairs;
	return rc;
}

static enum err_code answer_mark(struct engine_keeper *k, uint32_t mark, struct err *e)
{
	struct reply a = { 0 };

	for (unsigned i = 0; i < k->pairs && a.why.code == ERR_OK; i++)
		if (udp_set_mark(k->udp[i], mark, &a.why) == ERR_OK)
			a.why.code = ERR_OK;
	return message_send(k->sock, &a, sizeof a, NULL, 0, e);
}

static enum err_code super_packet_set(const struct engine_keeper *k, uint32_t len, struct err *e)
{
	struct nl_link link;
	struct nl *n = NULL;
	enum err_code rc;

	if (!k->ifname)
		return err_set(e, ERR_UNSUPPORTED, "the keeper knows no interface");
	rc = nl_open(&n, e);
	if (rc == ERR_OK)
		rc = nl_link_by_name(n, k->ifname, &link, e);
	if (rc == ERR_OK)
		rc = nl_link_set_gso_max(n, link.index, len, e);
	nl_close(n);
	return rc;
}

static enum err_code answer_super_packet(const struct engine_keeper *k, uint32_t len, struct err *e)
{
	struct reply a = { 0 };

	if (super_packet_set(k, len, &a.why) == ERR_OK)
		a.why.code = ERR_OK;
	return message_send(k->sock, &a, sizeof a, NULL, 0, e);
}

enum engine_said engine_keeper_serve(struct engine_keeper *k, struct err *e)
{
	struct request q;
	size_t none = 0;
	enum err_code rc = message_receive(k->sock, &q, sizeof q, NULL, &none, e);

	if (rc)
		return ENGINE_CLOSED;
	switch ((enum request_kind)q.kind) {
	case ASK_SOCKETS:
		rc = answer_sockets(k, &q.sockets, e);
		break;
	case ASK_MARK:
		rc = answer_mark(k, q.mark, e);
		break;
	case ASK_SUPER_PACKET:
		rc = answer_super_packet(k, q.mark, e);
		break;
	case SAY_READY:
		return ENGINE_READY;
	case SAY_GONE:
		return ENGINE_GONE;
	case SAY_FAILED:
		q.why.msg[sizeof q.why.msg - 1] = 0;
		if (e)
			*e = q.why;
		return ENGINE_FAILED;
	default:
		(void)err_set(e, ERR_INVALID, "the engine sent request %u, which there is not",
			      q.kind);
		return ENGINE_CLOSED;
	}
	return rc ? ENGINE_CLOSED : ENGINE_ASKED;
}
