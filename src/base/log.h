/* log.h - events for people and machines: a level, a fixed name, fields.
 *
 * One line to stderr an event: `warn peer.handshake_failed peer=alice from=192.0.2.1:5 why="bad
 * mac1"`; with log_json(true) one JSON object a line.  Values are escaped.  Never a key, token,
 * config body or what users visit.  Each call site is limited to LOG_BURST events a second and
 * then says how many were held back (an event log.held_back before the next that passes).  Plain
 * lines carry no time: the journal and a terminal's reader have it; JSON lines do.
 * Only programs and the dataplane's control side log; libraries return errors.  Thread-safe.
 */
#ifndef QANAT_BASE_LOG_H
#define QANAT_BASE_LOG_H

#include <stdatomic.h>

#include "base/addr.h"
#include "base/err.h"

enum log_level { LOG_SILENT = 0, LOG_ERROR, LOG_WARN, LOG_INFO, LOG_DEBUG };

#define LOG_BURST 10

struct log_field {
	const char *name;
	enum { LOG_F_STR, LOG_F_I64, LOG_F_ENDPOINT, LOG_F_IP } type;
	union {
		struct str s;
		int64_t i;
		const struct endpoint *ep;
		const struct ip_addr *ip;
	} v;
};

#define F_STR(k, z) ((struct log_field){ .name = (k), .type = LOG_F_STR, .v.s = str_of(z) })
#define F_VIEW(k, view) ((struct log_field){ .name = (k), .type = LOG_F_STR, .v.s = (view) })
#define F_INT(k, n) ((struct log_field){ .name = (k), .type = LOG_F_I64, .v.i = (int64_t)(n) })
#define F_ENDPOINT(k, e) ((struct log_field){ .name = (k), .type = LOG_F_ENDPOINT, .v.ep = (e) })
#define F_IP(k, a) ((struct log_field){ .name = (k), .type = LOG_F_IP, .v.ip = (a) })
#define F_ERR(e) F_STR("why", (e)->msg)

struct log_site {
	_Atomic int64_t window;
	_Atomic uint32_t count;
};

void log_set_level(enum log_level level); /* default LOG_INFO */
enum log_level log_get_level(void);
/* "silent", "error", "warn"/"warning", "info", "debug"/"verbose". */
MUST_CHECK bool log_level_parse(struct str s, enum log_level *out);
void log_json(bool on);
/* When stderr leads to the journal, as `stream` ("DEVICE:INODE", sd-daemon(3): the variable JOURNAL_STREAM;
 * NULL: it does not) says, each line begins with its priority, as "<4>", which the journal takes off. */
void log_journal(const char *stream);
/* Every line that is written also goes to fn, with its time in front (RFC 3339, UTC), from whatever
 * thread; fn does not log.  NULL ends it.  While no other thread runs that logs. */
void log_also(void (*fn)(void *ctx, struct str line), void *ctx);
void log_event(struct log_site *site, enum log_level level, const char *event,
	       const struct log_field *fields, size_t n);

/* True when the site may write in second `now_s` of any clock; *held is then how many events it
 * kept back in the last second it wrote in. */
bool log_site_pass(struct log_site *site, int64_t now_s, uint32_t *held);
/* The line of an event, with its newline.  Apart from log_event for tests. */
void log_format(struct buf *line, bool json, int64_t real_ns, enum log_level level,
		const char *event, const struct log_field *fields, size_t n);

#define LOG_AT(level, event, ...)                                                               \
	do {                                                                                    \
		static struct log_site log_site_;                                               \
		const struct log_field log_f_[] = { __VA_ARGS__ __VA_OPT__(, ){ 0 } };          \
		if (log_get_level() >= (level))                                                 \
			log_event(&log_site_, (level), (event), log_f_, ARRAY_LEN(log_f_) - 1); \
	} while (0)
#define LOG_ERR(event, ...) LOG_AT(LOG_ERROR, event, __VA_ARGS__)
#define LOG_WARNING(event, ...) LOG_AT(LOG_WARN, event, __VA_ARGS__)
#define LOG_NOTE(event, ...) LOG_AT(LOG_INFO, event, __VA_ARGS__)
#define LOG_TRACE(event, ...) LOG_AT(LOG_DEBUG, event, __VA_ARGS__)

#endif
