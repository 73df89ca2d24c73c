/* SPDX-License-Identifier: MIT */
/* Datagrams, and what Unix sockets pass beside bytes. */
#include "net_help.h"

static int udp_at(const char *text, struct coop_addr *ret_addr)
{
	int fd;

	CHECK_INT(coop_addr_parse(text, ret_addr), ==, 0);
	fd = coop_udp_open(ret_addr, NULL);
	CHECK_INT(fd, >=, 0);
	CHECK_INT(coop_socket_addr(fd, ret_addr), ==, 0);
	if (cp_world_of(cp_rt) == &cp_world_system)
		CHECK_INT(fcntl(fd, F_GETFD), ==, FD_CLOEXEC);
	return fd;
}

/* A datagram arrives whole, with the address it came from; an empty one, too. */
IO_TEST(datagrams_and_their_addresses)
{
	struct coop_addr a, b, from;
	char buf[64] = "";
	int one = udp_at("127.0.0.1:0", &a), two = udp_at("127.0.0.1:0", &b);

	CHECK_INT(coop_udp_send(one, "hello", 5, &b), ==, 5);
	CHECK_INT(coop_udp_recv(two, buf, sizeof buf, &from), ==, 5);
	CHECK_STR(buf, "hello");
	CHECK_INT(coop_addr_compare(&from, &a), ==, 0);
	CHECK_INT(coop_udp_send(two, "", 0, &from), ==, 0);
	CHECK_INT(coop_udp_recv(one, buf, sizeof buf, NULL), ==, 0);
	close_both(one, two);
	return 0;
}

/* What does not fit is an error, not a shorter message. */
IO_TEST(a_long_datagram_is_not_cut_in_silence)
{
	struct coop_addr a, b, from = { .len = 0 };
	char buf[4];
	int one = udp_at("127.0.0.1:0", &a), two = udp_at("127.0.0.1:0", &b);

	CHECK_INT(coop_udp_send(one, "hello", 5, &b), ==, 5);
	CHECK_INT(coop_udp_send(one, "next", 4, &b), ==, 4);
	CHECK_INT(coop_udp_recv(two, buf, sizeof buf, &from), ==, -EMSGSIZE);
	CHECK_INT(from.len, ==, 0);
	CHECK_INT(coop_udp_recv(two, buf, sizeof buf, NULL), ==, 4);
	close_both(one, two);
	return 0;
}

static int receive(void *arg)
{
	char c;

	return coop_udp_recv((int)(intptr_t)arg, &c, 1, NULL);
}

/* A peer: sends without an address, hears nobody else, and is told that nobody is there. */
IO_TEST(a_connected_socket_has_one_peer)
{
	struct coop_addr a, b, c;
	char buf[8] = "";
	int one = udp_at("127.0.0.1:0", &a), two = udp_at("127.0.0.1:0", &b),
	    three = udp_at("127.0.0.1:0", &c);

	CHECK_INT(coop_udp_connect(one, &b), ==, 0);
	CHECK_INT(coop_udp_send(one, "x", 1, NULL), ==, 1);
	CHECK_INT(coop_udp_recv(two, buf, sizeof buf, NULL), ==, 1);
	CHECK_INT(coop_udp_send(three, "y", 1, &a), ==, 1);
	CHECK_INT(coop_move_on_after(MS(10), receive, MSARG(one)), ==, 0);
	coop_close(two);
	CHECK_INT(coop_udp_send(one, "x", 1, NULL), ==, 1);
	CHECK_INT(receive(MSARG(one)), ==, -ECONNREFUSED);
	CHECK_INT(coop_udp_connect(one, NULL), ==, 0);
	CHECK_INT(coop_udp_send(one, "x", 1, NULL), ==, -EDESTADDRREQ);
	close_both(one, three);
	PROVES(rel_G15);
	return 0;
}

/* A socket of both families knows an IPv4 peer by its IPv4 address, and can answer it. */
IO_TEST(one_socket_for_both_families)
{
	struct coop_addr a, any, to, from;
	char buf[8];
	int one = udp_at("127.0.0.1:0", &a), two = coop_udp_open(NULL, NULL);

	CHECK_INT(two, >=, 0);
	CHECK_INT(coop_socket_addr(two, &any), ==, 0);
	CHECK_INT(coop_udp_send(two, "x", 1, &a), ==, 1); /* has it bound */
	CHECK_INT(coop_udp_recv(one, buf, sizeof buf, &from), ==, 1);
	CHECK_INT(coop_addr_ip("127.0.0.1", (uint16_t)coop_addr_port(&any), &to), ==, 0);
	CHECK_INT(coop_addr_compare(&from, &to), ==, 0);
	CHECK_INT(coop_udp_send(one, "y", 1, &to), ==, 1);
	CHECK_INT(coop_udp_recv(two, buf, sizeof buf, &from), ==, 1);
	CHECK_INT(coop_addr_compare(&from, &a), ==, 0);
	close_both(one, two);
	return 0;
}

/* One port for several, if they say so; options that nobody knows. */
IO_TEST(options_of_udp)
{
	struct coop_udp_opts share = { .reuse_port = true }, unknown = { ._reserved = { 1 } };
	struct coop_addr addr, local;
	int one, two;

	CHECK_INT(coop_addr_parse("127.0.0.1:0", &addr), ==, 0);
	one = coop_udp_open(&addr, &share);
	CHECK_INT(coop_socket_addr(one, &addr), ==, 0);
	CHECK_INT(coop_udp_open(&addr, NULL), ==, -EADDRINUSE);
	coop_error_clear();
	two = coop_udp_open(&addr, &share);
	CHECK_INT(two, >=, 0);
	close_both(one, two);
	CHECK_INT(coop_udp_open(&addr, &unknown), ==, -EINVAL);
	CHECK_INT(coop_addr_parse("unix:x", &local), ==, 0);
	CHECK_INT(coop_udp_open(&local, NULL), ==, -EINVAL);
	return 0;
}

/* ---- Unix sockets */

/* The kernel says who is at the other end. */
IO_TEST(who_the_peer_is)
{
	struct coop_creds creds;
	struct coop_addr addr;
	int fds[2], tcp = udp_at("127.0.0.1:0", &addr);

	CHECK_INT(coop_socket_pair(SOCK_STREAM, fds), ==, 0);
	CHECK_INT(fcntl(fds[0], F_GETFD), ==, FD_CLOEXEC);
	CHECK_INT(coop_peer_creds(fds[0], &creds), ==, 0);
	CHECK_INT(creds.pid, ==, getpid());
	CHECK_INT(creds.uid, ==, getuid());
	CHECK_INT(creds.gid, ==, getgid());
	CHECK_INT(coop_peer_creds(tcp, &creds), ==, -EAFNOSUPPORT);
	CHECK_INT(coop_peer_creds(-1, &creds), ==, -EBADF);
	close_both(fds[0], fds[1]);
	coop_close(tcp);
	return 0;
}

/* Descriptors come with the first byte, are close-on-exec, and are what was sent (I03). */
IO_TEST(rel_I03_descriptors_are_passed)
{
	int fds[2], pipes[2], got[2] = { -1, -1 };
	size_t count = 0;
	char buf[8] = "";

	CHECK_INT(coop_socket_pair(SOCK_STREAM, fds), ==, 0);
	CHECK_INT(pipe2(pipes, O_CLOEXEC), ==, 0);
	CHECK_INT(coop_send_fds(fds[0], "two", 3, pipes, 2), ==, 3);
	close(pipes[0]);
	CHECK_INT(coop_recv_fds(fds[1], buf, sizeof buf, 2, got, &count), ==, 3);
	CHECK_STR(buf, "two");
	CHECK_INT(count, ==, 2);
	for (int i = 0; i < 2; i++)
		CHECK_INT(fcntl(got[i], F_GETFD), ==, FD_CLOEXEC);
	CHECK_INT(write(pipes[1], "z", 1), ==, 1);
	CHECK_INT(coop_read(got[0], buf, 1), ==, 1);
	CHECK_INT(buf[0], ==, 'z');
	close(pipes[1]);
	close_both(got[0], got[1]);
	CHECK_INT(coop_send_fds(fds[0], "none", 4, NULL, 0), ==, 4);
	CHECK_INT(coop_recv_fds(fds[1], buf, sizeof buf, 2, got, &count), ==, 4);
	CHECK_INT(count, ==, 0);
	coop_close(fds[0]);
	CHECK_INT(coop_recv_fds(fds[1], buf, sizeof buf, 2, got, &count), ==, 0);
	coop_close(fds[1]);
	PROVES(rel_I03);
	return 0;
}

/* More than there is room for: what is too much is closed, down to the last one (I03). */
IO_TEST(rel_I03_surplus_descriptors_are_closed)
{
	int fds[2], many[COOP_FDS_MAX + 1], got[3], before;
	size_t count = 0;
	char c;

	CHECK_INT(coop_socket_pair(SOCK_STREAM, fds), ==, 0);
	for (int i = 0; i <= COOP_FDS_MAX; i++)
		many[i] = fds[0];
	before = fds_open();
	for (size_t sent = 1; sent <= COOP_FDS_MAX; sent += sent < 6 ? 1 : 50)
		for (size_t room = 0; room <= 3; room++) {
			CHECK_INT(coop_send_fds(fds[0], "x", 1, many, sent), ==, 1);
			CHECK_INT(coop_recv_fds(fds[1], &c, 1, room, got, &count), ==, 1);
			CHECK_INT(count, ==, sent);
			for (size_t i = 0; i < room && i < sent; i++)
				coop_close(got[i]);
			CHECK_INT(fds_open(), ==, before);
		}
	CHECK_INT(coop_send_fds(fds[0], "x", 1, many, COOP_FDS_MAX + 1), ==, -EINVAL);
	CHECK_INT(coop_send_fds(fds[0], "", 0, many, 1), ==, -EINVAL);
	CHECK_INT(coop_recv_fds(fds[1], &c, 0, 1, got, &count), ==, -EINVAL);
	many[0] = 1000000;
	CHECK_INT(coop_send_fds(fds[0], "x", 1, many, 1), ==, -EBADF);
	close_both(fds[0], fds[1]);
	PROVES(rel_I03);
	return 0;
}

/* One descriptor can still be had, two come: all are closed, and the call says so. */
static void lose_descriptors(int type)
{
	struct rlimit limit, low;
	int fds[2], got[2] = { -1, -1 }, before, lowest;
	size_t count = 77;
	char c;

	CHECK_INT(coop_socket_pair(type, fds), ==, 0);
	before = fds_open();
	CHECK_INT(coop_send_fds(fds[0], "x", 1, fds, 2), ==, 1);
	CHECK_INT(coop_send_fds(fds[0], "y", 1, fds, 1), ==, 1);
	CHECK_INT(lowest = dup(0), >=, 0);
	close(lowest);
	CHECK_INT(getrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	low = (struct rlimit){ .rlim_cur = (rlim_t)lowest + 1, .rlim_max = limit.rlim_max };
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &low), ==, 0);
	CHECK_INT(coop_recv_fds(fds[1], &c, 1, 2, got, &count), ==, -EMFILE);
	CHECK_INT(count, ==, 77);
	CHECK_INT(got[0], ==, -1);
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &limit), ==, 0);
	CHECK_INT(fds_open(), ==, before);
	CHECK_INT(coop_recv_fds(fds[1], &c, 1, 2, got, &count), ==, 1); /* the next is whole */
	CHECK_INT(c, ==, 'y');
	CHECK_INT(count, ==, 1);
	close_both(fds[0], fds[1]);
	coop_close(got[0]);
}

/* Descriptors that this process cannot have are not lost in silence, nor left open (I03). */
IO_TEST(rel_I03_descriptors_that_cannot_be_had_are_an_error)
{
	static const int types[] = { SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET };

	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i] != SOCK_SEQPACKET || cp_world_of(cp_rt) == &cp_world_system)
			lose_descriptors(types[i]); /* there are no simulated ones of packets */
	PROVES(rel_I03);
	return 0;
}

/* What else the kernel tells of a message takes none of the room of its descriptors (I03). */
REAL_IO_TEST(rel_I03_credentials_do_not_displace_descriptors)
{
	int fds[2], many[COOP_FDS_MAX], on = 1;
	size_t count = 0;
	char c;

	CHECK_INT(coop_socket_pair(SOCK_STREAM, fds), ==, 0);
	CHECK_INT(setsockopt(fds[1], SOL_SOCKET, SO_PASSCRED, &on, sizeof on), ==, 0);
	CHECK_INT(setsockopt(fds[1], SOL_SOCKET, SO_TIMESTAMP, &on, sizeof on), ==, 0);
	for (int i = 0; i < COOP_FDS_MAX; i++)
		many[i] = fds[0];
	CHECK_INT(coop_send_fds(fds[0], "x", 1, many, COOP_FDS_MAX), ==, 1);
	CHECK_INT(coop_recv_fds(fds[1], &c, 1, COOP_FDS_MAX, many, &count), ==, 1);
	CHECK_INT(count, ==, COOP_FDS_MAX);
	for (size_t i = 0; i < count; i++)
		coop_close(many[i]);
	close_both(fds[0], fds[1]);
	PROVES(rel_I03);
	return 0;
}
