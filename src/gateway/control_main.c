#include "gateway/control_main.h"

#include <signal.h>
#include <sys/prctl.h>

#include "base/fs.h"
#include "base/log.h"
#include "gateway/gateway.h"
#include "gateway/restart_reply.h"
#include "gateway/rights.h"

/* Signals of a terminal and of a service manager go to all processes: the helper, which gets them too,
 * tells of them. */
static void signals_ignore(void)
{
	static const int all[] = { SIGINT, SIGTERM, SIGHUP, SIGUSR1, SIGUSR2 };

	for (size_t i = 0; i < ARRAY_LEN(all); i++)
		(void)signal(all[i], SIG_IGN);
}

/* What only root may read is read, and then the rights are given up. */
static enum err_code prepare(struct options *o, const struct control_start *start, struct err *e)
{
	struct rights_needs needs = {
		.user = &start->user,
		.state_dir = o->state_dir,
		.low_ports = apis_need_low_ports(&o->api),
	};
	enum err_code rc = api_options_read_secrets(&o->api, e);

	if (rc == ERR_OK)
		rc = api_options_read_commands(&o->api, e);
	return rc ? rc : rights_give_up(&needs, e);
}

static void end(struct control_start *start, bool ok)
{
	(void)!helper_end(start->helper, ok ? HELPER_STOPS : HELPER_FAILS, NULL, NULL);
}

static int start_failed(struct control_start *start, const struct err *e)
{
	LOG_ERR("gateway.start_failed", F_ERR(e));
	restart_reply_fail(start->reply_fd, e);
	start->reply_fd = -1;
	end(start, false);
	return EXIT_FAILURE;
}

static int serve(struct options *o, struct control_start *start)
{
	struct gateway *g = NULL;
	struct err e = { 0 };
	enum err_code rc = prepare(o, start, &e);

	if (rc == ERR_OK)
		rc = gateway_start(&g, o, start, &e);
	if (rc)
		return start_failed(start, &e);
	start->reply_fd = -1;
	rc = gateway_run(g, &e);
	if (rc)
		LOG_ERR("gateway.failed", F_ERR(&e));
	if (gateway_restart_wanted(g)) {
		rc = gateway_restart(g, &e);
		if (rc)
			LOG_ERR("gateway.restart_failed", F_ERR(&e));
		return rc ? EXIT_FAILURE : EXIT_SUCCESS;
	}
	if (gateway_stop(g, &e)) {
		LOG_ERR("net.undo_failed", F_ERR(&e));
		rc = e.code;
	}
	if (rc == ERR_OK)
		LOG_NOTE("gateway.stopped");
	end(start, rc == ERR_OK);
	return rc ? EXIT_FAILURE : EXIT_SUCCESS;
}

int control_main(int argc, char **argv)
{
	struct control_start start;
	struct options o = { 0 };
	struct err e = { 0 };
	int status = EXIT_FAILURE;

	signals_ignore();
	(void)prctl(PR_SET_NAME, "qanat-control"); /* for ps(1) */
	if (argc < 1 || control_start_take(&start, argv[0], &e)) {
		LOG_ERR("gateway.start_failed", F_ERR(&e));
		return EXIT_FAILURE;
	}
	if (options_parse(&o, argc, argv, &e)) {
		status = start_failed(&start, &e);
	} else {
		o.restarted = start.restarted;
		status = serve(&o, &start);
	}
	helper_free(start.helper);
	fd_close(start.log_fd);
	fd_close(start.reply_fd);
	options_done(&o);
	return status;
}
