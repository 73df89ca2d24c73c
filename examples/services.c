/* SPDX-License-Identifier: MIT */
/*
 * A service that gets ready, a test that needs it and fails, and an orderly end: each process is a
 * task, so what holds for tasks holds for them.
 */
#include <coop.h>

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#define SERVICE \
	"trap 'echo \"database: closing the books\"; exit 0' TERM; echo ready >&3; exec 3>&-; " \
	"while :; do sleep 0.05; done"

#define TEST "echo 'test: 2 of 40 failed'; exit 3"

/* Waits until the process has said something on the pipe. */
static int is_ready(int fd)
{
	char byte;
	int r = coop_read(fd, &byte, 1);

	return r == 0 ? coop_fail(COOP_EOF, "the service has ended") : r;
}

/* Its end, by itself or because it is no longer wanted: then by the ladder, SIGTERM first. */
static int to_its_end(struct coop_process *p)
{
	struct coop_process_status status;
	char text[64];
	int r = coop_process_wait(p, &status);

	if (r == COOP_ECANCELED && coop_process_stop(p, &status) == 0)
		printf("database: %s\n", coop_process_text(&status, text, sizeof text));
	return r;
}

static int serve(void *arg, struct coop_start *start)
{
	char *argv[] = { (char *)"sh", (char *)"-c", (char *)SERVICE, NULL };
	struct coop_process_fd third = { .as = 3 };
	struct coop_process_opts opts = { .argv = argv, .fds = &third, .fds_count = 1 };
	struct coop_process *p = NULL;
	int fds[2], r;

	(void)arg;
	if (pipe2(fds, O_CLOEXEC) < 0)
		return coop_fail(-errno, "pipe");
	third.fd = fds[1];
	r = coop_process_spawn(&opts, &p);
	close(fds[1]); /* the child's copy is the one that counts */
	if (r >= 0)
		r = is_ready(fds[0]);
	coop_close(fds[0]);
	if (r >= 0)
		r = coop_started(start, 0);
	if (r >= 0)
		r = to_its_end(p);
	coop_process_free(p);
	return r;
}

static int test(void *arg)
{
	char *argv[] = {(char *)"sh", (char *)"-c", (char *)TEST, NULL };

	(void)arg;
	return coop_process_run(&(struct coop_process_opts){ .argv = argv }, NULL);
}

static int app(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	setvbuf(stdout, NULL, _IOLBF, 0);
	coop_group_open(&g, NULL);
	r = coop_start(&g, serve, NULL, NULL);
	if (r >= 0) {
		printf("database: ready\n");
		r = coop_spawn(&g, test, NULL);
	}
	r = coop_group_join(&g, r); /* the failure has stopped the service, and here it is gone */
	printf("all: %s\n", r == COOP_EPROCESS ? "a process has failed" : coop_code_text(r));
	coop_error_clear();
	return r == COOP_EPROCESS ? 0 : r;
}

int main(void)
{
	return coop_main(app, NULL);
}
