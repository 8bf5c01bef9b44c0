/* gateway.h - the running gateway, in its control process: what is started in which order, and how it is
 * taken down.
 *
 * store, settings, host network, device, peers, control socket, APIs; down in reverse.  All of it lives in
 * the thread that calls.  Packets have a process of their own, and so has what needs rights: the
 * helper (helper_process.h), which is asked over its link.
 */
#ifndef QANAT_GATEWAY_GATEWAY_H
#define QANAT_GATEWAY_GATEWAY_H

#include "gateway/helper_process.h"

struct gateway;

/* Everything up, ready to serve; on failure everything is down again.  `start` is borrowed until the
 * gateway has ended; its reply_fd is taken over on success. */
MUST_CHECK enum err_code gateway_start(struct gateway **out, const struct options *o,
				       const struct control_start *start, struct err *e);
/* Serves until a signal, or until somebody has deleted the interface. */
MUST_CHECK enum err_code gateway_run(struct gateway *g, struct err *e);
/* Was it SIGUSR2, or the deletion of the interface, that ended gateway_run? */
bool gateway_restart_wanted(const struct gateway *g);
/* Takes all down but what was changed on the host, and tells the helper to start the program anew. */
enum err_code gateway_restart(struct gateway *g, struct err *e);
/* Takes all down; the host is as it was before.  An error says what could not be put back.
 * Takes NULL. */
enum err_code gateway_stop(struct gateway *g, struct err *e);

#endif
