/* SPDX-License-Identifier: MIT */
/*
 * Who answers for files instead of the system, on this thread.
 *
 * The simulated world has files of its own. While a call that works on files runs for a task of
 * such a run, cp_os_files is set, and the functions of os.h that take a path or a descriptor
 * ask there first.
 */
#ifndef CP_OS_FILES_H
#define CP_OS_FILES_H

#include "base.h"

#include <sys/stat.h>
#include <sys/uio.h>

struct cp_os_files;

struct cp_os_files_ops {
	/* Is this descriptor one of its own? The others are only asked for what is. */
	bool (*has)(struct cp_os_files *files, int fd);
	int (*openat)(struct cp_os_files *files, int dir_fd, const char *path, int flags,
		      unsigned mode);
	int (*statat)(struct cp_os_files *files, int dir_fd, const char *path,
		      struct stat *ret_stat);
	int (*renameat)(struct cp_os_files *files, int from_fd, const char *from, int to_fd,
			const char *to, bool replace);
	int (*linkat)(struct cp_os_files *files, int from_fd, const char *from, int to_fd,
		      const char *to);
	int (*unlinkat)(struct cp_os_files *files, int dir_fd, const char *path, bool directory);
	int (*mkdirat)(struct cp_os_files *files, int dir_fd, const char *path, unsigned mode);
	int (*getdents)(struct cp_os_files *files, int fd, void *buf, size_t bytes);
	int (*rewind)(struct cp_os_files *files, int fd);
	int (*fstat)(struct cp_os_files *files, int fd, struct stat *ret_stat);
	int (*preadv)(struct cp_os_files *files, int fd, const struct iovec *iov, int count,
		      int64_t offset);
	int (*pwritev)(struct cp_os_files *files, int fd, const struct iovec *iov, int count,
		       int64_t offset);
	int (*fsync)(struct cp_os_files *files, int fd);
	int (*ftruncate)(struct cp_os_files *files, int fd, int64_t bytes);
	int (*fchmod)(struct cp_os_files *files, int fd, uint32_t mode);
	int64_t (*seek)(struct cp_os_files *files, int fd, int64_t offset, bool hole);
	void (*close)(struct cp_os_files *files, int fd);
};

struct cp_os_files {
	const struct cp_os_files_ops *ops;
};

extern __thread struct cp_os_files *cp_os_files; /* NULL: the system */

CP_INLINE bool cp_os_files_have(int fd)
{
	return CP_UNLIKELY(cp_os_files != NULL) && cp_os_files->ops->has(cp_os_files, fd);
}

/* The place that a path is looked up from is theirs. AT_FDCWD is -100. */
CP_INLINE bool cp_os_files_look(int dir_fd, const char *path)
{
	return CP_UNLIKELY(cp_os_files != NULL) &&
	       (dir_fd == -100 || path[0] == '/' || cp_os_files->ops->has(cp_os_files, dir_fd));
}

#define CP_OS_FILES(call, ...) cp_os_files->ops->call(cp_os_files, __VA_ARGS__)

#endif
