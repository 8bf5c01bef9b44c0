/* helper.h - what a gateway without rights asks the process that has them for: the control process's end.
 *
 * The helper holds root and does what a fixed table of typed requests names, one at a time, in the order
 * in which they come: the host's network (net/net.h), devices in processes of their own, commands
 * of hooks (net/hooks.h), files for an import.  Requests are wishes about the host, never plans: what
 * is to be done for them is found out there, from what the host is like.  Each call sends one message and
 * waits for its answer; the helper waits for nobody but the programs it runs, so neither waits for the
 * other in a circle.
 *
 * The other way come signals of the service manager and changes of the host's network, as events.
 *
 * One thread at a time.  ERR_CLOSED from any call: the helper has ended, and so must the caller.
 */
#ifndef QANAT_PRIV_HELPER_H
#define QANAT_PRIV_HELPER_H

#include "io/loop.h"
#include "net/hooks.h"
#include "net/net.h"

struct helper;

/* `sock`: a sequenced-packet socket to the helper; `events`: another, by which it tells.  Both are taken
 * over, also on failure. */
MUST_CHECK enum err_code helper_new(struct helper **out, int sock, int events, struct err *e);
/* Takes NULL. */
void helper_free(struct helper *h);

/* ---- what the helper tells ---- */

struct helper_listener {
	void *ctx;
	void (*signal)(void *ctx, int signo);
	/* As net_watch_open's. */
	void (*net_changed)(void *ctx, const struct net_culprit *who);
	void (*device_gone)(void *ctx, uint32_t device);
	/* The helper has ended without a word. */
	void (*gone)(void *ctx);
};
/* From now on `l`, which must live as long, hears of events on the loop.  Members that are not NULL are
 * called. */
MUST_CHECK enum err_code helper_listen(struct helper *h, struct loop *loop,
				       const struct helper_listener *l, struct err *e);
/* And no longer: before the loop ends. */
void helper_unlisten(struct helper *h);

/* ---- the host's network: as the functions of net/net.h ---- */

/* *left: an earlier run has left its journal, or may have. */
MUST_CHECK enum err_code helper_net_open(struct helper *h, bool *left, struct err *e);
MUST_CHECK enum err_code helper_net_apply(struct helper *h, const struct net_want *want,
					  struct err *e);
/* Also what an earlier run has left, when helper_net_open was not called. */
enum err_code helper_net_undo(struct helper *h, struct err *e);
MUST_CHECK enum err_code helper_net_check(struct helper *h, net_difference_fn *fn, void *ctx,
					  struct err *e);
enum err_code helper_net_repair(struct helper *h, net_difference_fn *fn, void *ctx, struct err *e);
/* From now on, or no longer, events tell of changes. */
MUST_CHECK enum err_code helper_net_watch(struct helper *h, bool on, struct err *e);
MUST_CHECK enum err_code helper_net_default_route(struct helper *h, uint8_t family,
						  struct ip_addr *source, char ifname[16],
						  struct err *e);
MUST_CHECK enum err_code helper_net_overlap(struct helper *h, const struct ip_prefix *p,
					    const char *except_ifname, bool *overlaps,
					    char ifname[16], struct err *e);
bool helper_net_firewall_active(struct helper *h, const char *ifname);

/* ---- commands, files ---- */

/* Takes `text` apart and runs it, as hooks_parse and hooks_run do: the forms are checked there, too. */
MUST_CHECK enum err_code helper_hooks(struct helper *h, const char *ifname, const char *text,
				      bool goes_on, struct err *e);

#define HELPER_PATH_MAX 4096
#define HELPER_NAME_MAX 256
/* Opens for reading the file or directory `path` (from the root, its last step no link) or, unless `name`
 * is "", the file `name` beneath that directory, through no link.  Regular files and directories
 * alone; a file's name must be one that an import reads (helper_serve.h).  *out is the caller's.
 * e->sys is the kernel's reason. */
MUST_CHECK enum err_code helper_open_file(struct helper *h, const char *path, const char *name,
					  int *out, struct err *e);

/* Opens for reading the certificate of HTTPS that the helper's command line names, or its key; without one
 * those in the state directory. */
MUST_CHECK enum err_code helper_open_tls(struct helper *h, bool is_key, int *out, struct err *e);

/* ---- devices ---- */

enum helper_device_kind { HELPER_ENGINE = 1, HELPER_KERNEL, HELPER_DAEMON };

struct helper_device {
	char ifname[NET_NAME_MAX];
	uint32_t needs; /* enum device_can bits, where the choice is the helper's */
	bool take_over; /* an interface of the run before may be there */
	/* Beside the gateway's own: its name and port are no options, for errors, and where the command line
	 * names a daemon, which has one interface, it is an engine. */
	bool is_further;
	uint16_t listen_port, mtu;
};

/* A device that has been started. */
struct helper_opened {
	uint32_t number; /* names it */
	enum helper_device_kind kind;
	int uapi; /* connected to it; the caller's.  -1 for a daemon: see helper_daemon */
};
/* Starts one, of the kind that the helper's command line says. */
MUST_CHECK enum err_code helper_device_open(struct helper *h, const struct helper_device *d,
					    struct helper_opened *out, struct err *e);
/* Ends it; `removes`: an interface that would stay without its process goes as well. */
enum err_code helper_device_close(struct helper *h, uint32_t number, bool removes, struct err *e);
/* Another connection to the daemon of the helper's command line; the caller's. */
MUST_CHECK enum err_code helper_daemon(struct helper *h, int *out, struct err *e);

/* ---- the control socket ---- */

/* Listens at the path of the helper's command line, with mode 0600; *out is the caller's. */
MUST_CHECK enum err_code helper_listen_control(struct helper *h, int *out, struct err *e);
/* Removes the socket's file. */
enum err_code helper_unlisten_control(struct helper *h, struct err *e);

/* ---- the service manager ---- */

enum helper_note { HELPER_IS_READY = 1, HELPER_IS_ALIVE, HELPER_RELOADS, HELPER_IS_STOPPING };
/* Tells whoever watches the helper's process; nothing when nobody does. */
MUST_CHECK enum err_code helper_notify(struct helper *h, enum helper_note note, struct err *e);

/* ---- the end ---- */

#define HELPER_LISTENERS_MAX 32

enum helper_ending {
	HELPER_STOPS = 1, /* all has been put back that could be */
	HELPER_FAILS, /* the same, but not as it should */
	HELPER_RESTARTS, /* the program is to be started anew */
	HELPER_RESTARTS_GONE, /* the same, since the interface was deleted */
};
/* What the program that is started anew gets; the descriptors stay the caller's. */
struct helper_heritage {
	int asker; /* the connection of who asked for the restart, or -1 */
	int listeners[HELPER_LISTENERS_MAX]; /* sockets that stay open meanwhile */
	uint8_t owners[HELPER_LISTENERS_MAX]; /* whose each is: the caller's numbers */
	size_t n;
};
/* The last call: how the caller is about to end.  `heritage` may be NULL. */
enum err_code helper_end(struct helper *h, enum helper_ending how,
			 const struct helper_heritage *heritage, struct err *e);

#endif
