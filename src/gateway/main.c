/* main.c - program qanat-gateway. */

#include "api/modules.h"
#include "base/log.h"
#include "base/process.h"
#include "gateway/clean_up.h"
#include "gateway/control_main.h"
#include "gateway/device_process.h"
#include "gateway/helper_process.h"
#include "gateway/restart_reply.h"

#define EXIT_USAGE 2

static int print_done(struct buf *out)
{
	bool ok = buf_ok(out) && fwrite(out->p, 1, out->n, stdout) == out->n && fflush(stdout) == 0;

	buf_done(out);
	return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int show_manual(void)
{
	struct buf out = { 0 };

	opt_man(&gateway_program, &out);
	return print_done(&out);
}

/* --help and --version; -1 when neither was asked for. */
static int show(const struct options *o)
{
	struct buf out = { 0 };

	if (o->help)
		opt_help(&gateway_program, &out);
	else if (o->version)
		buf_z(&out, "qanat-gateway " QANAT_VERSION "\n");
	else
		return -1;
	return print_done(&out);
}

/* The run before in this process left the host's network to a new one that will not be. */
static void restart_failed(const struct restart *r)
{
	struct err e = { 0 };

	if (*r->state_dir && helper_process_undo(r->state_dir, &e))
		LOG_ERR("net.undo_failed", F_ERR(&e));
}

static int clean_up(struct options *o)
{
	struct err e = { 0 };

	if (gateway_clean_up(o, &e)) {
		LOG_ERR("net.undo_failed", F_ERR(&e));
		return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

static int run_options(struct options *o, struct restart *r, int reply_fd, int argc, char **argv)
{
	struct err e = { 0 };
	int shown;

	if (options_parse(o, argc, argv, &e)) {
		(void)fprintf(stderr, "qanat-gateway: %s\n", e.msg);
		restart_reply_fail(reply_fd, &e);
		restart_failed(r);
		return *r->state_dir ? EXIT_FAILURE : EXIT_USAGE;
	}
	shown = show(o);
	if (shown >= 0)
		return shown;
	if (!crypto_init()) {
		LOG_ERR("gateway.start_failed", F_STR("why", "the crypto libraries do not work"));
		restart_failed(r);
		return EXIT_FAILURE;
	}
	if (o->clean_up)
		return clean_up(o);
	o->restarted = *r->state_dir != 0;
	return helper_process_run(o, r, reply_fd);
}

static int run(struct restart *r, int reply_fd, int argc, char **argv)
{
	struct options o;
	int status = run_options(&o, r, reply_fd, argc, argv);

	options_done(&o);
	return status;
}

int main(int argc, char **argv)
{
	struct restart r;
	struct err e = { 0 };
	int status;

	api_json_init();
	if (argc == 2 && strcmp(argv[1], "--man") == 0) /* for the build */
		return show_manual();
	log_journal(getenv("JOURNAL_STREAM"));
	if (process_harden(&e) || restart_init(&r, argc, argv, &e)) {
		LOG_ERR("gateway.start_failed", F_ERR(&e));
		return EXIT_FAILURE;
	}
	if (argc == 3 && strcmp(argv[1], DEVICE_ARGUMENT) == 0) {
		restart_done(&r);
		return device_process_main(argv[2]);
	}
	if (argc >= 3 && strcmp(argv[1], CONTROL_ARGUMENT) == 0) {
		restart_done(&r);
		return crypto_init() ? control_main(argc - 2, argv + 2) : EXIT_FAILURE;
	}
	status = run(&r, restart_reply_take(), argc, argv);
	restart_done(&r);
	return status;
}
