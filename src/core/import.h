/* import.h - an existing installation, read from its files: a server, its settings, its clients.
 *
 * Understands the reference's files (phantom.json, clients.db) and files of wg-quick(8): a server's,
 * with its clients as peers, and beside it those of the clients.  Nothing of this gateway is looked at
 * or changed here; what cannot be taken over is a sentence in `conflicts`, what is left out one in
 * `warnings`.  Files are opened by somebody with the rights for it, beneath the directory given, and only
 * regular ones of bounded size are read.  Holds keys: import_done wipes.
 */
#ifndef QANAT_CORE_IMPORT_H
#define QANAT_CORE_IMPORT_H

#include "core/settings.h"
#include "wg/conf.h"

#define IMPORT_CLIENTS_MAX 65536
#define IMPORT_FILE_MAX (64u << 20)
#define IMPORT_CONF_FILES_MAX 4096 /* of one directory */

struct import {
	bool has_key, has_port, has_network, has_restart;
	struct secret_key key; /* the server's */
	uint16_t port;
	struct ip_prefix address; /* the server's in the tunnel; zero: not said */
	struct ip_prefix network; /* host bits clear */
	struct ip_prefix address6; /* the server's in the tunnel; zero: not said */
	struct ip_addr dns[2];
	char host[SETTINGS_HOST_MAX + 1]; /* by which clients reach the server; empty: not said */
	bool restart_after_add;
	struct client *clients; /* secrets all zero where they are not known */
	size_t n, cap;
	/* Their public keys, hashed: places in `clients`, plus one; 0: empty.  The first `indexed` are in. */
	uint32_t *index;
	size_t index_cap, indexed;
	json_t *files, *conflicts, *warnings; /* lists of texts */
	bool no_memory;
};

/* Opens files for reading, as helper_open_file; errors carry the kernel's reason in `sys`. */
struct import_opener {
	enum err_code (*open)(void *ctx, const char *path, const char *name, int *out,
			      struct err *e);
	void *ctx;
};
/* Reads the file or directory at `path`.  An error says which file cannot be read, or that there is
 * nothing to import; whatever else is wrong is a conflict. */
MUST_CHECK enum err_code import_read(struct import *out, const char *path,
				     const struct import_opener *opener, struct err *e);
void import_done(struct import *m);

/* ---- what the files of this part share ---- */

void import_conflict(struct import *m, const char *fmt, ...) PRINTF(2, 3);
void import_warning(struct import *m, const char *fmt, ...) PRINTF(2, 3);
/* A client more, zeroed; NULL without memory or room, which is remembered. */
struct client *import_client_add(struct import *m);
/* Of those whose key is set; the first of several. */
struct client *import_client_find(struct import *m, const struct public_key *k);
/* Takes the server's key, port or network; another one than before is a conflict. */
void import_key(struct import *m, const char *file, const struct secret_key *k);
void import_port(struct import *m, const char *file, uint16_t port);
void import_network(struct import *m, const char *file, const struct ip_prefix *address);

/* One file's text; `file` stands for it in messages. */
MUST_CHECK enum err_code import_json_text(struct import *m, const char *file, struct str text,
					  struct err *e);
void import_conf_server(struct import *m, const char *file, const struct wg_conf *conf);
/* The file of a client: its key, and its name when it has none yet; false when it is none of ours. */
bool import_conf_client(struct import *m, const char *file, const struct wg_conf *conf);

#endif
