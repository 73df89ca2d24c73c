/* SPDX-License-Identifier: MIT */
/*
 * The files of the simulated world: a tree of nodes in memory.
 *
 * Each node knows what of it would be there after a crash: a file its data as of the last fsync, a
 * directory its names as of its own. A name outlives a crash only where its directory has been
 * synced, as with the kernel's file systems at their strictest.
 *
 * Invariants
 *   1. A node lives as long as a name (of now or of after a crash), an open file or a child
 *      that is a directory refers to it: `refs`.
 *   2. The names of a directory are in order of their making, and their cookies grow, so one who
 *      reads it while it changes sees each name that stays exactly once.
 */
#ifndef CP_SIM_FS_H
#define CP_SIM_FS_H

#include "io/sim.h"

#define SIM_NAME_MAX 255
#define SIM_FILE_MAX (INT64_C(1) << 30)

struct sim_node;

struct sim_entry {
	struct sim_entry *next;
	struct sim_node *node;
	uint64_t cookie;
	char name[];
};

struct sim_bytes {
	char *data;
	size_t size;
	size_t room;
};

struct sim_node {
	struct sim_node *next; /* of all; for the end of the world */
	struct sim_node *prev;
	uint64_t ino;
	uint32_t mode;
	uint32_t refs;
	uint32_t links;
	int64_t changed_ns;
	struct sim_bytes now, synced;           /* of a file */
	struct sim_entry *names, *names_synced; /* of a directory */
	struct sim_node *parent;
};

struct sim_file {
	struct sim_object object;
	struct sim_node *node;
	int flags;
	int64_t at;      /* of a file */
	uint64_t cookie; /* of a directory: the last that was told */
};

/* sim_fs.c */
struct sim_node *sim_node_new(struct cp_sim *sim, uint32_t mode);
void sim_node_unref(struct cp_sim *sim, struct sim_node *n);
void sim_node_stat(const struct sim_node *n, struct stat *ret_stat);
int sim_node_sync(struct cp_sim *sim, struct sim_node *n);

/* sim_file.c */
int sim_file_open(struct cp_sim *sim, struct sim_node *n, int flags);
struct sim_file *sim_file_of(struct cp_sim *sim, int fd); /* NULL: another thing */
int sim_file_resize(struct cp_sim *sim, struct sim_node *n, int64_t bytes);
int sim_file_read(struct cp_sim *sim, struct sim_file *f, const struct iovec *iov, int count,
		  int64_t offset);
int sim_file_write(struct cp_sim *sim, struct sim_file *f, const struct iovec *iov, int count,
		   int64_t offset);
int sim_file_getdents(struct sim_file *f, void *buf, size_t bytes);

#endif
