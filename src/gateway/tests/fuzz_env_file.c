/* fuzz_env_file.c - files of environment variables: what is accepted holds only names that are allowed, each on a
 * line of its own; what is refused comes with a reason.
 */
#include "gateway/env_file.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const allowed[] = { "GATEWAY_API_KEY", "DB_PATH", NULL };
	struct buf text = { 0 };
	struct env_file f;
	struct err e = { 0 };

	buf_str(&text, (struct str){ (const char *)data, len });
	if (env_file_parse(&f, "file", &text, allowed, &e)) {
		BUG_ON(!*e.msg || text.p);
		return 0;
	}
	for (size_t i = 0; i < f.n; i++)
		BUG_ON(strchr(f.entries[i], '\n') ||
		       (strncmp(f.entries[i], "GATEWAY_API_KEY=", 16) != 0 &&
			strncmp(f.entries[i], "DB_PATH=", 8) != 0));
	BUG_ON(f.n > 2);
	env_file_done(&f);
	return 0;
}
