/* log_ring.h - the last lines of the log, kept in memory for service_logs.
 *
 * Bounded: LOG_RING_LINES lines of at most LOG_RING_LINE_MAX bytes.  What is in the log has no
 * secrets in it, so neither has this.  Any thread.
 */
#ifndef QANAT_CORE_LOG_RING_H
#define QANAT_CORE_LOG_RING_H

#include "base/text.h"

#define LOG_RING_LINES 1000
#define LOG_RING_LINE_MAX 1024

struct log_ring;

MUST_CHECK struct log_ring *log_ring_new(void); /* NULL without memory */
void log_ring_free(struct log_ring *r);
/* Keeps a copy of the line, without its newline; a longer one ends in "...".  For log_also. */
void log_ring_add(void *r, struct str line);
/* Calls fn for the last `n` lines, the oldest first; fn does not log. */
void log_ring_walk(struct log_ring *r, size_t n, void (*fn)(void *ctx, struct str line), void *ctx);

#endif
