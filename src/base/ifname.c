#include "base/ifname.h"

#define SHOWN_MAX 64

static bool is_word(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       c == '_';
}

bool ifname_ok(struct str name)
{
	if (!name.n || name.n > IFNAME_LEN_MAX || !is_word(name.p[0]))
		return false;
	for (size_t i = 1; i < name.n; i++) {
		if (!is_word(name.p[i]) && name.p[i] != '-' && name.p[i] != '.')
			return false;
	}
	return !str_eq(name, STR("lo")) && !str_eq(name, STR("all")) &&
	       !str_eq(name, STR("default"));
}

enum err_code ifname_check(struct str name, struct err *e)
{
	char shown[SHOWN_MAX];

	if (ifname_ok(name))
		return ERR_OK;
	text_escaped(shown, sizeof shown, name);
	return err_set(e, ERR_INVALID,
		       "interface name \"%s\" is not possible: 1 to 15 letters, digits, '_', '-' "
		       "or '.', beginning with a letter, a digit or '_', and not lo, all or "
		       "default",
		       shown);
}
