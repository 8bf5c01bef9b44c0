#include "core/host_usage.h"

#include <errno.h>
#include <sys/statvfs.h>

#include "base/fs.h"

#define PROC_MAX (1u << 20) /* /proc/stat has a line for each processor and interrupt */

/* Ones of a hundred, with one digit behind the point. */
static double percent(uint64_t part, uint64_t whole)
{
	if (whole == 0)
		return 0;
	return (double)(int64_t)((double)part * 1000 / (double)whole + 0.5) / 10;
}

/* The number behind `name` at the start of a line: "MemTotal:  16 kB". */
static bool line_number(struct str text, struct str name, uint64_t *out)
{
	struct str line, number;

	while (str_cut(&text, '\n', &line)) {
		if (!str_starts(line, name))
			continue;
		line = str_trim((struct str){ line.p + name.n, line.n - name.n });
		return str_cut(&line, ' ', &number) && u64_parse(number, 0, UINT64_MAX >> 10, out);
	}
	return false;
}

bool host_memory_parse(struct host_usage *out, struct str meminfo)
{
	uint64_t total, available;

	if (!line_number(meminfo, STR("MemTotal:"), &total) ||
	    !line_number(meminfo, STR("MemAvailable:"), &available))
		return false;
	out->memory_total = total << 10;
	out->memory_available = MIN(available, total) << 10;
	return true;
}

/* proc_stat(5): user nice system idle iowait irq softirq steal guest guest_nice; guests are part of
 * user and nice. */
bool host_ticks_parse(struct host_ticks *out, struct str stat)
{
	struct str line, word;
	uint64_t n;
	int i = 0;

	*out = (struct host_ticks){ 0 };
	if (!str_cut(&stat, '\n', &line) || !str_starts(line, STR("cpu ")))
		return false;
	line = str_trim((struct str){ line.p + 4, line.n - 4 });
	while (i < 8 && str_cut(&line, ' ', &word)) {
		if (!u64_parse(word, 0, UINT64_MAX >> 4, &n))
			return false;
		out->total += n;
		if (i != 3 && i != 4)
			out->busy += n;
		i++;
	}
	return i >= 4;
}

static enum err_code proc_read(struct buf *out, const char *path, struct err *e)
{
	buf_clear(out);
	return file_read(out, path, PROC_MAX, e);
}

static enum err_code disk_read(struct host_usage *out, const char *path, struct err *e)
{
	struct statvfs v;

	if (statvfs(path, &v) < 0)
		return err_sys(e, errno, "space on the disk of %s", path);
	out->disk_total = (uint64_t)v.f_blocks * v.f_frsize;
	out->disk_free = (uint64_t)v.f_bavail * v.f_frsize;
	out->disk_used = (uint64_t)(v.f_blocks - v.f_bfree) * v.f_frsize;
	return ERR_OK;
}

enum err_code host_usage_read(struct host_usage *out, struct host_ticks *since, const char *path,
			      struct err *e)
{
	AUTO(buf_done) struct buf text = { .limit = PROC_MAX + 1 };
	struct host_ticks now;
	enum err_code rc;

	*out = (struct host_usage){ 0 };
	rc = proc_read(&text, "/proc/meminfo", e);
	if (rc == ERR_OK && !host_memory_parse(out, buf_view(&text)))
		rc = err_set(e, ERR_UNSUPPORTED,
			     "/proc/meminfo does not say how much memory there is");
	if (rc == ERR_OK)
		rc = proc_read(&text, "/proc/stat", e);
	if (rc == ERR_OK && !host_ticks_parse(&now, buf_view(&text)))
		rc = err_set(e, ERR_UNSUPPORTED, "/proc/stat does not say how busy the host is");
	if (rc == ERR_OK)
		rc = disk_read(out, path, e);
	if (rc)
		return rc;
	if (getloadavg(out->load, 3) != 3)
		return err_set(e, ERR_UNSUPPORTED, "this host does not tell its load");
	if (now.total > since->total && now.busy >= since->busy)
		out->cpu_percent = percent(now.busy - since->busy, now.total - since->total);
	*since = now;
	return ERR_OK;
}

double host_memory_percent(const struct host_usage *u)
{
	return percent(u->memory_total - u->memory_available, u->memory_total);
}

/* As df(1): of what users without privileges could ever have. */
double host_disk_percent(const struct host_usage *u)
{
	return percent(u->disk_used, u->disk_used + u->disk_free);
}
