/* SPDX-License-Identifier: MIT */
/*
 * The coop command: from the command line to a plan, from a plan to its verb.
 *
 * Nothing is started before the plan is complete and right. Whatever is wrong until then is one
 * line on standard error and status 125.
 */
#include "option.h"
#include "run.h"
#include "verbs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* One row a verb. */
static int (*const verbs[VERBS])(struct plan *plan) = {
	[VERB_RUN] = verb_run,   [VERB_MAP] = verb_run,         [VERB_EXEC] = verb_run,
	[VERB_UP] = verb_run,    [VERB_CHECK] = verb_check,     [VERB_GRAPH] = verb_graph,
	[VERB_PS] = verb_talk,   [VERB_TREE] = verb_talk,       [VERB_LOGS] = verb_talk,
	[VERB_STOP] = verb_talk, [VERB_RESTART] = verb_talk,    [VERB_DOCTOR] = verb_doctor,
	[VERB_HELP] = verb_help, [VERB_VERSION] = verb_version,
};

static int make_plan(int argc, char **argv, struct plan **ret_plan)
{
	int error = options_parse(argc, argv, ret_plan);
	struct plan *plan = *ret_plan;

	if (!error &&
	    (plan->verb == VERB_UP || plan->verb == VERB_CHECK || plan->verb == VERB_GRAPH))
		error = plan_load(plan);
	if (error)
		return error;
	jobserver_parse(plan, getenv("MAKEFLAGS"));
	jobserver_look(plan);
	return plan_finish(plan);
}

/* What was printed may have met a full disk or a closed pipe. */
static int finish_output(int status)
{
	int error = fflush(stdout) == 0 ? EIO : errno;

	if (error == EIO && !ferror(stdout))
		return status;
	fprintf(stderr, "coop: cannot write to standard output: %s\n", strerror(error));
	return status ? status : STATUS_OWN;
}

/* Who may start any command must not be somebody else than who says which. */
static bool is_set_id(void)
{
	return getuid() != geteuid() || getgid() != getegid();
}

/*
 * A stream that was closed stays as good as closed: else its number would be that of the next thing
 * we open, and a task would have it. Neither a read nor a write of what it is now succeeds.
 */
static bool hold_closed_streams(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/", O_PATH) != fd)
			return false;
	return true;
}

int main(int argc, char **argv)
{
	struct plan *plan;
	int status;

	if (is_set_id()) {
		fputs("coop: it does not run as another user (set-uid, set-gid)\n", stderr);
		return STATUS_OWN;
	}
	if (!hold_closed_streams())
		return STATUS_OWN;
	if (make_plan(argc, argv, &plan) < 0) {
		fprintf(stderr, "%s\n", plan->error);
		status = STATUS_OWN;
	} else if (plan->is_dry_run) {
		status = finish_output(plan_print(plan));
	} else {
		status = finish_output(verbs[plan->verb](plan));
	}
	plan_free(plan);
	return status;
}
