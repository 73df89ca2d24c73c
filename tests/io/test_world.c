/* SPDX-License-Identifier: MIT */
/*
 * What sockets and pipes do, on each engine: what the kernel does is what coop relies on, and what
 * the simulated world has to do as well.
 */
#include "io_help.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/un.h>

#define SA(a) ((struct sockaddr *)&(a)), sizeof(a)

static struct sockaddr_in loopback(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static void put(int fd, const char *text)
{
	CHECK_INT(coop_send(fd, text, strlen(text), 0), ==, strlen(text));
}

static void get(int fd, const char *text)
{
	char buf[64];
	int r = coop_recv(fd, buf, sizeof buf - 1, 0);

	CHECK_INT(r, >=, 0);
	buf[r] = '\0';
	CHECK_STR(buf, text);
}

static int recv_1(int fd)
{
	char c;

	return coop_recv(fd, &c, 1, 0);
}

static int send_1(int fd)
{
	return coop_send(fd, "x", 1, 0);
}

/* -------------------------------------------------------------- ends of connections */

/* A TCP socket that is closed with something unread resets; what it had sent is read before. */
IO_TEST(tcp_closed_with_something_unread)
{
	int a, b;

	tcp_pair(&a, &b);
	put(a, "unread");
	put(b, "last words");
	CHECK_INT(coop_poll(b, POLLIN), ==, POLLIN);
	CHECK_INT(coop_close(b), ==, 0);
	get(a, "last words");
	CHECK_INT(recv_1(a), ==, -ECONNRESET);
	CHECK_INT(recv_1(a), ==, 0);
	CHECK_INT(send_1(a), ==, -EPIPE);
	CHECK_INT(coop_close(a), ==, 0);
	return 0;
}

/* What is sent to a TCP socket that was closed comes back: the first send succeeds. */
IO_TEST(tcp_send_to_one_that_has_closed)
{
	int a, b;

	tcp_pair(&a, &b);
	put(b, "bye");
	CHECK_INT(coop_close(b), ==, 0);
	CHECK_INT(coop_poll(a, POLLRDHUP), ==, POLLRDHUP);
	CHECK_INT(send_1(a), ==, 1);
	CHECK(coop_poll(a, POLLOUT) & POLLHUP);
	CHECK_INT(send_1(a), ==, -EPIPE);
	get(a, "bye");
	CHECK_INT(recv_1(a), ==, 0);
	CHECK_INT(send_1(a), ==, -EPIPE);
	CHECK_INT(coop_close(a), ==, 0);
	return 0;
}

/* A Unix socket whose peer has closed: the end at once, an error if something was unread. */
IO_TEST(unix_peer_has_closed)
{
	for (int unread = 0; unread < 2; unread++) {
		int a, b;

		pair(&a, &b);
		if (unread)
			put(a, "unread");
		put(b, "bye");
		CHECK_INT(coop_close(b), ==, 0);
		CHECK_INT(send_1(a), ==, -EPIPE);
		get(a, "bye");
		if (unread)
			CHECK_INT(recv_1(a), ==, -ECONNRESET);
		CHECK_INT(recv_1(a), ==, 0);
		CHECK_INT(send_1(a), ==, -EPIPE);
		CHECK_INT(coop_close(a), ==, 0);
	}
	return 0;
}

/* Half-closed: one direction ends, the other goes on. */
IO_TEST(half_closed)
{
	for (int tcp = 0; tcp < 2; tcp++) {
		int a, b;

		(tcp ? tcp_pair : pair)(&a, &b);
		put(a, "question");
		CHECK_INT(WORLD(shutdown, a, SHUT_WR), ==, 0);
		CHECK_INT(send_1(a), ==, -EPIPE);
		get(b, "question");
		CHECK_INT(recv_1(b), ==, 0);
		CHECK(coop_poll(b, POLLIN | POLLRDHUP) == (POLLIN | POLLRDHUP));
		put(b, "answer");
		CHECK_INT(coop_close(b), ==, 0);
		get(a, "answer");
		CHECK_INT(recv_1(a), ==, 0);
		CHECK(coop_poll(a, POLLIN) & POLLHUP);
		CHECK_INT(coop_close(a), ==, 0);
	}
	return 0;
}

/* Nothing more to be read here: a Unix peer is told, by an error. */
IO_TEST(reading_is_shut_down)
{
	int a, b;

	pair(&a, &b);
	CHECK_INT(WORLD(shutdown, a, SHUT_RD), ==, 0);
	CHECK_INT(recv_1(a), ==, 0);
	CHECK_INT(send_1(b), ==, -EPIPE);
	put(a, "still");
	get(b, "still");
	close_both(a, b);
	tcp_pair(&a, &b);
	CHECK_INT(WORLD(shutdown, a, SHUT_RD), ==, 0);
	CHECK_INT(recv_1(a), ==, 0);
	CHECK_INT(send_1(b), ==, 1);
	close_both(a, b);
	return 0;
}

/* Connections that nobody accepted end with their listener. */
IO_TEST(a_listener_ends_its_queue)
{
	struct sockaddr_in addr;
	int l = listener(&addr), s = new_socket(AF_INET, SOCK_STREAM);

	CHECK_INT(coop_connect(s, SA(addr)), ==, 0);
	put(s, "hello?");
	CHECK_INT(coop_close(l), ==, 0);
	CHECK_INT(recv_1(s), ==, -ECONNRESET);
	CHECK_INT(coop_close(s), ==, 0);
	return 0;
}

/* -------------------------------------------------------------------- what is refused */

/* Calls on sockets that are not connected, or are so already. */
IO_TEST(calls_in_the_wrong_state)
{
	struct sockaddr_in addr, name;
	struct sockaddr_in6 six = { .sin6_family = AF_INET6 };
	socklen_t len = sizeof name;
	int l = listener(&addr), s = new_socket(AF_INET, SOCK_STREAM), p[2];

	CHECK_INT(recv_1(s), ==, -ENOTCONN);
	CHECK_INT(send_1(s), ==, -EPIPE);
	CHECK_INT(coop_accept(s, NULL, NULL), ==, -EINVAL);
	CHECK_INT(WORLD(shutdown, s, SHUT_WR), ==, -ENOTCONN);
	CHECK_INT(WORLD(getpeername, s, (struct sockaddr *)&name, &len), ==, -ENOTCONN);
	CHECK_INT(coop_connect(s, SA(six)), ==, -EAFNOSUPPORT);
	CHECK_INT(coop_connect(s, (struct sockaddr *)&addr, 4), ==, -EINVAL);
	CHECK_INT(recv_1(l), ==, -ENOTCONN);
	CHECK_INT(coop_connect(s, SA(addr)), ==, 0);
	CHECK_INT(coop_connect(s, SA(addr)) % EISCONN, ==, 0); /* Linux may say 0 once */
	CHECK_INT(coop_connect(s, SA(addr)), ==, -EISCONN);
	CHECK_INT(WORLD(listen, s, 5), ==, -EINVAL);
	CHECK_INT(coop_fsync(s), ==, -EINVAL);
	CHECK_INT(coop_pread(s, &len, 1, 0), ==, -ESPIPE);
	CHECK_INT(coop_splice(s, l, 10, 0), ==, -EINVAL);
	close_both(l, s);
	s = new_socket(AF_UNIX, SOCK_STREAM);
	CHECK_INT(recv_1(s), ==, -EINVAL);
	CHECK_INT(send_1(s), ==, -ENOTCONN);
	CHECK_INT(WORLD(listen, s, 5), ==, -EINVAL);
	CHECK_INT(coop_close(s), ==, 0);
	new_pipe(p);
	CHECK_INT(recv_1(p[0]), ==, -ENOTSOCK);
	CHECK_INT(coop_write(p[0], "x", 1), ==, -EBADF);
	CHECK_INT(coop_read(p[1], &len, 1), ==, -EBADF);
	CHECK_INT(coop_pwrite(p[1], "x", 1, 0), ==, -ESPIPE);
	CHECK_INT(coop_fsync(p[1]), ==, -EINVAL);
	CHECK_INT(WORLD(getsockname, p[0], (struct sockaddr *)&name, &len), ==, -ENOTSOCK);
	CHECK_INT(WORLD(listen, p[0], 5), ==, -ENOTSOCK);
	close_both(p[0], p[1]);
	CHECK_INT(WORLD(socket, AF_INET, SOCK_STREAM, IPPROTO_UDP), ==, -EPROTONOSUPPORT);
	return 0;
}

/* Addresses that are taken, that are somebody else's, and that are bound twice. */
IO_TEST(binding)
{
	struct sockaddr_in addr, far = loopback(0), any = { .sin_family = AF_INET };
	const int on = 1;
	int l = listener(&addr), s = new_socket(AF_INET, SOCK_STREAM), t;

	CHECK_INT(ntohs(addr.sin_port), >, 0);
	CHECK_INT(WORLD(bind, s, SA(addr)), ==, -EADDRINUSE);
	any.sin_port = addr.sin_port;
	CHECK_INT(WORLD(bind, s, SA(any)), ==, -EADDRINUSE);
	far.sin_addr.s_addr = inet_addr("192.0.2.1");
	CHECK_INT(WORLD(bind, s, SA(far)), ==, -EADDRNOTAVAIL);
	addr.sin_port = 0;
	CHECK_INT(WORLD(bind, s, SA(addr)), ==, 0);
	CHECK_INT(WORLD(bind, s, SA(addr)), ==, -EINVAL);
	close_both(l, s);

	s = new_socket(AF_INET, SOCK_STREAM);
	t = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(WORLD(setsockopt, s, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), ==, 0);
	CHECK_INT(WORLD(setsockopt, t, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on), ==, 0);
	CHECK_INT(WORLD(bind, s, SA(addr)), ==, 0);
	CHECK_INT(WORLD(getsockname, s, (struct sockaddr *)&addr, &(socklen_t){ sizeof addr }), ==,
		  0);
	CHECK_INT(WORLD(bind, t, SA(addr)), ==, 0);
	CHECK_INT(WORLD(listen, s, 5), ==, 0);
	CHECK_INT(WORLD(listen, t, 5), ==, 0);
	close_both(s, t);

	s = new_socket(AF_INET, SOCK_STREAM);
	t = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(WORLD(setsockopt, s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), ==, 0);
	CHECK_INT(WORLD(setsockopt, t, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on), ==, 0);
	CHECK_INT(WORLD(bind, s, SA(addr)), ==, 0);
	CHECK_INT(WORLD(bind, t, SA(addr)), ==, 0);
	CHECK_INT(WORLD(listen, s, 5), ==, 0);
	CHECK_INT(WORLD(listen, t, 5), ==, -EADDRINUSE);
	close_both(s, t);
	return 0;
}

/* --------------------------------------------------------------------- both families */

static int listener6(struct sockaddr_in6 *ret_addr)
{
	socklen_t len = sizeof *ret_addr;
	int fd = WORLD(socket, AF_INET6, SOCK_STREAM, 0);

	*ret_addr = (struct sockaddr_in6){ .sin6_family = AF_INET6 };
	if (fd < 0 || WORLD(bind, fd, (struct sockaddr *)ret_addr, len) < 0)
		return -1;
	CHECK_INT(WORLD(listen, fd, 5), ==, 0);
	CHECK_INT(WORLD(getsockname, fd, (struct sockaddr *)ret_addr, &len), ==, 0);
	return fd;
}

/* A listener of IPv6 takes connections of IPv4, and sees them as of ::ffff:127.0.0.1. */
IO_TEST(dual_stack)
{
	struct sockaddr_in6 six, peer;
	struct sockaddr_in four;
	socklen_t len = sizeof peer;
	char text[INET6_ADDRSTRLEN];
	int l = listener6(&six), s, b;

	if (l < 0)
		SKIP("no IPv6 here");
	four = loopback(ntohs(six.sin6_port));
	s = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(coop_connect(s, SA(four)), ==, 0);
	b = coop_accept(l, (struct sockaddr *)&peer, &len);
	CHECK_INT(b, >=, 0);
	CHECK_INT(len, ==, sizeof peer);
	CHECK_INT(peer.sin6_family, ==, AF_INET6);
	CHECK_STR(inet_ntop(AF_INET6, &peer.sin6_addr, text, sizeof text), "::ffff:127.0.0.1");
	put(s, "four");
	get(b, "four");
	close_both(s, b);
	s = new_socket(AF_INET, SOCK_STREAM);
	CHECK_INT(WORLD(bind, s, SA(four)), ==, -EADDRINUSE);
	close_both(l, s);
	return 0;
}

/* ------------------------------------------------------------------------ Unix sockets */

static socklen_t abstract(struct sockaddr_un *addr, const char *name)
{
	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 +
			   (size_t)snprintf(addr->sun_path + 1, 100, "coop-test-%d-%s",
					    (int)getpid(), name));
}

struct late_accept {
	int l;
	int fds[3];
};

static int accept_three(void *arg)
{
	struct late_accept *a = arg;

	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT((a->fds[i] = coop_accept(a->l, NULL, NULL)), >=, 0);
	return 0;
}

/* A queue of one holds two; a third waits until there is room. */
IO_TEST(a_full_queue_lets_wait)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct late_accept a;
	struct sockaddr_un addr;
	socklen_t len = abstract(&addr, "full");
	int64_t t = coop_now();
	int s[3];

	a.l = new_socket(AF_UNIX, SOCK_STREAM);
	CHECK_INT(WORLD(bind, a.l, (struct sockaddr *)&addr, len), ==, 0);
	CHECK_INT(WORLD(listen, a.l, 1), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, accept_three, &a), ==, 0);
	for (int i = 0; i < 3; i++) {
		s[i] = new_socket(AF_UNIX, SOCK_STREAM);
		CHECK_INT(coop_connect(s[i], (struct sockaddr *)&addr, len), ==, 0);
		CHECK(i < 2 || coop_now() - t >= MS(5));
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 3; i++) {
		put(s[i], "in order");
		get(a.fds[i], "in order");
		close_both(s[i], a.fds[i]);
	}
	return coop_close(a.l);
}

static int close_soon(void *arg)
{
	int *fd = arg;

	CHECK_INT(coop_sleep(MS(3)), ==, 0);
	return coop_close(*fd);
}

/* Asking for a connection that a full queue holds up ends by a cancel, and with the descriptor. */
IO_TEST(asking_can_be_ended)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_scope scope = COOP_SCOPE_INIT;
	struct sockaddr_un addr;
	socklen_t len = abstract(&addr, "asking");
	int l = new_socket(AF_UNIX, SOCK_STREAM), s[3];

	CHECK_INT(WORLD(bind, l, (struct sockaddr *)&addr, len), ==, 0);
	CHECK_INT(WORLD(listen, l, 0), ==, 0);
	for (int i = 0; i < 3; i++)
		s[i] = new_socket(AF_UNIX, SOCK_STREAM);
	CHECK_INT(coop_connect(s[0], (struct sockaddr *)&addr, len), ==, 0);
	coop_scope_open(&scope, NULL);
	CHECK_INT(coop_scope_set_deadline(&scope, coop_now() + MS(3)), ==, 0);
	CHECK_INT(coop_connect(s[1], (struct sockaddr *)&addr, len), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&scope, COOP_ECANCELED), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, close_soon, &s[2]), ==, 0);
	CHECK_INT(coop_connect(s[2], (struct sockaddr *)&addr, len), ==, COOP_ECLOSED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	close_both(s[0], s[1]);
	return coop_close(l);
}

/* The paths of Unix sockets stay, and refuse, until they are unlinked. */
IO_TEST(paths_of_sockets)
{
	char path[64];
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	struct cp_path_info info;
	int s, l;

	snprintf(path, sizeof path, "/tmp/coop-test-%d.sock", (int)getpid());
	snprintf(addr.sun_path, sizeof addr.sun_path, "%s", path);
	s = new_socket(AF_UNIX, SOCK_STREAM);
	CHECK_INT(coop_connect(s, SA(addr)), ==, -ENOENT);
	l = new_socket(AF_UNIX, SOCK_STREAM);
	CHECK_INT(WORLD(bind, l, SA(addr)), ==, 0);
	CHECK_INT(coop_connect(s, SA(addr)), ==, -ECONNREFUSED);
	CHECK_INT(WORLD(listen, l, 5), ==, 0);
	CHECK_INT(coop_connect(s, SA(addr)), ==, 0);
	close_both(s, l);
	CHECK_INT(WORLD(path_info, path, &info), ==, 0);
	s = new_socket(AF_UNIX, SOCK_STREAM);
	CHECK_INT(coop_connect(s, SA(addr)), ==, -ECONNREFUSED);
	CHECK_INT(WORLD(bind, s, SA(addr)), ==, -EADDRINUSE);
	CHECK_INT(coop_close(s), ==, 0);
	s = new_socket(AF_UNIX, SOCK_DGRAM);
	CHECK_INT(coop_connect(s, SA(addr)), ==, -ECONNREFUSED);
	CHECK_INT(WORLD(unlink, path), ==, 0);
	CHECK_INT(WORLD(unlink, path), ==, -ENOENT);
	CHECK_INT(coop_connect(s, SA(addr)), ==, -ENOENT);
	return coop_close(s);
}

/* A descriptor goes through a socket, and means the same file at the other end. */
IO_TEST(descriptors_are_passed)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec iov = { (char[]){ "f" }, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int a, b, p[2], got;
	char c;

	pair(&a, &b);
	new_pipe(p);
	msg.msg_control = &control;
	msg.msg_controllen = sizeof control.room;
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &p[1], sizeof(int));
	put(a, "before");
	CHECK_INT(coop_sendmsg(a, &msg, 0), ==, 1);
	put(a, "after");
	CHECK_INT(coop_close(p[1]), ==, 0);
	iov.iov_base = (char[16]){ 0 };
	iov.iov_len = 6;
	CHECK_INT(coop_recvmsg(b, &msg, 0), ==, 6);
	CHECK_INT(msg.msg_controllen, ==, 0);
	msg.msg_controllen = sizeof control.room;
	iov.iov_len = 16;
	CHECK_INT(coop_recvmsg(b, &msg, 0), >=, 1);
	CHECK_INT(control.head.cmsg_type, ==, SCM_RIGHTS);
	memcpy(&got, CMSG_DATA(&control.head), sizeof got);
	CHECK_INT(fcntl(got, F_GETFD) & FD_CLOEXEC, ==, FD_CLOEXEC);
	CHECK_INT(coop_write(got, "!", 1), ==, 1);
	CHECK_INT(coop_read(p[0], &c, 1), ==, 1);
	CHECK_INT(coop_close(got), ==, 0);
	CHECK_INT(coop_read(p[0], &c, 1), ==, 0);
	close_both(a, b);
	return coop_close(p[0]);
}

/* Descriptors that nobody received are closed with their socket. */
IO_TEST(descriptors_that_nobody_received)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int))];
	} control = { .room = { 0 } };
	struct iovec iov = { (char[]){ "f" }, 1 };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	int a, b, p[2];
	char c;

	pair_of(SOCK_DGRAM, &a, &b);
	new_pipe(p);
	msg.msg_control = &control;
	msg.msg_controllen = sizeof control.room;
	control.head = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS };
	control.head.cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(&control.head), &p[1], sizeof(int));
	CHECK_INT(coop_sendmsg(a, &msg, 0), ==, 1);
	CHECK_INT(coop_sendmsg(a, &msg, 0), ==, 1);
	CHECK_INT(coop_close(p[1]), ==, 0);
	CHECK_INT(coop_recv(b, &c, 1, 0), ==, 1);
	close_both(a, b);
	CHECK_INT(coop_read(p[0], &c, 1), ==, 0);
	return coop_close(p[0]);
}

/* ------------------------------------------------------------------------------ pipes */

/* Small writes are whole or wait; the last reader's end is an error for the writer. */
IO_TEST(pipes)
{
	static char big[70000];
	struct coop_scope s = COOP_SCOPE_INIT;
	int p[2], r, sum = 0;

	signal(SIGPIPE, SIG_IGN);
	new_pipe(p);
	while (sum < 65536) {
		r = coop_write(p[1], big, sizeof big);
		CHECK_INT(r, >, 0);
		sum += r;
	}
	CHECK_INT(sum, ==, 65536);
	coop_scope_open(&s, NULL);
	CHECK_INT(coop_scope_set_deadline(&s, coop_now() + MS(2)), ==, 0);
	CHECK_INT(coop_write(p[1], "x", 1), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, COOP_ECANCELED), ==, 0);
	CHECK_INT(coop_poll(p[0], POLLIN), ==, POLLIN);
	for (sum = 0; sum < 65536; sum += r)
		CHECK_INT((r = coop_read(p[0], big, sizeof big)), >, 0);
	CHECK_INT(coop_poll(p[1], POLLOUT), ==, POLLOUT);
	CHECK_INT(coop_close(p[0]), ==, 0);
	CHECK_INT(coop_write(p[1], "x", 1), ==, -EPIPE);
	CHECK(coop_poll(p[1], POLLOUT) & POLLERR);
	CHECK_INT(coop_close(p[1]), ==, 0);
	new_pipe(p);
	CHECK_INT(coop_close(p[1]), ==, 0);
	CHECK_INT(coop_poll(p[0], POLLIN), ==, POLLHUP);
	CHECK_INT(coop_read(p[0], big, 1), ==, 0);
	return coop_close(p[0]);
}

/* -------------------------------------------------------------------------- datagrams */

static int sendto_port(int fd, const char *text, struct sockaddr_in to)
{
	struct iovec iov = { (char *)(uintptr_t)text, strlen(text) };
	struct msghdr msg = {
		.msg_name = &to, .msg_namelen = sizeof to, .msg_iov = &iov, .msg_iovlen = 1
	};

	return coop_sendmsg(fd, &msg, 0);
}

static int udp_at_port(struct sockaddr_in *ret_addr)
{
	int fd = new_socket(AF_INET, SOCK_DGRAM);

	*ret_addr = loopback(0);
	CHECK_INT(WORLD(bind, fd, (struct sockaddr *)ret_addr, sizeof *ret_addr), ==, 0);
	CHECK_INT(WORLD(getsockname, fd, (struct sockaddr *)ret_addr,
			&(socklen_t){ sizeof *ret_addr }),
		  ==, 0);
	return fd;
}

/* UDP: to a name, from a name, connected, with nobody there. */
IO_TEST(udp)
{
	struct sockaddr_in addr_a, addr_b, from = { .sin_family = 0 };
	int a = udp_at_port(&addr_a), b = udp_at_port(&addr_b), c;
	char buf[8];
	struct iovec iov = { buf, sizeof buf };
	struct msghdr msg = {
		.msg_name = &from, .msg_namelen = sizeof from, .msg_iov = &iov, .msg_iovlen = 1
	};

	CHECK_INT(send_1(a), ==, -EDESTADDRREQ);
	CHECK_INT(sendto_port(a, "hello", addr_b), ==, 5);
	CHECK_INT(coop_recvmsg(b, &msg, 0), ==, 5);
	CHECK_INT(msg.msg_namelen, ==, sizeof from);
	CHECK_INT(from.sin_port, ==, addr_a.sin_port);
	CHECK_INT(from.sin_addr.s_addr, ==, addr_a.sin_addr.s_addr);
	CHECK_INT(sendto_port(a, "", addr_b), ==, 0);
	CHECK_INT(coop_recv(b, buf, sizeof buf, 0), ==, 0);
	CHECK_INT(sendto_port(a, "truncated", addr_b), ==, 9);
	CHECK_INT(coop_recv(b, buf, sizeof buf, MSG_TRUNC | MSG_PEEK), ==, 9);
	CHECK_INT(coop_recv(b, buf, sizeof buf, 0), ==, 8);
	CHECK_INT(coop_connect(a, SA(addr_b)), ==, 0);
	put(a, "to you");
	get(b, "to you");

	c = udp_at_port(&addr_b);
	CHECK_INT(sendto_port(c, "stranger", addr_a), ==, 8);
	CHECK_INT(coop_recv(a, buf, sizeof buf, MSG_DONTWAIT), ==, -EAGAIN);
	CHECK_INT(coop_close(b), ==, 0);
	put(a, "anybody?");
	CHECK_INT(coop_recv(a, buf, sizeof buf, 0), ==, -ECONNREFUSED);
	close_both(a, c);
	return 0;
}

struct filler {
	int fd;
	int sent;
};

static int fill(void *arg)
{
	struct filler *f = arg;

	while (f->sent < 2000) {
		CHECK_INT(coop_send(f->fd, &f->sent, sizeof f->sent, 0), ==, sizeof f->sent);
		f->sent++;
	}
	return 0;
}

/* Datagrams of Unix: none is lost; who finds no room waits, and they come in order. */
IO_TEST(unix_datagrams_wait_for_room)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct filler f = { .sent = 0 };
	int other, n;

	pair_of(SOCK_DGRAM, &f.fd, &other);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, fill, &f), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	CHECK_INT(f.sent, <, 2000);
	for (int i = 0; i < 2000; i++) {
		CHECK_INT(coop_recv(other, &n, sizeof n, 0), ==, sizeof n);
		CHECK_INT(n, ==, i);
	}
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(coop_close(other), ==, 0);
	CHECK_INT(send_1(f.fd), ==, -ECONNREFUSED);
	return coop_close(f.fd);
}

/* ---------------------------------------------------------------------------- options */

static int option(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = -1;

	CHECK_INT(WORLD(getsockopt, fd, level, name, &value, &len), ==, 0);
	CHECK_INT(len, ==, sizeof value);
	return value;
}

/* Options say what is, and keep what was set. */
IO_TEST(options)
{
	struct sockaddr_in addr, peer, name;
	struct ucred cred;
	socklen_t len = sizeof cred;
	const int on = 1;
	int l = listener(&addr), a, b;

	CHECK_INT(option(l, SOL_SOCKET, SO_ACCEPTCONN), ==, 1);
	CHECK_INT(option(l, SOL_SOCKET, SO_TYPE), ==, SOCK_STREAM);
	CHECK_INT(option(l, SOL_SOCKET, SO_DOMAIN), ==, AF_INET);
	CHECK_INT(option(l, SOL_SOCKET, SO_PROTOCOL), ==, IPPROTO_TCP);
	CHECK_INT(option(l, SOL_SOCKET, SO_ERROR), ==, 0);
	CHECK_INT(coop_close(l), ==, 0);
	tcp_pair(&a, &b);
	CHECK_INT(option(a, IPPROTO_TCP, TCP_NODELAY), ==, 0);
	CHECK_INT(WORLD(setsockopt, a, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on), ==, 0);
	CHECK_INT(option(a, IPPROTO_TCP, TCP_NODELAY), !=, 0);
	CHECK_INT(WORLD(setsockopt, a, SOL_SOCKET, SO_KEEPALIVE, &on, 1), ==, -EINVAL);
	CHECK_INT(WORLD(setsockopt, a, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on), ==, 0);
	CHECK_INT(option(a, SOL_SOCKET, SO_KEEPALIVE), ==, 1);
	CHECK_INT(WORLD(getpeername, a, (struct sockaddr *)&peer, &(socklen_t){ sizeof peer }), ==,
		  0);
	CHECK_INT(WORLD(getsockname, b, (struct sockaddr *)&name, &(socklen_t){ sizeof name }), ==,
		  0);
	CHECK_INT(peer.sin_port, ==, name.sin_port);
	close_both(a, b);
	pair(&a, &b);
	CHECK_INT(WORLD(getsockopt, a, SOL_SOCKET, SO_PEERCRED, &cred, &len), ==, 0);
	CHECK_INT(cred.pid, ==, getpid());
	close_both(a, b);
	return 0;
}

/* A peek leaves what it shows; a full connection says so to who does not want to wait. */
IO_TEST(peek_and_dontwait)
{
	static char big[1 << 20];
	char buf[8];
	int a, b, r;

	pair(&a, &b);
	put(a, "peek");
	CHECK_INT(coop_recv(b, buf, 8, MSG_PEEK), ==, 4);
	CHECK_INT(coop_recv(b, buf, 2, 0), ==, 2);
	CHECK_INT(coop_recv(b, buf, 8, MSG_PEEK), ==, 2);
	get(b, "ek");
	do
		r = coop_send(a, big, sizeof big, MSG_DONTWAIT);
	while (r > 0);
	CHECK_INT(r, ==, -EAGAIN);
	do
		r = coop_recv(b, big, sizeof big, MSG_DONTWAIT);
	while (r > 0);
	CHECK_INT(r, ==, -EAGAIN);
	CHECK_INT(coop_send(a, big, 1, MSG_DONTWAIT), ==, 1);
	close_both(a, b);
	return 0;
}
