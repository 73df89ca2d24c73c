/* SPDX-License-Identifier: MIT */
/*
 * Ten thousand connections that say nothing (G16).
 *
 * Their other ends are held by another process, since one may have no more descriptors than that
 * here. What an idle connection costs its server, with the handler's task and its stack,
 * is told, and is at most what the documentation says. Then all of them are ended by the server's
 * limit for the idle, each one.
 */
#include "../core/core_help.h"

#include "base/base.h"

#include <coop/io.h>
#include <coop/net.h>

#include <sys/resource.h>
#include <sys/socket.h>

#define SPARE 200 /* descriptors for all else */
#define USER_BYTES_MAX 5120
/* By an optimised build for x86-64: other frames are larger and reach into a second page. */
#if defined(__OPTIMIZE__) && defined(__x86_64__)
#define BYTES_ARE_PROMISED 1
#else
#define BYTES_ARE_PROMISED 0
#endif

/* A sanitizer's memory is not coop's. */
#if defined(CP_ASAN) || defined(CP_TSAN)
#define COUNTS_MEMORY false
#else
#define COUNTS_MEMORY true
#endif

static struct coop_listener *server;
static struct coop_addr address;
static int connections;

static int raise_files(void)
{
	struct rlimit l;

	CHECK_INT(getrlimit(RLIMIT_NOFILE, &l), ==, 0);
	l.rlim_cur = l.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &l), ==, 0);
	return l.rlim_max > 1000000 ? 1000000 : (int)l.rlim_max;
}

/* ---- the other process: as many that say nothing, until each has been ended */

static int silent_clients(int go)
{
	int *fds = calloc((size_t)connections, sizeof *fds), ended = 0;
	char c;

	for (int i = 0; i < connections; i++) {
		fds[i] = socket(address.sa.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (fds[i] < 0 || connect(fds[i], &address.sa, address.len) < 0)
			return 2;
	}
	if (read(go, &c, 1) != 1)
		return 3;
	for (int i = 0; i < connections; i++)
		ended += read(fds[i], &c, 1) == 0;
	free(fds);
	return ended == connections ? 42 : 4;
}

static pid_t start_clients(int *ret_go)
{
	int fds[2];
	pid_t pid;

	CHECK_INT(pipe(fds), ==, 0);
	pid = fork();
	CHECK_INT(pid, >=, 0);
	if (pid == 0) {
		close(fds[1]);
		_exit(silent_clients(fds[0]));
	}
	close(fds[0]);
	*ret_go = fds[1];
	return pid;
}

/* ---- the server */

static struct coop_serve_opts opts;
static struct coop_group group;

static int says_nothing(int fd, void *arg)
{
	char c;

	(void)arg;
	return coop_serve_recv(fd, &c, 1);
}

static int serve(void *arg)
{
	return coop_serve(server, says_nothing, arg, &opts);
}

static void server_open(int64_t idle_ns)
{
	CHECK_INT(coop_tcp_listen("127.0.0.1", "0", NULL, &server), ==, 0);
	CHECK_INT(coop_listener_addr(server, &address), ==, 0);
	opts = (struct coop_serve_opts){ .idle_ns = idle_ns, .drain_ns = MS(1) };
	group = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&group, NULL);
	CHECK_INT(coop_spawn(&group, serve, NULL), ==, 0);
}

static void server_drain(void)
{
	CHECK_INT(coop_listener_drain(server), ==, 0);
	CHECK_INT(coop_group_join(&group, 0), ==, 0);
	coop_listener_close(server);
}

/* Until so many have come, and so many are there. */
static void wait_for(int accepted, int open)
{
	struct coop_listener_stats s;

	do {
		CHECK_INT(coop_sleep(MS(20)), ==, 0);
		CHECK_INT(coop_listener_stats(server, &s), ==, 0);
	} while ((int)s.accepted != accepted || (int)s.open != open);
}

static long resident_bytes(void)
{
	FILE *f = fopen("/proc/self/statm", "r");
	long pages, resident;

	CHECK(f != NULL);
	CHECK_INT(fscanf(f, "%ld %ld", &pages, &resident), ==, 2);
	fclose(f);
	return resident * sysconf(_SC_PAGESIZE);
}

static void ends_well(pid_t pid, int go)
{
	int status;

	CHECK_INT(write(go, "g", 1), ==, 1);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(WEXITSTATUS(status), ==, 42);
	CHECK_INT(close(go), ==, 0);
}

/* All are there at once: what does one cost? Then the server is stopped, which ends them. */
static void many_at_once(void)
{
	long before, each;
	pid_t pid;
	int go;

	server_open(COOP_SECONDS(3600));
	pid = start_clients(&go);
	before = resident_bytes();
	wait_for(connections, connections);
	each = (resident_bytes() - before) / connections;
	printf("%d idle connections, %ld bytes each\n", connections, each);
	if (COUNTS_MEMORY && BYTES_ARE_PROMISED)
		CHECK_INT(each, <=, USER_BYTES_MAX);
	server_drain();
	ends_well(pid, go);
}

/* They are ended one by one by the limit of the server, which goes on. */
static void ended_by_the_limit(void)
{
	pid_t pid;
	int go;

	server_open(MS(100));
	pid = start_clients(&go);
	wait_for(connections, 0);
	ends_well(pid, go);
	server_drain();
}

static int idle(void *arg)
{
	(void)arg;
	many_at_once();
	ended_by_the_limit();
	return 0;
}

static void run_on(enum coop_engine engine)
{
	struct coop_run_opts run = { .engine = engine };
	int room = raise_files() - SPARE, r;

	TEST_SECONDS(120);
	unsetenv("COOP_IO"); /* it would have the last word */
	connections = TEST_COUNT(10000, 1000);
	if (connections > room)
		connections = room;
	r = coop_run(idle, NULL, &run);
	if (r == -ENOTSUP)
		SKIP("this machine has no such engine");
	CHECK_INT(r, ==, 0);
	PROVES(rel_G16);
}

TEST(rel_G16_ten_thousand_idle_epoll)
{
	run_on(COOP_ENGINE_EPOLL);
}

TEST(rel_G16_ten_thousand_idle_uring)
{
	run_on(COOP_ENGINE_URING);
}

/* ---- in one process, on the virtual clock: not early, and not late */

static int idle_simulated(void *arg)
{
	int *fds = calloc((size_t)connections, sizeof *fds);
	int64_t begin;
	char c;

	(void)arg;
	CHECK(fds != NULL);
	server_open(COOP_SECONDS(60));
	begin = coop_now();
	for (int i = 0; i < connections; i++) {
		fds[i] = coop_tcp_connect_addr(&address, NULL);
		CHECK_INT(fds[i], >=, 0);
	}
	for (int i = 0; i < connections; i++) {
		CHECK_INT(coop_recv(fds[i], &c, 1, 0), ==, 0);
		CHECK_INT(coop_now(), >=, begin + COOP_SECONDS(60));
		CHECK_INT(coop_now(), <, begin + COOP_SECONDS(61));
		CHECK_INT(coop_close(fds[i]), ==, 0);
	}
	server_drain();
	free(fds);
	return 0;
}

TEST(rel_G16_ten_thousand_idle_sim)
{
	struct coop_run_opts run = { .engine = COOP_ENGINE_SIM, .clock = COOP_CLOCK_VIRTUAL };
	int room = (raise_files() - SPARE) / 2;

	TEST_SECONDS(120);
	connections = TEST_COUNT(10000, 1000);
	if (connections > room)
		connections = room;
	CHECK_INT(coop_run(idle_simulated, NULL, &run), ==, 0);
	PROVES(rel_G16);
}
