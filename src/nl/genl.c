#include "nl/genl.h"

#include <errno.h>
#include <linux/genetlink.h>

#include "nl/socket.h"

_Static_assert(GENL_HDRLEN == NL_GENL_HEADER, "the kernel's header");

enum err_code nl_genl_open(struct nl **out, struct err *e)
{
	return nl_bus_open(out, NETLINK_GENERIC, e);
}

static bool family_found(void *ctx, const struct nl_message *m)
{
	uint16_t *out = ctx, type;
	struct rd r = m->body, value;

	if (m->type != GENL_ID_CTRL)
		return true;
	rd_bytes(&r, NL_GENL_HEADER);
	while (nl_attr_next(&r, &type, &value))
		if (type == CTRL_ATTR_FAMILY_ID)
			*out = nl_rd_u16(&value);
	return true;
}

enum err_code nl_genl_family(struct nl *n, const char *name, uint16_t *out, struct err *e)
{
	const struct genlmsghdr g = { .cmd = CTRL_CMD_GETFAMILY, .version = 1 };
	struct nlmsghdr *h = nl_request(n->request, GENL_ID_CTRL, 0, &g, sizeof g);
	uint16_t id = 0;
	int sys;

	BUG_ON(strlen(name) >= GENL_NAMSIZ);
	mnl_attr_put_strz(h, CTRL_ATTR_FAMILY_NAME, name);
	sys = nl_exchange(n, h, family_found, &id);
	if (sys == ENOENT || (!sys && id < NLMSG_MIN_TYPE))
		return err_set(e, ERR_UNSUPPORTED, "this kernel has no %s", name);
	if (sys)
		return nl_refused(n, sys, e, "look for the kernel's %s", name);
	*out = id;
	return ERR_OK;
}
