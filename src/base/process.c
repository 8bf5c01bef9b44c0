#include "base/process.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

/* The leak checker stops and traces its own process, which a process that is not dumpable cannot. */
#if defined(__SANITIZE_ADDRESS__)
#define TRACED_BY_ITSELF 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define TRACED_BY_ITSELF 1
#endif
#endif
#ifndef TRACED_BY_ITSELF
#define TRACED_BY_ITSELF 0
#endif

/* open takes the lowest number that is free. */
static enum err_code streams_fill(struct err *e)
{
	for (int fd = 0; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (open("/dev/null", O_RDWR) < 0)
			return err_sys(e, errno, "open /dev/null");
	}
	return ERR_OK;
}

enum err_code process_hide(struct err *e)
{
	if (prctl(PR_SET_DUMPABLE, TRACED_BY_ITSELF, 0, 0, 0) < 0)
		return err_sys(e, errno, "close the process's memory to others");
	return ERR_OK;
}

enum err_code process_harden(struct err *e)
{
	const struct rlimit none = { 0, 0 };
	enum err_code rc;

	if (setrlimit(RLIMIT_CORE, &none) < 0)
		return err_sys(e, errno, "switch off core dumps");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(e, errno, "give up new privileges");
	(void)umask(077);
	if (signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return err_sys(e, errno, "ignore SIGPIPE");
	rc = process_hide(e);
	return rc ? rc : streams_fill(e);
}
