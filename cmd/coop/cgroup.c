/* SPDX-License-Identifier: MIT */
/*
 * Where we are in the tree of cgroups. Delegation is tried: a group is made, and taken away again.
 */
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { CGROUP2_MAGIC = 0x63677270 };
#define MOUNT "/sys/fs/cgroup"

static ssize_t read_text(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t len;

	if (fd < 0)
		return -errno;
	len = read(fd, buf, size - 1);
	if (len < 0)
		len = -errno;
	close(fd);
	if (len < 0)
		return len;
	while (len && buf[len - 1] == '\n')
		len--;
	buf[len] = '\0';
	return len;
}

int cgroup_read(const struct cgroup *cgroup, const char *file, char *buf, size_t size)
{
	char path[CGROUP_PATH_MAX + 32];
	ssize_t len;

	snprintf(path, sizeof path, "%s/%s", cgroup->path, file);
	len = read_text(path, buf, size);
	return len < 0 ? (int)len : 0;
}

/* Version 2 may be mounted alone, or beside version 1 as "unified". */
static const char *find_mount(void)
{
	static const char *const mounts[] = { MOUNT, MOUNT "/unified" };
	struct statfs fs;

	for (size_t i = 0; i < 2; i++)
		if (statfs(mounts[i], &fs) == 0 && (unsigned long)fs.f_type == CGROUP2_MAGIC)
			return mounts[i];
	return NULL;
}

/* The path in the line "0::/PATH". */
static const char *find_own(char *text)
{
	char *line = strncmp(text, "0::", 3) == 0 ? text : strstr(text, "\n0::");

	if (!line)
		return NULL;
	line += *line == '\n' ? 4 : 3;
	line[strcspn(line, "\n")] = '\0';
	return line;
}

/* Makes a group, looks at it, and takes it away. */
static int try_child(struct cgroup *cgroup)
{
	char child[CGROUP_PATH_MAX + 32], file[CGROUP_PATH_MAX + 48];

	snprintf(child, sizeof child, "%s/coop-doctor-%d", cgroup->path, (int)getpid());
	if (mkdir(child, 0755) < 0)
		return -errno;
	snprintf(file, sizeof file, "%s/cgroup.kill", child);
	cgroup->has_kill = access(file, F_OK) == 0;
	return rmdir(child) < 0 ? -errno : 0;
}

int cgroup_find(struct cgroup *ret_cgroup)
{
	const char *mount = find_mount(), *own;
	char text[8192] = "";

	*ret_cgroup = (struct cgroup){ .path = "" };
	if (!mount || read_text("/proc/self/cgroup", text, sizeof text) < 0)
		return -ENOENT;
	own = find_own(text);
	if (!own)
		return -ENOENT;
	if (strlen(mount) + strlen(own) >= CGROUP_PATH_MAX)
		return -ENAMETOOLONG;
	strncat(ret_cgroup->path, mount, CGROUP_PATH_MAX - 1);
	if (strcmp(own, "/") != 0)
		strncat(ret_cgroup->path, own, CGROUP_PATH_MAX - 1 - strlen(mount));
	return try_child(ret_cgroup);
}
