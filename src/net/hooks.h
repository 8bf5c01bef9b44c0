/* hooks.h - PostUp and PreDown of a configuration as typed argument lists; no shell, ever.
 *
 * A text of commands, separated by ';', in which %i stands for the interface, is taken apart into
 * words and each command held against a table of forms:
 *
 *    iptables, ip6tables [-w] [-t TABLE] -A|-I|-D|-C CHAIN [NUMBER] MATCHES -j TARGET [OPTIONS]
 *    iptables, ip6tables [-w] [-t TABLE] -N|-F|-X CHAIN		not the built-in ones
 *    nft add|insert|delete rule FAMILY TABLE CHAIN WORDS...
 *    nft add|delete table FAMILY TABLE				not ours (net.h)
 *    nft add|delete chain FAMILY TABLE CHAIN ['{ type T hook H priority P ; policy V ; }']
 *    ip [-4|-6] route add|append|replace|change|del [TYPE] PREFIX OPTIONS
 *    ip [-4|-6] rule add|del OPTIONS
 *    ip [-4|-6] addr|address add|replace|del PREFIX OPTIONS
 *    ip link set [dev] INTERFACE up|down|mtu N|txqueuelen N
 *    sysctl [-q] -w net.NAME=NUMBER...
 *
 * Unquoted words are letters, digits and "._:/,-+=@!{}"; quotes, single or double, hold a word with
 * spaces together.  Each form lists the options it takes and what their values look like.  All
 * else is refused, with the command and the word named: no redirection, variable, substitution,
 * other program, or value that begins with '-'.
 *
 * Running: fixed paths and environment, an end to waiting (run.h).  Raw hooks are for a file on the
 * gateway itself, never the API: its lines are taken as they stand, each a program by its absolute
 * path and its words, and not even they meet a shell.
 */
#ifndef QANAT_NET_HOOKS_H
#define QANAT_NET_HOOKS_H

#include "base/err.h"
#include "base/ifname.h"

#define HOOKS_TEXT_MAX 8192
#define HOOKS_COMMANDS_MAX 64
#define HOOKS_WORDS_MAX 64 /* of one command */

struct hook {
	const char *argv[HOOKS_WORDS_MAX + 1]; /* ends in NULL; points into hooks.text */
};

struct hooks {
	struct hook *commands;
	size_t n;
	char *text; /* the words, each with its NUL */
};

/* Takes `text` apart and checks it; `ifname` is put for %i.  `allowed` (may be empty) is the content of
 * the file on the gateway itself: a command that is one of its lines, space for space, need match
 * no form.  ERR_INVALID names command and word; ERR_RANGE a limit. */
MUST_CHECK enum err_code hooks_parse(struct hooks *out, struct str text, const char *ifname,
				     struct str allowed, struct err *e);
void hooks_done(struct hooks *h);

/* Runs all in order.  With `goes_on` a failure is remembered and the rest is run (PreDown); the
 * error names the command, its status and the first line that it complained with.
 * FAULT point: net.hook. */
MUST_CHECK enum err_code hooks_run(const struct hooks *h, bool goes_on, struct err *e);

#endif
