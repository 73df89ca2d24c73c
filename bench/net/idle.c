/* SPDX-License-Identifier: MIT */
/*
 * idle PORT PID CONNECTIONS SECONDS: what connections cost a server that does nothing for them.
 *
 * Opens them, has each answer one message, and waits SECONDS. One line comes out:
 *
 *	memory_bytes/connection  wakeups/s  cpu_ns/s
 *
 * Memory is what the server's pages (Pss of smaps_rollup) and page tables have grown by; the
 * kernel's own for sockets is not in it. A wake-up is a voluntary switch of one of its threads.
 */
#include "net.h"

#include <dirent.h>

static FILE *proc_open(int pid, const char *name)
{
	char path[320];
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/%s", pid, name);
	f = fopen(path, "r");
	if (!f)
		net_must(-1, path);
	return f;
}

/* The number behind `key` in a file of /proc. */
static long proc_number(int pid, const char *name, const char *key)
{
	FILE *f = proc_open(pid, name);
	char line[256];
	long n = 0;

	while (fgets(line, sizeof line, f))
		if (strncmp(line, key, strlen(key)) == 0)
			n = strtol(line + strlen(key), NULL, 10);
	fclose(f);
	return n;
}

static double memory(int pid)
{
	return 1024.0 * (double)(proc_number(pid, "smaps_rollup", "Pss:") +
				 proc_number(pid, "status", "VmPTE:"));
}

static long wakeups(int pid)
{
	char path[320];
	struct dirent *e;
	long sum = 0;
	DIR *d;

	snprintf(path, sizeof path, "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		net_must(-1, path);
	while ((e = readdir(d))) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "task/%s/status", e->d_name);
		sum += proc_number(pid, path, "voluntary_ctxt_switches:");
	}
	closedir(d);
	return sum;
}

static void greet(int fd)
{
	char buf[NET_MESSAGE] = { 0 };

	net_must((int)send(fd, buf, sizeof buf, MSG_NOSIGNAL), "send");
	if (recv(fd, buf, sizeof buf, MSG_WAITALL) != sizeof buf)
		net_must(-1, "recv");
}

int main(int argc, char **argv)
{
	int port, pid, count, seconds;
	double bytes;
	int64_t cpu_ns;
	long switches;

	if (argc != 5) {
		fprintf(stderr, "usage: idle PORT PID CONNECTIONS SECONDS\n");
		return 2;
	}
	port = atoi(argv[1]);
	pid = atoi(argv[2]);
	count = atoi(argv[3]);
	seconds = atoi(argv[4]);
	net_raise_files();
	greet(net_connect(port)); /* what the first one costs is the server's, not its */
	bytes = memory(pid);
	for (int i = 0; i < count; i++)
		greet(net_connect(port));
	sleep(1);
	bytes = (memory(pid) - bytes) / count;
	switches = wakeups(pid);
	cpu_ns = net_cpu_ns(pid);
	sleep((unsigned)seconds);
	printf("%.0f %.1f %.0f\n", bytes, (double)(wakeups(pid) - switches) / seconds,
	       (double)(net_cpu_ns(pid) - cpu_ns) / seconds);
	return 0;
}
