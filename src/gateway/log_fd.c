#include "gateway/log_fd.h"

#include <sys/socket.h>

#include "base/log.h"
#include "core/log_ring.h"

static void line_send(void *ctx, struct str line)
{
	const int *fd = ctx;

	(void)!send(*fd, line.p, MIN(line.n, (size_t)LOG_RING_LINE_MAX),
		    MSG_DONTWAIT | MSG_NOSIGNAL);
}

void log_fd_begin(int *fd)
{
	log_also(line_send, fd);
}

void log_fd_end(void)
{
	log_also(NULL, NULL);
}
