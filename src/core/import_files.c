/* Which files there are, and opening them without being led elsewhere. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "core/import.h"

#define CONF_FILE_MAX (16u << 20)

/* ---- opening ---- */

/* Where the files are, and who opens them. */
struct place {
	const struct import_opener *opener;
	const char *path;
	int fd; /* the directory itself, for its list */
};

static enum err_code read_whole(struct buf *out, int fd, const char *name, size_t limit,
				struct err *e)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_sys(e, errno, "%s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is not a regular file", name);
	out->limit = limit;
	return fd_read(out, fd, name, limit, e);
}

/* Root is refused nothing: under the unit, the helper is not root. */
static enum err_code not_readable(const char *name, struct err *e)
{
	return err_set(e, ERR_DENIED,
		       "%s: Permission denied: this gateway does not run as root: make a copy that "
		       "its user "
		       "may read, not below /root, /home or /tmp",
		       name);
}

/* ERR_NOT_FOUND, with `e` untouched, when there is no such file. */
static enum err_code file_load(struct buf *out, const struct place *dir, const char *name,
			       size_t limit, struct err *e)
{
	AUTO(fd_done) int fd = -1;
	struct err why = { 0 };
	enum err_code rc = dir->opener->open(dir->opener->ctx, dir->path, name, &fd, &why);

	if (rc && (why.sys == ENOENT || why.sys == ENOTDIR))
		return ERR_NOT_FOUND;
	if (rc && (why.sys == ELOOP || why.sys == EXDEV))
		return err_set(e, ERR_DENIED, "%s is, or leads through, a symbolic link", name);
	if (rc && why.sys == EACCES)
		return not_readable(name, e);
	if (rc) {
		if (e)
			*e = why;
		return rc;
	}
	return read_whole(out, fd, name, limit, e);
}

static void file_named(struct import *m, const char *name)
{
	if (json_array_append_new(m->files, json_string(name)) < 0)
		m->no_memory = true;
}

/* ---- one file ---- */

static enum err_code conf_read(struct import *m, const char *name, struct str text, bool server,
			       bool *ours, struct err *e)
{
	struct wg_conf conf;
	enum err_code rc = wg_conf_parse(&conf, text, name, e);

	if (rc)
		return rc;
	*ours = true;
	if (server)
		import_conf_server(m, name, &conf);
	else
		*ours = import_conf_client(m, name, &conf);
	wg_conf_done(&conf);
	return ERR_OK;
}

static enum err_code text_read(struct import *m, const char *name, struct str text, struct err *e)
{
	struct str trimmed = str_trim(text);
	bool ours;

	file_named(m, name);
	if (trimmed.n && trimmed.p[0] == '{')
		return import_json_text(m, name, text, e);
	return conf_read(m, name, text, true, &ours, e);
}

/* The first of the places where the file may be; *found when it was at one. */
static enum err_code one_of(struct import *m, const struct place *dir, const char *const *names,
			    bool *found, struct err *e)
{
	enum err_code rc = ERR_NOT_FOUND;

	for (size_t i = 0; rc == ERR_NOT_FOUND && names[i]; i++) {
		AUTO(buf_done) struct buf text = { 0 };

		rc = file_load(&text, dir, names[i], IMPORT_FILE_MAX, e);
		if (rc == ERR_OK) {
			*found = true;
			rc = text_read(m, names[i], buf_view(&text), e);
			return rc;
		}
	}
	return rc == ERR_NOT_FOUND ? ERR_OK : rc;
}

/* ---- a directory of wg-quick's files ---- */

struct conf_names {
	char **p;
	size_t n;
};

static bool is_conf(const char *name)
{
	size_t n = strlen(name);

	return name[0] != '.' && n > 5 && strcmp(name + n - 5, ".conf") == 0;
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void names_done(struct conf_names *x)
{
	for (size_t i = 0; i < x->n; i++)
		free(x->p[i]);
	free(x->p);
}

static enum err_code names_read(struct conf_names *x, const struct place *dir, struct err *e)
{
	const char *path = dir->path;
	int fd = fcntl(dir->fd, F_DUPFD_CLOEXEC, 0);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *f;
	enum err_code rc = ERR_OK;

	x->p = calloc(IMPORT_CONF_FILES_MAX, sizeof *x->p);
	if (!d || !x->p) {
		rc = d ? err_set(e, ERR_NOMEM, "out of memory") : err_sys(e, errno, "%s", path);
		if (!d)
			fd_close(fd);
	}
	while (rc == ERR_OK && (f = readdir(d)) != NULL) {
		if (!is_conf(f->d_name))
			continue;
		if (x->n == IMPORT_CONF_FILES_MAX)
			rc = err_set(e, ERR_RANGE, "%s has more than %d files *.conf", path,
				     IMPORT_CONF_FILES_MAX);
		else if (!(x->p[x->n] = str_dup(str_of(f->d_name))))
			rc = err_set(e, ERR_NOMEM, "out of memory");
		else
			x->n++;
	}
	if (d)
		closedir(d);
	if (x->n)
		qsort(x->p, x->n, sizeof *x->p, by_name);
	return rc;
}

/* Which file is the server's: the one that listens. */
static enum err_code conf_listens(const struct place *dir, const char *name, bool *out,
				  struct err *e)
{
	AUTO(buf_done) struct buf text = { 0 };
	struct wg_conf conf;
	enum err_code rc = file_load(&text, dir, name, CONF_FILE_MAX, e);

	if (rc == ERR_OK)
		rc = wg_conf_parse(&conf, buf_view(&text), name, e);
	if (rc)
		return rc;
	*out = conf.has_listen_port && conf.peer_count != 1;
	*out = *out || (conf.has_listen_port && !conf.peers[0].endpoint);
	wg_conf_done(&conf);
	return ERR_OK;
}

static enum err_code server_find(const struct conf_names *x, const struct place *dir,
				 const char *path, const char **out, struct err *e)
{
	bool listens = false;
	enum err_code rc = ERR_OK;

	*out = NULL;
	for (size_t i = 0; rc == ERR_OK && i < x->n; i++) {
		rc = conf_listens(dir, x->p[i], &listens, e);
		if (rc || !listens)
			continue;
		if (*out)
			return err_set(e, ERR_INVALID,
				       "%s holds several servers, %s and %s: name one of the files",
				       path, *out, x->p[i]);
		*out = x->p[i];
	}
	if (rc == ERR_OK && !*out)
		rc = err_set(e, ERR_NOT_FOUND,
			     "%s holds neither phantom.json, clients.db nor a server's *.conf (one "
			     "with ListenPort)",
			     path);
	return rc;
}

static enum err_code conf_load(struct import *m, const struct place *dir, const char *name,
			       bool server, struct err *e)
{
	AUTO(buf_done) struct buf text = { 0 };
	bool ours = false;
	enum err_code rc = file_load(&text, dir, name, CONF_FILE_MAX, e);

	if (rc == ERR_OK)
		rc = conf_read(m, name, buf_view(&text), server, &ours, e);
	if (rc == ERR_OK && ours)
		file_named(m, name);
	else if (rc == ERR_OK)
		import_warning(m, "%s is no client of this server", name);
	return rc;
}

static enum err_code confs_read(struct import *m, const struct place *dir, const char *path,
				struct err *e)
{
	struct conf_names x = { 0 };
	const char *server = NULL;
	enum err_code rc = names_read(&x, dir, e);

	if (rc == ERR_OK)
		rc = server_find(&x, dir, path, &server, e);
	if (rc == ERR_OK)
		rc = conf_load(m, dir, server, true, e);
	for (size_t i = 0; rc == ERR_OK && i < x.n; i++) {
		if (x.p[i] != server)
			rc = conf_load(m, dir, x.p[i], false, e);
	}
	names_done(&x);
	return rc;
}

/* ---- all of it ---- */

static enum err_code directory_read(struct import *m, const struct place *dir, const char *path,
				    struct err *e)
{
	static const char *const settings[] = { "config/phantom.json", "phantom.json", NULL };
	static const char *const clients[] = { "data/clients.db", "clients.db", NULL };
	static const char *const conf[] = { "wg_main.conf", "config/wg_main.conf", NULL };
	bool found = false;
	enum err_code rc = one_of(m, dir, settings, &found, e);

	if (rc == ERR_OK)
		rc = one_of(m, dir, clients, &found, e);
	if (rc || !found)
		return rc ? rc : confs_read(m, dir, path, e);
	return one_of(m, dir, conf, &found, e);
}

static enum err_code file_read_alone(struct import *m, int fd, const char *path, struct err *e)
{
	AUTO(buf_done) struct buf text = { 0 };
	enum err_code rc = read_whole(&text, fd, path, IMPORT_FILE_MAX, e);

	return rc ? rc : text_read(m, path, buf_view(&text), e);
}

static enum err_code path_open(int *out, const char *path, const struct import_opener *opener,
			       struct err *e)
{
	struct err why = { 0 };
	enum err_code rc = opener->open(opener->ctx, path, "", out, &why);

	if (rc && why.sys == ELOOP)
		return err_set(e, ERR_DENIED, "%s is a symbolic link", path);
	if (rc && why.sys == EACCES)
		return not_readable(path, e);
	if (rc && why.sys)
		return err_sys(e, why.sys, "%s", path);
	if (rc && e)
		*e = why;
	return rc;
}

enum err_code import_read(struct import *out, const char *path, const struct import_opener *opener,
			  struct err *e)
{
	AUTO(fd_done) int fd = -1;
	struct place dir = { .opener = opener, .path = path };
	struct import m = { .files = json_array(),
			    .conflicts = json_array(),
			    .warnings = json_array() };
	struct stat st;
	enum err_code rc = ERR_OK;

	if (path[0] != '/')
		rc = err_set(e, ERR_INVALID, "path: give it from the root, as in /opt/x");
	else
		rc = path_open(&fd, path, opener, e);
	dir.fd = fd;
	if (rc == ERR_OK && fstat(fd, &st) < 0)
		rc = err_sys(e, errno, "%s", path);
	if (rc == ERR_OK)
		rc = S_ISDIR(st.st_mode) ? directory_read(&m, &dir, path, e)
					 : file_read_alone(&m, fd, path, e);
	if (rc == ERR_OK && m.no_memory)
		rc = err_set(e, ERR_NOMEM, "%s: out of memory, or more than %d clients", path,
			     IMPORT_CLIENTS_MAX);
	if (rc) {
		import_done(&m);
		return rc;
	}
	*out = m;
	wipe(&m, sizeof m); /* `out` owns it all now */
	return ERR_OK;
}
