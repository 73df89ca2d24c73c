/* SPDX-License-Identifier: MIT */
/*
 * The seam to the world: files, directories, and what a descriptor is.
 */
#include "base/os_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

/* Only the master of a pseudo terminal has a number to give to its slave. */
static bool is_pty_master(int fd)
{
	unsigned number;

	return ioctl(fd, TIOCGPTN, &number) == 0;
}

int cp_os_fd_traits(int fd, struct cp_fd_traits *ret_traits)
{
	struct cp_fd_traits t = { 0 };
	struct stat st;
	int flags;

	if (cp_os_refused())
		return cp_os_refusal();
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fstat(fd, &st) < 0)
		return -errno;
	t.reads = (flags & O_ACCMODE) != O_WRONLY;
	t.writes = (flags & O_ACCMODE) != O_RDONLY;
	t.nonblock = flags & O_NONBLOCK;
	t.regular = S_ISREG(st.st_mode);
	t.pipe = S_ISFIFO(st.st_mode);
	t.pty_master = S_ISCHR(st.st_mode) && is_pty_master(fd);
	*ret_traits = t;
	return 0;
}
