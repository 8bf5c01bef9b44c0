#include "wgd/options.h"

#include <net/if.h>

#define AT(field) offsetof(struct wgd_options, field)

static const struct opt rows[] = {
	{ "foreground", 'f', OPT_FLAG, AT(foreground), 0, 0, NULL, "WG_PROCESS_FOREGROUND", NULL,
	  "stay in the foreground instead of forking when ready", NULL },
	{ "log-level", 'l', OPT_TEXT, AT(log_level_text), 1, 255, NULL, "LOG_LEVEL", "LEVEL",
	  "what is logged: silent, error (when not given), warn, info, or verbose (also debug)",
	  NULL },
	{ "log-json", 0, OPT_FLAG, AT(json), 0, 0, NULL, NULL, NULL, "log JSON, an object a line",
	  NULL },
	{ "workers", 'w', OPT_U32, AT(workers), 0, DATAPLANE_WORKERS_MAX, "0", NULL, "N",
	  "threads that carry packets; 0 lets the machine decide", NULL },
	{ "mtu", 'm', OPT_U32, AT(mtu), 576, 65535, "1420", NULL, "BYTES",
	  "MTU of the interface when it is made", NULL },
	{ "no-tun-offload", 0, OPT_FLAG, AT(no_tun_offload), 0, 0, NULL, NULL, NULL,
	  "take only single packets from the interface, no large segments", "Speed and its traps" },
	{ "no-udp-gso", 0, OPT_FLAG, AT(no_udp_gso), 0, 0, NULL, NULL, NULL,
	  "send each datagram with a call of its own", NULL },
	{ "no-udp-gro", 0, OPT_FLAG, AT(no_udp_gro), 0, 0, NULL, NULL, NULL,
	  "receive each datagram by itself", NULL },
	{ "unpinned", 0, OPT_FLAG, AT(unpinned), 0, 0, NULL, NULL, NULL,
	  "let several workers move between processors", NULL },
	{ "tun-fd", 0, OPT_U32, AT(tun_fd), WGD_FD_MIN, WGD_FD_MAX, NULL, "WG_TUN_FD", "FD",
	  "use this open TUN descriptor", "Taking over descriptors" },
	{ "uapi-fd", 0, OPT_U32, AT(uapi_fd), WGD_FD_MIN, WGD_FD_MAX, NULL, "WG_UAPI_FD", "FD",
	  "use this listening socket for wg(8)", NULL },
	{ "help", 'h', OPT_FLAG, AT(help), 0, 0, NULL, NULL, NULL, "show this help", "Other" },
	{ "version", 'V', OPT_FLAG, AT(version), 0, 0, NULL, NULL, NULL, "show the version", NULL },
	{ 0 },
};

static const char description[] =
	"`qanat-wg` makes the WireGuard interface IFNAME and carries its packets, without help "
	"of the kernel's own WireGuard.\n"
	"It is set up with wg(8) and ip(8) like any other, and is a drop-in for wireguard-go(8): "
	"wg-quick(8) uses it when `WG_QUICK_USERSPACE_IMPLEMENTATION=qanat-wg` is in its "
	"environment.\n"
	"\n"
	"It forks to the background as soon as the interface is there and wg(8) can talk to it; "
	"when that fails it says why and exits with status 1.\n"
	"It ends when the interface is deleted, when its socket is removed, or by SIGTERM, SIGINT "
	"or SIGHUP, and takes the interface and the socket along.\n"
	"Several may run side by side, one for each interface.";

static const char extra[] = "FILES\n"
			    "  `/var/run/wireguard/IFNAME.sock`: the socket for wg(8).\n"
			    "EXIT STATUS\n"
			    "  0 after a regular end, 1 after an error.\n"
			    "EXAMPLES\n"
			    "  An interface, its key and its address:\n"
			    "\n"
			    "    qanat-wg wg0\n"
			    "    wg set wg0 private-key /etc/wireguard/key listen-port 51820\n"
			    "    ip address add 10.0.0.1/24 dev wg0\n"
			    "    ip link set wg0 up\n"
			    "SEE ALSO\n"
			    "  wg(8), wg-quick(8), ip-link(8), qanat(1)\n";

const struct opt_program wgd_program = {
	.name = "qanat-wg",
	.section = 8,
	.summary = "WireGuard interface in userspace",
	.usage = "[OPTION...] IFNAME",
	.opts = rows,
	.description = description,
	.extra = extra,
};

/* As the kernel's dev_valid_name, and without '%', which it would take for a pattern. */
static enum err_code check_ifname(const char *name, struct err *e)
{
	size_t n = strlen(name);
	char shown[64];

	text_escaped(shown, sizeof shown, str_of(name));
	if (n == 0 || n >= IFNAMSIZ)
		return err_set(e, ERR_RANGE, "interface name \"%s\": 1 to %d characters", shown,
			       IFNAMSIZ - 1);
	if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
		return err_set(e, ERR_INVALID, "interface name \"%s\" is not allowed", shown);
	for (size_t i = 0; i < n; i++)
		if ((unsigned char)name[i] <= ' ' || name[i] == 0x7f || strchr("/:%", name[i]))
			return err_set(e, ERR_INVALID,
				       "interface name \"%s\": no '/', ':', '%%', spaces or "
				       "control characters",
				       shown);
	return ERR_OK;
}

static enum err_code check_level(struct wgd_options *o, struct err *e)
{
	char shown[32];

	o->log_level = LOG_ERROR;
	if (!o->log_level_text || log_level_parse(str_of(o->log_level_text), &o->log_level))
		return ERR_OK;
	/* The variable's name is a common one: what another program means by it is no mistake. */
	if (o->log_level_text == getenv("LOG_LEVEL"))
		return ERR_OK;
	text_escaped(shown, sizeof shown, str_of(o->log_level_text));
	return err_set(e, ERR_INVALID,
		       "log level \"%s\" is none of silent, error, warn, info, verbose, debug",
		       shown);
}

static enum err_code check_words(struct wgd_options *o, int argc, char **argv, struct err *e)
{
	char shown[64];

	if (argc < 2)
		return err_set(e, ERR_MISSING, "no interface name; try qanat-wg --help");
	if (argc > 2) {
		text_escaped(shown, sizeof shown, str_of(argv[2]));
		return err_set(e, ERR_INVALID, "unexpected \"%s\" after the interface name", shown);
	}
	o->ifname = argv[1];
	return check_ifname(o->ifname, e);
}

enum err_code wgd_options_read(struct wgd_options *o, int argc, char **argv, struct err *e)
{
	enum err_code rc;

	*o = (struct wgd_options){ .tun_fd = WGD_FD_NONE, .uapi_fd = WGD_FD_NONE };
	rc = opt_parse(&wgd_program, o, &argc, argv, false, e);
	if (rc || o->help || o->version)
		return rc;
	rc = check_words(o, argc, argv, e);
	if (!rc)
		rc = check_level(o, e);
	if (!rc && o->tun_fd != WGD_FD_NONE && o->tun_fd == o->uapi_fd)
		rc = err_set(e, ERR_INVALID, "descriptor %u cannot be both interface and socket",
			     o->tun_fd);
	o->offloads = OFFLOAD_ALL;
	if (o->no_tun_offload)
		o->offloads &= ~(unsigned)OFFLOAD_TUN;
	if (o->no_udp_gso)
		o->offloads &= ~(unsigned)OFFLOAD_UDP_GSO;
	if (o->no_udp_gro)
		o->offloads &= ~(unsigned)OFFLOAD_UDP_GRO;
	return rc;
}
