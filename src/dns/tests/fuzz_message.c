/* Whatever reads whole can be written again, and what was written reads as the same. */
#include "dns/message.h"

static void name_ok(const struct dns_name *n)
{
	static char text[DNS_NAME_TEXT_MAX];
	struct dns_name again;

	BUG_ON(n->n < 1 || n->n > DNS_NAME_MAX || n->b[n->n - 1] != 0);
	dns_name_format(text, n);
	BUG_ON(!dns_name_parse(&again, str_of(text)));
	BUG_ON(again.n != n->n || memcmp(again.b, n->b, n->n) != 0);
	BUG_ON(!dns_name_eq(n, &again) || !dns_name_in(n, &again));
}

/* Names in the data of types that are not decoded may be compressed, which is lost when they are
 * copied; that is for whoever copies them to know. */
static bool record_eq(const struct dns_record *a, const struct dns_record *b)
{
	if (a->type != b->type || a->class != b->class || a->ttl != b->ttl ||
	    a->section != b->section || !dns_name_eq(&a->name, &b->name))
		return false;
	switch (a->class == DNS_CLASS_IN || a->type == DNS_OPT ? a->type : 0) {
	case DNS_A:
	case DNS_AAAA:
		return ip_eq(&a->address, &b->address);
	case DNS_NS:
	case DNS_CNAME:
	case DNS_PTR:
		return dns_name_eq(&a->target, &b->target);
	case DNS_MX:
		return a->mx.preference == b->mx.preference &&
		       dns_name_eq(&a->mx.exchange, &b->mx.exchange);
	case DNS_SRV:
		return a->srv.port == b->srv.port && dns_name_eq(&a->srv.target, &b->srv.target);
	case DNS_SOA:
		return dns_name_eq(&a->soa.primary, &b->soa.primary) &&
		       dns_name_eq(&a->soa.mailbox, &b->soa.mailbox) &&
		       a->soa.minimum == b->soa.minimum;
	default:
		return a->data_len == b->data_len &&
		       (!a->data_len || memcmp(a->data, b->data, a->data_len) == 0);
	}
}

static void details_ok(const struct dns_record *rr)
{
	struct str v;
	uint16_t code;
	size_t at = 0;

	if (rr->type == DNS_TXT && rr->class == DNS_CLASS_IN) {
		while (dns_text_next(rr, &at, &v))
			BUG_ON(v.n > 255);
		BUG_ON(at != rr->data_len);
	}
	if (rr->type == DNS_OPT) {
		while (dns_option_next(rr, &at, &code, &v))
			;
		BUG_ON(at != rr->data_len);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static uint8_t out[DNS_MESSAGE_MAX];
	struct dns_header h, h2;
	struct dns_question q, q2;
	struct dns_record rr, rr2;
	struct dns_reader r = dns_read_begin(&h, data, len), r2;
	struct dns_writer w = dns_write_begin(out, sizeof out, &h);
	bool all_written = true;
	size_t n;

	while (dns_read_question(&r, &q)) {
		name_ok(&q.name);
		all_written = dns_write_question(&w, &q) && all_written;
	}
	while (dns_read_record(&r, &rr)) {
		name_ok(&rr.name);
		details_ok(&rr);
		BUG_ON(rr.data < data || rr.data + rr.data_len > data + len);
		all_written = dns_write_record(&w, &rr) && all_written;
	}
	if (!dns_read_done(&r) || !all_written)
		return 0;
	n = dns_write_end(&w);
	r = dns_read_begin(&h, data, len);
	r2 = dns_read_begin(&h2, out, n);
	/* But for bit 6 of the flags, which must be zero (RFC 1035, 4.1.1). */
	BUG_ON(memcmp(&h, &h2, sizeof h) != 0);
	while (dns_read_question(&r, &q)) {
		BUG_ON(!dns_read_question(&r2, &q2));
		BUG_ON(!dns_name_eq(&q.name, &q2.name) || q.type != q2.type || q.class != q2.class);
	}
	while (dns_read_record(&r, &rr)) {
		BUG_ON(!dns_read_record(&r2, &rr2));
		BUG_ON(!record_eq(&rr, &rr2));
	}
	BUG_ON(!dns_read_done(&r2));
	return 0;
}
