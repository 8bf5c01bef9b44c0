/* Any answer of a gateway, in any view: no control character reaches the terminal but newlines. */
#include <jansson.h>

#include "api/modules.h"
#include "cli/view.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

static void check_text(const struct buf *out)
{
	struct str s = buf_view(out);

	BUG_ON(!buf_ok(out));
	for (size_t i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		BUG_ON((c < 0x20 && c != '\n') || c == 0x7f);
		BUG_ON(c == 0xc2 && i + 1 < s.n && (unsigned char)s.p[i + 1] < 0xa0);
	}
}

/* The first byte picks the terminal's width and the action (in its halves), the rest is the JSON of its data. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct term term = { .tty = true };
	struct buf out = { 0 };
	json_t *value;
	size_t n = 0;

	if (len == 0)
		return 0;
	term.columns = data[0] >> 4 ? 20u * (data[0] >> 4) : 0;
	value = json_loadb((const char *)data + 1, len - 1, JSON_DECODE_ANY, NULL);
	if (!value)
		return 0;
	while (api_actions[n].module)
		n++;
	n = (data[0] & 0xf) % (n + 1); /* past the last: an action without a view of its own */
	view_answer(&out, &term, STR("core"),
		    api_actions[n].module ? str_of(api_actions[n].name) : STR("generic"), value);
	check_text(&out);
	buf_done(&out);
	json_decref(value);
	return 0;
}
