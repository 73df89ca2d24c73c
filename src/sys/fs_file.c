/* SPDX-License-Identifier: MIT */
/*
 * Whole files: read at once, replaced at once, copied.
 *
 * One function in one thread does all of it, and looks between two steps whether the task has been
 * cancelled. What is new is written into a file beside the old one, under a name that
 * nobody has, and gets the right name in the end by a rename: until then nothing has changed, and
 * everything that goes wrong takes the new file away again.
 */
#include "base/os.h"
#include "sys/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* What is read or written between two looks at the cancel. */
#define STEP_BYTES ((size_t)1 << 20)
/* What is asked of the kernel's copy: it may share blocks, and is fast then. */
#define COPY_STEP_BYTES ((size_t)64 << 20)
#define BUFFER_BYTES ((size_t)256 << 10)
/* The first guess where a file does not tell its size. */
#define FIRST_BYTES 4096
/* Set user and group: a write takes them away, if it is not root's. */
#define SPECIAL 06000

static int read_some(int fd, char *buf, size_t bytes)
{
	return cp_fs_read(fd, buf, bytes < STEP_BYTES ? bytes : STEP_BYTES);
}

static int write_all(int fd, const char *data, size_t bytes)
{
	while (bytes) {
		struct iovec iov = { (void *)(uintptr_t)data,
				     bytes < STEP_BYTES ? bytes : STEP_BYTES };
		int r = cp_fs_between_steps();

		if (r >= 0)
			r = cp_os_pwritev(fd, &iov, 1, -1, true);
		if (r < 0)
			return r;
		data += r;
		bytes -= (size_t)r;
	}
	return 0;
}

/* ---------------------------------------------------------------------------- reading */

struct reading {
	const char *path;
	size_t limit;
	char *data;
	size_t bytes, room; /* one more is kept for the NUL */
	bool apart;         /* may wait for somebody else */
};

static int make_room(struct reading *rd, size_t room)
{
	char *data = cp_realloc(rd->data, room + 1);

	if (!data)
		return -ENOMEM;
	rd->data = data;
	rd->room = room;
	return 0;
}

/* Room for at least one byte more, up to the limit and one beyond, which is one too many. */
static int grow(struct reading *rd)
{
	size_t most = rd->limit + 1, room = rd->room ? rd->room * 2 : FIRST_BYTES;

	return make_room(rd, room < most ? room : most);
}

static int read_to_end(struct reading *rd, int fd)
{
	for (;;) {
		int r = rd->bytes == rd->room ? grow(rd) : 0;

		if (r >= 0)
			r = read_some(fd, rd->data + rd->bytes, rd->room - rd->bytes);
		if (r <= 0)
			return r;
		rd->bytes += (size_t)r;
		if (rd->bytes > rd->limit)
			return -EFBIG;
	}
}

static int read_file(struct reading *rd, int fd)
{
	struct stat st;
	int r = cp_os_fstat(fd, &st);

	if (r < 0)
		return r;
	if (S_ISDIR(st.st_mode))
		return -EISDIR;
	if (S_ISREG(st.st_mode) && (uint64_t)st.st_size > rd->limit)
		return -EFBIG;
	/* One byte more than it says: the read that finds the end needs room as well. */
	r = S_ISREG(st.st_mode) && st.st_size ? make_room(rd, (size_t)st.st_size + 1) : grow(rd);
	return r < 0 ? r : read_to_end(rd, fd);
}

static int run_read(void *arg)
{
	struct reading *rd = arg;
	int fd, r;

	if (!rd->apart && cp_fs_waits(rd->path, AT_FDCWD, O_RDONLY))
		return CP_FS_APART;
	fd = cp_fs_open(AT_FDCWD, rd->path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	r = read_file(rd, fd);
	cp_os_close(fd);
	if (r >= 0)
		rd->data[rd->bytes] = '\0';
	return r;
}

int coop_file_read(const char *path, size_t limit, char **ret_data, size_t *ret_bytes)
{
	struct reading rd = { .path = path, .limit = limit < SIZE_MAX / 2 ? limit : SIZE_MAX / 2 };
	int r = cp_fs_run(run_read, &rd);

	rd.apart = r == CP_FS_APART;
	if (rd.apart)
		r = cp_fs_run_apart(run_read, &rd);
	if (r < 0) {
		cp_free(rd.data);
		return r;
	}
	*ret_data = rd.data;
	*ret_bytes = rd.bytes;
	return 0;
}

char *coop_file_free(char *data)
{
	cp_free(data);
	return NULL;
}

/* --------------------------------------------------------------------- making a file */

/* A file that is being made, and where it is to be. */
struct making {
	const char *path;
	const struct coop_file_opts *opts;
	int (*fill)(struct making *m); /* writes what is to be in it */
	const char *name;              /* the last part of path */
	int dir_fd, fd;
	char temp[CP_FS_NAME_BYTES];
	bool keeps;    /* the permissions of what is replaced or copied: */
	uint32_t mode; /* these; or with bits that a write takes away */
	uid_t owner;   /* of what is replaced: with another one */
	gid_t group;   /* the bits of SPECIAL would mean something else */
	/* of a replacement */
	const char *data;
	size_t bytes;
	/* of a copy */
	const char *from;
	int from_fd;
	struct stat from_stat;
};

/* Opens the directory of the path. A name that ends in a slash can be no file's. */
static int open_dir(struct making *m)
{
	const char *slash = strrchr(m->path, '/');
	size_t bytes = slash ? (size_t)(slash - m->path) + 1 : 0;
	char *dir;
	int r;

	m->name = m->path + bytes;
	if (!*m->path)
		return -ENOENT;
	if (!*m->name || strcmp(m->name, ".") == 0 || strcmp(m->name, "..") == 0)
		return -EISDIR;
	if (!slash)
		return cp_os_openat(AT_FDCWD, ".", O_RDONLY | O_DIRECTORY, 0);
	dir = cp_alloc(bytes + 1);
	if (!dir)
		return -ENOMEM;
	memcpy(dir, m->path, bytes);
	dir[bytes] = '\0';
	r = cp_os_openat(AT_FDCWD, dir, O_RDONLY | O_DIRECTORY, 0);
	cp_free(dir);
	return r;
}

/*
 * The permissions of what is there, or is copied, unless others were asked for. A copy gets no bits
 * of SPECIAL: where the original lies they may mean nothing, on a stick that is mounted so.
 */
static int find_mode(struct making *m)
{
	struct stat st;
	int r;

	if (m->opts->mode)
		return 0;
	if (m->from) {
		m->keeps = true;
		m->mode = m->from_stat.st_mode & 0777;
		return 0;
	}
	r = cp_os_statat(m->dir_fd, m->name, false, &st);
	if (r < 0)
		return r == -ENOENT ? 0 : r;
	m->keeps = S_ISREG(st.st_mode);
	m->mode = m->keeps ? st.st_mode & 07777 : 0;
	m->owner = st.st_uid;
	m->group = st.st_gid;
	return 0;
}

/* From the start nobody may open it who will not have the right to in the end. */
static int make_new(struct making *m)
{
	unsigned mode = m->opts->mode ? m->opts->mode : 0666;

	return cp_fs_make_file(m->dir_fd, m->temp, m->keeps ? m->mode & 0777 : mode);
}

/* Those that are kept are given whatever the umask; else it is as it was made. */
static int set_mode(struct making *m)
{
	struct stat st;
	int r;

	if (!((m->keeps ? m->mode : m->opts->mode) & SPECIAL))
		return m->keeps ? cp_os_fchmod(m->fd, m->mode) : 0;
	r = cp_os_fstat(m->fd, &st);
	if (r < 0)
		return r;
	if (!m->keeps) {
		m->mode = st.st_mode & 07777;
		return 0;
	}
	if (st.st_uid != m->owner || st.st_gid != m->group)
		m->mode &= ~(uint32_t)SPECIAL;
	return cp_os_fchmod(m->fd, m->mode);
}

/* Some file systems cannot rename so: a second name can be given where there is none, too. */
static int rename_to_free_name(struct making *m)
{
	int r = cp_os_renameat(m->dir_fd, m->temp, m->dir_fd, m->name, false);

	if (r != -EINVAL && r != -ENOSYS)
		return r;
	r = cp_os_linkat(m->dir_fd, m->temp, m->dir_fd, m->name);
	return r < 0 ? r : cp_os_unlinkat(m->dir_fd, m->temp, false);
}

static int give_name(struct making *m)
{
	return m->opts->no_replace ? rename_to_free_name(m)
				   : cp_os_renameat(m->dir_fd, m->temp, m->dir_fd, m->name, true);
}

/* Fills the new file and has it on the disk; it is closed in any case. */
static int finish_file(struct making *m)
{
	int r = set_mode(m), closed;

	if (r >= 0)
		r = m->fill(m);
	if (r >= 0 && m->mode & SPECIAL)
		r = cp_os_fchmod(m->fd, m->mode);
	if (r >= 0 && !m->opts->no_sync)
		r = cp_os_fsync(m->fd, false);
	closed = cp_os_close_written(m->fd);
	if (r >= 0)
		r = closed;
	return r < 0 ? r : cp_fs_between_steps();
}

static int make_in_dir(struct making *m)
{
	int r = find_mode(m);

	if (r < 0)
		return r;
	m->fd = make_new(m);
	if (m->fd < 0)
		return m->fd;
	r = finish_file(m);
	if (r >= 0)
		r = give_name(m);
	if (r < 0) {
		(void)cp_os_unlinkat(m->dir_fd, m->temp, false); /* what went wrong first is told */
		return r;
	}
	return m->opts->no_sync ? 0 : cp_os_fsync(m->dir_fd, false);
}

static int make_file(struct making *m)
{
	int r;

	m->dir_fd = open_dir(m);
	if (m->dir_fd < 0)
		return m->dir_fd;
	r = make_in_dir(m);
	cp_os_close(m->dir_fd);
	return r;
}

static int check_opts(const struct coop_file_opts *opts)
{
	return cp_fs_reserved(opts->_reserved) || opts->mode > 07777 ? -EINVAL : 0;
}

/* -------------------------------------------------------------------------- replacing */

static int fill_from_memory(struct making *m)
{
	return write_all(m->fd, m->data, m->bytes);
}

static int run_replace(void *arg)
{
	return make_file(arg);
}

static const struct coop_file_opts no_opts;

int coop_file_replace(const char *path, const void *data, size_t bytes,
		      const struct coop_file_opts *opts)
{
	struct making m = { .path = path,
			    .opts = opts ? opts : &no_opts,
			    .fill = fill_from_memory,
			    .data = data,
			    .bytes = bytes };
	int r = check_opts(m.opts);

	return r < 0 ? cp_refuse(r) : cp_fs_run(run_replace, &m);
}

/* ---------------------------------------------------------------------------- copying */

/* Byte by byte, from `offset`, as far as `end` or the end of the file. */
static int copy_by_buffer(struct making *m, int64_t offset, int64_t end)
{
	char *buf = cp_alloc(BUFFER_BYTES);
	int r = buf ? 1 : -ENOMEM;

	while (r > 0 && offset < end) {
		int64_t left = end - offset;
		struct iovec iov = { buf,
				     left < (int64_t)BUFFER_BYTES ? (size_t)left : BUFFER_BYTES };

		r = cp_fs_between_steps();
		if (r >= 0)
			r = cp_os_preadv(m->from_fd, &iov, 1, offset, true);
		for (int done = 0, got = r; r > 0 && done < got; done += r) {
			iov = (struct iovec){ buf + done, (size_t)(got - done) };
			r = cp_os_pwritev(m->fd, &iov, 1, offset, true);
			offset += r > 0 ? r : 0;
		}
	}
	cp_free(buf);
	return r < 0 ? r : 0;
}

/* The kernel has said that it cannot copy between these two: another way may do. */
static bool cannot_copy(int r)
{
	return r == -EXDEV || r == -EINVAL || r == -ENOSYS || r == -EOPNOTSUPP || r == -EPERM ||
	       r == -EBADF;
}

static int copy_part(struct making *m, int64_t offset, int64_t end)
{
	while (offset < end) {
		uint64_t left = (uint64_t)(end - offset);
		int r = cp_fs_between_steps();

		if (r >= 0)
			r = cp_os_copy_range(m->from_fd, m->fd, offset,
					     left < COPY_STEP_BYTES ? (size_t)left
								    : COPY_STEP_BYTES);
		if (r == 0 || cannot_copy(r)) /* 0: it has become shorter, or cannot be read so */
			return copy_by_buffer(m, offset, end);
		if (r < 0)
			return r;
		offset += r;
	}
	return 0;
}

/* What is no hole; where holes cannot be asked for there are none. */
static int copy_parts(struct making *m)
{
	int64_t size = m->from_stat.st_size, offset = 0;

	while (offset < size) {
		int64_t data = cp_os_seek_data(m->from_fd, offset), hole;
		int r;

		if (data == -ENXIO) /* only a hole is left */
			break;
		if (data < 0)
			data = offset;
		hole = cp_os_seek_hole(m->from_fd, data);
		if (hole <= data || hole > size)
			hole = size;
		r = copy_part(m, data, hole);
		if (r < 0)
			return r;
		offset = hole;
	}
	return cp_os_ftruncate(m->fd, size);
}

static int fill_from_file(struct making *m)
{
	if (cp_os_clone(m->from_fd, m->fd) >= 0)
		return 0;
	if (m->from_stat.st_size)
		return copy_parts(m);
	return copy_by_buffer(m, 0, INT64_MAX); /* it may not tell its size */
}

static int copy_file(struct making *m)
{
	int r = cp_os_fstat(m->from_fd, &m->from_stat);

	if (r < 0)
		return r;
	if (!S_ISREG(m->from_stat.st_mode))
		return S_ISDIR(m->from_stat.st_mode) ? -EISDIR : -EINVAL;
	return make_file(m);
}

static int run_copy(void *arg)
{
	struct making *m = arg;
	int r;

	/* O_NONBLOCK: a pipe that nobody writes to must be refused, not waited for. */
	m->from_fd = cp_os_openat(AT_FDCWD, m->from, O_RDONLY | O_NONBLOCK, 0);
	if (m->from_fd < 0)
		return m->from_fd;
	r = copy_file(m);
	cp_os_close(m->from_fd);
	return r;
}

int coop_file_copy(const char *from, const char *to, const struct coop_file_opts *opts)
{
	struct making m = {
		.path = to, .from = from, .opts = opts ? opts : &no_opts, .fill = fill_from_file
	};
	int r = check_opts(m.opts);

	return r < 0 ? cp_refuse(r) : cp_fs_run(run_copy, &m);
}
