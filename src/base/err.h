/* err.h - how control-side functions fail: a code, and a sentence for the person who must act.
 *
 * The lowest level that knows the name of the thing writes the message; callers
 * add context with err_wrap.  Libraries never log; programs log an err once.
 * The packet path does not use this (it returns verdicts).
 */
#ifndef QANAT_BASE_ERR_H
#define QANAT_BASE_ERR_H

#include "base/defs.h"

enum err_code {
	ERR_OK = 0,
	ERR_IO, /* the kernel or the disk refused; `sys` holds errno */
	ERR_NOMEM,
	ERR_INVALID, /* the input is malformed or not allowed */
	ERR_RANGE, /* a number or length outside its limits */
	ERR_MISSING, /* a required value is absent */
	ERR_EXISTS,
	ERR_NOT_FOUND,
	ERR_IN_USE, /* a port, name or file that somebody else holds */
	ERR_FULL, /* a pool or table has no room left */
	ERR_DENIED, /* missing rights */
	ERR_UNSUPPORTED,
	ERR_CORRUPT, /* stored data does not make sense */
	ERR_TIMEOUT,
	ERR_CLOSED, /* the other side went away */
};

struct err {
	enum err_code code;
	int sys; /* errno where code is ERR_IO/ERR_DENIED/ERR_IN_USE, else 0 */
	char msg[512]; /* one sentence, no newline, ends in "..." when cut */
};

/* Writes the message into `e` (which may be NULL) and returns `code`: failing is one line. */
enum err_code err_set(struct err *e, enum err_code code, const char *fmt, ...) PRINTF(3, 4);

/* The same for a failed system call: appends ": " and the text of errno `sys`; EACCES and EPERM
 * become ERR_DENIED, EADDRINUSE ERR_IN_USE, ENOMEM ERR_NOMEM, EEXIST ERR_EXISTS,
 * ENOENT ERR_NOT_FOUND, all else ERR_IO. */
enum err_code err_sys(struct err *e, int sys, const char *fmt, ...) PRINTF(3, 4);

/* Puts "context: " in front of the message already in `e` (which may be NULL); the code becomes
 * `code`, which it returns. */
enum err_code err_wrap(struct err *e, enum err_code code, const char *fmt, ...) PRINTF(3, 4);

/* Name of a code, such as "not found". */
const char *err_name(enum err_code code);

#endif
