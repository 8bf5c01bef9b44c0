/* host_usage.h - how busy the host is: processor, memory, disk, load; from /proc and statvfs(3).
 */
#ifndef QANAT_CORE_HOST_USAGE_H
#define QANAT_CORE_HOST_USAGE_H

#include "base/err.h"
#include "base/text.h"

/* Ticks since the host's start; the difference of two readings is a use in between. */
struct host_ticks {
	uint64_t busy, total;
};

struct host_usage {
	uint64_t memory_total, memory_available; /* bytes */
	uint64_t disk_total, disk_used, disk_free; /* bytes; free: to users without privileges */
	double load[3]; /* of 1, 5 and 15 minutes */
	double cpu_percent; /* since `since` */
};

/* Reads all of it; the disk is the one that `path` is on.  *since (zero: since the host's start) is
 * read, and becomes now. */
MUST_CHECK enum err_code host_usage_read(struct host_usage *out, struct host_ticks *since,
					 const char *path, struct err *e);
double host_memory_percent(const struct host_usage *u);
double host_disk_percent(const struct host_usage *u);

/* For tests: the texts of /proc/meminfo and /proc/stat. */
MUST_CHECK bool host_memory_parse(struct host_usage *out, struct str meminfo);
MUST_CHECK bool host_ticks_parse(struct host_ticks *out, struct str stat);

#endif
