/* SPDX-License-Identifier: MIT */
/*
 * soak CONNECTIONS SECONDS: an echo server and its clients in one process, under all that befalls a
 * server, and whether everything comes back.
 *
 * As many clients as CONNECTIONS are connected at a time. Each does one thing after another with a
 * connection: messages of all sizes, receives cut off by deadlines, pauses; and ends it in
 * one of many ways: in order, by a reset, half-closed, in the middle of a message. The server
 * cuts some off, too. What is echoed is compared, byte by byte: a cancelled call that had
 * taken or sent something would show.
 *
 * A first phase of a quarter of the time ends with all clients leaving by themselves, a second one
 * with everything cancelled at once. Descriptors, tasks and coop's memory must be what they were
 * before; resident memory may not have grown from the first phase to the second.
 *
 * COOP_IO says on which engine. Needs two descriptors for each connection.
 */
#include <coop.h>
#include <coop/io.h>
#include <coop/net.h>

#include "core/core.h"

#include "base/os.h"
#include "ctx/ctx.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define CHUNK 2048
#define MESSAGE_MAX 32768
#define NETS 64         /* clients' addresses: one has 28,000 ports, and those rest for a minute */
#define PAUSE_NS 250000 /* between messages, for each of all connections: all get a turn */
#define RSS_SLACK_KIB 8192

/* A sanitizer has memory of its own, which grows. */
#if defined(CP_ASAN) || defined(CP_TSAN)
#define OTHERS_MEMORY true
#else
#define OTHERS_MEMORY false
#endif

/* What happened; all of it has to, or the soak shows nothing. */
static struct {
	uint64_t connections, messages, bytes;
	uint64_t recv_cut, server_cut, resets, half_closes, torn, ended_by_peer, cancelled;
} count;

static struct sockaddr_in address;
static int connections, seconds;
static bool leave;

/* ---------------------------------------------------------------------- checking */

static void must_at(long r, bool good, const char *what, int line)
{
	if (good)
		return;
	fprintf(stderr, "soak.c:%d: %s: %ld (%s)\n", line, what, r,
		r < 0 ? coop_code_text((int)r) : "");
	abort();
}
#define MUST(r, op, n) \
	do { \
		long must_r_ = (r); \
		must_at(must_r_, must_r_ op(n), #r, __LINE__); \
	} while (0)

/* What a stream of echoed bytes looks like from its number on. */
static unsigned char byte_at(uint64_t seed, uint64_t i)
{
	return (unsigned char)((seed + i / 251) * 167 + i);
}

static uint32_t chance(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)(*state >> 32);
}

static bool one_in(uint64_t *state, uint32_t n)
{
	return chance(state) % n == 0;
}

/* ------------------------------------------------------------------------ server */

static int send_all(int fd, const char *buf, int bytes)
{
	int sent = 0;

	while (sent < bytes) {
		int r = coop_send(fd, buf + sent, (size_t)(bytes - sent), 0);

		if (r < 0)
			return r;
		sent += r;
	}
	return 0;
}

static int echo(int fd, bool idle)
{
	char buf[CHUNK];
	int r;

	for (;;) {
		r = idle ? coop_serve_recv(fd, buf, sizeof buf) : coop_recv(fd, buf, sizeof buf, 0);
		if (r > 0)
			r = send_all(fd, buf, r);
		else
			return r;
		if (r < 0)
			return r;
	}
}

/* One connection of the server's; some it cuts off after a while. */
static int serve(int fd, void *arg)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	uint64_t dice = 0x9e3779b97f4a7c15u * (count.connections + 1);
	int r;

	(void)arg;
	coop_scope_open(&s, NULL);
	if (one_in(&dice, 16))
		MUST(coop_scope_set_deadline(&s,
					     coop_now() + chance(&dice) % COOP_MILLISECONDS(900)),
		     ==, 0);
	r = echo(fd, one_in(&dice, 2));
	r = coop_scope_close(&s, r);
	count.server_cut += coop_scope_caught(&s);
	if (r == COOP_ECANCELED)
		return r;
	MUST(r, ==, r == -EPIPE || r == -ECONNRESET ? r : 0);
	return 0;
}

static int serve_all(void *arg)
{
	int r = coop_serve(arg, serve, NULL, NULL);

	MUST(r, ==, r == COOP_ECANCELED ? r : 0);
	return r;
}

/* ------------------------------------------------------------------------ client */

struct client {
	uint64_t dice;
	uint64_t seed, sent, got; /* of this connection */
	int fd;
};

/* The peer has ended the connection: not what was asked for, and no fault. */
static bool ended(int r)
{
	return r == 0 || r == -ECONNRESET || r == -EPIPE;
}

static int send_message(struct client *c, unsigned bytes)
{
	char buf[CHUNK];

	while (bytes) {
		unsigned part = bytes < CHUNK ? bytes : CHUNK;
		int r;

		for (unsigned i = 0; i < part; i++)
			buf[i] = (char)byte_at(c->seed, c->sent + i);
		r = coop_send(c->fd, buf, part, 0);
		if (r < 0)
			return r;
		c->sent += (unsigned)r;
		bytes -= (unsigned)r;
	}
	return 1;
}

/* One receive, some with a deadline; 1 also if that came first. */
static int receive_some(struct client *c)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	unsigned char buf[CHUNK];
	int r;

	coop_scope_open(&s, NULL);
	if (one_in(&c->dice, 8))
		MUST(coop_scope_set_deadline(&s, coop_now() + chance(&c->dice) % 200000), ==, 0);
	r = coop_recv(c->fd, buf, 1 + chance(&c->dice) % CHUNK, 0);
	for (int i = 0; i < r; i++)
		must_at(buf[i], buf[i] == byte_at(c->seed, c->got + (unsigned)i), "an echoed byte",
			__LINE__);
	if (r > 0) {
		c->got += (unsigned)r;
		count.bytes += (unsigned)r;
	}
	r = coop_scope_close(&s, r);
	if (!coop_scope_caught(&s))
		return r;
	count.recv_cut++;
	return 1;
}

static int receive_all(struct client *c)
{
	int r = 1;

	while (r > 0 && c->got < c->sent)
		r = receive_some(c);
	return r;
}

static unsigned some_size(struct client *c)
{
	return one_in(&c->dice, 16) ? 1 + chance(&c->dice) % MESSAGE_MAX
				    : 1 + chance(&c->dice) % 512;
}

static int talk(struct client *c)
{
	int r = 1;

	while (r > 0 && !leave && !one_in(&c->dice, 6)) {
		r = send_message(c, some_size(c));
		if (r > 0)
			r = receive_all(c);
		count.messages += r > 0;
		if (r > 0 && coop_sleep(chance(&c->dice) % (connections * PAUSE_NS)) < 0)
			r = COOP_ECANCELED;
	}
	return r;
}

/* Says that nothing more will come, and gets all that is due, then the end. */
static int half_close(struct client *c)
{
	int r = send_message(c, some_size(c));

	if (r <= 0)
		return r;
	r = shutdown(c->fd, SHUT_WR) < 0 ? -errno : 0;
	MUST(r, ==, r == -ENOTCONN ? r : 0); /* it may have been reset meanwhile */
	r = receive_all(c);
	while (r > 0)
		r = receive_some(c);
	count.half_closes++;
	return r;
}

/* How it leaves a connection that is in order. */
static int part(struct client *c)
{
	struct linger reset = { .l_onoff = 1 };
	int r = 1;

	switch (chance(&c->dice) % 4) {
	case 0: return half_close(c);
	case 1:
		count.torn++;
		r = send_message(c, MESSAGE_MAX);
		break;
	case 2: count.resets++; break;
	default: return r;
	}
	MUST(setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset), ==, 0);
	return r;
}

/* A socket with an address of its own, and sometimes hardly any room. */
static int make_socket(struct client *c)
{
	struct sockaddr_in own = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1, small = 4608;

	MUST(fd < 0 ? -errno : fd, >=, 0);
	own.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1 + chance(&c->dice) % NETS);
	MUST(setsockopt(fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on), ==, 0);
	MUST(bind(fd, (struct sockaddr *)&own, sizeof own), ==, 0);
	if (one_in(&c->dice, 4))
		MUST(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &small, sizeof small), ==, 0);
	return fd;
}

static int one_connection(struct client *c)
{
	int r;

	c->fd = make_socket(c);
	c->seed = chance(&c->dice);
	c->sent = c->got = 0;
	r = coop_connect(c->fd, (struct sockaddr *)&address, sizeof address);
	if (r == 0) {
		count.connections++;
		r = talk(c);
		if (r > 0)
			r = part(c);
		count.ended_by_peer += ended(r);
	}
	MUST(coop_close(c->fd), ==, 0);
	count.cancelled += r == COOP_ECANCELED;
	return r;
}

static int client(void *arg)
{
	struct client c = { .dice = 0x9e3779b97f4a7c15u * (uint64_t)(uintptr_t)arg };
	int r = 1;

	while (!leave && (r > 0 || ended(r)))
		r = one_connection(&c);
	if (r != COOP_ECANCELED && r <= 0)
		MUST(r, ==, ended(r) ? r : 1);
	return r == COOP_ECANCELED ? r : 0;
}

/* ----------------------------------------------------------------------- figures */

struct figures {
	long fds, tasks, rss_kib;
	int64_t allocs;
};

static long count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	long n = -1; /* its own */

	MUST(d != NULL, ==, 1);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2; /* . and .. */
}

static long rss_kib(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages = 0;

	MUST(f != NULL && fscanf(f, "%*d %ld", &pages) == 1, ==, 1);
	fclose(f);
	return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static struct figures look(const char *when)
{
	struct figures f = { .fds = count_fds(),
			     .tasks = cp_rt ? (long)cp_tasks(cp_rt) : 0,
			     .rss_kib = rss_kib(),
			     .allocs = cp_os_faults.allocs_live };

	printf("%-30s%12ld%8ld%8ld%10lld%12ld\n", when, (long)count.connections, f.fds, f.tasks,
	       (long long)f.allocs, f.rss_kib);
	fflush(stdout);
	return f;
}

/* ------------------------------------------------------------------------- soaking */

static struct coop_listener *listen_here(void)
{
	struct coop_listener *listener;
	struct coop_addr addr;

	MUST(coop_addr_ip("127.0.0.1", 0, &addr), ==, 0);
	MUST(coop_tcp_listen_addr(&addr, NULL, &listener), ==, 0);
	MUST(coop_listener_addr(listener, &addr), ==, 0);
	address = addr.in;
	return listener;
}

/* Server and clients for a while; then the clients leave, or all is cancelled. */
static struct figures phase(int64_t for_ns, bool cancel)
{
	struct coop_group all = COOP_GROUP_INIT, clients = COOP_GROUP_INIT;
	struct coop_listener *listener = listen_here();
	struct figures busy;
	int r;

	leave = false;
	coop_group_open(&all, NULL);
	MUST(coop_spawn(&all, serve_all, listener), ==, 0);
	coop_group_open(&clients, NULL);
	for (int i = 1; i <= connections; i++) {
		MUST(coop_spawn(&clients, client, (void *)(intptr_t)i), ==, 0);
		if (i % 64 == 0)
			MUST(coop_yield(), ==, 0);
	}
	MUST(coop_sleep(for_ns), ==, 0);
	busy = look(cancel ? "  busy, before the cancel" : "  busy");
	leave = true;
	if (cancel)
		coop_group_cancel(&all, "the end");
	r = coop_group_join(&clients, 0);
	MUST(r, ==, cancel ? COOP_ECANCELED : 0); /* it is within the other one */
	MUST(coop_listener_drain(listener), ==, cancel ? 1 : 0);
	MUST(coop_group_join(&all, r), ==, 0);
	coop_listener_close(listener);
	return busy;
}

static void same(const char *what, int64_t is, int64_t was)
{
	if (is == was)
		return;
	fprintf(stderr, "soak: %s: %lld, and %lld before\n", what, (long long)is, (long long)was);
	exit(1);
}

static int soak(void *arg)
{
	struct figures start, busy, first, second;
	int64_t all_ns = COOP_SECONDS(seconds);

	(void)arg;
	start = look("at rest");
	busy = phase(all_ns / 4, false);
	first = look("all have left");
	phase(all_ns - all_ns / 4, true);
	second = look("all were cancelled");
	same("descriptors", first.fds, start.fds);
	same("descriptors", second.fds, start.fds);
	same("tasks", first.tasks, start.tasks);
	same("tasks", second.tasks, start.tasks);
	/* Room for nodes and for descriptors stays, as much as the most there ever were needed. */
	MUST(second.allocs <= first.allocs + 16, ==, true);
	if (!OTHERS_MEMORY && second.rss_kib > busy.rss_kib + RSS_SLACK_KIB) {
		fprintf(stderr, "soak: resident memory grew\n");
		exit(1);
	}
	return 0;
}

static void tell_counts(void)
{
	printf("%llu connections, %llu messages, %llu MB echoed; receives cut off: %llu; ended by: "
	       "reset %llu, half-close %llu, amid a message %llu, the server %llu (cut off %llu), "
	       "cancel %llu\n",
	       (unsigned long long)count.connections, (unsigned long long)count.messages,
	       (unsigned long long)count.bytes / 1000000, (unsigned long long)count.recv_cut,
	       (unsigned long long)count.resets, (unsigned long long)count.half_closes,
	       (unsigned long long)count.torn, (unsigned long long)count.ended_by_peer,
	       (unsigned long long)count.server_cut, (unsigned long long)count.cancelled);
	if (!count.messages || !count.recv_cut || !count.resets || !count.half_closes ||
	    !count.torn || !count.server_cut || count.cancelled < (uint64_t)connections / 2) {
		fprintf(stderr, "soak: some of it never happened\n");
		exit(1);
	}
}

int main(int argc, char **argv)
{
	struct rlimit l;
	struct figures before, after;
	int r;

	if (argc != 3) {
		fprintf(stderr, "usage: soak CONNECTIONS SECONDS\n");
		return 2;
	}
	connections = atoi(argv[1]);
	seconds = atoi(argv[2]);
	MUST(getrlimit(RLIMIT_NOFILE, &l), ==, 0);
	l.rlim_cur = l.rlim_max;
	MUST(setrlimit(RLIMIT_NOFILE, &l), ==, 0);
	MUST(2 * connections + 64, <=, (long)l.rlim_max);
	printf("%-30s%12s%8s%8s%10s%12s\n", "", "connections", "fds", "tasks", "allocs", "RSS KiB");
	before = look("before the run");
	r = coop_run(soak, NULL, NULL);
	if (r == -ENOTSUP) {
		printf("this machine has no such engine\n");
		return 77; /* skipped */
	}
	MUST(r, ==, 0);
	after = look("after the run");
	same("descriptors", after.fds, before.fds);
	same("allocations", after.allocs, before.allocs);
	tell_counts();
	return 0;
}
