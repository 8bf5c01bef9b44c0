#include "gateway/rights.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fs.h"

#define TUN_DEVICE "/dev/net/tun"

static bool has_net_admin(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[_LINUX_CAPABILITY_U32S_3] = { { 0 } };

	return syscall(SYS_capget, &head, caps) == 0 &&
	       (caps[0].effective & (1u << CAP_NET_ADMIN)) != 0;
}

enum err_code rights_check(struct err *e)
{
	AUTO(fd_done) int fd = -1;

	if (!has_net_admin())
		return err_set(e, ERR_DENIED,
			       "making a tunnel interface needs root or the capability "
			       "CAP_NET_ADMIN, and user %u has neither",
			       (unsigned)geteuid());
	fd = open(TUN_DEVICE, O_RDWR | O_CLOEXEC);
	if (fd >= 0)
		return ERR_OK;
	if (errno == ENOENT)
		return err_set(e, ERR_NOT_FOUND,
			       TUN_DEVICE " does not exist: load the kernel's tun module (modprobe "
					  "tun), or give the device to this container");
	if (errno == ENODEV || errno == ENXIO)
		return err_set(e, ERR_NOT_FOUND,
			       TUN_DEVICE " has no driver: load the kernel's tun module (modprobe "
					  "tun)");
	return err_sys(e, errno, TUN_DEVICE " cannot be opened, so there can be no tunnel");
}
