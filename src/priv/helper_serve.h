/* helper_serve.h - the helper's end of helper.h: root's part of a gateway.
 *
 * The one place where requests of a process without rights meet root.  Each is checked as a stranger's
 * before it is carried out: helper_request_check for its form, and here for what it is about.  A tunnel
 * of the host's network is one of the devices that were opened; a command is of a form that hooks.h
 * lists; a file has a name that an import reads.  What devices are is the program's business: it
 * gives the functions that start and end them.
 *
 * One thread, the loop's.  Never: reads what strangers sent, keeps keys, decides what is configured.
 */
#ifndef QANAT_PRIV_HELPER_SERVE_H
#define QANAT_PRIV_HELPER_SERVE_H

#include "priv/helper.h"

/* What the program does about devices, its own socket, its service manager. */
struct helper_devices {
	void *ctx;
	/* Names it and gives its connection away (-1 for a daemon). */
	enum err_code (*open)(void *ctx, const struct helper_device *d, struct helper_opened *out,
			      struct err *e);
	enum err_code (*close)(void *ctx, uint32_t number, bool removes, struct err *e);
	/* A connection to the daemon that the command line names. */
	enum err_code (*daemon)(void *ctx, int *out, struct err *e);
	/* Is there a device of that name? */
	bool (*is_open)(void *ctx, const char *ifname);
	/* Opens the control socket of the command line (*out is given away), or removes its file. */
	enum err_code (*control_socket)(void *ctx, bool on, int *out, struct err *e);
	/* As helper_open_tls. */
	enum err_code (*open_tls)(void *ctx, bool is_key, int *out, struct err *e);
	/* Tells the service manager. */
	enum err_code (*notify)(enum helper_note note, struct err *e);
	/* Lines that are commands of hooks as they stand (net/hooks.h); borrowed. */
	struct str commands;
};

struct helper_server;

/* `sock` and `events` (both taken over, also on failure) lead to a helper.h; `journal` (copied) is that of
 * the host's network. */
MUST_CHECK enum err_code helper_server_new(struct helper_server **out, struct loop *l, int sock,
					   int events, const char *journal,
					   const struct helper_devices *devices, struct err *e);
/* Closes the connection; what was changed on the host stays. */
void helper_server_free(struct helper_server *s);

/* Calls closed(ctx) once the other end has gone or has broken the protocol. */
MUST_CHECK enum err_code helper_server_start(struct helper_server *s, void (*closed)(void *ctx),
					     void *ctx, struct err *e);

/* ---- telling; what does not get through is dropped ---- */

void helper_tell_signal(struct helper_server *s, int signo);
void helper_tell_gone(struct helper_server *s, uint32_t device);

/* ---- after the end ---- */

/* How the other end said that it would end; 0: it did not. */
enum helper_ending helper_server_ending(const struct helper_server *s);
/* What it left to the program that is started next; given away, once. */
struct helper_heritage helper_server_heritage(struct helper_server *s);
/* Puts the host's network back, also what an earlier run has left. */
enum err_code helper_server_undo(struct helper_server *s, struct err *e);
/* What helper_hooks does there. */
MUST_CHECK enum err_code helper_hooks_run(const char *ifname, const char *text, struct str allowed,
					  bool goes_on, struct err *e);
/* What helper_open_file does there.  Directories may be read, for an import, and of regular files
 * clients.db, phantom.json and *.conf; and of the host's firewall ufw what it is set to. */
MUST_CHECK enum err_code helper_file_open(const char *path, const char *name, int *out,
					  struct err *e);

#endif
