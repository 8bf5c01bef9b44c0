/* devices.h - the devices that a helper has started for its gateway: processes, and the daemon of the
 * command line.
 *
 * Which kind it is to be, workers, offloads and the daemon's socket are the command line's to say, not
 * control's.
 */
#ifndef QANAT_GATEWAY_DEVICES_H
#define QANAT_GATEWAY_DEVICES_H

#include "gateway/options.h"
#include "priv/helper_serve.h"

#define DEVICES_MAX NET_TUNNELS_MAX

struct devices;

/* `gone(ctx, number)`: a device's process has ended by itself.  `log_fd` (borrowed): where their lines go. */
MUST_CHECK enum err_code devices_new(struct devices **out, struct loop *l, const struct options *o,
				     int log_fd, void (*gone)(void *ctx, uint32_t number),
				     void *ctx, struct err *e);
/* Ends the processes, but what goes on without them goes on. */
void devices_leave(struct devices *d);
/* Ends all that are left; `removes` as in helper_device_close, also for those that were left.  Takes NULL. */
void devices_free(struct devices *d, bool removes);
/* What the helper serves; lives as long as the devices. */
struct helper_devices devices_table(struct devices *d);

#endif
