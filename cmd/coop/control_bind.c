/* SPDX-License-Identifier: MIT */
/*
 * A control socket comes to its name.
 *
 * The socket of one who was killed stays, and refuses whoever connects: it is taken away, if it is
 * ours. But so does one that has its name and does not listen yet. So between the name and the
 * listening nobody may look, and between the look and the taking away nobody may come: a lock on
 * the folder is held, which leaves no file behind, and goes with its owner. Somebody who may read
 * the folder could hold it for ever; who cannot have it in time binds all the same, but takes
 * nothing away.
 */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

enum { LOCK_TRIES = 200, LISTEN_MAX = 16 };
#define LOCK_NAP_NS COOP_MILLISECONDS(10)

/* The descriptor that holds the lock, or -errno. */
static int lock_folder(const char *path)
{
	const char *slash = strrchr(path, '/');
	char folder[CONTROL_PATH_MAX + 1];
	int fd, r = -1;

	snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash + 1 - path) : 1,
		 slash ? path : ".");
	fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	for (int i = 0; i < LOCK_TRIES && r < 0; i++) {
		r = flock(fd, LOCK_EX | LOCK_NB);
		if (r < 0 && (errno != EWOULDBLOCK || coop_sleep(LOCK_NAP_NS) < 0))
			break;
	}
	if (r == 0)
		return fd;
	close(fd);
	return -EBUSY;
}

/* What has the name: 0 if it is a socket of ours that nobody listens at, or has gone. */
static int look_at_old(const struct sockaddr_un *address)
{
	struct stat st;
	int fd, error;

	if (lstat(address->sun_path, &st) < 0)
		return errno == ENOENT ? 0 : -errno;
	if (!S_ISSOCK(st.st_mode))
		return -ENOTSOCK;
	if (st.st_uid != geteuid())
		return -EPERM;
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	error = connect(fd, (const struct sockaddr *)address, sizeof *address) ? errno : 0;
	close(fd);
	if (error == ECONNREFUSED || error == ENOENT)
		return 0;
	/* It has too many that wait, or is of another kind: it lives all the same. */
	return error == 0 || error == EAGAIN || error == EPROTOTYPE ? -EADDRINUSE : -error;
}

static int bind_to(int fd, const struct sockaddr_un *address)
{
	mode_t mask = umask(0177);
	int r = bind(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? -errno : 0;

	umask(mask);
	return r;
}

/* `lock` is negative where we have none. */
static int bind_in_place(int fd, const struct sockaddr_un *address, int lock)
{
	int r = bind_to(fd, address);

	if (r != -EADDRINUSE)
		return r;
	r = look_at_old(address);
	if (r < 0)
		return r;
	if (lock < 0)
		return lock;
	if (unlink(address->sun_path) < 0 && errno != ENOENT)
		return -errno;
	return bind_to(fd, address);
}

int control_bind(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	int lock, r;

	if (fd < 0)
		return -errno;
	memcpy(address.sun_path, path, strlen(path));
	lock = lock_folder(path);
	r = bind_in_place(fd, &address, lock);
	if (r >= 0 && listen(fd, LISTEN_MAX) < 0)
		r = -errno;
	if (lock >= 0)
		close(lock);
	if (r >= 0)
		return fd;
	close(fd);
	return r;
}
