/* fuzz_hooks - whatever the text, what is taken is one of the programs, with words that no shell and
 * no option parser could take for something else. */
#include "net/hook_forms.h"
#include "net/hooks.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_words(const struct hook *hook)
{
	size_t i;

	for (i = 1; hook->argv[i]; i++) {
		const char *w = hook->argv[i], *c;

		for (c = w; *c; c++)
			BUG_ON(*c < ' ' || *c > '~' || strchr("`$\\\"'", *c));
		/* No file and no program comes in by an option. */
		BUG_ON(!strcmp(w, "-f") || !strcmp(w, "--file") || !strncmp(w, "--modprobe", 10));
	}
	BUG_ON(i > HOOKS_WORDS_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct str text = { (const char *)data, len };
	const char *package;
	struct hooks h;
	struct err e = { 0 };
	size_t i;

	if (hooks_parse(&h, text, "wg_main", STR(""), &e)) {
		BUG_ON(!e.msg[0] || strchr(e.msg, '\n'));
		return 0;
	}
	BUG_ON(h.n > HOOKS_COMMANDS_MAX);
	for (i = 0; i < h.n; i++) {
		BUG_ON(!h.commands[i].argv[0] || !hook_form_paths(h.commands[i].argv[0], &package));
		check_words(&h.commands[i]);
	}
	hooks_done(&h);
	return 0;
}
