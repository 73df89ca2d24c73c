/* SPDX-License-Identifier: MIT */
/*
 * The seam to the world: files, directories, and what a descriptor is.
 */
#include "base/libc.h"
#include "base/os_files.h"
#include "base/os_impl.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#define AGAIN(expr) \
	({ \
		long again_r_; \
		do \
			again_r_ = (expr); \
		while (again_r_ < 0 && errno == EINTR); \
		cp_os_result(again_r_); \
	})

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

/* ---- one operation on a path, relative to a directory; each may wait for a disk */

int cp_os_openat_once(int dir_fd, const char *path, int flags, unsigned mode)
{
	if (cp_os_files_look(dir_fd, path))
		return CP_OS_FILES(openat, dir_fd, path, flags, mode);
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(openat(dir_fd, path, flags | O_CLOEXEC, mode));
}

int cp_os_openat(int dir_fd, const char *path, int flags, unsigned mode)
{
	int r;

	do
		r = cp_os_openat_once(dir_fd, path, flags, mode);
	while (r == -EINTR);
	return r;
}

int cp_os_read_once(int fd, void *buf, size_t bytes)
{
	struct iovec iov = { buf, bytes };

	if (cp_os_files_have(fd))
		return CP_OS_FILES(preadv, fd, &iov, 1, -1);
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(read(fd, buf, bytes));
}

int cp_os_statat(int dir_fd, const char *path, bool follow, struct stat *ret_stat)
{
	struct stat st;
	int r;

	if (cp_os_files_look(dir_fd, path))
		return CP_OS_FILES(statat, dir_fd, path, ret_stat);
	if (cp_os_refused())
		return cp_os_refusal();
	r = cp_os_result(fstatat(dir_fd, path, &st, follow ? 0 : AT_SYMLINK_NOFOLLOW));
	if (r >= 0)
		*ret_stat = st;
	return r;
}

int cp_os_renameat(int from_fd, const char *from, int to_fd, const char *to, bool replace)
{
	if (cp_os_files_look(from_fd, from))
		return CP_OS_FILES(renameat, from_fd, from, to_fd, to, replace);
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(renameat2(from_fd, from, to_fd, to, replace ? 0 : RENAME_NOREPLACE));
}

int cp_os_linkat(int from_fd, const char *from, int to_fd, const char *to)
{
	if (cp_os_files_look(from_fd, from))
		return CP_OS_FILES(linkat, from_fd, from, to_fd, to);
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(linkat(from_fd, from, to_fd, to, 0));
}

int cp_os_unlinkat(int dir_fd, const char *path, bool directory)
{
	if (cp_os_files_look(dir_fd, path))
		return CP_OS_FILES(unlinkat, dir_fd, path, directory);
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(unlinkat(dir_fd, path, directory ? AT_REMOVEDIR : 0));
}

int cp_os_mkdirat(int dir_fd, const char *path, unsigned mode)
{
	if (cp_os_files_look(dir_fd, path))
		return CP_OS_FILES(mkdirat, dir_fd, path, mode);
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(mkdirat(dir_fd, path, mode));
}

int cp_os_getdents(int fd, void *buf, size_t bytes)
{
	if (cp_os_files_have(fd))
		return CP_OS_FILES(getdents, fd, buf, bytes);
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(getdents64(fd, buf, bytes));
}

int cp_os_rewind(int fd)
{
	if (cp_os_files_have(fd))
		return CP_OS_FILES(rewind, fd);
	return cp_os_refused() ? cp_os_refusal() : lseek(fd, 0, SEEK_SET) < 0 ? -errno : 0;
}

/* ---- whole files */

int64_t cp_os_position(int fd)
{
	int64_t at;

	if (cp_os_refused())
		return cp_os_refusal();
	at = lseek(fd, 0, SEEK_CUR);
	return at < 0 ? -errno : at;
}

int64_t cp_os_seek_data(int fd, int64_t offset)
{
	int64_t at;

	if (cp_os_files_have(fd))
		return CP_OS_FILES(seek, fd, offset, false);
	at = lseek(fd, offset, SEEK_DATA);
	return at < 0 ? -errno : at;
}

int64_t cp_os_seek_hole(int fd, int64_t offset)
{
	int64_t at;

	if (cp_os_files_have(fd))
		return CP_OS_FILES(seek, fd, offset, true);
	at = lseek(fd, offset, SEEK_HOLE);
	return at < 0 ? -errno : at;
}

int cp_os_ftruncate(int fd, int64_t bytes)
{
	if (cp_os_files_have(fd))
		return CP_OS_FILES(ftruncate, fd, bytes);
	return cp_os_refused() ? cp_os_refusal() : AGAIN(ftruncate(fd, bytes));
}

int cp_os_clone(int from_fd, int to_fd)
{
	if (cp_os_files_have(to_fd))
		return -EOPNOTSUPP;
	return cp_os_refused() ? cp_os_refusal() : AGAIN(ioctl(to_fd, FICLONE, from_fd));
}

int cp_os_copy_range(int from_fd, int to_fd, int64_t offset, size_t bytes)
{
	off64_t in = offset, out = offset;

	if (cp_os_files_have(to_fd))
		return -EXDEV;
	if (cp_os_refused())
		return cp_os_refusal();
	return AGAIN(copy_file_range(from_fd, &in, to_fd, &out, bytes, 0));
}

/* Never fails: where the kernel has none, the clock and the process are what there is. */
uint64_t cp_os_chance(void)
{
	uint64_t chance;

	if (getrandom(&chance, sizeof chance, GRND_NONBLOCK) == sizeof chance)
		return chance;
	return (uint64_t)cp_os_now_ns() * 0x9e3779b97f4a7c15u ^ (uint64_t)getpid() << 32;
}
