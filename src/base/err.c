#include "base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <unistd.h>

static const char *const names[] = {
	[ERR_OK] = "ok",
	[ERR_IO] = "input/output error",
	[ERR_NOMEM] = "out of memory",
	[ERR_INVALID] = "invalid",
	[ERR_RANGE] = "out of range",
	[ERR_MISSING] = "missing",
	[ERR_EXISTS] = "exists already",
	[ERR_NOT_FOUND] = "not found",
	[ERR_IN_USE] = "in use",
	[ERR_FULL] = "full",
	[ERR_DENIED] = "permission denied",
	[ERR_UNSUPPORTED] = "not supported",
	[ERR_CORRUPT] = "corrupt",
	[ERR_TIMEOUT] = "timed out",
	[ERR_CLOSED] = "closed",
};

const char *err_name(enum err_code code)
{
	return (unsigned)code < ARRAY_LEN(names) ? names[code] : "unknown error";
}

/* Marks a message that did not fit, without leaving half a UTF-8 character before the dots. */
static void mark_cut(char *msg, size_t cap)
{
	size_t end = cap - sizeof "...";

	while (end > 0 && ((unsigned char)msg[end] & 0xc0) == 0x80)
		end--;
	memcpy(msg + end, "...", sizeof "...");
}

/* Callers escape foreign text; this only keeps the promise of one line. */
static void flatten(char *msg)
{
	for (char *c = msg; *c; c++) {
		if ((unsigned char)*c < 0x20 || *c == 0x7f)
			*c = ' ';
	}
}

/* Stores `text`, whose untruncated length is `len`. */
static void store(struct err *e, enum err_code code, int sys, const char *text, size_t len)
{
	size_t n = MIN(len, sizeof e->msg - 1);

	e->code = code;
	e->sys = sys;
	memcpy(e->msg, text, n);
	e->msg[n] = 0;
	if (len > n)
		mark_cut(e->msg, sizeof e->msg);
	flatten(e->msg);
}

/* Formats into text[cap]; returns the length the whole would have. */
static size_t PRINTF(3, 0) format(char *text, size_t cap, const char *fmt, va_list ap)
{
	int n = vsnprintf(text, cap, fmt, ap);

	if (n < 0) { /* only for a broken multibyte conversion, which nobody here uses */
		text[0] = 0;
		return 0;
	}
	return (size_t)n;
}

enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...)
{
	char text[sizeof e->msg]; /* apart from e->msg, which may be among the arguments */
	va_list ap;
	size_t len;

	if (!e)
		return code;
	va_start(ap, fmt);
	len = format(text, sizeof text, fmt, ap);
	va_end(ap);
	store(e, code, 0, text, len);
	return code;
}

static enum err_code code_of_errno(int sys)
{
	switch (sys) {
	case EACCES:
	case EPERM:
		return ERR_DENIED;
	case EADDRINUSE:
		return ERR_IN_USE;
	case ENOMEM:
		return ERR_NOMEM;
	case EEXIST:
		return ERR_EXISTS;
	case ENOENT:
		return ERR_NOT_FOUND;
	default:
		return ERR_IO;
	}
}

enum err_code err_sys(struct err *e, int sys, const char *fmt, ...)
{
	enum err_code code = code_of_errno(sys);
	char text[sizeof e->msg], whole[2 * sizeof e->msg], reason[128];
	va_list ap;
	int n;

	if (!e)
		return code;
	va_start(ap, fmt);
	(void)format(text, sizeof text, fmt, ap);
	va_end(ap);
	n = snprintf(whole, sizeof whole, "%s: %s", text, strerror_r(sys, reason, sizeof reason));
	store(e, code, sys, whole, n < 0 ? 0 : (size_t)n);
	return code;
}

enum err_code err_wrap(struct err *e, enum err_code code, const char *fmt, ...)
{
	char text[sizeof e->msg], whole[2 * sizeof e->msg + 2];
	va_list ap;
	int n;

	if (!e)
		return code;
	va_start(ap, fmt);
	(void)format(text, sizeof text, fmt, ap);
	va_end(ap);
	n = snprintf(whole, sizeof whole, "%s: %s", text, e->msg);
	store(e, code, e->sys, whole, n < 0 ? 0 : (size_t)n);
	return code;
}

void bug_at(const char *file, int line, const char *what)
{
	char text[512];
	int n = snprintf(text, sizeof text, "BUG at %s:%d: %s\n", file, line, what);

	if (n > 0 && write(STDERR_FILENO, text, MIN((size_t)n, sizeof text - 1)) < 0)
		abort(); /* nowhere to say it; the abort itself says enough */
	abort();
}
