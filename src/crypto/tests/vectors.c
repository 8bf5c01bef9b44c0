#include "crypto/tests/vectors.h"

#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#define FILE_MAX (16u << 20)

NORETURN void vectors_fail(const struct vectors *v, const char *why)
{
	struct str id = { "?", 1 };

	for (size_t i = 0; i < v->n; i++)
		if (str_eq(v->fields[i].name, STR("case")))
			id = v->fields[i].value;
	print_error("%s, case %.*s: %s\n", v->name, STR_ARG(id), why);
	fail();
	abort(); /* not reached: fail jumps out of the test */
}

/* $QANAT_VECTORS, else DIR/shared/vectors for DIR from the source root upwards. */
static bool collection_find(char out[PATH_MAX])
{
	const char *env = getenv("QANAT_VECTORS");
	char dir[PATH_MAX];
	struct stat st;
	int n;

	if (env && *env)
		return str_copy(out, PATH_MAX, str_of(env));
	if (!str_copy(dir, sizeof dir, str_of(QANAT_SOURCE_ROOT)))
		return false;
	for (;;) {
		char *slash = strrchr(dir, '/');

		n = snprintf(out, PATH_MAX, "%s/shared/vectors", dir);
		if (n > 0 && n < PATH_MAX && stat(out, &st) == 0 && S_ISDIR(st.st_mode))
			return true;
		if (!slash)
			return false;
		*slash = '\0';
	}
}

static char *file_text(const char *path, size_t *n)
{
	FILE *f = fopen(path, "rb");
	char *text = f ? malloc(FILE_MAX) : NULL;

	*n = text ? fread(text, 1, FILE_MAX, f) : 0;
	if (f)
		fclose(f);
	if (*n<FILE_MAX && * n> 0)
		return text;
	free(text);
	return NULL;
}

struct vectors *vectors_open(const char *name)
{
	char dir[PATH_MAX], path[PATH_MAX + 100];
	struct vectors *v;
	size_t n;
	int len;

	if (!collection_find(dir)) {
		print_message("skipped: no test vectors found; set QANAT_VECTORS\n");
		skip();
	}
	len = snprintf(path, sizeof path, "%s/%s", dir, name);
	assert_true(len > 0 && (size_t)len < sizeof path);
	v = calloc(1, sizeof *v);
	assert_non_null(v);
	v->name = name;
	v->text = file_text(path, &n);
	if (!v->text) {
		free(v);
		print_message("skipped: %s is not there\n", path);
		skip();
		abort();
	}
	v->rest = (struct str){ v->text, n };
	return v;
}

void vectors_close(struct vectors *v)
{
	if (!v)
		return;
	free(v->text);
	free(v);
}

bool vectors_next(struct vectors *v)
{
	struct str line, name;

	v->n = 0;
	v->used = 0;
	while (str_cut(&v->rest, '\n', &line)) {
		line = str_trim(line);
		if (line.n && line.p[0] == '#')
			continue;
		if (!line.n && v->n)
			break;
		if (!line.n)
			continue;
		VECTORS_MUST(v, v->n < VECTOR_FIELDS_MAX);
		VECTORS_MUST(v, str_cut(&line, ':', &name));
		v->fields[v->n].name = str_trim(name);
		v->fields[v->n].value = str_trim(line);
		v->n++;
	}
	if (v->n)
		v->cases++;
	return v->n > 0;
}

bool vectors_has(const struct vectors *v, const char *field)
{
	for (size_t i = 0; i < v->n; i++)
		if (str_eq(v->fields[i].name, str_of(field)))
			return true;
	return false;
}

struct str vectors_text(const struct vectors *v, const char *field)
{
	for (size_t i = 0; i < v->n; i++)
		if (str_eq(v->fields[i].name, str_of(field)))
			return v->fields[i].value;
	print_error("no field \"%s\"\n", field);
	vectors_fail(v, "a field is missing");
}

uint64_t vectors_u64(const struct vectors *v, const char *field)
{
	uint64_t n = 0;

	VECTORS_MUST(v, u64_parse(vectors_text(v, field), 0, UINT64_MAX, &n));
	return n;
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

struct vector_bytes vectors_bytes(struct vectors *v, const char *field)
{
	struct str hex = vectors_text(v, field);
	struct vector_bytes b = { v->room + v->used, hex.n / 2 };

	VECTORS_MUST(v, hex.n % 2 == 0 && b.n <= sizeof v->room - v->used);
	for (size_t i = 0; i < b.n; i++) {
		int high = hex_digit(hex.p[2 * i]), low = hex_digit(hex.p[2 * i + 1]);

		VECTORS_MUST(v, high >= 0 && low >= 0);
		v->room[v->used++] = (uint8_t)(high * 16 + low);
	}
	return b;
}

void vectors_copy(struct vectors *v, const char *field, void *out, size_t n)
{
	struct vector_bytes b = vectors_bytes(v, field);

	VECTORS_MUST(v, b.n == n);
	memcpy(out, b.p, n);
}
