/* SPDX-License-Identifier: MIT */
/*
 * The tree of the simulated world's files: names, and what a crash leaves of them.
 *
 * There are directories and regular files, hard links, and "/tmp"; the current directory is the
 * root. There are no symbolic links, and rights are kept but not looked at. What tasks do to
 * files happens at once and in their order: see cp_fs_run_at.
 */
#include "io/sim_fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>

static struct cp_sim *of(struct cp_os_files *files)
{
	return CP_CONTAINER_OF(files, struct cp_sim, files);
}

/* --------------------------------------------------------------------------- nodes */

struct sim_node *sim_node_new(struct cp_sim *sim, uint32_t mode)
{
	struct sim_node *n = cp_calloc(1, sizeof *n);

	if (!n)
		return NULL;
	n->mode = mode;
	n->ino = ++sim->inodes;
	n->changed_ns = sim_now(sim);
	n->next = sim->nodes;
	if (n->next)
		n->next->prev = n;
	sim->nodes = n;
	return n;
}

static void node_free(struct cp_sim *sim, struct sim_node *n)
{
	*(n->prev ? &n->prev->next : &sim->nodes) = n->next;
	if (n->next)
		n->next->prev = n->prev;
	sim->disk_bytes -= n->now.room;
	cp_free(n->now.data);
	cp_free(n->synced.data);
	cp_free(n);
}

static void names_free(struct cp_sim *sim, struct sim_entry **names)
{
	while (*names) {
		struct sim_entry *e = *names;

		*names = e->next;
		sim_node_unref(sim, e->node);
		cp_free(e);
	}
}

/* Directories hold their names, and those their nodes: as deep as the tree, no deeper. */
void sim_node_unref(struct cp_sim *sim, struct sim_node *n)
{
	if (--n->refs)
		return;
	for (struct sim_entry *e = n->names; e; e = e->next)
		if (e->node->parent == n)
			e->node->parent = NULL;
	names_free(sim, &n->names);
	names_free(sim, &n->names_synced);
	node_free(sim, n);
}

void sim_node_stat(const struct sim_node *n, struct stat *ret_stat)
{
	*ret_stat = (struct stat){ .st_dev = 1,
				   .st_ino = n->ino,
				   .st_mode = n->mode,
				   .st_nlink = n->links,
				   .st_size = (off_t)n->now.size,
				   .st_blksize = 4096,
				   .st_blocks = (blkcnt_t)((n->now.size + 511) / 512) };
	ret_stat->st_mtim.tv_sec = n->changed_ns / COOP_SECONDS(1);
	ret_stat->st_mtim.tv_nsec = n->changed_ns % COOP_SECONDS(1);
	ret_stat->st_ctim = ret_stat->st_atim = ret_stat->st_mtim;
}

/* --------------------------------------------------------------------------- names */

static struct sim_entry **find(struct sim_node *dir, const char *name)
{
	struct sim_entry **at = &dir->names;

	while (*at && strcmp((*at)->name, name) != 0)
		at = &(*at)->next;
	return at;
}

static struct sim_entry *entry_new(struct cp_sim *sim, struct sim_node *n, const char *name)
{
	size_t bytes = strlen(name) + 1;
	struct sim_entry *e = cp_alloc(sizeof *e + bytes);

	if (!e)
		return NULL;
	*e = (struct sim_entry){ .node = n, .cookie = 16 + ++sim->inodes };
	memcpy(e->name, name, bytes);
	n->refs++;
	return e;
}

static int add_name(struct cp_sim *sim, struct sim_node *dir, struct sim_node *n, const char *name)
{
	struct sim_entry *e = entry_new(sim, n, name);

	if (!e)
		return -ENOMEM;
	*find(dir, name) = e; /* the end: there is none of this name */
	n->links++;
	if (S_ISDIR(n->mode))
		n->parent = dir;
	dir->changed_ns = sim_now(sim);
	return 0;
}

static void drop_name(struct cp_sim *sim, struct sim_node *dir, struct sim_entry **at)
{
	struct sim_entry *e = *at;

	*at = e->next;
	e->node->links--;
	if (S_ISDIR(e->node->mode))
		e->node->parent = NULL;
	dir->changed_ns = sim_now(sim);
	sim_node_unref(sim, e->node);
	cp_free(e);
}

/* A place in the tree: a directory and a name in it, which may mean nothing yet. */
struct place {
	struct sim_node *dir;
	struct sim_entry **at;
	struct sim_node *node;
	char name[SIM_NAME_MAX + 1]; /* "": the directory itself, or its parent */
	bool wants_dir;              /* the path ends in a slash */
};

static int next_part(const char **path, char part[SIM_NAME_MAX + 1])
{
	size_t bytes = strcspn(*path, "/");

	if (bytes > SIM_NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(part, *path, bytes);
	part[bytes] = '\0';
	*path += bytes;
	while (**path == '/')
		(*path)++;
	return 0;
}

/* Goes on by one part, which is in `p->name`. */
static int step(struct place *p)
{
	if (!S_ISDIR(p->node->mode))
		return -ENOTDIR;
	p->dir = p->node;
	if (strcmp(p->name, ".") == 0 || strcmp(p->name, "..") == 0) {
		if (p->name[1] && p->dir->parent)
			p->node = p->dir->parent;
		p->name[0] = '\0';
		return 0;
	}
	p->at = find(p->dir, p->name);
	p->node = *p->at ? (*p->at)->node : NULL;
	return 0;
}

/* 0 also where the last part means nothing; all before must be there. */
static int look_up(struct cp_sim *sim, int dir_fd, const char *path, struct place *p)
{
	struct sim_file *f = dir_fd == AT_FDCWD || path[0] == '/' ? NULL : sim_file_of(sim, dir_fd);
	int r = 0;

	*p = (struct place){ .node = f ? f->node : sim->root };
	if (!path[0])
		return -ENOENT;
	while (*path == '/')
		path++;
	while (*path && r >= 0) {
		if (!p->node)
			return -ENOENT;
		r = next_part(&path, p->name);
		if (r >= 0)
			r = step(p);
		p->wants_dir = path[-1] == '/';
	}
	if (r >= 0 && p->wants_dir && p->node && !S_ISDIR(p->node->mode))
		return -ENOTDIR;
	return r;
}

/* The same, and it must be there. */
static int look_for(struct cp_sim *sim, int dir_fd, const char *path, struct place *p)
{
	int r = look_up(sim, dir_fd, path, p);

	return r < 0 ? r : p->node ? 0 : -ENOENT;
}

int sim_fs_parent(struct cp_sim *sim, const char *path)
{
	struct place p;

	return look_up(sim, AT_FDCWD, path, &p);
}

/* ----------------------------------------------------------------------- operations */

static bool fs_has(struct cp_os_files *files, int fd)
{
	return sim_find(of(files), fd) != NULL;
}

static int make(struct cp_sim *sim, struct place *p, uint32_t mode)
{
	struct sim_node *n = sim_node_new(sim, mode);
	int r;

	if (!n)
		return -ENOMEM;
	n->refs = 1;
	r = add_name(sim, p->dir, n, p->name);
	sim_node_unref(sim, n);
	if (r >= 0)
		p->node = n;
	return r;
}

static int check_open(const struct place *p, int flags)
{
	if (p->node && (flags & (O_CREAT | O_EXCL)) == (O_CREAT | O_EXCL))
		return -EEXIST;
	if (!p->node)
		return flags & O_CREAT ? (p->wants_dir ? -EISDIR : 0) : -ENOENT;
	if (S_ISDIR(p->node->mode))
		return (flags & O_ACCMODE) != O_RDONLY || flags & O_CREAT ? -EISDIR : 0;
	return flags & O_DIRECTORY ? -ENOTDIR : 0;
}

static int open_unnamed(struct cp_sim *sim, struct place *p, int flags, unsigned mode)
{
	struct sim_node *n;
	int fd;

	if (!S_ISDIR(p->node->mode))
		return -ENOTDIR;
	n = sim_node_new(sim, S_IFREG | (mode & 0777));
	if (!n)
		return -ENOMEM;
	n->refs = 1;
	fd = sim_file_open(sim, n, flags & ~O_TMPFILE);
	sim_node_unref(sim, n);
	return fd;
}

static int fs_openat(struct cp_os_files *files, int dir_fd, const char *path, int flags,
		     unsigned mode)
{
	struct cp_sim *sim = of(files);
	struct place p;
	int r = -sim_fault(sim, COOP_SIM_FILE);

	if (r >= 0)
		r = look_up(sim, dir_fd, path, &p);
	if (r < 0)
		return r;
	if ((flags & O_TMPFILE) == O_TMPFILE)
		return p.node ? open_unnamed(sim, &p, flags, mode) : -ENOENT;
	r = check_open(&p, flags);
	if (r >= 0 && !p.node)
		r = make(sim, &p, S_IFREG | (mode & 0777 & ~022u));
	if (r >= 0 && flags & O_TRUNC && (flags & O_ACCMODE) != O_RDONLY)
		r = sim_file_resize(sim, p.node, 0);
	return r < 0 ? r : sim_file_open(sim, p.node, flags);
}

static int fs_statat(struct cp_os_files *files, int dir_fd, const char *path, struct stat *ret_stat)
{
	struct place p;
	int r = -sim_fault(of(files), COOP_SIM_FILE);

	if (r >= 0)
		r = look_for(of(files), dir_fd, path, &p);
	if (r >= 0)
		sim_node_stat(p.node, ret_stat);
	return r;
}

static bool is_inside(const struct sim_node *n, const struct sim_node *dir)
{
	for (; n; n = n->parent)
		if (n == dir)
			return true;
	return false;
}

/* May what is at `from` take the place of what is at `to`? */
static int check_rename(const struct place *from, const struct place *to, bool replace)
{
	if (!from->name[0] || !to->name[0])
		return -EBUSY;
	if (S_ISDIR(from->node->mode) && is_inside(to->dir, from->node))
		return -EINVAL;
	if (!S_ISDIR(from->node->mode) && to->wants_dir)
		return -ENOTDIR;
	if (!to->node)
		return 0;
	if (!replace)
		return -EEXIST;
	if (S_ISDIR(from->node->mode))
		return !S_ISDIR(to->node->mode) ? -ENOTDIR : to->node->names ? -ENOTEMPTY : 0;
	return S_ISDIR(to->node->mode) ? -EISDIR : 0;
}

static int fs_renameat(struct cp_os_files *files, int from_fd, const char *from_path, int to_fd,
		       const char *to_path, bool replace)
{
	struct cp_sim *sim = of(files);
	struct place from, to;
	int r = -sim_fault(sim, COOP_SIM_FILE);

	if (r >= 0)
		r = look_for(sim, from_fd, from_path, &from);
	if (r >= 0)
		r = look_up(sim, to_fd, to_path, &to);
	if (r >= 0)
		r = check_rename(&from, &to, replace);
	if (r < 0 || from.node == to.node)
		return r;
	from.node->refs++;
	if (to.node) { /* the name stays, and means the other from now on */
		struct sim_entry *e = *to.at;

		e->node->links--;
		sim_node_unref(sim, e->node);
		e->node = from.node;
		from.node->refs++;
		from.node->links++;
	} else {
		r = add_name(sim, to.dir, from.node, to.name);
	}
	if (r >= 0) {
		drop_name(sim, from.dir, find(from.dir, from.name));
		if (S_ISDIR(from.node->mode))
			from.node->parent = to.dir;
	}
	sim_node_unref(sim, from.node);
	return r;
}

static int fs_linkat(struct cp_os_files *files, int from_fd, const char *from_path, int to_fd,
		     const char *to_path)
{
	struct cp_sim *sim = of(files);
	struct place from, to;
	int r = -sim_fault(sim, COOP_SIM_FILE);

	if (r >= 0)
		r = look_for(sim, from_fd, from_path, &from);
	if (r >= 0)
		r = look_up(sim, to_fd, to_path, &to);
	if (r < 0)
		return r;
	if (S_ISDIR(from.node->mode))
		return -EPERM;
	return to.node ? -EEXIST : add_name(sim, to.dir, from.node, to.name);
}

static int fs_unlinkat(struct cp_os_files *files, int dir_fd, const char *path, bool directory)
{
	struct cp_sim *sim = of(files);
	struct place p;
	int r = -sim_fault(sim, COOP_SIM_FILE);

	if (r >= 0)
		r = look_for(sim, dir_fd, path, &p);
	if (r < 0)
		return r;
	if (directory && !S_ISDIR(p.node->mode))
		return -ENOTDIR;
	if (!directory && S_ISDIR(p.node->mode))
		return -EISDIR;
	if (!p.name[0])
		return p.node == sim->root ? -EBUSY : -EINVAL;
	if (directory && p.node->names)
		return -ENOTEMPTY;
	drop_name(sim, p.dir, p.at);
	return 0;
}

static int fs_mkdirat(struct cp_os_files *files, int dir_fd, const char *path, unsigned mode)
{
	struct place p;
	int r = -sim_fault(of(files), COOP_SIM_FILE);

	if (r >= 0)
		r = look_up(of(files), dir_fd, path, &p);
	if (r < 0)
		return r;
	return p.node ? -EEXIST : make(of(files), &p, S_IFDIR | (mode & 0777 & ~022u));
}

/* ------------------------------------------------------------- what a crash leaves */

static int copy_names(struct cp_sim *sim, const struct sim_entry *from, struct sim_entry **ret_to)
{
	struct sim_entry *to = NULL, **at = &to;

	for (; from; from = from->next) {
		*at = entry_new(sim, from->node, from->name);
		if (!*at) {
			names_free(sim, &to);
			return -ENOMEM;
		}
		at = &(*at)->next;
	}
	*ret_to = to;
	return 0;
}

static int sync_dir(struct cp_sim *sim, struct sim_node *n)
{
	struct sim_entry *names, *old = n->names_synced;
	int r = copy_names(sim, n->names, &names);

	if (r < 0)
		return r;
	n->names_synced = names;
	names_free(sim, &old);
	return 0;
}

static int copy_bytes(const struct sim_bytes *from, struct sim_bytes *to)
{
	char *data = NULL;

	if (from->size) {
		data = cp_alloc(from->size);
		if (!data)
			return -ENOMEM;
		memcpy(data, from->data, from->size);
	}
	cp_free(to->data);
	*to = (struct sim_bytes){ data, from->size, from->size };
	return 0;
}

int sim_node_sync(struct cp_sim *sim, struct sim_node *n)
{
	return S_ISDIR(n->mode) ? sync_dir(sim, n) : copy_bytes(&n->now, &n->synced);
}

/* Of what has not been synced, each file and each directory keeps all or nothing, by chance. */
static int crash_node(struct cp_sim *sim, struct sim_node *n)
{
	struct sim_entry *names, *old = n->names;
	size_t room = n->now.room;
	int r;

	if (sim_chance(sim, 50))
		return 0;
	if (!S_ISDIR(n->mode)) {
		r = copy_bytes(&n->synced, &n->now);
		if (r >= 0)
			sim->disk_bytes += n->now.room - room;
		return r;
	}
	r = copy_names(sim, n->names_synced, &names);
	if (r < 0)
		return r;
	n->names = names;
	names_free(sim, &old);
	return 0;
}

/* Links and parents follow from the names that are left. */
static void count_again(struct cp_sim *sim)
{
	for (struct sim_node *n = sim->nodes; n; n = n->next) {
		n->links = n == sim->root;
		n->parent = NULL;
	}
	for (struct sim_node *n = sim->nodes; n; n = n->next) {
		for (struct sim_entry *e = n->names; e; e = e->next) {
			e->node->links++;
			if (S_ISDIR(e->node->mode))
				e->node->parent = n;
		}
	}
}

/* Every node is held meanwhile, since one that goes takes others with it. */
int sim_fs_crash(struct cp_sim *sim)
{
	struct sim_node *next;
	int r = 0;

	for (struct sim_node *n = sim->nodes; n; n = n->next)
		n->refs++;
	for (struct sim_node *n = sim->nodes; n && r >= 0; n = n->next)
		r = crash_node(sim, n);
	count_again(sim);
	for (struct sim_node *n = sim->nodes; n; n = next) {
		next = n->next;
		sim_node_unref(sim, n);
	}
	return r;
}

/* ------------------------------------------------------------------ by descriptors */

static int fs_getdents(struct cp_os_files *files, int fd, void *buf, size_t bytes)
{
	struct sim_file *f = sim_file_of(of(files), fd);

	return f ? sim_file_getdents(f, buf, bytes) : -ENOTDIR;
}

static int fs_rewind(struct cp_os_files *files, int fd)
{
	struct sim_file *f = sim_file_of(of(files), fd);

	if (!f)
		return -ESPIPE;
	f->at = 0;
	f->cookie = 0;
	return 0;
}

static int fs_fstat(struct cp_os_files *files, int fd, struct stat *ret_stat)
{
	const struct sim_file *f = sim_file_of(of(files), fd);
	const struct sim_object *o = sim_find(of(files), fd);

	if (f)
		sim_node_stat(f->node, ret_stat);
	else
		*ret_stat =
			(struct stat){ .st_mode = o->is_pipe ? S_IFIFO | 0600 : S_IFSOCK | 0777 };
	return 0;
}

static int fs_preadv(struct cp_os_files *files, int fd, const struct iovec *iov, int count,
		     int64_t offset)
{
	struct sim_file *f = sim_file_of(of(files), fd);
	int r = -sim_fault(of(files), COOP_SIM_READ);

	if (r < 0)
		return r;
	return f ? sim_file_read(of(files), f, iov, count, offset) : -ESPIPE;
}

static int fs_pwritev(struct cp_os_files *files, int fd, const struct iovec *iov, int count,
		      int64_t offset)
{
	struct sim_file *f = sim_file_of(of(files), fd);
	int r = -sim_fault(of(files), COOP_SIM_WRITE);

	if (r < 0)
		return r;
	return f ? sim_file_write(of(files), f, iov, count, offset) : -ESPIPE;
}

static int fs_fsync(struct cp_os_files *files, int fd)
{
	struct sim_file *f = sim_file_of(of(files), fd);
	int r = -sim_fault(of(files), COOP_SIM_FSYNC);

	if (r < 0)
		return r;
	return f ? sim_node_sync(of(files), f->node) : -EINVAL;
}

static int fs_ftruncate(struct cp_os_files *files, int fd, int64_t bytes)
{
	struct sim_file *f = sim_file_of(of(files), fd);

	if (!f || bytes < 0 || S_ISDIR(f->node->mode) || (f->flags & O_ACCMODE) == O_RDONLY)
		return -EINVAL;
	return sim_file_resize(of(files), f->node, bytes);
}

static int fs_fchmod(struct cp_os_files *files, int fd, uint32_t mode)
{
	struct sim_file *f = sim_file_of(of(files), fd);

	if (f)
		f->node->mode = (f->node->mode & S_IFMT) | (mode & 07777);
	return 0;
}

/* There are no holes but the one behind the end. */
static int64_t fs_seek(struct cp_os_files *files, int fd, int64_t offset, bool hole)
{
	const struct sim_file *f = sim_file_of(of(files), fd);

	if (!f)
		return -ESPIPE;
	if (offset < 0 || (size_t)offset >= f->node->now.size)
		return -ENXIO;
	return hole ? (int64_t)f->node->now.size : offset;
}

static void fs_close(struct cp_os_files *files, int fd)
{
	sim_number_close(of(files), fd);
}

static const struct cp_os_files_ops sim_files_ops = {
	.has = fs_has,
	.openat = fs_openat,
	.statat = fs_statat,
	.renameat = fs_renameat,
	.linkat = fs_linkat,
	.unlinkat = fs_unlinkat,
	.mkdirat = fs_mkdirat,
	.getdents = fs_getdents,
	.rewind = fs_rewind,
	.fstat = fs_fstat,
	.preadv = fs_preadv,
	.pwritev = fs_pwritev,
	.fsync = fs_fsync,
	.ftruncate = fs_ftruncate,
	.fchmod = fs_fchmod,
	.seek = fs_seek,
	.close = fs_close,
};

/* --------------------------------------------------------------- begin and end */

int sim_fs_init(struct cp_sim *sim)
{
	struct place tmp = { .name = "tmp" };
	int r;

	sim->files.ops = &sim_files_ops;
	sim->root = sim_node_new(sim, S_IFDIR | 0755);
	if (!sim->root)
		return -ENOMEM;
	sim->root->refs = sim->root->links = 1;
	tmp.dir = sim->root;
	r = make(sim, &tmp, S_IFDIR | 01777);
	return r < 0 ? r : sim_node_sync(sim, sim->root);
}

static void entries_free(struct sim_entry *e)
{
	while (e) {
		struct sim_entry *next = e->next;

		cp_free(e);
		e = next;
	}
}

void sim_fs_deinit(struct cp_sim *sim)
{
	while (sim->nodes) {
		entries_free(sim->nodes->names);
		entries_free(sim->nodes->names_synced);
		node_free(sim, sim->nodes);
	}
}
