/* SPDX-License-Identifier: MIT */
/* The system as a world: every call goes to the seam. */
#include "io/io.h"
#include "io/world.h"

__thread struct cp_queue cp_fd_room;

/*
 * Who gets a number that was used here, and was closed by something else than coop_close, shall not
 * wait for what happens at the old file.
 */
static int is_new(int r)
{
	if (r >= 0)
		cp_fd_is_new(r);
	return r;
}

static int are_new(int r, const int fds[2])
{
	if (r >= 0) {
		cp_fd_is_new(fds[0]);
		cp_fd_is_new(fds[1]);
	}
	return r;
}

static int world_socket(struct cp_world *world, int domain, int type, int protocol)
{
	(void)world;
	return is_new(cp_os_socket(domain, type, protocol));
}

static int world_socketpair(struct cp_world *world, int domain, int type, int protocol,
			    int ret_fds[2])
{
	(void)world;
	return are_new(cp_os_socketpair(domain, type, protocol, ret_fds), ret_fds);
}

static int world_bind(struct cp_world *world, int fd, const struct sockaddr *addr, socklen_t len)
{
	(void)world;
	return cp_os_bind(fd, addr, len);
}

static int world_listen(struct cp_world *world, int fd, int backlog)
{
	(void)world;
	return cp_os_listen(fd, backlog);
}

static int world_accept(struct cp_world *world, int fd, struct sockaddr *ret_addr, socklen_t *len)
{
	(void)world;
	return is_new(cp_os_accept(fd, ret_addr, len, 0));
}

static int world_connect(struct cp_world *world, int fd, const struct sockaddr *addr, socklen_t len)
{
	(void)world;
	return cp_os_connect(fd, addr, len);
}

static int world_getsockname(struct cp_world *world, int fd, struct sockaddr *ret_addr,
			     socklen_t *len)
{
	(void)world;
	return cp_os_getsockname(fd, ret_addr, len);
}

static int world_getpeername(struct cp_world *world, int fd, struct sockaddr *ret_addr,
			     socklen_t *len)
{
	(void)world;
	return cp_os_getpeername(fd, ret_addr, len);
}

static int world_setsockopt(struct cp_world *world, int fd, int level, int name, const void *value,
			    socklen_t bytes)
{
	(void)world;
	return cp_os_setsockopt(fd, level, name, value, bytes);
}

static int world_getsockopt(struct cp_world *world, int fd, int level, int name, void *ret_value,
			    socklen_t *bytes)
{
	(void)world;
	return cp_os_getsockopt(fd, level, name, ret_value, bytes);
}

static int world_shutdown(struct cp_world *world, int fd, int how)
{
	(void)world;
	return cp_os_shutdown(fd, how);
}

static int world_pipe(struct cp_world *world, int ret_fds[2])
{
	(void)world;
	return are_new(cp_os_pipe(ret_fds), ret_fds);
}

static int world_set_nonblocking(struct cp_world *world, int fd)
{
	(void)world;
	return cp_os_set_nonblocking(fd);
}

static void world_close(struct cp_world *world, int fd)
{
	(void)world;
	cp_os_close(fd);
}

static int world_somaxconn(struct cp_world *world)
{
	(void)world;
	return cp_os_somaxconn();
}

static int world_path_info(struct cp_world *world, const char *path, struct cp_path_info *ret_info)
{
	(void)world;
	return cp_os_path_info(path, ret_info);
}

static int world_unlink(struct cp_world *world, const char *path)
{
	(void)world;
	return cp_os_unlink(path);
}

static int world_rename(struct cp_world *world, const char *from, const char *to)
{
	(void)world;
	return cp_os_rename(from, to);
}

static int world_chmod(struct cp_world *world, const char *path, uint32_t mode)
{
	(void)world;
	return cp_os_chmod(path, mode);
}

static int world_fchmod(struct cp_world *world, int fd, uint32_t mode)
{
	(void)world;
	return cp_os_fchmod(fd, mode);
}

static const struct cp_world_ops world_system_ops = {
	.socket = world_socket,
	.socketpair = world_socketpair,
	.bind = world_bind,
	.listen = world_listen,
	.accept = world_accept,
	.connect = world_connect,
	.getsockname = world_getsockname,
	.getpeername = world_getpeername,
	.setsockopt = world_setsockopt,
	.getsockopt = world_getsockopt,
	.shutdown = world_shutdown,
	.pipe = world_pipe,
	.set_nonblocking = world_set_nonblocking,
	.close = world_close,
	.somaxconn = world_somaxconn,
	.path_info = world_path_info,
	.unlink = world_unlink,
	.rename = world_rename,
	.chmod = world_chmod,
	.fchmod = world_fchmod,
};

struct cp_world cp_world_system = { .ops = &world_system_ops };
