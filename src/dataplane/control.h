/* control.h - the control thread: handshakes, events, timers, reclamation.
 *
 * It works in turns on the dataplane's loop; each turn holds the lock once, for a bounded number
 * of handshakes.
 */
#ifndef QANAT_DATAPLANE_CONTROL_H
#define QANAT_DATAPLANE_CONTROL_H

#include "dataplane/engine.h"

/* What the device asks of its surroundings; `dp` is its ctx. */
struct wg_ops control_ops(struct dataplane *dp);

/* Adds the mailboxes to the loop; before control_start. */
MUST_CHECK enum err_code control_prepare(struct dataplane *dp, struct err *e);
MUST_CHECK enum err_code control_start(struct dataplane *dp, struct err *e);
void control_stop(struct dataplane *dp);

/* Any thread, after a control call: a turn soon looks at deadlines, events and garbage. */
void control_kick(struct dataplane *dp);
/* With the lock held, after a control call: handles what our own sending raised. */
void control_own_events(struct dataplane *dp);

#endif
