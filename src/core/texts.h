/* texts.h - the gateway's texts for people, and the arithmetic of pages.  Pure.
 */
#ifndef QANAT_CORE_TEXTS_H
#define QANAT_CORE_TEXTS_H

#include "base/text.h"

#define GATEWAY_TEXT_MAX 32

/* "just now", "1 minute ago", "3 days ago": the largest whole unit.  Negative ages (the clock was
 * set back) are "just now". */
void gateway_text_age(char out[GATEWAY_TEXT_MAX], int64_t age_s);
/* "0 B", "999 B", "1.2 GB", "450 MB": decimal units, one digit behind the point below ten. */
void gateway_text_bytes(char out[GATEWAY_TEXT_MAX], uint64_t bytes);

/* One page of a list, as details 1.2 list_clients: numbered from 1, clamped to those there are. */
struct gateway_page {
	uint64_t page, per_page, total_pages;
	uint64_t skip; /* elements in front of the page */
	uint64_t showing_from, showing_to; /* from 1; both 0 when the list is empty */
	bool has_next, has_prev;
};
/* `per_page` below 1 counts as 1. */
struct gateway_page gateway_page_of(uint64_t total, int64_t page, int64_t per_page);

#endif
