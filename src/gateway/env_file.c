#include "gateway/env_file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fs.h"
#include "base/opt.h"

static enum err_code line_bad(struct err *e, const char *path, unsigned number, const char *why)
{
	return err_set(e, ERR_INVALID, "%s:%u: %s", path, number, why);
}

static enum err_code name_check(struct str name, const char *path, unsigned number,
				const char *const *allowed, struct err *e)
{
	const char *near;
	char shown[64];
	size_t n = 0;

	while (allowed[n]) {
		if (str_eq(name, str_of(allowed[n++])))
			return ERR_OK;
	}
	near = opt_nearest(name, allowed, n);
	text_escaped(shown, sizeof shown, name);
	return err_set(e, ERR_INVALID, "%s:%u: \"%s\" is not known%s%s%s", path, number, shown,
		       near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
}

static bool is_twice(const struct env_file *f, struct str name)
{
	for (size_t i = 0; i < f->n; i++) {
		if (str_starts(str_of(f->entries[i]), name) && f->entries[i][name.n] == '=')
			return true;
	}
	return false;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

/* Up to a blank and '#', as python-dotenv reads it. */
static struct str comment_cut(struct str v)
{
	for (size_t i = 1; i < v.n; i++) {
		if (v.p[i] == '#' && is_blank(v.p[i - 1]))
			return str_trim((struct str){ v.p, i });
	}
	return v;
}

/* Without its quotes and the comment behind it; NULL, or what is wrong. */
static const char *value_unquote(struct str *v)
{
	char quote = v->n ? v->p[0] : 0;
	const char *end;
	struct str rest;

	if (quote == '#') { /* nothing but a comment */
		v->n = 0;
		return NULL;
	}
	if (quote != '"' && quote != '\'') {
		*v = comment_cut(*v);
		return NULL;
	}
	end = memchr(v->p + 1, quote, v->n - 1);
	if (!end)
		return "the quote at the start of the value does not end";
	rest = str_trim((struct str){ end + 1, v->n - (size_t)(end + 1 - v->p) });
	if (rest.n && rest.p[0] != '#')
		return "there is something behind the quote that ends the value";
	*v = (struct str){ v->p + 1, (size_t)(end - v->p) - 1 };
	return NULL;
}

/* A file that shells read, too, may say "export" in front. */
static struct str export_skip(struct str line)
{
	static const struct str word = STR("export");

	if (str_starts(line, word) && line.n > word.n && is_blank(line.p[word.n]))
		return str_trim((struct str){ line.p + word.n, line.n - word.n });
	return line;
}

/* Makes "NAME=VALUE" of a line in its place: what is left out makes it only shorter. */
static enum err_code line_take(struct env_file *f, struct str line, const char *path,
			       unsigned number, const char *const *allowed, struct err *e)
{
	struct str value = export_skip(str_trim(line)), name;
	char *at = f->text.p + (line.p - f->text.p);
	const char *why;
	enum err_code rc;

	if (value.n == 0 || value.p[0] == '#')
		return ERR_OK;
	if (memchr(value.p, 0, value.n))
		return line_bad(e, path, number, "there is a NUL");
	if (!memchr(value.p, '=', value.n))
		return line_bad(e, path, number, "no NAME=VALUE");
	(void)str_cut(&value, '=', &name);
	name = str_trim(name);
	value = str_trim(value);
	rc = name_check(name, path, number, allowed, e);
	if (rc)
		return rc;
	if (is_twice(f, name))
		return line_bad(e, path, number, "the name stands there twice");
	if (f->n == ENV_FILE_NAMES_MAX)
		return line_bad(e, path, number, "too many names");
	why = value_unquote(&value);
	if (why)
		return line_bad(e, path, number, why);
	memmove(at, name.p, name.n);
	at[name.n] = '=';
	memmove(at + name.n + 1, value.p, value.n);
	at[name.n + 1 + value.n] = 0;
	f->entries[f->n++] = at;
	return ERR_OK;
}

enum err_code env_file_parse(struct env_file *f, const char *path, struct buf *text,
			     const char *const *allowed, struct err *e)
{
	enum err_code rc = ERR_OK;
	struct str rest, line;
	unsigned number = 0;

	*f = (struct env_file){ .text = *text };
	*text = (struct buf){ 0 };
	buf_char(&f->text, '\n'); /* the last line has room for its NUL, too */
	if (!buf_ok(&f->text))
		rc = err_set(e, ERR_NOMEM, "%s: out of memory", path);
	rest = buf_view(&f->text);
	while (rc == ERR_OK && str_cut(&rest, '\n', &line))
		rc = line_take(f, line, path, ++number, allowed, e);
	if (rc)
		env_file_done(f);
	return rc;
}

static enum err_code mode_check(const char *path, struct err *e)
{
	struct stat st;

	if (stat(path, &st) < 0)
		return err_sys(e, errno, "%s", path);
	if (!S_ISREG(st.st_mode))
		return err_set(e, ERR_INVALID, "%s is no regular file", path);
	if (st.st_mode & 077)
		return err_set(
			e, ERR_DENIED,
			"%s has mode %04o, so others may read its secrets or change them; run "
			"chmod 600 %s",
			path, st.st_mode & 07777, path);
	return ERR_OK;
}

enum err_code env_file_read(struct env_file *f, const char *path, const char *const *allowed,
			    struct err *e)
{
	struct buf text = { .limit = ENV_FILE_MAX + 2 };
	enum err_code rc = mode_check(path, e);

	if (rc == ERR_OK)
		rc = file_read(&text, path, ENV_FILE_MAX, e);
	if (rc == ERR_OK)
		return env_file_parse(f, path, &text, allowed, e);
	buf_done(&text);
	return rc;
}

static void name_of(char out[64], const char *entry)
{
	struct str rest = str_of(entry), name;

	(void)str_cut(&rest, '=', &name);
	BUG_ON(!str_copy(out, 64, name)); /* names are those allowed */
}

void env_file_apply(struct env_file *f)
{
	char name[64];

	for (size_t i = 0; i < f->n; i++) {
		name_of(name, f->entries[i]);
		if (!getenv(name) && putenv(f->entries[i]) == 0)
			f->is_set[i] = true;
	}
}

void env_file_withdraw(struct env_file *f)
{
	char name[64];

	for (size_t i = 0; i < f->n; i++) {
		if (!f->is_set[i])
			continue;
		name_of(name, f->entries[i]);
		(void)unsetenv(name);
		f->is_set[i] = false;
	}
}

void env_file_done(struct env_file *f)
{
	env_file_withdraw(f);
	buf_done(&f->text); /* wipes */
	*f = (struct env_file){ 0 };
}
