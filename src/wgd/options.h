/* options.h - what qanat-wg was asked to do: the table of options, and the checks that a table cannot
 * make.
 */
#ifndef QANAT_WGD_OPTIONS_H
#define QANAT_WGD_OPTIONS_H

#include "base/log.h"
#include "base/opt.h"
#include "dataplane/dataplane.h"

#define WGD_FD_NONE UINT32_MAX
#define WGD_FD_MIN 3u /* below are the standard streams */
#define WGD_FD_MAX 1048575u /* the kernel's own limit is fs.nr_open, 1048576 */

struct wgd_options {
	bool help, version;
	bool foreground;
	uint32_t tun_fd, uapi_fd; /* handed over, or WGD_FD_NONE */
	const char *log_level_text; /* NULL: not asked for */
	uint32_t workers;
	uint32_t mtu;
	bool no_tun_offload, no_udp_gso, no_udp_gro;
	bool unpinned;
	bool json;

	const char *ifname;
	enum log_level log_level;
	unsigned offloads; /* enum dataplane_offload bits */
};

extern const struct opt_program wgd_program;

/* Reads environment and command line; `o->help` and `o->version` come without an interface. */
MUST_CHECK enum err_code wgd_options_read(struct wgd_options *o, int argc, char **argv,
					  struct err *e);

#endif
