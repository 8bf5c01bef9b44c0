/* vectors.h - for base's own tests: cases of `name: value` lines from the shared collection of
 * test vectors, which is $QANAT_VECTORS or shared/vectors in a directory above the source tree.
 */
#ifndef QANAT_BASE_TESTS_VECTORS_H
#define QANAT_BASE_TESTS_VECTORS_H

#include <limits.h>
#include <unistd.h>

#include "base/fs.h"

struct vectors {
	struct buf text;
	struct str rest;
	struct {
		struct str name, value;
	} fields[16];
	size_t n;
};

/* The file's path, or false when there is no collection. */
static inline bool vectors_path(char out[PATH_MAX], const char *file)
{
	const char *env = getenv("QANAT_VECTORS");
	char dir[PATH_MAX - 100] = QANAT_SOURCE_ROOT;
	char *slash;

	if (env && *env) {
		(void)snprintf(out, PATH_MAX, "%s/%s", env, file);
		return access(out, R_OK) == 0;
	}
	while ((slash = strrchr(dir, '/')) != NULL) {
		*slash = 0;
		(void)snprintf(out, PATH_MAX, "%s/shared/vectors/%s", dir, file);
		if (access(out, R_OK) == 0)
			return true;
	}
	return false;
}

/* False, with the reason printed, when the file is not there: the test then skips itself. */
static inline bool vectors_open(struct vectors *v, const char *file)
{
	char path[PATH_MAX];
	struct err e;

	*v = (struct vectors){ 0 };
	if (!vectors_path(path, file)) {
		print_message("skipped: %s is in no collection of vectors (QANAT_VECTORS)\n", file);
		return false;
	}
	if (file_read(&v->text, path, 16u << 20, &e))
		fail_msg("%s", e.msg);
	v->rest = buf_view(&v->text);
	return true;
}

static inline bool vectors_next(struct vectors *v)
{
	struct str line;

	v->n = 0;
	while (str_cut(&v->rest, '\n', &line)) {
		struct str name;

		if (line.n == 0 && v->n)
			return true;
		if (line.n == 0 || line.p[0] == '#')
			continue;
		assert_true(v->n < ARRAY_LEN(v->fields));
		assert_true(str_cut(&line, ':', &name));
		v->fields[v->n].name = name;
		v->fields[v->n++].value = str_trim(line);
	}
	return v->n > 0;
}

static inline bool vectors_has(const struct vectors *v, const char *name, struct str *value)
{
	for (size_t i = 0; i < v->n; i++) {
		if (str_eq(v->fields[i].name, str_of(name))) {
			*value = v->fields[i].value;
			return true;
		}
	}
	return false;
}

static inline struct str vectors_get(const struct vectors *v, const char *name)
{
	struct str value = { 0 };

	if (!vectors_has(v, name, &value))
		fail_msg("a case without %s", name);
	return value;
}

#endif
