/* SPDX-License-Identifier: MIT */
/*
 * The seam to the world: sockets, pipes, and the paths that sockets have.
 *
 * None of these calls waits. What they make is close-on-exec from its first moment, since
 * another thread may start a program at any time, and non-blocking, since a task must never
 * stop its thread.
 */
#include "base/libc.h"
#include "base/os_files.h"
#include "base/os_impl.h"

#include <fcntl.h>
#include <net/if.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOMAXCONN_DEFAULT 4096 /* since Linux 5.4 */

int cp_os_socket(int domain, int type, int protocol)
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(socket(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
}

int cp_os_socketpair(int domain, int type, int protocol, int ret_fds[2])
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(
		socketpair(domain, type | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol, ret_fds));
}

int cp_os_bind(int fd, const struct sockaddr *addr, uint32_t len)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(bind(fd, addr, len));
}

int cp_os_listen(int fd, int backlog)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(listen(fd, backlog));
}

int cp_os_getsockname(int fd, struct sockaddr *ret_addr, uint32_t *len)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(getsockname(fd, ret_addr, len));
}

int cp_os_getpeername(int fd, struct sockaddr *ret_addr, uint32_t *len)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(getpeername(fd, ret_addr, len));
}

int cp_os_setsockopt(int fd, int level, int name, const void *value, uint32_t bytes)
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(setsockopt(fd, level, name, value, bytes));
}

int cp_os_getsockopt(int fd, int level, int name, void *ret_value, uint32_t *bytes)
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(getsockopt(fd, level, name, ret_value, bytes));
}

int cp_os_shutdown(int fd, int how)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(shutdown(fd, how));
}

int cp_os_pipe(int ret_fds[2])
{
	if (cp_os_refused())
		return cp_os_refusal();
	return cp_os_result(pipe2(ret_fds, O_CLOEXEC | O_NONBLOCK));
}

int cp_os_set_nonblocking(int fd)
{
	int flags;

	if (cp_os_refused())
		return cp_os_refusal();
	flags = fcntl(fd, F_GETFL);
	if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0)
		return -errno;
	return cp_os_result(fcntl(fd, F_SETFD, FD_CLOEXEC));
}

int cp_os_somaxconn(void)
{
	char text[32] = "";
	long limit;
	int fd = cp_os_refused() ? -1 : open("/proc/sys/net/core/somaxconn", O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return SOMAXCONN_DEFAULT;
	limit = read(fd, text, sizeof text - 1) > 0 ? strtol(text, NULL, 10) : 0;
	close(fd);
	return limit > 0 && limit <= INT32_MAX ? (int)limit : SOMAXCONN_DEFAULT;
}

/* ---- names */

static int lookup_error(int r)
{
	switch (r) {
	case 0: return 0;
	case EAI_NONAME:
	case EAI_NODATA:
	case EAI_ADDRFAMILY: return -ENOENT; /* the last: it has none of this family */
	case EAI_SERVICE:
	case EAI_SOCKTYPE:
	case EAI_BADFLAGS: return -EINVAL;
	case EAI_AGAIN: return -EAGAIN;
	case EAI_FAMILY: return -EAFNOSUPPORT;
	case EAI_MEMORY: return -ENOMEM;
	case EAI_SYSTEM: return errno ? -errno : -EIO;
	default: return -EIO;
	}
}

int cp_os_lookup(const char *host, const char *service, const struct addrinfo *hints,
		 struct addrinfo **ret_found)
{
	if (cp_os_refused())
		return cp_os_refusal();
	return lookup_error(getaddrinfo(host, service, hints, ret_found));
}

void cp_os_lookup_free(struct addrinfo *found)
{
	if (found)
		freeaddrinfo(found);
}

int cp_os_nss_hosts(char *ret_line, size_t size)
{
	static const char key[] = "hosts:";
	int r = -ENOENT;
	FILE *f;

	if (cp_os_refused())
		return cp_os_refusal();
	f = fopen("/etc/nsswitch.conf", "re");
	if (!f)
		return -errno;
	while (r < 0 && fgets(ret_line, (int)size, f)) {
		ret_line[strcspn(ret_line, "#\n")] = '\0';
		if (strncmp(ret_line, key, sizeof key - 1) == 0) {
			memmove(ret_line, ret_line + sizeof key - 1,
				strlen(ret_line) - (sizeof key - 1) + 1);
			r = 0;
		}
	}
	fclose(f);
	return r;
}

/* ---- interfaces */

int cp_os_if_index(const char *name)
{
	unsigned index = cp_os_refused() ? 0 : if_nametoindex(name);

	return index ? (int)index : -ENODEV;
}

int cp_os_if_name(unsigned index, char ret_name[16])
{
	_Static_assert(IF_NAMESIZE == 16, "room for a name");
	if (cp_os_refused())
		return cp_os_refusal();
	return if_indextoname(index, ret_name) ? 0 : -errno;
}

/* ---- paths */

int cp_os_path_info(const char *path, struct cp_path_info *ret_info)
{
	struct stat st;

	if (cp_os_refused())
		return cp_os_refusal();
	if (lstat(path, &st) < 0)
		return -errno;
	*ret_info = (struct cp_path_info){ st.st_mode, st.st_dev, st.st_ino };
	return 0;
}

int cp_os_unlink(const char *path)
{
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(unlink(path));
}

/* Some file systems cannot refuse to replace (EINVAL): there it is looked for first. */
int cp_os_rename(const char *from, const char *to)
{
	struct stat st;

	if (cp_os_refused())
		return cp_os_refusal();
	if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
		return 0;
	if (errno != EINVAL)
		return -errno;
	return lstat(to, &st) == 0 ? -EEXIST : cp_os_result(rename(from, to));
}

/* By a descriptor of the path itself, so that nobody can put a link in its place meanwhile. */
int cp_os_chmod(const char *path, uint32_t mode)
{
	char by_fd[40];
	int fd, r;

	if (cp_os_refused())
		return cp_os_refusal();
	fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(by_fd, sizeof by_fd, "/proc/self/fd/%d", fd);
	r = cp_os_result(chmod(by_fd, mode));
	close(fd);
	return r;
}

int cp_os_fchmod(int fd, uint32_t mode)
{
	if (cp_os_files_have(fd))
		return CP_OS_FILES(fchmod, fd, mode);
	return cp_os_refused() ? cp_os_refusal() : cp_os_result(fchmod(fd, mode));
}
