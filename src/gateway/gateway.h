/* gateway.h - the running gateway: what is started in which order, and how it is taken down.
 *
 * store, settings, host network, device, peers, UAPI socket, control socket; down in reverse.  All
 * of it lives in the thread that calls; the device has threads of its own.
 */
#ifndef QANAT_GATEWAY_GATEWAY_H
#define QANAT_GATEWAY_GATEWAY_H

#include "gateway/options.h"
#include "gateway/restart.h"

struct gateway;

/* Everything up, ready to serve; on failure everything is down again. */
MUST_CHECK enum err_code gateway_start(struct gateway **out, const struct options *o,
				       struct err *e);
/* Serves until a signal, or until somebody has deleted the interface. */
MUST_CHECK enum err_code gateway_run(struct gateway *g, struct err *e);
/* Was it SIGUSR2, or the deletion of the interface, that ended gateway_run? */
bool gateway_restart_wanted(const struct gateway *g);
/* Was it the latter? */
bool gateway_interface_gone(const struct gateway *g);
/* Takes all down but what was changed on the host, and starts `r`.  Returns only when that fails,
 * and then all is down and the host as it was before. */
enum err_code gateway_restart(struct gateway *g, const struct restart *r, struct err *e);
/* Takes all down; the host is as it was before.  An error says what could not be put back.
 * Takes NULL. */
enum err_code gateway_stop(struct gateway *g, struct err *e);
/* Puts back what a run that has ended left on the host; nothing when it left nothing. */
enum err_code gateway_undo(const char *state_dir, struct err *e);

#endif
