#include "base/log.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"

#define LOG_VALUE_MAX 1024 /* bytes of one value, with NUL; covers an err.msg and any address */

/* The process's own settings; set at start, read by every thread. */
static _Atomic int level_now = LOG_INFO;
static atomic_bool json_now;
static atomic_bool priorities_now;
static void (*also)(void *ctx, struct str line);
static void *also_ctx;

static const char *const level_names[] = {
	[LOG_SILENT] = "silent", [LOG_ERROR] = "error", [LOG_WARN] = "warn",
	[LOG_INFO] = "info",	 [LOG_DEBUG] = "debug",
};

void log_set_level(enum log_level level)
{
	atomic_store_explicit(&level_now, (int)level, memory_order_relaxed);
}

enum log_level log_get_level(void)
{
	return (enum log_level)atomic_load_explicit(&level_now, memory_order_relaxed);
}

void log_json(bool on)
{
	atomic_store_explicit(&json_now, on, memory_order_relaxed);
}

void log_journal(const char *stream)
{
	char own[48];
	struct stat st;
	bool on = stream && fstat(STDERR_FILENO, &st) == 0;

	if (on) {
		(void)snprintf(own, sizeof own, "%llu:%llu", (unsigned long long)st.st_dev,
			       (unsigned long long)st.st_ino);
		on = !strcmp(own, stream);
	}
	atomic_store_explicit(&priorities_now, on, memory_order_relaxed);
}

bool log_level_parse(struct str s, enum log_level *out)
{
	for (size_t i = 0; i < ARRAY_LEN(level_names); i++) {
		if (str_eq_nocase(s, str_of(level_names[i]))) {
			*out = (enum log_level)i;
			return true;
		}
	}
	if (str_eq_nocase(s, STR("warning")))
		*out = LOG_WARN;
	else if (str_eq_nocase(s, STR("verbose"))) /* wireguard-go's word */
		*out = LOG_DEBUG;
	else
		return false;
	return true;
}

bool log_site_pass(struct log_site *site, int64_t now_s, uint32_t *held)
{
	int64_t window = atomic_load_explicit(&site->window, memory_order_relaxed);

	*held = 0;
	if (window != now_s &&
	    atomic_compare_exchange_strong_explicit(&site->window, &window, now_s,
						    memory_order_relaxed, memory_order_relaxed)) {
		uint32_t seen = atomic_exchange_explicit(&site->count, 1, memory_order_relaxed);

		*held = seen > LOG_BURST ? seen - LOG_BURST : 0;
		return true;
	}
	return atomic_fetch_add_explicit(&site->count, 1, memory_order_relaxed) < LOG_BURST;
}

/* The value as one line of text; a long one ends in "...". */
static void value_text(char out[LOG_VALUE_MAX], const struct log_field *f)
{
	switch (f->type) {
	case LOG_F_STR:
		text_escaped(out, LOG_VALUE_MAX, f->v.s);
		break;
	case LOG_F_I64:
		(void)snprintf(out, LOG_VALUE_MAX, "%lld", (long long)f->v.i);
		break;
	case LOG_F_ENDPOINT:
		endpoint_format(out, f->v.ep);
		break;
	case LOG_F_IP:
		ip_format(out, f->v.ip);
		break;
	}
}

/* `s` holds no control characters any more; both forms quote what is left alike. */
static void add_quoted(struct buf *b, struct str s)
{
	buf_char(b, '"');
	for (size_t i = 0; i < s.n; i++) {
		if (s.p[i] == '"' || s.p[i] == '\\')
			buf_char(b, '\\');
		buf_char(b, s.p[i]);
	}
	buf_char(b, '"');
}

static bool needs_quotes(struct str s)
{
	for (size_t i = 0; i < s.n; i++) {
		if (memchr(" \"=\\", s.p[i], 4))
			return true;
	}
	return s.n == 0;
}

static void add_field(struct buf *line, const struct log_field *f, bool json)
{
	char value[LOG_VALUE_MAX] = "";

	value_text(value, f);
	buf_printf(line, json ? ",\"%s\":" : " %s=", f->name);
	if (json ? f->type != LOG_F_I64 : needs_quotes(str_of(value)))
		add_quoted(line, str_of(value));
	else
		buf_z(line, value);
}

void log_format(struct buf *line, bool json, int64_t real_ns, enum log_level level,
		const char *event, const struct log_field *fields, size_t n)
{
	char time[CLOCK_ISO_MAX];

	if (json) {
		clock_iso_utc(time, real_ns);
		buf_printf(line, "{\"time\":\"%s\",\"level\":\"%s\",\"event\":\"%s\"", time,
			   level_names[level], event);
	} else {
		buf_printf(line, "%s %s", level_names[level], event);
	}
	for (size_t i = 0; i < n; i++)
		add_field(line, &fields[i], json);
	buf_z(line, json ? "}\n" : "\n");
}

void log_also(void (*fn)(void *ctx, struct str line), void *ctx)
{
	also = fn;
	also_ctx = ctx;
}

static void also_put(int64_t real_ns, enum log_level level, const char *event,
		     const struct log_field *fields, size_t n)
{
	AUTO(buf_done) struct buf line = { 0 };
	char time[CLOCK_ISO_MAX];

	if (!also)
		return;
	clock_iso_utc(time, real_ns);
	buf_printf(&line, "%s ", time);
	log_format(&line, false, real_ns, level, event, fields, n);
	if (buf_ok(&line))
		also(also_ctx, buf_view(&line));
}

/* What syslog(3) calls LOG_ERR and so on. */
static void add_priority(struct buf *line, enum log_level level)
{
	static const char digits[] = {
		[LOG_ERROR] = '3', [LOG_WARN] = '4', [LOG_INFO] = '6', [LOG_DEBUG] = '7'
	};

	if (!atomic_load_explicit(&priorities_now, memory_order_relaxed))
		return;
	buf_char(line, '<');
	buf_char(line, digits[level]);
	buf_char(line, '>');
}

/* One write, so that lines of several threads do not mix. */
static void put(struct str s)
{
	while (s.n) {
		ssize_t done = write(STDERR_FILENO, s.p, s.n);

		if (done <= 0)
			return; /* nowhere left to complain */
		s.p += done;
		s.n -= (size_t)done;
	}
}

void log_event(struct log_site *site, enum log_level level, const char *event,
	       const struct log_field *fields, size_t n)
{
	bool json = atomic_load_explicit(&json_now, memory_order_relaxed);
	AUTO(buf_done) struct buf line = { 0 };
	int keep = errno;
	uint32_t held;

	if (level > log_get_level() || level <= LOG_SILENT)
		return;
	if (!log_site_pass(site, clock_mono_ns() / NS_PER_S, &held))
		return;
	if (held) { /* said before the event that was let through */
		const struct log_field f[] = { F_STR("held", event), F_INT("times", held) };

		add_priority(&line, level);
		log_format(&line, json, clock_real_ns(), level, "log.held_back", f, ARRAY_LEN(f));
	}
	add_priority(&line, level);
	log_format(&line, json, clock_real_ns(), level, event, fields, n);
	also_put(clock_real_ns(), level, event, fields, n);
	put(buf_ok(&line) ? buf_view(&line) : STR("error log.out_of_memory\n"));
	errno = keep;
}
