#include "core/texts.h"

#include <inttypes.h>

void gateway_text_age(char out[GATEWAY_TEXT_MAX], int64_t age_s)
{
	static const struct {
		int64_t seconds;
		const char *name;
	} units[] = { { 86400, "day" }, { 3600, "hour" }, { 60, "minute" }, { 1, "second" } };

	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		int64_t n = age_s / units[i].seconds;

		if (n >= 1) {
			(void)snprintf(out, GATEWAY_TEXT_MAX, "%" PRId64 " %s%s ago", n,
				       units[i].name, n == 1 ? "" : "s");
			return;
		}
	}
	(void)snprintf(out, GATEWAY_TEXT_MAX, "just now");
}

void gateway_text_bytes(char out[GATEWAY_TEXT_MAX], uint64_t bytes)
{
	static const char *const units[] = { "B", "KB", "MB", "GB", "TB", "PB", "EB" };
	uint64_t unit = 1;
	size_t i = 0;

	while (bytes / unit >= 1000) {
		unit *= 1000; /* at most 10^18, which fits */
		i++;
	}
	/* Cut, not rounded: 9.99 must not become "10.0". */
	if (i > 0 && bytes / unit < 10)
		(void)snprintf(out, GATEWAY_TEXT_MAX, "%" PRIu64 ".%" PRIu64 " %s", bytes / unit,
			       bytes % unit / (unit / 10), units[i]);
	else
		(void)snprintf(out, GATEWAY_TEXT_MAX, "%" PRIu64 " %s", bytes / unit, units[i]);
}

struct gateway_page gateway_page_of(uint64_t total, int64_t page, int64_t per_page)
{
	struct gateway_page p = { .per_page = (uint64_t)MAX(per_page, 1), .page = 1 };

	p.total_pages = total ? (total - 1) / p.per_page + 1 : 1;
	if (page > 1)
		p.page = MIN((uint64_t)page, p.total_pages);
	p.skip = (p.page - 1) * p.per_page; /* below total, so it does not wrap */
	p.has_prev = p.page > 1;
	p.has_next = p.page < p.total_pages;
	if (total) {
		p.showing_from = p.skip + 1;
		p.showing_to = p.skip + MIN(p.per_page, total - p.skip);
	}
	return p;
}
