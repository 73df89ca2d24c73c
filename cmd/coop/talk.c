/* SPDX-License-Identifier: MIT */
/*
 * `ps`, `tree`, `logs`, `stop`, `restart`: the client side of the control socket. It needs no
 * runtime: one request, one answer.
 */
#include "control.h"
#include "option.h"
#include "pen.h"
#include "proctree.h"
#include "text.h"
#include "utf8.h"
#include "verbs.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { JOBS_MAX = 1000, LINE_KEPT_MAX = 64 << 10 };

/*
 * Connects: the descriptor, or -errno. A socket that was found, with the number of its process, is
 * taken away if that one has gone; one that lives may be just about to listen.
 */
static int dial(const char *path, int found_pid)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd, error;

	if (strlen(path) >= sizeof address.sun_path)
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, strlen(path));
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if (connect(fd, (struct sockaddr *)&address, sizeof address) == 0)
		return fd;
	error = errno;
	close(fd);
	if (error == ECONNREFUSED && found_pid && kill(found_pid, 0) < 0 && errno == ESRCH)
		unlink(path);
	return -error;
}

static int compare(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

/* A coop that runs in another one is seen in that: only the outermost are asked. */
static size_t leave_nested_out(int *pids, size_t count)
{
	size_t left = 0;

	for (size_t i = 0; i < count; i++)
		if (!proc_is_below_any(pids[i], pids, count))
			pids[left++] = pids[i];
	return left;
}

/* The numbers of the coops that have sockets in the folder. */
static size_t find_jobs(const char *dir, int *pids)
{
	DIR *d = control_is_private(dir) ? opendir(dir) : NULL;
	struct dirent *entry;
	size_t count = 0;

	while (d && count < JOBS_MAX && (entry = readdir(d))) {
		char path[PATH_MAX], *end;
		long pid = strtol(entry->d_name, &end, 10);
		int fd;

		if (pid <= 0 || strcmp(end, ".sock") != 0)
			continue;
		snprintf(path, sizeof path, "%s/%s", dir, entry->d_name);
		fd = dial(path, (int)pid);
		if (fd < 0)
			continue;
		close(fd);
		pids[count++] = (int)pid;
	}
	if (d)
		closedir(d);
	count = leave_nested_out(pids, count);
	qsort(pids, count, sizeof *pids, compare);
	return count;
}

/* ------------------------------------------------------------------ the request */

static int put_request(const struct plan *plan, char *buf)
{
	const char *verb = verb_table[plan->verb].name;
	int used = snprintf(buf, CONTROL_REQUEST_MAX, "%s", verb);

	if (plan->verb == VERB_LOGS)
		used = snprintf(buf, CONTROL_REQUEST_MAX, "logs %lu %s", (unsigned long)plan->lines,
				plan->is_follow ? "follow" : "once");
	for (size_t i = 0; plan->pid == 0 && i < plan->words.count; i++)
		if (used < CONTROL_REQUEST_MAX)
			used += snprintf(buf + used, (size_t)(CONTROL_REQUEST_MAX - used), " %s",
					 plan->words.items[i]);
	return used < CONTROL_REQUEST_MAX - 2 ? used : -1;
}

static int complain(const struct plan *plan, const char *text)
{
	fprintf(stderr, "coop %s: %s\n", verb_table[plan->verb].name, text);
	return STATUS_OWN;
}

/*
 * What is for a terminal is made safe as on the screen of a running coop, whole lines at a time: no
 * part of a sequence is left for the next piece. Elsewhere it goes as it is.
 */
static void put_safely(const char *data, size_t size, bool is_end)
{
	static struct pen kept, safe;
	size_t whole;

	pen_put(&kept, data, size);
	whole = kept.used;
	while (whole && kept.bytes[whole - 1] != '\n' && !is_end && kept.used < LINE_KEPT_MAX)
		whole--;
	if (whole) {
		pen_safe_output(&safe, kept.bytes, whole);
		fwrite(safe.bytes, 1, safe.used, stdout);
		memmove(kept.bytes, kept.bytes + whole, kept.used - whole);
		kept.used -= whole;
		safe.used = 0;
	}
	if (is_end) {
		pen_free(&kept);
		pen_free(&safe);
	}
}

static void put_answer(int fd)
{
	bool is_terminal = isatty(STDOUT_FILENO);
	char piece[CONTROL_REQUEST_MAX];
	ssize_t size;

	while ((size = read(fd, piece, sizeof piece)) > 0) {
		if (is_terminal)
			put_safely(piece, (size_t)size, false);
		else
			fwrite(piece, 1, (size_t)size, stdout);
		fflush(stdout);
	}
	if (is_terminal)
		put_safely("", 0, true);
}

/* The first line says how it went; the rest is for standard output. */
static int take_answer(const struct plan *plan, int fd)
{
	FILE *in = fdopen(fd, "r");
	char line[CONTROL_REQUEST_MAX];

	if (in)
		setvbuf(in, NULL, _IONBF, 0); /* what follows the line is read past it */
	if (!in || !fgets(line, sizeof line, in)) {
		if (in)
			fclose(in);
		else
			close(fd);
		return complain(plan, "no answer");
	}
	line[strcspn(line, "\n")] = '\0';
	if (strncmp(line, "error ", 6) == 0) {
		fclose(in);
		utf8_make_visible(line);
		return complain(plan, line + 6);
	}
	put_answer(fd);
	fclose(in);
	return 0;
}

static int talk_to(const struct plan *plan, const char *path)
{
	char text[CONTROL_REQUEST_MAX];
	int used = put_request(plan, text), fd;

	if (used < 0)
		return complain(plan, "too many names at once");
	text[used++] = '\n';
	fd = dial(path, 0);
	if (plan->pid && (fd == -ENOENT || fd == -ECONNREFUSED)) {
		fprintf(stderr, "coop %s: process %d is no running coop of yours\n",
			verb_table[plan->verb].name, plan->pid);
		return STATUS_OWN;
	}
	if (fd < 0) {
		fprintf(stderr, "coop %s: %s: %s\n", verb_table[plan->verb].name, path,
			strerror(-fd));
		return STATUS_OWN;
	}
	if (send(fd, text, (size_t)used, MSG_NOSIGNAL) != used) {
		close(fd);
		return complain(plan, "it has ended");
	}
	return take_answer(plan, fd);
}

/* ----------------------------------------------------------------------- which one */

static int talk_to_all(const struct plan *plan, const char *dir, const int *pids, size_t count)
{
	int status = 0;

	for (size_t i = 0; i < count; i++) {
		char path[PATH_MAX];

		if (count > 1) {
			printf("%scoop %d\n", i ? "\n" : "", pids[i]);
			fflush(stdout);
		}
		snprintf(path, sizeof path, "%s/%d.sock", dir, pids[i]);
		status |= talk_to(plan, path);
	}
	return status;
}

static int too_many(const struct plan *plan, const char *dir, const int *pids, size_t count)
{
	fprintf(stderr, "coop %s: %zu are running; say which:", verb_table[plan->verb].name, count);
	for (size_t i = 0; i < count && i < 10; i++)
		fprintf(stderr, " --control %s/%d.sock", dir, pids[i]);
	fprintf(stderr, "\n");
	return STATUS_OWN;
}

int verb_talk(struct plan *plan)
{
	static int pids[JOBS_MAX];
	char dir[CONTROL_PATH_MAX], path[PATH_MAX];
	bool is_looking = plan->verb == VERB_PS || plan->verb == VERB_TREE;
	size_t count;

	if (plan->control)
		return talk_to(plan, plan->control);
	if (!control_dir(dir, sizeof dir))
		return complain(plan, "the name of the folder for sockets is too long");
	if (plan->pid) {
		snprintf(path, sizeof path, "%s/%d.sock", dir, plan->pid);
		return talk_to(plan, path);
	}
	count = find_jobs(dir, pids);
	if (!count)
		return complain(plan, "no coop of yours is running");
	if (count > 1 && !is_looking)
		return too_many(plan, dir, pids, count);
	return talk_to_all(plan, dir, pids, count);
}
