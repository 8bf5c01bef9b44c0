#include "base/clock.h"

#include "base/err.h"

static int64_t now_ns(clockid_t id)
{
	struct timespec t;

	/* Linux has both clocks since 2.6.39; only a wrong id or pointer can fail. */
	BUG_ON(clock_gettime(id, &t) != 0);
	return (int64_t)t.tv_sec * NS_PER_S + t.tv_nsec;
}

int64_t clock_mono_ns(void)
{
	return now_ns(CLOCK_BOOTTIME);
}

int64_t clock_real_ns(void)
{
	return now_ns(CLOCK_REALTIME);
}

/* "YYYY-MM-DDTHH:MM:SS" and the nanoseconds that are left.  Years run from 1677 to 2262, the
 * range of the argument, so four digits always suffice. */
static int64_t iso_seconds(char out[CLOCK_ISO_MAX], int64_t real_ns)
{
	int64_t ns = real_ns % NS_PER_S;
	time_t s = (time_t)(real_ns / NS_PER_S);
	struct tm tm;

	if (ns < 0) { /* before 1970 the division rounds up */
		ns += NS_PER_S;
		s--;
	}
	BUG_ON(!gmtime_r(&s, &tm));
	BUG_ON(strftime(out, CLOCK_ISO_MAX, "%Y-%m-%dT%H:%M:%S", &tm) == 0);
	return ns;
}

void clock_iso_utc(char out[CLOCK_ISO_MAX], int64_t real_ns)
{
	int64_t us = iso_seconds(out, real_ns) / NS_PER_US;
	size_t n = strlen(out);

	(void)snprintf(out + n, CLOCK_ISO_MAX - n, ".%06uZ", (unsigned)us);
}

void clock_iso_plain(char out[CLOCK_ISO_MAX], int64_t real_ns)
{
	(void)iso_seconds(out, real_ns);
}
