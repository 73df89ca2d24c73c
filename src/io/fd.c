/* SPDX-License-Identifier: MIT */
/*
 * What a loop knows of each descriptor: a table by number, in chunks that never move.
 *
 * An entry is made at the first call on a descriptor, by a look at what kind of file it is, and is
 * blank again once that has been closed.
 */
#include "io/io.h"

#include "base/os.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/stat.h>

static int look_socket(struct cp_fd *f)
{
	int type = cp_os_socket_option(f->fd, SO_TYPE);
	int r = type == SOCK_STREAM ? cp_os_socket_option(f->fd, SO_PROTOCOL) : type;

	if (r < 0)
		return r;
	if (type == SOCK_STREAM)
		f->kind = r == IPPROTO_TCP ? CP_FD_TCP : CP_FD_STREAM;
	else
		f->kind = CP_FD_SOCKET;
	return 0;
}

int cp_fd_look(struct cp_io *io, struct cp_fd *f)
{
	struct stat st;
	int r = cp_os_fstat(f->fd, &st);

	(void)io;
	if (r < 0)
		return r;
	if (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode)) {
		f->kind = CP_FD_FILE;
	} else if (!S_ISSOCK(st.st_mode)) {
		f->kind = CP_FD_OTHER;
	} else {
		return look_socket(f);
	}
	return 0;
}

int cp_fd_close(struct cp_io *io, int fd)
{
	(void)io;
	return cp_os_close_any(fd);
}

static CP_NOINLINE int grow(struct cp_io *io, size_t at)
{
	size_t count = at + 1 > 2 * io->chunks_count ? at + 1 : 2 * io->chunks_count;
	struct cp_fd **chunks = cp_realloc(io->chunks, count * sizeof(struct cp_fd *));

	if (!chunks)
		return -ENOMEM;
	memset(chunks + io->chunks_count, 0, (count - io->chunks_count) * sizeof(struct cp_fd *));
	io->chunks = chunks;
	io->chunks_count = count;
	return 0;
}

static CP_NOINLINE struct cp_fd *make(struct cp_io *io, int fd, int *ret_r)
{
	size_t at = (size_t)fd / CP_FD_CHUNK;
	struct cp_fd *chunk;

	if (at >= io->chunks_count && (*ret_r = grow(io, at)) < 0)
		return NULL;
	chunk = io->chunks[at];
	if (!chunk) {
		chunk = cp_calloc(CP_FD_CHUNK, sizeof *chunk);
		if (!chunk) {
			*ret_r = -ENOMEM;
			return NULL;
		}
		for (int i = 0; i < CP_FD_CHUNK; i++)
			chunk[i].fd = (int)at * CP_FD_CHUNK + i;
		io->chunks[at] = chunk;
	}
	return &chunk[(size_t)fd % CP_FD_CHUNK];
}

/* A blank entry, but for its number and its generation, which is never 0. */
static void blank(struct cp_fd *f, enum cp_fd_kind kind)
{
	uint32_t gen = f->gen + 1;
	int fd = f->fd;

	*f = (struct cp_fd){ .fd = fd, .gen = gen ? gen : 1, .kind = (uint8_t)kind };
}

static CP_NOINLINE struct cp_fd *get_slow(struct cp_io *io, int fd, int *ret_r)
{
	struct cp_fd *f;

	if (fd < 0) {
		*ret_r = -EBADF;
		return NULL;
	}
	f = make(io, fd, ret_r);
	if (!f)
		return NULL;
	blank(f, CP_FD_NONE);
	f->ready = CP_READS | CP_WRITES;
	*ret_r = io->ops->look(io, f);
	return *ret_r < 0 ? NULL : f;
}

struct cp_fd *cp_fd_get(struct cp_io *io, int fd, int *ret_r)
{
	struct cp_fd *f = cp_fd_peek(io, fd);

	return CP_LIKELY(f != NULL) ? f : get_slow(io, fd, ret_r);
}

struct cp_fd *cp_fd_made(struct cp_io *io, int fd, enum cp_fd_kind kind, bool nonblock)
{
	struct cp_fd *f = cp_fd_peek(io, fd);
	int r;

	if (f) { /* something else has closed what was here, and did not say so */
		io->ops->end(io, f, CP_READS | CP_WRITES, COOP_ECLOSED);
		if (f->refs)
			return NULL;
		io->ops->forget(io, f);
	} else if (!(f = make(io, fd, &r))) {
		return NULL;
	}
	blank(f, kind);
	f->ready = CP_READS | CP_WRITES;
	f->nonblock = nonblock;
	f->mode_known = true;
	return f;
}

void cp_fd_is_new(int fd)
{
	struct cp_io *io = cp_rt ? cp_io_of(cp_rt) : NULL;
	struct cp_fd *f = io ? cp_fd_peek(io, fd) : NULL;

	if (CP_LIKELY(!f) || f->closing)
		return;
	io->ops->end(io, f, CP_READS | CP_WRITES, COOP_ECLOSED);
	if (f->refs) /* the kernel is still at the old one */
		return;
	io->ops->forget(io, f);
	blank(f, CP_FD_NONE);
}

static int wait_unused(struct cp_rt *rt, struct cp_fd *f, const char *what)
{
	struct cp_wait wait = { .what = what, .kind = CP_ON_NOTHING };

	if (!f->refs)
		return 0;
	cp_hook_look(rt);
	f->closer = rt->cur;
	return cp_park(rt, &wait);
}

int cp_fd_forget(struct cp_rt *rt, int fd, bool and_close, const char *what)
{
	struct cp_io *io = cp_io_of(rt);
	struct cp_fd *f;
	int r;

	f = cp_fd_peek(io, fd);
	if (!f) /* nobody here has ever used it */
		return and_close ? io->ops->close(io, fd) : 0;
	if (f->closing)
		return -EALREADY;
	f->closing = true;
	io->ops->end(io, f, CP_READS | CP_WRITES, COOP_ECLOSED);
	r = wait_unused(rt, f, what);
	CP_ASSERT(r == 0 && f->refs == 0);
	io->ops->forget(io, f);
	blank(f, CP_FD_NONE);
	return and_close ? io->ops->close(io, fd) : 0;
}

void cp_fd_end_read(struct cp_rt *rt, int fd, const struct coop_task *t, int code)
{
	struct cp_io *io = cp_io_of(rt);
	struct cp_fd *f = cp_fd_peek(io, fd);

	if (f && f->waiting[0] && f->waiting[0]->wait.task == t)
		io->ops->end(io, f, CP_READS, code);
}

void cp_fds_begin(struct cp_engine *engine, int64_t now_ns, uint64_t seed)
{
	struct cp_io *io = CP_CONTAINER_OF(engine, struct cp_io, engine);

	(void)now_ns;
	(void)seed;
	for (size_t i = 0; i < io->chunks_count; i++) {
		struct cp_fd *chunk = io->chunks[i];

		for (int k = 0; chunk && k < CP_FD_CHUNK; k++) {
			if (chunk[k].kind == CP_FD_NONE)
				continue;
			CP_ASSERT(!chunk[k].refs);
			io->ops->forget(io, &chunk[k]);
			blank(&chunk[k], CP_FD_NONE);
		}
	}
}

void cp_fds_deinit(struct cp_io *io)
{
	for (size_t i = 0; i < io->chunks_count; i++)
		cp_free(io->chunks[i]);
	cp_free(io->chunks);
}
