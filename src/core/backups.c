#include "core/backups.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/log.h"
#include "base/rows.h"
#include "base/text.h"

/* Metadata first: a removal that is cut short leaves something unfinished, which goes the next time. */
static const char *const files[] = { BACKUP_METADATA, BACKUP_RULES, "wg_main.conf", "phantom.json",
				     "clients.db" };

struct backup {
	uint64_t made; /* the number in its name */
	bool whole;
};

static bool name_parse(const char *name, uint64_t *made)
{
	struct str s = str_of(name), prefix = STR(BACKUP_PREFIX);

	return str_starts(s, prefix) &&
	       u64_parse((struct str){ s.p + prefix.n, s.n - prefix.n }, 0, INT64_MAX, made);
}

static void name_of(char out[NAME_MAX], uint64_t made)
{
	(void)snprintf(out, NAME_MAX, BACKUP_PREFIX "%llu", (unsigned long long)made);
}

static bool gone(int dir, const char *name, int flags)
{
	return unlinkat(dir, name, flags) == 0 || errno == ENOENT;
}

static void backup_remove(int all, uint64_t made)
{
	char name[NAME_MAX], tmp[NAME_MAX];
	AUTO(fd_done) int dir = -1;
	bool ok = true;

	name_of(name, made);
	dir = openat(all, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	for (size_t i = 0; dir >= 0 && ok && i < ARRAY_LEN(files); i++) {
		(void)snprintf(tmp, sizeof tmp, "%s.tmp", files[i]); /* as file_replace makes it */
		ok = gone(dir, files[i], 0) && gone(dir, tmp, 0);
	}
	if (dir < 0 || !ok || !gone(all, name, AT_REMOVEDIR))
		LOG_WARNING("subnet.backup_stays", F_STR("backup", name),
			    F_STR("why", strerror(errno)));
}

static int newest_first(const void *a, const void *b)
{
	const struct backup *x = a, *y = b;

	return (x->made < y->made) - (x->made > y->made);
}

static void collect(struct rows *found, DIR *d)
{
	char path[PATH_MAX];
	struct dirent *entry;
	struct backup *row;
	uint64_t made;

	while ((entry = readdir(d))) {
		if (!name_parse(entry->d_name, &made))
			continue;
		(void)snprintf(path, sizeof path, "%s/" BACKUP_METADATA, entry->d_name);
		row = rows_add(found);
		if (row)
			*row = (struct backup){ made, faccessat(dirfd(d), path, F_OK, 0) == 0 };
	}
}

void backups_tidy(const char *state_dir)
{
	struct rows found = { .size = sizeof(struct backup) };
	char path[PATH_MAX];
	size_t kept = 0;
	int n = snprintf(path, sizeof path, "%s/" BACKUPS_DIR, state_dir);
	DIR *d = n > 0 && (size_t)n < sizeof path ? opendir(path) : NULL;

	if (!d)
		return; /* there were none yet */
	collect(&found, d);
	if (found.count)
		qsort(found.p, found.count, found.size, newest_first);
	for (size_t i = 0; i < found.count; i++) {
		const struct backup *b = rows_at(&found, i);

		kept += b->whole;
		if (!b->whole || kept > BACKUPS_MAX)
			backup_remove(dirfd(d), b->made);
	}
	rows_done(&found);
	(void)closedir(d);
}
