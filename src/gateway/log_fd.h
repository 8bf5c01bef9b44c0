/* log_fd.h - the log of one process of the gateway, told to another: a datagram a line.
 *
 * The gateway keeps the last lines of all its processes for `service_logs`; each writes its own to stderr all
 * the same.  A line that the other end does not take at once is not told.
 */
#ifndef QANAT_GATEWAY_LOG_FD_H
#define QANAT_GATEWAY_LOG_FD_H

/* Tells the lines of this process, as log_also, to the socket *fd, which must live until log_fd_end. */
void log_fd_begin(int *fd);
void log_fd_end(void);

#endif
