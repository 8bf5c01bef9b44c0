/* message.h - DNS messages (RFC 1035, 4), with EDNS(0) (RFC 6891): a strict reader and a writer.
 *
 * No I/O.  The reader walks a message once, record by record, in the order of its sections, and
 * remembers failure: what it returned is good, and dns_read_done says whether all of the message
 * was.  Compressed names are followed only backwards, so that they end, and are given whole.  The
 * types below are decoded (of class IN) and their data must be exactly as the RFC says; of others the bytes
 * are given.  The writer compresses owner names and the names in types of RFC 1035 (RFC 3597, 4),
 * and a record that does not fit leaves the message as it was before.
 *
 *	struct dns_header h;
 *	struct dns_question q;
 *	struct dns_record rr;
 *	struct dns_reader r = dns_read_begin(&h, datagram, n);
 *
 *	while (dns_read_question(&r, &q))
 *		...
 *	while (dns_read_record(&r, &rr))
 *		...
 *	if (!dns_read_done(&r))
 *		it is malformed
 *
 * Used by query.h and by whatever serves DNS.
 */
#ifndef QANAT_DNS_MESSAGE_H
#define QANAT_DNS_MESSAGE_H

#include "base/addr.h"
#include "base/bytes.h"
#include "dns/name.h"

#define DNS_MESSAGE_MAX 65535
#define DNS_UDP_MAX 512 /* without EDNS */
#define DNS_HEADER_LEN 12

enum dns_type {
	DNS_A = 1,
	DNS_NS = 2,
	DNS_CNAME = 5,
	DNS_SOA = 6,
	DNS_PTR = 12,
	DNS_MX = 15,
	DNS_TXT = 16,
	DNS_AAAA = 28,
	DNS_SRV = 33,
	DNS_OPT = 41,
	DNS_ANY = 255,
};

#define DNS_CLASS_IN 1

enum dns_rcode {
	DNS_NOERROR = 0,
	DNS_FORMERR = 1,
	DNS_SERVFAIL = 2,
	DNS_NXDOMAIN = 3,
	DNS_NOTIMP = 4,
	DNS_REFUSED = 5,
};
/* "NXDOMAIN"; "RCODE" for those without a name here. */
const char *dns_rcode_name(unsigned rcode);

struct dns_header {
	uint16_t id;
	bool response; /* QR */
	uint8_t opcode;
	bool authoritative, truncated, recursion_desired, recursion_available;
	bool authentic, checking_disabled; /* AD and CD of RFC 4035 */
	uint8_t rcode; /* the low four bits */
	/* What the message announces; the writer counts by itself. */
	uint16_t questions, answers, authorities, additionals;
};

struct dns_question {
	struct dns_name name;
	uint16_t type;
	uint16_t class;
};

enum dns_section { DNS_ANSWER, DNS_AUTHORITY, DNS_ADDITIONAL };

struct dns_record {
	enum dns_section section;
	struct dns_name name;
	uint16_t type;
	uint16_t class; /* not of an OPT record */
	uint32_t ttl; /* likewise */
	/* As in the message, where it is borrowed from; compressed names in it mean nothing outside
	 * of it.  The writer takes it for types that are not decoded, and for TXT and OPT. */
	const uint8_t *data;
	uint16_t data_len;
	union { /* by type */
		struct ip_addr address; /* A, AAAA */
		struct dns_name target; /* NS, CNAME, PTR */
		struct {
			uint16_t preference;
			struct dns_name exchange;
		} mx;
		struct {
			uint16_t priority, weight, port;
			struct dns_name target;
		} srv;
		struct {
			struct dns_name primary, mailbox;
			uint32_t serial, refresh, retry, expire, minimum;
		} soa;
		struct { /* OPT; options are in data, see dns_option_next */
			uint16_t udp_size;
			uint8_t rcode_high; /* the upper eight bits of twelve */
			uint8_t version;
			bool dnssec_ok;
		} opt;
	};
};

/* ---- reading ---- */

struct dns_reader { /* private */
	const uint8_t *message;
	size_t len;
	struct rd rest;
	uint32_t left[4]; /* questions, then the sections */
	bool has_opt;
};

/* `message` is borrowed for as long as the reader and its records. */
struct dns_reader dns_read_begin(struct dns_header *h, const void *message, size_t len);
/* The next question; false after the last, or when the message is broken. */
bool dns_read_question(struct dns_reader *r, struct dns_question *q);
/* The next record, all questions having been read; false as above. */
bool dns_read_record(struct dns_reader *r, struct dns_record *rr);
/* All that was announced has been read and nothing stands behind it. */
bool dns_read_done(const struct dns_reader *r);

/* Takes the next string off a TXT record's data; begin with *at = 0. */
bool dns_text_next(const struct dns_record *txt, size_t *at, struct str *out);
/* Takes the next option off an OPT record's data; begin with *at = 0. */
bool dns_option_next(const struct dns_record *opt, size_t *at, uint16_t *code, struct str *value);

/* ---- writing ---- */

#define DNS_NAMES_KEPT 64 /* places that later names may point to */

struct dns_writer { /* private */
	struct wr w;
	uint16_t count[4];
	unsigned stage; /* 0: questions, 1..3: the sections */
	uint16_t names[DNS_NAMES_KEPT];
	size_t name_count;
};

/* Begins a message in out[cap]. */
struct dns_writer dns_write_begin(void *out, size_t cap, const struct dns_header *h);
/* Questions, then records with their sections in order.  False when it did not fit, or is out of
 * order, or is no such record: the message is as before. */
MUST_CHECK bool dns_write_question(struct dns_writer *w, const struct dns_question *q);
MUST_CHECK bool dns_write_record(struct dns_writer *w, const struct dns_record *rr);
/* Marks the message as cut off: not all of the answer fitted. */
void dns_write_truncated(struct dns_writer *w);
/* The length of the message; 0 when not even its header fitted. */
size_t dns_write_end(struct dns_writer *w);

#endif
