/* SPDX-License-Identifier: MIT */
/*
 * A call and its cancel at once: the call begins, what it waits for comes, and it is cancelled, all
 * before the loop looks at the world again. Either it has happened and is reported, or it
 * has not and nothing is gone.
 */
#include "io_help.h"

struct race {
	int fd;
	int result;
	int (*call)(int fd);
};

static char got[4];

static int by_recv(int fd)
{
	return coop_recv(fd, got, 4, 0);
}

static int by_read(int fd)
{
	return coop_read(fd, got, 4);
}

static int by_readv(int fd)
{
	struct iovec iov[2] = { { got, 2 }, { got + 2, 2 } };

	return coop_readv(fd, iov, 2);
}

static int by_recvmsg(int fd)
{
	struct iovec iov = { got, 4 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return coop_recvmsg(fd, &msg, 0);
}

static int by_send(int fd)
{
	return coop_send(fd, "text", 4, 0);
}

static int by_write(int fd)
{
	return coop_write(fd, "text", 4);
}

static int by_sendmsg(int fd)
{
	struct iovec iov = { (char *)(uintptr_t) "text", 4 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };

	return coop_sendmsg(fd, &msg, 0);
}

static int by_accept(int fd)
{
	return coop_accept(fd, NULL, NULL);
}

static int call_it(void *arg)
{
	struct race *race = arg;

	race->result = race->call(race->fd);
	return race->result == COOP_ECANCELED ? race->result : 0;
}

static const struct coop_spawn_opts eager = { .eager = true };

/* Something else that waits already, so that the ring has a batch to submit. */
static void begin(struct coop_group *others, struct race *other, int pair_fds[2])
{
	pair(&pair_fds[0], &pair_fds[1]);
	*other = (struct race){ .fd = pair_fds[0], .call = by_recv };
	coop_group_open(others, NULL);
	CHECK_INT(coop_spawn_with(others, call_it, other, &eager, NULL), ==, 0);
}

static void end(struct coop_group *others, const int pair_fds[2])
{
	coop_group_cancel(others, "over");
	CHECK_INT(coop_group_join(others, 0), ==, 0);
	close_both(pair_fds[0], pair_fds[1]);
}

/* The call begins, `come` happens, the call is cancelled. `late`: the loop runs in between. */
static int race_of(struct race *race, void (*come)(int to), int to, bool late)
{
	struct coop_group others = COOP_GROUP_INIT, g = COOP_GROUP_INIT;
	struct race other;
	int fds[2];

	begin(&others, &other, fds);
	race->result = 1000;
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, call_it, race, &eager, NULL), ==, 0);
	if (late)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	if (come)
		come(to);
	coop_group_cancel(&g, "at once");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	end(&others, fds);
	return race->result;
}

static void comes(int to)
{
	CHECK_INT(send_elsewhere(to, "text", 4), ==, 4);
}

/* Received and reported, or still there. */
IO_TEST(rel_E01_a_receive_and_its_cancel)
{
	static int (*const calls[])(int fd) = { by_recv, by_read, by_readv, by_recvmsg };

	for (size_t i = 0; i < 2 * sizeof calls / sizeof *calls; i++) {
		struct race race = { .call = calls[i / 2] };
		int peer, r, left;
		char buf[8];

		pair(&race.fd, &peer);
		r = race_of(&race, comes, peer, i % 2);
		left = recv_elsewhere(race.fd, buf, sizeof buf);
		if (r == COOP_ECANCELED)
			CHECK_INT(left, ==, 4);
		else
			CHECK(r == 4 && left < 0);
		close_both(race.fd, peer);
	}
	PROVES(rel_E01);
	return 0;
}

/* Sent and reported, or nothing has come. */
IO_TEST(a_send_and_its_cancel)
{
	static int (*const calls[])(int fd) = { by_send, by_write, by_sendmsg };

	for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
		struct race race = { .call = calls[i] };
		int peer, r, came;
		char buf[8];

		pair(&race.fd, &peer);
		r = race_of(&race, NULL, -1, false);
		came = recv_elsewhere(peer, buf, sizeof buf);
		if (r == COOP_ECANCELED)
			CHECK_INT(came, <, 0);
		else
			CHECK(r == 4 && came == 4);
		close_both(race.fd, peer);
	}
	return 0;
}

static struct sockaddr_in listening_at;
static int connecting;

static void connects(int to)
{
	int r;

	(void)to;
	connecting = new_socket(AF_INET, SOCK_STREAM);
	r = WORLD(connect, connecting, (struct sockaddr *)&listening_at, sizeof listening_at);
	CHECK(r == 0 || r == -EINPROGRESS);
}

/* The connection is in our hands, or still in the queue. */
IO_TEST(rel_E02_an_accept_and_its_cancel)
{
	for (int late = 0; late < 2; late++) {
		struct race race = { .call = by_accept };
		int r;

		race.fd = listener(&listening_at);
		r = race_of(&race, connects, -1, late);
		if (r == COOP_ECANCELED)
			r = coop_accept(race.fd, NULL, NULL);
		CHECK_INT(r, >=, 0);
		CHECK_INT(coop_close(r), ==, 0);
		close_both(race.fd, connecting);
	}
	PROVES(rel_E02);
	return 0;
}
