/* clock.h - the only file that asks for the time.  Below the loop nobody calls it: time is an
 * argument there.
 */
#ifndef QANAT_BASE_CLOCK_H
#define QANAT_BASE_CLOCK_H

#include "base/text.h"

#define NS_PER_S 1000000000LL
#define NS_PER_MS 1000000LL
#define NS_PER_US 1000LL

int64_t clock_mono_ns(void); /* CLOCK_BOOTTIME-like: counts suspend, never goes back */
int64_t clock_real_ns(void); /* nanoseconds since 1970, may jump */

/* UTC with microseconds, "2026-11-21T10:47:27.123456Z". */
#define CLOCK_ISO_MAX 32
void clock_iso_utc(char out[CLOCK_ISO_MAX], int64_t real_ns);
/* UTC without zone or fraction, "2026-11-21T10:47:27" (the reference's `created`). */
void clock_iso_plain(char out[CLOCK_ISO_MAX], int64_t real_ns);

#endif
