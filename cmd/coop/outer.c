/* SPDX-License-Identifier: MIT */
/*
 * The inner end of what connects a coop with one that runs in it.
 *
 * The variable may be stale, and its number be taken by something else meanwhile. So the
 * descriptor has to be a socket of the right kind, whose other end has the name of one of ours and
 * was made by a process that is above us and of the same user. A value without these is ignored.
 */
#include "outer.h"
#include "nested.h"
#include "proctree.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <linux/sockios.h>

#define FLUSH_NS COOP_SECONDS(1)
#define READ_NS COOP_MILLISECONDS(100)

static struct {
	int fd;
	struct sink *sink;
	struct pen pen;
} outer = { .fd = -1 };

/* --------------------------------------------------------------------------- finding */

static bool has_option(int fd, int option, int wanted)
{
	int value;
	socklen_t len = sizeof value;

	return getsockopt(fd, SOL_SOCKET, option, &value, &len) == 0 && value == wanted;
}

static bool has_name(int fd)
{
	struct sockaddr_un name = { 0 };
	socklen_t len = sizeof name, least = offsetof(struct sockaddr_un, sun_path) + 1;

	return getpeername(fd, (struct sockaddr *)&name, &len) == 0 &&
	       len > least + strlen(NESTED_NAME) && !name.sun_path[0] &&
	       memcmp(name.sun_path + 1, NESTED_NAME, strlen(NESTED_NAME)) == 0;
}

/* One whose numbers are not known here is in a namespace outside of ours. */
static bool is_of_outer(int fd)
{
	struct ucred who;
	socklen_t len = sizeof who;

	return has_option(fd, SO_DOMAIN, AF_UNIX) && has_option(fd, SO_TYPE, SOCK_SEQPACKET) &&
	       has_name(fd) && getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &len) == 0 &&
	       who.uid == geteuid() && (who.pid == 0 || proc_is_below(getpid(), who.pid));
}

void outer_find(void)
{
	const char *text = getenv("COOP_EVENTS_FD");
	char *end = NULL;
	long number = text && *text ? strtol(text, &end, 10) : -1;

	if (number > STDERR_FILENO && number <= INT32_MAX && !*end && is_of_outer((int)number)) {
		outer.fd = (int)number;
		fcntl(outer.fd, F_SETFD, FD_CLOEXEC);
	}
	unsetenv("COOP_EVENTS_FD");
}

bool outer_is_there(void)
{
	return outer.fd >= 0;
}

/* --------------------------------------------------------------------------- sending */

int outer_open(struct job *job)
{
	if (outer.fd < 0)
		return 0;
	outer.sink = sink_open_lines(&job->plumbing, outer.fd);
	return outer.sink ? 0 : -ENOMEM;
}

void outer_send(const struct event *event)
{
	if (!outer.sink)
		return;
	event_write(&outer.pen, event, EVENT_TEXT_MAX);
	pen_flush(&outer.pen, outer.sink);
}

static int await_reader(void *arg)
{
	int left = 0, r = 0;

	(void)arg;
	while (r >= 0 && ioctl(outer.fd, SIOCOUTQ, &left) == 0 && left > 0)
		r = coop_sleep(COOP_MILLISECONDS(1));
	return r;
}

/* Who a datagram is from can be told as long as its sender lives. */
void outer_finish(void)
{
	if (!outer.sink)
		return;
	sink_flush(outer.sink, FLUSH_NS);
	if (!sink_error(outer.sink))
		(void)!coop_move_on_after(READ_NS, await_reader, NULL);
}

void outer_close(void)
{
	sink_free(outer.sink);
	outer.sink = NULL;
	pen_free(&outer.pen);
	if (outer.fd >= 0)
		coop_close(outer.fd);
	outer.fd = -1;
}
