#include "dns/message.h"

/* The flags of the header's second word (RFC 1035, 4.1.1; RFC 4035, 3.1.6 and 3.2.2). */
#define FLAG_QR 0x8000u
#define FLAG_AA 0x0400u
#define FLAG_TC 0x0200u
#define FLAG_RD 0x0100u
#define FLAG_RA 0x0080u
#define FLAG_AD 0x0020u
#define FLAG_CD 0x0010u
#define OPCODE_SHIFT 11

#define FLAGS_AT 2
#define COUNTS_AT 4

#define POINTER 0xc0u /* the two upper bits of a length byte */
#define POINTER_MAX 0x3fffu

#define OPT_DO 0x8000u /* RFC 6891, 6.1.4 */

const char *dns_rcode_name(unsigned rcode)
{
	static const char *const names[] = { "NOERROR",	 "FORMERR", "SERVFAIL",
					     "NXDOMAIN", "NOTIMP",  "REFUSED" };

	return rcode < ARRAY_LEN(names) ? names[rcode] : "RCODE";
}

/* ---- names ---- */

/* RFC 1035, 4.1.4: a pointer names a prior occurrence.  A prior name has ended before the part
 * that points to it began, so each jump reads only what lies in front of the one before: it
 * ends, and no byte is read twice. */
static bool name_read(const struct dns_reader *r, struct rd *rd, struct dns_name *out)
{
	struct rd before, *from = rd;
	size_t start = (size_t)(rd->p - r->message);
	const uint8_t *label;
	uint8_t len;

	out->n = 0;
	while ((len = rd_u8(from)) != 0) {
		if (len >= POINTER) {
			size_t target = (size_t)(len & ~POINTER) << 8 | rd_u8(from);

			if (from->bad || target < DNS_HEADER_LEN || target >= start)
				goto bad;
			before = rd_over(r->message + target, start - target);
			from = &before;
			start = target;
			continue;
		}
		/* 64 to 191 are no lengths; one byte stays for the root. */
		if (len > DNS_LABEL_MAX || (size_t)out->n + len + 2 > DNS_NAME_MAX)
			goto bad;
		label = rd_bytes(from, len);
		if (!label)
			goto bad;
		out->b[out->n++] = len;
		memcpy(out->b + out->n, label, len);
		out->n = (uint8_t)(out->n + len);
	}
	if (from->bad)
		goto bad;
	out->b[out->n++] = 0;
	return true;
bad:
	out->n = 0;
	rd->bad = true;
	return false;
}

/* Is the rest of `name` from `at` what stands at `offset` of the message?  Only names that this
 * writer wrote are looked at. */
static bool name_stands_at(const struct dns_writer *w, size_t offset, const struct dns_name *name,
			   size_t at)
{
	const uint8_t *m = w->w.p;

	for (;;) {
		uint8_t len = m[offset];

		if (len >= POINTER) {
			offset = (size_t)(len & ~POINTER) << 8 | m[offset + 1];
			continue;
		}
		/* Case counts: an answer repeats the spelling of its question. */
		if (len != name->b[at] || memcmp(m + offset + 1, name->b + at + 1, len) != 0)
			return false;
		if (len == 0)
			return true;
		offset += (size_t)len + 1;
		at += (size_t)len + 1;
	}
}

static bool name_find(const struct dns_writer *w, const struct dns_name *name, size_t at,
		      uint16_t *offset)
{
	for (size_t i = 0; i < w->name_count; i++) {
		if (name_stands_at(w, w->names[i], name, at)) {
			*offset = w->names[i];
			return true;
		}
	}
	return false;
}

static void name_write(struct dns_writer *w, const struct dns_name *name, bool compress)
{
	size_t at = 0, known = w->name_count;
	uint16_t offset;

	while (name->b[at]) {
		size_t len = (size_t)name->b[at] + 1;

		if (compress && name_find(w, name, at, &offset)) {
			wr_be16(&w->w, (uint16_t)(POINTER << 8 | offset));
			break;
		}
		/* Kept only once it stands whole: a search follows what is kept. */
		if (compress && known < DNS_NAMES_KEPT && w->w.n <= POINTER_MAX)
			w->names[known++] = (uint16_t)w->w.n;
		wr_bytes(&w->w, name->b + at, len);
		at += len;
		if (w->w.full)
			return;
	}
	if (!name->b[at]) /* no pointer ended it */
		wr_u8(&w->w, 0);
	if (!w->w.full)
		w->name_count = known;
}

/* ---- reading ---- */

static void header_read(struct dns_header *h, struct rd *rd)
{
	uint16_t flags;

	h->id = rd_be16(rd);
	flags = rd_be16(rd);
	h->response = flags & FLAG_QR;
	h->opcode = flags >> OPCODE_SHIFT & 15;
	h->authoritative = flags & FLAG_AA;
	h->truncated = flags & FLAG_TC;
	h->recursion_desired = flags & FLAG_RD;
	h->recursion_available = flags & FLAG_RA;
	h->authentic = flags & FLAG_AD;
	h->checking_disabled = flags & FLAG_CD;
	h->rcode = flags & 15;
	h->questions = rd_be16(rd);
	h->answers = rd_be16(rd);
	h->authorities = rd_be16(rd);
	h->additionals = rd_be16(rd);
}

struct dns_reader dns_read_begin(struct dns_header *h, const void *message, size_t len)
{
	struct dns_reader r = { .message = message, .len = len, .rest = rd_over(message, len) };

	*h = (struct dns_header){ 0 };
	r.rest.bad = len > DNS_MESSAGE_MAX;
	header_read(h, &r.rest);
	r.left[0] = h->questions;
	r.left[1 + DNS_ANSWER] = h->answers;
	r.left[1 + DNS_AUTHORITY] = h->authorities;
	r.left[1 + DNS_ADDITIONAL] = h->additionals;
	return r;
}

bool dns_read_question(struct dns_reader *r, struct dns_question *q)
{
	if (r->rest.bad || r->left[0] == 0)
		return false;
	if (!name_read(r, &r->rest, &q->name))
		return false;
	q->type = rd_be16(&r->rest);
	q->class = rd_be16(&r->rest);
	r->left[0]--;
	return !r->rest.bad;
}

static void address_read(struct rd *rd, struct ip_addr *out, uint16_t type)
{
	*out = (struct ip_addr){ .family = type == DNS_A ? IP_V4 : IP_V6 };
	(void)rd_copy(rd, out->b, type == DNS_A ? 4 : 16); /* a failure shows in rd */
}

static void soa_read(const struct dns_reader *r, struct rd *rd, struct dns_record *rr)
{
	if (!name_read(r, rd, &rr->soa.primary) || !name_read(r, rd, &rr->soa.mailbox))
		return;
	rr->soa.serial = rd_be32(rd);
	rr->soa.refresh = rd_be32(rd);
	rr->soa.retry = rd_be32(rd);
	rr->soa.expire = rd_be32(rd);
	rr->soa.minimum = rd_be32(rd);
}

/* RFC 1035, 3.3.14: one or more strings, each a length byte and so many bytes. */
static void text_check(struct rd *rd)
{
	do {
		(void)rd_bytes(rd, rd_u8(rd));
	} while (!rd->bad && rd->left);
}

static void srv_read(const struct dns_reader *r, struct rd *rd, struct dns_record *rr)
{
	rr->srv.priority = rd_be16(rd);
	rr->srv.weight = rd_be16(rd);
	rr->srv.port = rd_be16(rd);
	if (!rd->bad)
		(void)name_read(r, rd, &rr->srv.target);
}

static void mx_read(const struct dns_reader *r, struct rd *rd, struct dns_record *rr)
{
	rr->mx.preference = rd_be16(rd);
	if (!rd->bad)
		(void)name_read(r, rd, &rr->mx.exchange);
}

/* RFC 6891, 6.1: class and TTL mean something else, and the data is a list of options. */
static void opt_read(struct rd *rd, struct dns_record *rr)
{
	rr->opt.udp_size = rr->class;
	rr->opt.rcode_high = (uint8_t)(rr->ttl >> 24);
	rr->opt.version = (uint8_t)(rr->ttl >> 16);
	rr->opt.dnssec_ok = rr->ttl & OPT_DO;
	rr->class = 0;
	rr->ttl = 0;
	while (!rd->bad && rd->left) {
		(void)rd_be16(rd);
		(void)rd_bytes(rd, rd_be16(rd));
	}
}

/* The data of a type that is decoded must be used up; false: malformed. */
static bool data_read(const struct dns_reader *r, struct dns_record *rr)
{
	struct rd rd = rd_over(rr->data, rr->data_len);

	switch (rr->type) {
	case DNS_A:
	case DNS_AAAA:
		address_read(&rd, &rr->address, rr->type);
		break;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		(void)name_read(r, &rd, &rr->target);
		break;
	case DNS_MX:
		mx_read(r, &rd, rr);
		break;
	case DNS_SRV:
		srv_read(r, &rd, rr);
		break;
	case DNS_SOA:
		soa_read(r, &rd, rr);
		break;
	case DNS_TXT:
		text_check(&rd);
		break;
	case DNS_OPT:
		opt_read(&rd, rr);
		break;
	default:
		return true;
	}
	return rd_done(&rd);
}

/* RFC 6891, 6.1.1: one at most, of the root, among the additional records. */
static bool opt_place_ok(struct dns_reader *r, const struct dns_record *rr)
{
	if (rr->type != DNS_OPT)
		return true;
	if (rr->section != DNS_ADDITIONAL || rr->name.n != 1 || r->has_opt)
		return false;
	r->has_opt = true;
	return true;
}

static bool is_decoded(const struct dns_record *rr)
{
	return rr->type == DNS_OPT || rr->class == DNS_CLASS_IN;
}

bool dns_read_record(struct dns_reader *r, struct dns_record *rr)
{
	size_t section = 0;

	while (section < 3 && r->left[1 + section] == 0)
		section++;
	if (r->rest.bad || r->left[0] || section == 3)
		return false;
	rr->section = (enum dns_section)section;
	if (!name_read(r, &r->rest, &rr->name))
		return false;
	rr->type = rd_be16(&r->rest);
	rr->class = rd_be16(&r->rest);
	rr->ttl = rd_be32(&r->rest);
	rr->data_len = rd_be16(&r->rest);
	rr->data = rd_bytes(&r->rest, rr->data_len);
	if (r->rest.bad || !opt_place_ok(r, rr) || (is_decoded(rr) && !data_read(r, rr))) {
		r->rest.bad = true;
		return false;
	}
	r->left[1 + section]--;
	return true;
}

bool dns_read_done(const struct dns_reader *r)
{
	return rd_done(&r->rest) && !r->left[0] && !r->left[1] && !r->left[2] && !r->left[3];
}

/* What is left of the data from *at on; the record has been checked when it was read. */
static struct rd data_from(const struct dns_record *rr, size_t at)
{
	struct rd rd = rd_over(rr->data, rr->data_len);

	(void)rd_bytes(&rd, at);
	return rd;
}

bool dns_text_next(const struct dns_record *txt, size_t *at, struct str *out)
{
	struct rd rd = data_from(txt, *at);
	uint8_t n = rd_u8(&rd);
	const uint8_t *p = rd_bytes(&rd, n);

	if (rd.bad)
		return false;
	*out = (struct str){ (const char *)p, n };
	*at += (size_t)n + 1;
	return true;
}

bool dns_option_next(const struct dns_record *opt, size_t *at, uint16_t *code, struct str *value)
{
	struct rd rd = data_from(opt, *at);
	uint16_t c = rd_be16(&rd), n = rd_be16(&rd);
	const uint8_t *p = rd_bytes(&rd, n);

	if (rd.bad)
		return false;
	*code = c;
	*value = (struct str){ (const char *)p, n };
	*at += (size_t)n + 4;
	return true;
}

/* ---- writing ---- */

static uint16_t flags_of(const struct dns_header *h)
{
	return (uint16_t)((h->response ? FLAG_QR : 0) | (h->opcode & 15u) << OPCODE_SHIFT |
			  (h->authoritative ? FLAG_AA : 0) | (h->truncated ? FLAG_TC : 0) |
			  (h->recursion_desired ? FLAG_RD : 0) |
			  (h->recursion_available ? FLAG_RA : 0) | (h->authentic ? FLAG_AD : 0) |
			  (h->checking_disabled ? FLAG_CD : 0) | (h->rcode & 15u));
}

struct dns_writer dns_write_begin(void *out, size_t cap, const struct dns_header *h)
{
	struct dns_writer w = { .w = wr_over(out, MIN(cap, (size_t)DNS_MESSAGE_MAX)) };

	wr_be16(&w.w, h->id);
	wr_be16(&w.w, flags_of(h));
	wr_zero(&w.w, 8); /* counts: dns_write_end */
	return w;
}

/* A mark to go back to when something did not fit. */
struct mark {
	size_t n, name_count;
};

static struct mark mark_of(const struct dns_writer *w)
{
	return (struct mark){ w->w.n, w->name_count };
}

static bool write_done(struct dns_writer *w, unsigned stage, struct mark before)
{
	if (w->w.full) {
		w->w.n = before.n;
		w->name_count = before.name_count;
		w->w.full = w->w.n < DNS_HEADER_LEN;
		return false;
	}
	w->stage = stage;
	w->count[stage]++;
	return true;
}

static bool may_write(const struct dns_writer *w, unsigned stage, const struct dns_name *name)
{
	return stage >= w->stage && stage < 4 && w->count[stage] < UINT16_MAX && name->n;
}

bool dns_write_question(struct dns_writer *w, const struct dns_question *q)
{
	struct mark before = mark_of(w);

	if (!may_write(w, 0, &q->name))
		return false;
	name_write(w, &q->name, true);
	wr_be16(&w->w, q->type);
	wr_be16(&w->w, q->class);
	return write_done(w, 0, before);
}

static void soa_write(struct dns_writer *w, const struct dns_record *rr)
{
	name_write(w, &rr->soa.primary, true);
	name_write(w, &rr->soa.mailbox, true);
	wr_be32(&w->w, rr->soa.serial);
	wr_be32(&w->w, rr->soa.refresh);
	wr_be32(&w->w, rr->soa.retry);
	wr_be32(&w->w, rr->soa.expire);
	wr_be32(&w->w, rr->soa.minimum);
}

/* RFC 2782: the target of SRV is not compressed. */
static void srv_write(struct dns_writer *w, const struct dns_record *rr)
{
	wr_be16(&w->w, rr->srv.priority);
	wr_be16(&w->w, rr->srv.weight);
	wr_be16(&w->w, rr->srv.port);
	name_write(w, &rr->srv.target, false);
}

static void data_write(struct dns_writer *w, const struct dns_record *rr)
{
	switch (is_decoded(rr) ? rr->type : 0) {
	case DNS_A:
	case DNS_AAAA:
		wr_bytes(&w->w, rr->address.b, rr->type == DNS_A ? 4 : 16);
		break;
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		name_write(w, &rr->target, true);
		break;
	case DNS_MX:
		wr_be16(&w->w, rr->mx.preference);
		name_write(w, &rr->mx.exchange, true);
		break;
	case DNS_SRV:
		srv_write(w, rr);
		break;
	case DNS_SOA:
		soa_write(w, rr);
		break;
	default:
		wr_bytes(&w->w, rr->data, rr->data_len);
		break;
	}
}

static void class_write(struct dns_writer *w, const struct dns_record *rr)
{
	if (rr->type != DNS_OPT) {
		wr_be16(&w->w, rr->class);
		wr_be32(&w->w, rr->ttl);
		return;
	}
	wr_be16(&w->w, rr->opt.udp_size);
	wr_u8(&w->w, rr->opt.rcode_high);
	wr_u8(&w->w, rr->opt.version);
	wr_be16(&w->w, rr->opt.dnssec_ok ? OPT_DO : 0);
}

bool dns_write_record(struct dns_writer *w, const struct dns_record *rr)
{
	struct mark before = mark_of(w);
	unsigned stage = 1 + (unsigned)rr->section;
	uint8_t *length;
	size_t start;

	if (!may_write(w, stage, &rr->name))
		return false;
	name_write(w, &rr->name, true);
	wr_be16(&w->w, rr->type);
	class_write(w, rr);
	length = wr_reserve(&w->w, 2);
	start = w->w.n;
	data_write(w, rr);
	if (length && !w->w.full)
		store_be16(length, (uint16_t)(w->w.n - start));
	return write_done(w, stage, before);
}

void dns_write_truncated(struct dns_writer *w)
{
	if (w->w.n >= DNS_HEADER_LEN)
		w->w.p[FLAGS_AT] |= FLAG_TC >> 8;
}

size_t dns_write_end(struct dns_writer *w)
{
	if (w->w.n < DNS_HEADER_LEN)
		return 0;
	for (size_t i = 0; i < ARRAY_LEN(w->count); i++)
		store_be16(w->w.p + COUNTS_AT + 2 * i, w->count[i]);
	return w->w.n;
}
