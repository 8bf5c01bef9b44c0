#include "model/limits.h"

#include <inttypes.h>

static const struct {
	const char *name;
	uint64_t times;
} units[] = {
	{ "", 1 },
	{ "k", 1000 },
	{ "M", 1000000 },
	{ "G", 1000000000 },
	{ "T", 1000000000000 },
	{ "Ki", 1ull << 10 },
	{ "Mi", 1ull << 20 },
	{ "Gi", 1ull << 30 },
	{ "Ti", 1ull << 40 },
};

static struct str digits_cut(struct str *rest)
{
	struct str digits = { rest->p, 0 };

	while (digits.n < rest->n && rest->p[digits.n] >= '0' && rest->p[digits.n] <= '9')
		digits.n++;
	*rest = (struct str){ rest->p + digits.n, rest->n - digits.n };
	return digits;
}

static bool unit_find(struct str name, uint64_t *times)
{
	for (size_t i = 0; i < ARRAY_LEN(units); i++) {
		if (str_eq_nocase(name, str_of(units[i].name))) {
			*times = units[i].times;
			return true;
		}
	}
	return false;
}

enum err_code limits_number_parse(struct str text, const char *what, uint64_t *out, struct err *e)
{
	struct str unit = text, digits = digits_cut(&unit);
	char shown[64];
	uint64_t n, times;

	text_escaped(shown, sizeof shown, text);
	if (str_eq(text, STR("none"))) {
		*out = 0;
		return ERR_OK;
	}
	if (!digits.n || !unit_find(unit, &times))
		return err_set(e, ERR_INVALID,
			       "%s \"%s\": write a whole number with k, M, G, T, Ki, Mi, Gi, Ti or "
			       "nothing behind it, such as 10M, or none",
			       what, shown);
	if (!u64_parse(digits, 0, UINT64_MAX, &n) || n > UINT64_MAX / times)
		return err_set(e, ERR_RANGE, "%s \"%s\" is too large", what, shown);
	*out = n * times;
	return ERR_OK;
}

void limits_number_format(char out[LIMITS_TEXT_MAX], uint64_t n)
{
	static const char letters[] = "kMGT";
	size_t unit = 0;

	for (; n && n % 1000 == 0 && unit < sizeof letters - 1; unit++)
		n /= 1000;
	if (!n)
		(void)snprintf(out, LIMITS_TEXT_MAX, "none");
	else if (unit)
		(void)snprintf(out, LIMITS_TEXT_MAX, "%" PRIu64 "%c", n, letters[unit - 1]);
	else
		(void)snprintf(out, LIMITS_TEXT_MAX, "%" PRIu64, n);
}

/* ---- ends ---- */

/* "30d": true when it is a time from now on, whose length may be too large for *ns. */
static bool span_parse(struct str text, bool *fits, int64_t *ns)
{
	struct str unit = text, digits = digits_cut(&unit);
	int64_t each = str_eq(unit, STR("d"))	? 24 * 3600
		       : str_eq(unit, STR("h")) ? 3600
		       : str_eq(unit, STR("m")) ? 60
						: 0;
	uint64_t n = 0;

	if (!digits.n || !each)
		return false;
	*fits = u64_parse(digits, 0, (uint64_t)(INT64_MAX / NS_PER_S / each), &n);
	*ns = (int64_t)n * each * NS_PER_S;
	return true;
}

/* Takes `width` digits and the mark behind them, 0 for none. */
static bool part_cut(struct str *rest, size_t width, char mark, uint32_t min, uint32_t max,
		     int *out)
{
	uint32_t n;

	if (rest->n < width + (mark != 0) ||
	    !u32_parse((struct str){ rest->p, width }, min, max, &n) ||
	    (mark && rest->p[width] != mark))
		return false;
	*out = (int)n;
	width += mark != 0;
	*rest = (struct str){ rest->p + width, rest->n - width };
	return true;
}

static bool mark_cut(struct str *rest, char mark)
{
	if (!rest->n || rest->p[0] != mark)
		return false;
	*rest = (struct str){ rest->p + 1, rest->n - 1 };
	return true;
}

/* YYYY-MM-DD, and THH:MM, :SS and Z behind it as far as they are there. */
static bool date_parse(struct str text, int64_t *ns)
{
	struct tm tm = { 0 }, same;
	time_t t;

	if (text.n && (text.p[text.n - 1] == 'Z'))
		text.n--;
	if (!part_cut(&text, 4, '-', 1971, 2261, &tm.tm_year) ||
	    !part_cut(&text, 2, '-', 1, 12, &tm.tm_mon) ||
	    !part_cut(&text, 2, 0, 1, 31, &tm.tm_mday))
		return false;
	if (text.n && (!mark_cut(&text, 'T') || !part_cut(&text, 2, ':', 0, 23, &tm.tm_hour) ||
		       !part_cut(&text, 2, text.n > 2 ? ':' : 0, 0, 59, &tm.tm_min)))
		return false;
	if (text.n && (!part_cut(&text, 2, 0, 0, 59, &tm.tm_sec) || text.n))
		return false;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	same = tm;
	t = timegm(&same);
	*ns = (int64_t)t * NS_PER_S;
	return same.tm_mday == tm.tm_mday; /* the 30th of February is the 2nd of March */
}

enum err_code limits_end_parse(struct str text, int64_t now_ns, int64_t *out, struct err *e)
{
	char shown[64];
	bool fits = true;
	int64_t ns = 0;

	text_escaped(shown, sizeof shown, text);
	if (str_eq(text, STR("none"))) {
		*out = 0;
		return ERR_OK;
	}
	if (span_parse(text, &fits, &ns)) {
		if (!fits || __builtin_add_overflow(now_ns, ns, out))
			return err_set(e, ERR_RANGE, "expires \"%s\" is too far away", shown);
		return ERR_OK;
	}
	if (!date_parse(text, out))
		return err_set(
			e, ERR_INVALID,
			"expires \"%s\": write a date such as 2026-12-31 or "
			"2026-12-31T18:00 (UTC), a time from now on such as 30d, 12h or 90m, "
			"or none",
			shown);
	return ERR_OK;
}
