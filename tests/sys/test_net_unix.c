/* SPDX-License-Identifier: MIT */
/* Unix sockets at paths: rights, who is replaced, what is removed. */
#include "net_help.h"

#include <sys/wait.h>

static char folder[] = "/tmp/coop-net-XXXXXX";

static void enter_folder(void)
{
	CHECK(mkdtemp(folder) != NULL);
	CHECK_INT(chdir(folder), ==, 0);
}

static void leave_folder(void)
{
	CHECK_INT(chdir("/"), ==, 0);
	CHECK_INT(rmdir(folder), ==, 0); /* nothing is left in it */
}

static unsigned mode_of(const char *path)
{
	struct stat st;

	CHECK_INT(lstat(path, &st), ==, 0);
	CHECK(S_ISSOCK(st.st_mode));
	return st.st_mode & 07777;
}

/* One byte from a client to the listener. */
static void talk(struct coop_listener *l, const char *path)
{
	int client = coop_unix_connect(path), server;

	CHECK_INT(client, >=, 0);
	server = coop_listener_accept(l, NULL);
	CHECK_INT(server, >=, 0);
	send_text(client, "x");
	expect_text(server, "x");
	CHECK_INT(fcntl(client, F_GETFD), ==, FD_CLOEXEC);
	close_both(client, server);
}

/* A path is there while the listener is, an abstract name is no file. */
IO_TEST(a_path_lives_as_long_as_its_listener)
{
	struct coop_listener *l;
	struct coop_addr addr;
	char name[64], text[COOP_ADDR_TEXT_MAX];

	enter_folder();
	CHECK_INT(coop_unix_listen("x.sock", NULL, &l), ==, 0);
	CHECK_INT(coop_listener_addr(l, &addr), ==, 0);
	CHECK_STR(coop_addr_text(&addr, text, sizeof text), "unix:x.sock");
	talk(l, "x.sock");
	coop_listener_close(l);
	CHECK_INT(access("x.sock", F_OK), ==, -1);
	CHECK_INT(coop_unix_connect("x.sock"), ==, -ENOENT);

	snprintf(name, sizeof name, "@coop-test-%d", (int)getpid());
	CHECK_INT(coop_unix_listen(name, NULL, &l), ==, 0);
	talk(l, name);
	coop_listener_close(l);
	CHECK_INT(coop_unix_connect(name), ==, -ECONNREFUSED);
	coop_error_clear();
	leave_folder();
	return 0;
}

/* The rights are those that were asked for, whatever the umask is. */
REAL_IO_TEST(rights_are_as_asked_for)
{
	static const struct {
		unsigned mask, mode, expect;
	} cases[] = { { 0, 0, 0600 },      { 077, 0, 0600 },    { 0, 0666, 0666 },
		      { 077, 0666, 0666 }, { 022, 0660, 0660 }, { 0777, 0, 0600 } };
	struct coop_listener *l;

	enter_folder();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct coop_listen_opts opts = { .mode = cases[i].mode };

		umask(cases[i].mask);
		CHECK_INT(coop_unix_listen("m.sock", &opts, &l), ==, 0);
		CHECK_INT(mode_of("m.sock"), ==, cases[i].expect);
		coop_listener_close(l);
	}
	umask(022);
	leave_folder();
	PROVES(rel_L04);
	return 0;
}

/* A socket is bound at the path, and nobody will ever listen there. */
static void leave_stale(const char *path)
{
	struct sockaddr_un un = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	strcpy(un.sun_path, path);
	CHECK_INT(bind(fd, (struct sockaddr *)&un, sizeof un), ==, 0);
	close(fd);
}

/* Who is gone is replaced; who listens, and what is no socket, stays. */
REAL_IO_TEST(only_the_dead_are_replaced)
{
	struct coop_listener *l, *other = NULL;
	int fd;

	enter_folder();
	leave_stale("s.sock");
	CHECK_INT(coop_unix_listen("s.sock", NULL, &l), ==, 0);
	CHECK_INT(mode_of("s.sock"), ==, 0600);
	CHECK_INT(coop_unix_listen("s.sock", NULL, &other), ==, -EADDRINUSE);
	CHECK(other == NULL);
	fd = coop_listener_accept(l, NULL); /* the question whether we live */
	CHECK_INT(fd, >=, 0);
	coop_close(fd);
	talk(l, "s.sock");
	coop_listener_close(l);

	fd = open("file", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	close(fd);
	CHECK_INT(coop_unix_listen("file", NULL, &other), ==, -EADDRINUSE);
	CHECK_INT(unlink("file"), ==, 0);
	CHECK_INT(symlink("nowhere", "link"), ==, 0);
	CHECK_INT(coop_unix_listen("link", NULL, &other), ==, -EADDRINUSE);
	CHECK_INT(unlink("link"), ==, 0);
	coop_error_clear();
	leave_folder();
	PROVES(rel_L04);
	return 0;
}

static int close_in_a_run(void *arg)
{
	coop_listener_close(arg);
	return 0;
}

static int no_connection(int fd, void *arg)
{
	(void)fd;
	(void)arg;
	return 0;
}

static int serve(void *arg)
{
	return coop_serve(arg, no_connection, NULL, NULL);
}

/* A worker that serves, is told to stop, drains, and closes. */
static int serve_in_a_run(void *arg)
{
	int r = coop_move_on_after(MS(1), serve, arg);

	coop_listener_close(arg);
	return r;
}

static int close_outside(void *arg)
{
	coop_listener_close(arg);
	return 0;
}

static int close_in_a_run_of_its_own(void *arg)
{
	return coop_run(close_in_a_run, arg, NULL);
}

static int serve_in_a_run_of_its_own(void *arg)
{
	return coop_run(serve_in_a_run, arg, NULL);
}

static void end_in_a_child(int (*how)(void *arg), struct coop_listener *l)
{
	int status;
	pid_t pid = fork();

	CHECK_INT(pid, >=, 0);
	if (pid == 0)
		_exit(how(l) == 0 ? 42 : 1);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK(WIFEXITED(status));
	CHECK_INT(WEXITSTATUS(status), ==, 42);
}

static int talk_and_close(void *arg)
{
	talk(arg, "f.sock");
	coop_listener_close(arg);
	return 0;
}

/* Workers that were forked close their copies: the parent's clients still find it. */
TEST(a_forked_child_leaves_the_path)
{
	struct coop_listener *l;

	enter_folder();
	CHECK_INT(coop_unix_listen("f.sock", NULL, &l), ==, 0);
	end_in_a_child(close_outside, l);
	end_in_a_child(close_in_a_run_of_its_own, l);
	end_in_a_child(serve_in_a_run_of_its_own, l);
	CHECK_INT(access("f.sock", F_OK), ==, 0);
	CHECK_INT(coop_run(talk_and_close, l, NULL), ==, 0);
	CHECK_INT(access("f.sock", F_OK), ==, -1);
	leave_folder();
}

/* The same when the fork was in the middle of a run. */
IO_TEST(a_child_forked_in_a_run_leaves_the_path)
{
	struct coop_listener *l;

	enter_folder();
	CHECK_INT(coop_unix_listen("f.sock", NULL, &l), ==, 0);
	end_in_a_child(close_outside, l);
	talk_and_close(l);
	CHECK_INT(access("f.sock", F_OK), ==, -1);
	leave_folder();
	return 0;
}

/* What somebody else has put at the path is not removed at the end. */
REAL_IO_TEST(only_our_own_path_is_removed)
{
	struct coop_listener *l;

	enter_folder();
	CHECK_INT(coop_unix_listen("o.sock", NULL, &l), ==, 0);
	CHECK_INT(unlink("o.sock"), ==, 0);
	leave_stale("o.sock");
	coop_listener_close(l);
	CHECK_INT(unlink("o.sock"), ==, 0);

	CHECK_INT(coop_unix_listen("o.sock", NULL, &l), ==, 0);
	CHECK_INT(unlink("o.sock"), ==, 0);
	coop_listener_close(l);
	leave_folder();
	PROVES(rel_L04);
	return 0;
}

static int connect_path(void *arg)
{
	return coop_unix_connect(arg);
}

/* A listener whose queue is full makes connects wait, and they can be cancelled. */
IO_TEST(a_full_queue_is_waited_for)
{
	struct coop_listen_opts opts = { .backlog = 1 };
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *h;
	struct coop_listener *l;
	int clients[2], late = -1;

	enter_folder();
	CHECK_INT(coop_unix_listen("q.sock", &opts, &l), ==, 0);
	for (int i = 0; i < 2; i++)
		CHECK_INT(clients[i] = coop_unix_connect("q.sock"), >=, 0);
	CHECK_INT(coop_move_on_after(MS(20), connect_path, (void *)"q.sock"), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, connect_path, (void *)"q.sock", NULL, &h), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_handle_state(h), <=, COOP_TASK_BLOCKED); /* it has not ended */
	for (int i = 0; i < 3; i++) {
		int fd = coop_listener_accept(l, NULL);

		CHECK_INT(fd, >=, 0);
		coop_close(fd);
	}
	CHECK_INT(coop_handle_wait(h, &late), ==, 0);
	coop_handle_release(h);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	coop_close(late);
	close_both(clients[0], clients[1]);
	coop_listener_close(l);
	leave_folder();
	PROVES(rel_G15);
	return 0;
}

/* Names that cannot be. */
IO_TEST(bad_paths_are_refused)
{
	char path[200];
	struct coop_listener *l;

	memset(path, 'p', sizeof path);
	path[199] = '\0';
	CHECK_INT(coop_unix_listen(path, NULL, &l), ==, -ENAMETOOLONG);
	CHECK_INT(coop_unix_listen("", NULL, &l), ==, -EINVAL);
	CHECK_INT(coop_unix_listen("@", NULL, &l), ==, -EINVAL);
	CHECK_INT(coop_unix_listen(NULL, NULL, &l), ==, -EINVAL);
	CHECK_INT(coop_unix_connect(path), ==, -ENAMETOOLONG);
	CHECK_INT(coop_unix_connect(NULL), ==, -EINVAL);
	CHECK_INT(coop_unix_listen("/nosuchfolder/x", NULL, &l), ==, -ENOENT);
	coop_error_clear();
	return 0;
}
