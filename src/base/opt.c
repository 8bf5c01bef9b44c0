#include "base/opt.h"

/* Where a value came from, for messages: "--port", "-p" or the name of a variable. */
struct origin {
	const char *dashes;
	struct str name;
};

static const struct opt *find_name(const struct opt *opts, struct str name)
{
	for (const struct opt *o = opts; o->name; o++) {
		if (str_eq(name, str_of(o->name)))
			return o;
	}
	return NULL;
}

static const struct opt *find_letter(const struct opt *opts, char letter)
{
	for (const struct opt *o = opts; o->name; o++) {
		if (o->letter && o->letter == letter)
			return o;
	}
	return NULL;
}

static bool flag_parse(struct str s, bool *out)
{
	static const char *const words[2][4] = { { "0", "false", "no", "off" },
						 { "1", "true", "yes", "on" } };

	for (size_t on = 0; on < 2; on++) {
		for (size_t i = 0; i < ARRAY_LEN(words[on]); i++) {
			if (str_eq_nocase(s, str_of(words[on][i]))) {
				*out = on;
				return true;
			}
		}
	}
	return false;
}

static enum err_code refuse(const struct origin *from, struct str value, struct err *e,
			    const char *expected)
{
	char shown[128];

	text_escaped(shown, sizeof shown, value);
	return err_set(e, ERR_INVALID, "%s%.*s: \"%s\" is not %s", from->dashes,
		       STR_ARG(from->name), shown, expected);
}

/* Checks `value` (which outlives the options) by the row and stores it. */
static enum err_code store(const struct opt *o, void *into, const char *value,
			   const struct origin *from, struct err *e)
{
	void *field = (char *)into + o->offset;
	struct str s = str_of(value);
	char expected[64];

	switch (o->type) {
	case OPT_FLAG:
		if (!flag_parse(s, field))
			return refuse(from, s, e, "yes or no");
		return ERR_OK;
	case OPT_U32:
		(void)snprintf(expected, sizeof expected, "a number from %u to %u", o->min, o->max);
		if (!u32_parse(s, o->min, o->max, field))
			return refuse(from, s, e, expected);
		return ERR_OK;
	case OPT_TEXT:
		(void)snprintf(expected, sizeof expected, "a text of %u to %u bytes", o->min,
			       o->max);
		if (s.n < o->min || s.n > o->max)
			return refuse(from, s, e, expected);
		memcpy(field, &value, sizeof value);
		return ERR_OK;
	case OPT_PREFIX:
		if (!ip_prefix_parse(s, field))
			return refuse(from, s, e, "a network such as 10.8.0.0/24");
		return ERR_OK;
	case OPT_IP:
		if (!ip_parse(s, field))
			return refuse(from, s, e, "an IPv4 or IPv6 address");
		return ERR_OK;
	}
	return ERR_OK;
}

static enum err_code load_defaults(const struct opt *opts, void *into, struct err *e)
{
	enum err_code rc;

	for (const struct opt *o = opts; o->name; o++) {
		const struct origin table = { "--", str_of(o->name) };
		const struct origin env = { "", str_of(o->env) };
		const char *value = o->env ? getenv(o->env) : NULL;

		if (o->fallback)
			BUG_ON(store(o, into, o->fallback, &table, NULL) != ERR_OK);
		if (!value || !*value) /* an empty variable counts as unset */
			continue;
		rc = store(o, into, value, &env, e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

static enum err_code unknown_name(const struct opt *opts, struct str name, struct err *e)
{
	const char *names[64];
	const char *near;
	char shown[128];
	size_t n = 0;

	for (const struct opt *o = opts; o->name && n < ARRAY_LEN(names); o++)
		names[n++] = o->name;
	near = opt_nearest(name, names, n);
	text_escaped(shown, sizeof shown, name);
	if (near)
		return err_set(e, ERR_INVALID, "unknown option --%s: did you mean --%s?", shown,
			       near);
	return err_set(e, ERR_INVALID, "unknown option --%s", shown);
}

/* The command line as it is being read. */
struct args {
	const struct opt *opts;
	void *into;
	int argc;
	char **argv;
	int at; /* argument looked at */
};

/* The value of option `o`: `attached`, or the argument that follows. */
static enum err_code take_value(struct args *a, const struct opt *o, const char *attached,
				const struct origin *from, struct err *e)
{
	if (!attached) {
		if (a->at + 1 >= a->argc)
			return err_set(e, ERR_MISSING, "%s%.*s needs a value: %s", from->dashes,
				       STR_ARG(from->name), o->metavar ? o->metavar : "VALUE");
		attached = a->argv[++a->at];
	}
	return store(o, a->into, attached, from, e);
}

/* "--name", "--name=VALUE" or "--name VALUE"; `text` is what follows the dashes. */
static enum err_code take_long(struct args *a, const char *text, struct err *e)
{
	const char *equals = strchr(text, '=');
	struct str name = equals ? (struct str){ text, (size_t)(equals - text) } : str_of(text);
	const struct opt *o = find_name(a->opts, name);
	const struct origin from = { "--", name };

	if (!o)
		return unknown_name(a->opts, name, e);
	if (o->type == OPT_FLAG && !equals)
		return store(o, a->into, "yes", &from, e);
	return take_value(a, o, equals ? equals + 1 : NULL, &from, e);
}

/* "-f", "-fv", "-pVALUE" or "-p VALUE"; `text` is what follows the dash. */
static enum err_code take_letters(struct args *a, const char *text, struct err *e)
{
	enum err_code rc;

	for (; *text; text++) {
		const struct opt *o = find_letter(a->opts, *text);
		const struct origin from = { "-", { text, 1 } };
		char shown[8];

		if (!o) {
			text_escaped(shown, sizeof shown, from.name);
			return err_set(e, ERR_INVALID, "unknown option -%s", shown);
		}
		if (o->type != OPT_FLAG)
			return take_value(a, o, text[1] ? text + 1 : NULL, &from, e);
		rc = store(o, a->into, "yes", &from, e);
		if (rc)
			return rc;
	}
	return ERR_OK;
}

enum err_code opt_parse(const struct opt_program *prog, void *into, int *argc, char **argv,
			bool stop_at_word, struct err *e)
{
	struct args a = { .opts = prog->opts, .into = into, .argc = *argc, .argv = argv, .at = 1 };
	enum err_code rc = load_defaults(prog->opts, into, e);
	int words = 1;

	for (; rc == ERR_OK && a.at < a.argc; a.at++) {
		char *text = argv[a.at];

		if (strcmp(text, "--") == 0) {
			a.at++;
			break;
		}
		if (text[0] == '-' && text[1] == '-') {
			rc = take_long(&a, text + 2, e);
		} else if (text[0] == '-' && text[1]) {
			rc = take_letters(&a, text + 1, e);
		} else if (stop_at_word) {
			break;
		} else {
			argv[words++] = text;
		}
	}
	if (rc)
		return rc;
	while (a.at < a.argc)
		argv[words++] = argv[a.at++];
	if (words < *argc) /* with *argc of 0, not even argv[1] is ours */
		argv[words] = NULL;
	*argc = MIN(words, *argc);
	return ERR_OK;
}

#define NEAR_NAME_MAX 64

/* Steps (insert, remove, change, swap two neighbours) from one word to the other. */
static size_t distance(struct str a, struct str b)
{
	size_t row[3][NEAR_NAME_MAX + 1]; /* before the last, last, this */

	for (size_t j = 0; j <= b.n; j++)
		row[1][j] = j;
	for (size_t i = 1; i <= a.n; i++) {
		row[2][0] = i;
		for (size_t j = 1; j <= b.n; j++) {
			bool same = str_eq_nocase((struct str){ a.p + i - 1, 1 },
						  (struct str){ b.p + j - 1, 1 });
			size_t best = MIN(row[1][j], row[2][j - 1]) + 1;

			best = MIN(best, row[1][j - 1] + !same);
			if (i > 1 && j > 1 && a.p[i - 1] == b.p[j - 2] && a.p[i - 2] == b.p[j - 1])
				best = MIN(best, row[0][j - 2] + 1);
			row[2][j] = best;
		}
		memcpy(row[0], row[1], sizeof row[0]);
		memcpy(row[1], row[2], sizeof row[1]);
	}
	return row[1][b.n];
}

const char *opt_nearest(struct str got, const char *const *names, size_t n)
{
	const char *best = NULL;
	size_t least = SIZE_MAX;

	if (got.n == 0 || got.n > NEAR_NAME_MAX)
		return NULL;
	for (size_t i = 0; i < n; i++) {
		struct str name = str_of(names[i]);
		size_t d;

		if (name.n > NEAR_NAME_MAX)
			continue;
		d = distance(got, name);
		/* A third of the letters wrong is a slip; more is another word. */
		if (d < least && d <= MAX(name.n / 3, (size_t)1)) {
			least = d;
			best = names[i];
		}
	}
	return best;
}
