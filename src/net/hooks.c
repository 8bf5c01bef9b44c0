#include "net/hooks.h"

#include "base/fault.h"
#include "net/hook_forms.h"
#include "net/run.h"

static const char plain[] = "._:/,-+=@!{}";

/* ---- words ---- */

struct splitter {
	struct hooks *h;
	const char *ifname;
	size_t room, used; /* of h->text */
	size_t words; /* of the command under way */
};

static bool put(struct splitter *s, const char *p, size_t n)
{
	if (n > s->room - s->used)
		return false;
	memcpy(s->h->text + s->used, p, n);
	s->used += n;
	return true;
}

static bool is_plain(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       memchr(plain, c, sizeof plain - 1);
}

/* One character of a word, or %i; what it stands for is written.  The number of characters taken,
 * 0 for one that is not allowed. */
static size_t take_char(struct splitter *s, struct str rest, bool quoted)
{
	char c = rest.p[0];

	if (c == '%')
		return rest.n > 1 && rest.p[1] == 'i' && put(s, s->ifname, strlen(s->ifname)) ? 2
											      : 0;
	/* Within quotes any printable character but those that shells and nft act on. */
	if (quoted ? c < ' ' || c > '~' || memchr("`$\\\"'", c, 5) : !is_plain(c))
		return 0;
	return put(s, &c, 1) ? 1 : 0;
}

static enum err_code refuse_char(const struct splitter *s, char c, struct err *e)
{
	char shown[8];

	if (s->room == s->used)
		return err_set(e, ERR_RANGE, "the hooks are longer than %d bytes", HOOKS_TEXT_MAX);
	text_escaped(shown, sizeof shown, (struct str){ &c, 1 });
	return err_set(e, ERR_INVALID,
		       "command %zu, word %zu: the character %s is not allowed: no shell runs this",
		       s->h->n + 1, s->words + 1, shown);
}

/* A word, up to a space or ';'; parts of it may be quoted. */
static enum err_code take_word(struct splitter *s, struct str *rest, struct err *e)
{
	struct hook *hook = &s->h->commands[s->h->n];
	size_t start = s->used, n;
	char quote = 0;

	if (s->words == HOOKS_WORDS_MAX)
		return err_set(e, ERR_RANGE, "command %zu has more than %d words", s->h->n + 1,
			       HOOKS_WORDS_MAX);
	while (rest->n &&
	       (quote || (rest->p[0] != ' ' && rest->p[0] != '\t' && rest->p[0] != ';'))) {
		char c = rest->p[0];

		if (quote ? c == quote : c == '"' || c == '\'') {
			quote = quote ? 0 : c;
			n = 1;
		} else {
			n = take_char(s, *rest, quote != 0);
		}
		if (!n)
			return refuse_char(s, c, e);
		rest->p += n;
		rest->n -= n;
	}
	if (quote)
		return err_set(e, ERR_INVALID, "command %zu, word %zu: a quote is not closed",
			       s->h->n + 1, s->words + 1);
	if (!put(s, "", 1))
		return refuse_char(s, 0, e);
	hook->argv[s->words++] = s->h->text + start;
	return ERR_OK;
}

/* ---- commands ---- */

static bool is_space(char c)
{
	return c == ' ' || c == '\t';
}

static void skip_spaces(struct str *rest)
{
	while (rest->n && is_space(rest->p[0])) {
		rest->p++;
		rest->n--;
	}
}

/* A line of the file on the gateway, which may use %i as well. */
static bool is_allowed(struct str command, struct str allowed)
{
	struct str line;

	while (str_cut(&allowed, '\n', &line))
		if (command.n && str_eq(str_trim(line), command))
			return true;
	return false;
}

static enum err_code check_command(const struct hook *hook, bool allowed, size_t number,
				   struct err *e)
{
	enum err_code rc;

	if (allowed)
		return hook->argv[0][0] == '/'
			       ? ERR_OK
			       : err_set(e, ERR_INVALID,
					 "command %zu: the file on the gateway must name %s by its "
					 "absolute path",
					 number, hook->argv[0]);
	rc = hook_form_check(hook->argv, e);
	return rc ? err_wrap(e, rc, "command %zu", number) : ERR_OK;
}

/* Up to a ';' or the end; an empty one counts for nothing. */
static enum err_code take_command(struct splitter *s, struct str *rest, struct str allowed,
				  struct err *e)
{
	const char *start = rest->p;
	struct hooks *h = s->h;
	struct str command;
	enum err_code rc = ERR_OK;

	s->words = 0;
	while (!rc && rest->n && rest->p[0] != ';') {
		if (!s->words && h->n == HOOKS_COMMANDS_MAX)
			return err_set(e, ERR_RANGE, "more than %d commands", HOOKS_COMMANDS_MAX);
		rc = take_word(s, rest, e);
		skip_spaces(rest);
	}
	if (rc || !s->words)
		return rc;
	command = str_trim((struct str){ start, (size_t)(rest->p - start) });
	h->commands[h->n].argv[s->words] = NULL;
	rc = check_command(&h->commands[h->n], is_allowed(command, allowed), h->n + 1, e);
	h->n++;
	return rc;
}

enum err_code hooks_parse(struct hooks *out, struct str text, const char *ifname,
			  struct str allowed, struct err *e)
{
	struct hooks h = { 0 };
	/* Each "%i" may become 15 characters, and each word takes a NUL. */
	struct splitter s = { .h = &h, .ifname = ifname, .room = text.n * 8 + 1 };
	enum err_code rc = ifname_check(str_of(ifname), e);

	if (rc)
		return rc;
	if (text.n > HOOKS_TEXT_MAX)
		return err_set(e, ERR_RANGE, "the hooks have %zu bytes, at most %d are possible",
			       text.n, HOOKS_TEXT_MAX);
	h.text = malloc(s.room);
	h.commands = calloc(HOOKS_COMMANDS_MAX + 1, sizeof *h.commands);
	if (!h.text || !h.commands)
		rc = err_set(e, ERR_NOMEM, "no memory for the hooks of %s", ifname);
	while (!rc && text.n) {
		skip_spaces(&text);
		rc = take_command(&s, &text, allowed, e);
		if (!rc && text.n) { /* the ';' */
			text.p++;
			text.n--;
		}
	}
	if (rc) {
		hooks_done(&h);
		return rc;
	}
	*out = h;
	return ERR_OK;
}

void hooks_done(struct hooks *h)
{
	free(h->commands);
	free(h->text);
	*h = (struct hooks){ 0 };
}

/* ---- running ---- */

static enum err_code run_one(const struct hook *hook, struct err *e)
{
	const char *itself[] = { hook->argv[0], NULL };
	const char *package = "that it belongs to";
	const char *const *paths =
		hook->argv[0][0] == '/' ? itself : hook_form_paths(hook->argv[0], &package);

	if (FAULT("net.hook"))
		return err_set(e, ERR_IO, "%s: injected failure", hook->argv[0]);
	BUG_ON(!paths);
	return run_program(paths, package, hook->argv, STR(""), NULL, e);
}

enum err_code hooks_run(const struct hooks *h, bool goes_on, struct err *e)
{
	struct err why = { 0 }, first = { 0 };
	size_t i;

	for (i = 0; i < h->n && (goes_on || !first.code); i++)
		if (run_one(&h->commands[i], &why) && !first.code) {
			first = why;
			(void)err_wrap(&first, first.code, "command %zu", i + 1);
		}
	if (first.code && e)
		*e = first;
	return first.code;
}
