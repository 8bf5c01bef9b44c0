/* flood.h - a budget for what a client may send that costs us and brings nothing.
 *
 * HTTP/2 frames that are no request: PING, SETTINGS, PRIORITY, resets, empty DATA.  Each takes from
 * a bucket that fills with time; one that is empty ends the connection.
 */
#ifndef QANAT_HTTP_FLOOD_H
#define QANAT_HTTP_FLOOD_H

#include "base/clock.h"

#define FLOOD_FULL 1000
#define FLOOD_PER_S 100
#define FLOOD_FRAME 1
#define FLOOD_RESET 10 /* a request begun and given up: 100 at once, then 10 a second */

struct http_flood {
	int64_t left; /* in thousandths */
	int64_t at; /* when that was true; 0: at the start, when it is full */
};

/* Takes `cost`; false when there is not as much left. */
static inline bool http_flood_take(struct http_flood *f, unsigned cost, int64_t now)
{
	int64_t earned = (now - f->at) / (NS_PER_S / (FLOOD_PER_S * 1000));

	if (f->at == 0 || earned > FLOOD_FULL * 1000)
		earned = FLOOD_FULL * 1000;
	if (earned > 0) {
		f->left = MIN((int64_t)FLOOD_FULL * 1000, f->left + earned);
		f->at = now;
	}
	f->left -= (int64_t)cost * 1000;
	return f->left >= 0;
}

/* Gives back `n` frames' worth: what our own sending made the client answer with. */
static inline void http_flood_credit(struct http_flood *f, unsigned n)
{
	f->left = MIN((int64_t)FLOOD_FULL * 1000, f->left + (int64_t)n * 1000);
}

#endif
