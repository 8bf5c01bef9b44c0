/* fuzz_journal - the journal's text: what is taken is written again as the same changes. */
#include "net/change.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const struct str text = { (const char *)data, len }, boot = STR("b"), netns = STR("n");
	AUTO(changes_done) struct changes c = { 0 }, again = { 0 };
	AUTO(buf_done) struct buf out = { 0 };
	struct err e = { 0 };
	size_t i;

	if (journal_parse(&c, text, boot, netns, &e)) {
		BUG_ON(c.n || e.code == ERR_OK || !e.msg[0]);
		return 0;
	}
	journal_format(&out, &c, boot, netns);
	BUG_ON(journal_parse(&again, buf_view(&out), boot, netns, &e));
	BUG_ON(again.n != c.n);
	for (i = 0; i < c.n; i++)
		BUG_ON(!change_same_thing(&c.p[i], &again.p[i]) || c.p[i].old != again.p[i].old ||
		       c.p[i].now != again.p[i].now);
	return 0;
}
