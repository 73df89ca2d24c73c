/* SPDX-License-Identifier: MIT */
/*
 * Names by c-ares, which is told to ask a server of ours: a task on 127.0.0.1 that answers, by the
 * name, well, wrongly, in pieces or not at all.
 */
#include "net_help.h"

#include "sys/dns.h"

#include <ares.h>
#include <dirent.h>
#include <net/if.h>
#include <netdb.h>

__attribute__((constructor)) static void ask_cares(void)
{
	setenv("COOP_DNS", "cares", 1);
}

/* ---- the server */

static struct coop_group server;
static int udp_fd, tcp_fd, queries, tcp_queries;
static char servers[32];

#define HEAD 12

/* Behind the question that begins at HEAD: its type and class, too. */
static size_t question_end(const uint8_t *m, size_t bytes)
{
	size_t at = HEAD;

	while (at < bytes && m[at])
		at += m[at] + 1u;
	return at + 5 <= bytes ? at + 5 : 0;
}

static bool first_label(const uint8_t *m, const char *text)
{
	return m[HEAD] == strlen(text) && memcmp(m + HEAD + 1, text, m[HEAD]) == 0;
}

static size_t add_record(uint8_t *m, size_t at, uint16_t type, const char *address)
{
	const uint8_t head[] = { 0xc0, HEAD, 0, (uint8_t)type,     0, 1, 0, 0,
				 0,    60,   0, type == 1 ? 4 : 16 };

	memcpy(m + at, head, sizeof head);
	at += sizeof head;
	CHECK_INT(inet_pton(type == 1 ? AF_INET : AF_INET6, address, m + at), ==, 1);
	m[7]++;
	return at + (type == 1 ? 4 : 16);
}

/* Makes an answer of the question; its length, 0: none is to be given. */
static size_t answer(uint8_t *m, size_t bytes, bool tcp)
{
	size_t end = question_end(m, bytes);
	uint16_t type = end ? m[end - 3] : 0;

	queries++;
	tcp_queries += tcp;
	if (!end || first_label(m, "silent"))
		return 0;
	m[2] |= 0x80;
	m[3] = 0x80;
	m[10] = m[11] = 0; /* nothing beside the answers */
	if (first_label(m, "nx"))
		m[3] |= 3;
	if (first_label(m, "servfail"))
		m[3] |= 2;
	if (first_label(m, "refused"))
		m[3] |= 5;
	if (first_label(m, "half"))
		return end / 2;
	if (first_label(m, "trunc") && !tcp) {
		m[2] |= 2;
		return end;
	}
	if (type == 28 && (first_label(m, "both") || first_label(m, "trunc")))
		end = add_record(m, end, type, "fd00::1");
	if (type == 1 &&
	    (first_label(m, "both") || first_label(m, "trunc") || first_label(m, "v4")))
		end = add_record(m, end, type, "10.0.0.1");
	if (type == 1 && first_label(m, "many"))
		for (int i = 1; i <= 20; i++) {
			char text[16];

			snprintf(text, sizeof text, "10.0.1.%d", i);
			end = add_record(m, end, type, text);
		}
	return end;
}

static int serve_udp(void *arg)
{
	uint8_t m[1024];
	int r;

	(void)arg;
	while ((r = coop_poll(udp_fd, POLLIN)) >= 0) {
		struct sockaddr_in from;
		socklen_t len = sizeof from;
		ssize_t n = recvfrom(udp_fd, m, 512, 0, (struct sockaddr *)&from, &len);
		size_t bytes = n < HEAD ? 0 : answer(m, (size_t)n, false);

		if (bytes)
			CHECK_INT(sendto(udp_fd, m, bytes, 0, (struct sockaddr *)&from, len), ==,
				  (ssize_t)bytes);
	}
	return r;
}

static int read_whole(int fd, void *to, size_t bytes)
{
	size_t got = 0;
	int r = 1;

	while (got < bytes && (r = coop_recv(fd, (char *)to + got, bytes - got, 0)) > 0)
		got += (size_t)r;
	return r;
}

/* One question and its answer, which comes in two pieces. */
static int serve_connection(int fd)
{
	uint8_t m[1026];
	int r = read_whole(fd, m, 2);
	size_t bytes;

	if (r > 0)
		r = read_whole(fd, m + 2, (size_t)m[0] << 8 | m[1]);
	if (r <= 0)
		return r;
	bytes = answer(m + 2, (size_t)m[0] << 8 | m[1], true);
	m[0] = (uint8_t)(bytes >> 8);
	m[1] = (uint8_t)bytes;
	r = coop_send(fd, m, 7, 0);
	if (r >= 0)
		r = coop_sleep(MS(1));
	return r < 0 ? r : coop_send(fd, m + 7, bytes - 5, 0);
}

static int serve_tcp(void *arg)
{
	int fd, r;

	(void)arg;
	while ((fd = coop_accept(tcp_fd, NULL, NULL)) >= 0) {
		r = serve_connection(fd);
		coop_close(fd);
		if (r == COOP_ECANCELED)
			return r;
	}
	return fd;
}

static int threads(void)
{
	DIR *d = opendir("/proc/self/task");
	int n = 0;

	CHECK(d != NULL);
	for (struct dirent *e; (e = readdir(d));)
		n += e->d_name[0] != '.';
	closedir(d);
	return n;
}

static int threads_before; /* a sanitizer may have one */

static void open_server(void)
{
	struct sockaddr_in addr = { .sin_family = AF_INET };
	socklen_t len = sizeof addr;
	int type = SOCK_CLOEXEC | SOCK_NONBLOCK, tries = 0;

	addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	do { /* until the port is free in both */
		if (tries)
			close(tcp_fd);
		CHECK_INT(++tries, <, 20);
		addr.sin_port = 0;
		if (tries > 1)
			close(udp_fd);
		udp_fd = socket(AF_INET, SOCK_DGRAM | type, 0);
		tcp_fd = socket(AF_INET, SOCK_STREAM | type, 0);
		CHECK_INT(bind(udp_fd, (struct sockaddr *)&addr, sizeof addr), ==, 0);
		CHECK_INT(getsockname(udp_fd, (struct sockaddr *)&addr, &len), ==, 0);
	} while (bind(tcp_fd, (struct sockaddr *)&addr, sizeof addr) != 0);
	CHECK_INT(listen(tcp_fd, 16), ==, 0);
	snprintf(servers, sizeof servers, "127.0.0.1:%d", ntohs(addr.sin_port));
	cp_cares_test.servers = servers;
	queries = tcp_queries = 0;
	threads_before = threads();
	server = (struct coop_group)COOP_GROUP_INIT;
	coop_group_open(&server, NULL);
	CHECK_INT(coop_spawn(&server, serve_udp, NULL), ==, 0);
	CHECK_INT(coop_spawn(&server, serve_tcp, NULL), ==, 0);
}

static void close_server(void)
{
	int r;

	coop_group_cancel(&server, "enough");
	r = coop_group_join(&server, 0);
	CHECK(r == 0 || (r == COOP_ECANCELED && coop_cancelled()));
	coop_close(udp_fd);
	coop_close(tcp_fd);
	cp_cares_test.servers = NULL;
}

/* ---- help */

static bool has(const struct coop_addr_list *list, const char *text)
{
	char buf[COOP_ADDR_TEXT_MAX];

	for (uint32_t i = 0; i < list->count; i++)
		if (strcmp(coop_addr_text(&list->addrs[i], buf, sizeof buf), text) == 0)
			return true;
	return false;
}

/* How many addresses, 1000 more for IPv4's and 2000 more for IPv6's of ours. */
static int resolve(const char *host, const struct coop_resolve_opts *opts)
{
	struct coop_addr_list *list;
	int r = coop_resolve(host, "80", opts, &list);

	if (r < 0) {
		if (r != COOP_ECANCELED)
			coop_error_clear();
		return r;
	}
	r = (int)list->count + 1000 * has(list, "10.0.0.1:80") + 2000 * has(list, "[fd00::1]:80");
	coop_addr_list_free(list);
	return r;
}

/* ---- answers */

/* What the server says is told in our words, without a thread; nothing is left open. */
REAL_IO_TEST(names_are_looked_up)
{
	struct coop_resolve_opts four = { .family = AF_INET }, six = { .family = AF_INET6 };
	int fds;

	open_server();
	CHECK_INT(coop_checkpoint(), ==, 0);
	CHECK_INT(resolve("v4.test", NULL), ==, 1001);
	fds = fds_open();
	CHECK_INT(resolve("both.test", NULL), ==, 3002);
	CHECK_INT(resolve("both.test", &four), ==, 1001);
	CHECK_INT(resolve("both.test", &six), ==, 2001);
	CHECK_INT(resolve("v4.test", &six), ==, -ENOENT);
	CHECK_INT(resolve("many.test", NULL), ==, 20);
	CHECK_INT(resolve("empty.test", NULL), ==, -ENOENT);
	CHECK_INT(resolve("nx.test", NULL), ==, -ENOENT);
	CHECK_INT(resolve("servfail.test", NULL), ==, -EAGAIN);
	CHECK_INT(resolve("refused.test", NULL), ==, -EAGAIN);
	CHECK_INT(resolve("a..b", NULL), ==, -ENOENT);
	CHECK_INT(tcp_queries, ==, 0);
	CHECK_INT(fds_open(), ==, fds);
	close_server();
	CHECK_INT(threads(), ==, threads_before);
	return 0;
}

/* Truncated answers are asked for again by TCP, where they come in pieces. */
REAL_IO_TEST(truncated_answers)
{
	open_server();
	CHECK_INT(resolve("trunc.test", NULL), ==, 3002);
	CHECK_INT(tcp_queries, ==, 2);
	close_server();
	return 0;
}

/* Half a packet is no answer; neither is none: when the time for them is up the server does not
 * answer for now. */
REAL_IO_TEST(no_answer)
{
	open_server();
	cp_cares_test.timeout_ms = 20;
	CHECK_INT(resolve("silent.test", NULL), ==, -EAGAIN);
	CHECK_INT(queries, >=, 4); /* twice for each family */
	CHECK_INT(resolve("half.test", NULL), ==, -EAGAIN);
	cp_cares_test.timeout_ms = 0;
	close_server();
	return 0;
}

/* Ports: numbers, names, none that there is; the words of an error. */
REAL_IO_TEST(services)
{
	struct coop_addr_list *list = NULL;
	struct coop_error_info info;

	open_server();
	refuses_wrong_ports("both.test");
	refuses_wrong_ports("127.1");
	CHECK_INT(threads(), ==, threads_before);
	CHECK_INT(coop_resolve("both.test", "no-such-service", NULL, &list), ==, -EINVAL);
	coop_error_clear();
	CHECK_INT(queries, ==, 0);
	CHECK_INT(coop_resolve("nx.test", "80", NULL, &list), ==, -ENOENT);
	coop_error_describe(coop_error_peek(-ENOENT), &info);
	CHECK_STR(info.message, "nx.test:80: no such host");
	coop_error_clear();
	CHECK(list == NULL);
	CHECK_INT(coop_resolve("both.test", NULL, NULL, &list), ==, 0);
	CHECK(has(list, "10.0.0.1:0"));
	coop_addr_list_free(list);
	CHECK_INT(threads(), ==, threads_before + 1); /* that was asked for a service by name */
	close_server();
	return 0;
}

/* A service that the machine knows by name has its port, that of the protocol. */
REAL_IO_TEST(services_by_name)
{
	static const struct coop_resolve_opts datagrams = { .type = SOCK_DGRAM };
	struct coop_addr_list *list;
	struct servent *s;

	open_server();
	for (int udp = 0; udp < 2; udp++) {
		char text[32];

		s = getservbyname(udp ? "ntp" : "http", udp ? "udp" : "tcp");
		if (!s)
			continue; /* a machine without /etc/services */
		snprintf(text, sizeof text, "10.0.0.1:%d", ntohs((uint16_t)s->s_port));
		CHECK_INT(coop_resolve("both.test", s->s_name, udp ? &datagrams : NULL, &list), ==,
			  0);
		CHECK(has(list, text));
		coop_addr_list_free(list);
	}
	close_server();
	return 0;
}

/* Addresses, and what the C library takes for one, need no server; hosts goes before it. */
REAL_IO_TEST(what_needs_no_server)
{
	struct coop_resolve_opts four = { .family = AF_INET }, six = { .family = AF_INET6 };
	struct coop_addr_list *list;

	open_server();
	CHECK_INT(coop_resolve("127.1", "80", NULL, &list), ==, 0);
	CHECK_INT(list->count, ==, 1);
	CHECK(has(list, "127.0.0.1:80"));
	coop_addr_list_free(list);
	CHECK_INT(resolve("127.1", &six), ==, -ENOENT);
	CHECK_INT(coop_resolve("10.1.2.3", "80", &four, &list), ==, 0);
	CHECK(has(list, "10.1.2.3:80"));
	coop_addr_list_free(list);
	CHECK_INT(coop_resolve("localhost", "80", &four, &list), ==, 0);
	CHECK(has(list, "127.0.0.1:80"));
	coop_addr_list_free(list);
	CHECK_INT(queries, ==, 0);
	close_server();
	return 0;
}

/* Nor does an address whose port has a name, which comes this far: with its interface, and not as a
 * name where another family is wanted. */
REAL_IO_TEST(addresses_with_named_ports)
{
	struct cp_dns_query q = { .host = "fe80::1%lo", .service = "http", .type = SOCK_STREAM };
	struct coop_addr_list *list;

	open_server();
	CHECK_INT(cp_cares_look_up(cp_rt, &q, 80, &list), ==, 0);
	CHECK_INT(list->count, ==, 1);
	CHECK_INT(list->addrs[0].in6.sin6_scope_id, ==, if_nametoindex("lo"));
	CHECK_INT(ntohs(list->addrs[0].in6.sin6_port), ==, 80);
	coop_addr_list_free(list);
	q.family = AF_INET;
	CHECK_INT(cp_cares_look_up(cp_rt, &q, 80, &list), ==, -ENOENT);
	q.host = "::1";
	CHECK_INT(cp_cares_look_up(cp_rt, &q, 80, &list), ==, -ENOENT);
	CHECK_INT(queries, ==, 0);
	close_server();
	return 0;
}

/* Each name of /etc/hosts has the addresses that getaddrinfo gives it. */
REAL_IO_TEST(hosts)
{
	FILE *f = fopen("/etc/hosts", "re");
	char line[512];

	open_server();
	while (f && fgets(line, sizeof line, f)) {
		struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_family = AF_INET }, *ai;
		struct coop_resolve_opts four = { .family = AF_INET };
		struct coop_addr_list *list;
		char address[64], name[256], buf[COOP_ADDR_TEXT_MAX];

		if (sscanf(line, "%63s %255s", address, name) != 2 || address[0] == '#' ||
		    strchr(address, ':'))
			continue;
		CHECK_INT(getaddrinfo(name, "80", &hints, &ai), ==, 0);
		CHECK_INT(coop_resolve(name, "80", &four, &list), ==, 0);
		for (struct addrinfo *a = ai; a; a = a->ai_next) {
			struct coop_addr addr = { .len = a->ai_addrlen };

			memcpy(&addr.sa, a->ai_addr, a->ai_addrlen);
			CHECK(has(list, coop_addr_text(&addr, buf, sizeof buf)));
		}
		freeaddrinfo(ai);
		coop_addr_list_free(list);
	}
	if (f)
		fclose(f);
	CHECK_INT(queries, ==, 0);
	close_server();
	return 0;
}

/* ---- several, and their ends */

static char names[300][24];
static int ended;

static int ask(void *arg)
{
	int r = resolve(arg, NULL);

	ended++;
	return r < 0 ? r : 0;
}

/* Tasks that ask for 300 names, each of its own that begins with `label`. */
static void ask_many(struct coop_group *g, const char *label)
{
	ended = 0;
	coop_group_open(g, NULL);
	for (int i = 0; i < 300; i++) {
		snprintf(names[i], sizeof names[i], "%s.n%d.test", label, i);
		CHECK_INT(coop_spawn(g, ask, names[i]), ==, 0);
	}
}

/* More at once than have room, all of them answered. */
REAL_IO_TEST(many_at_once)
{
	struct coop_group g = COOP_GROUP_INIT;
	int fds;

	open_server();
	CHECK_INT(resolve("v4.test", NULL), ==, 1001);
	fds = fds_open();
	ask_many(&g, "both");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(ended, ==, 300);
	CHECK_INT(fds_open(), ==, fds);
	close_server();
	CHECK_INT(threads(), ==, threads_before);
	return 0;
}

/* Equal ones are one, also here; one that is cancelled leaves the others their answer. */
REAL_IO_TEST(equal_look_ups_are_one)
{
	struct coop_group g = COOP_GROUP_INIT, first = COOP_GROUP_INIT;

	open_server();
	ended = 0;
	coop_group_open(&g, NULL);
	coop_group_open(&first, NULL);
	CHECK_INT(coop_spawn(&first, ask, (void *)"both.test"), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	for (int i = 0; i < 10; i++)
		CHECK_INT(coop_spawn(&g, ask, (void *)"both.test"), ==, 0);
	CHECK_INT(coop_yield(), ==, 0);
	coop_group_cancel(&first, "enough");
	CHECK_INT(coop_group_join(&first, 0), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(ended, ==, 11);
	CHECK_INT(queries, <=, 4);
	close_server();
	return 0;
}

/* A cancel ends all of them at once, those that wait for room too; nothing stays open. */
REAL_IO_TEST(cancelled_at_once)
{
	struct coop_group g = COOP_GROUP_INIT;
	int fds;

	open_server();
	CHECK_INT(resolve("v4.test", NULL), ==, 1001);
	fds = fds_open();
	ask_many(&g, "silent");
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(ended, ==, 0);
	CHECK_INT(fds_open(), >, fds);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(ended, ==, 300);
	CHECK_INT(fds_open(), ==, fds);
	close_server();
	return 0;
}

/* A deadline is a scope's. */
REAL_IO_TEST(time_limits)
{
	open_server();
	CHECK_INT(coop_move_on_after(MS(5), ask, (void *)"silent.test"), ==, 0);
	CHECK_INT(coop_fail_after(MS(5), ask, (void *)"silent.test"), ==, COOP_ETIMEDOUT);
	coop_error_clear();
	CHECK_INT(resolve("v4.test", NULL), ==, 1001);
	close_server();
	return 0;
}

static int stop_meanwhile(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	(void)arg;
	open_server();
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, ask, (void *)"silent.test"), ==, 0);
	CHECK_INT(coop_sleep(MS(2)), ==, 0);
	coop_stop("in the middle of a look-up");
	CHECK_INT(coop_group_join(&g, 0), ==, COOP_ECANCELED);
	close_server();
	return 0;
}

/* The end of a run in the middle of a look-up; the next run looks up as if nothing had been. */
TEST(runs_that_end)
{
	for (int i = 0; i < 3; i++) {
		int fds = fds_open();

		CHECK_INT(coop_run(stop_meanwhile, NULL, NULL), ==, 0);
		CHECK_INT(fds_open(), ==, fds);
	}
}

/* On the virtual clock c-ares has no time: it is a thread that looks up. */
static int on_virtual_clock(void *arg)
{
	(void)arg;
	open_server();
	CHECK_INT(resolve("localhost", NULL), >, 0);
	CHECK_INT(queries, ==, 0);
	CHECK_INT(threads(), >, threads_before);
	close_server();
	return 0;
}

TEST(a_virtual_clock)
{
	CHECK_INT(coop_run(on_virtual_clock, NULL, &virtual_clock), ==, 0);
}

/* While nsswitch.conf cannot be read it may name others, so it is the C library that knows. */
REAL_IO_TEST(a_choice_in_the_dark)
{
	unsetenv("COOP_DNS");
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + 1;
	CHECK_INT(cp_dns_choose(cp_rt), ==, CP_DNS_THREADS);
	cp_os_faults.call_fail_at = 0;
	CHECK_INT(cp_os_faults.call_failed, ==, 1);
	return 0;
}

/* A debug line says who looks up, and why. */
REAL_IO_TEST(a_line_says_who)
{
	keep_records(COOP_LOG_DEBUG);
	CHECK_INT(resolve("localhost", NULL), >, 0);
	coop_log_set(NULL, NULL, COOP_LOG_WARN);
	CHECK_HAS(records, "names by c-ares (asked for)");
	return 0;
}

/* ---- without memory */

static int64_t ares_calls, ares_fail_at, ares_live;

static void *ares_alloc(size_t bytes)
{
	if (++ares_calls == ares_fail_at)
		return NULL;
	ares_live++;
	return malloc(bytes);
}

static void ares_free(void *p)
{
	ares_live -= p != NULL;
	free(p);
}

static void *ares_realloc(void *p, size_t bytes)
{
	if (++ares_calls == ares_fail_at)
		return NULL;
	ares_live += !p;
	return realloc(p, bytes);
}

/* Each allocation of c-ares fails in turn: an error of the table, or an answer all the same, and
 * all that it had is given back. */
REAL_IO_TEST(every_allocation_of_cares)
{
	int64_t n = 0;
	int fds, r, errors = 0;

	CHECK_INT(ares_library_init_mem(ARES_LIB_INIT_ALL, ares_alloc, ares_free, ares_realloc), ==,
		  0);
	open_server();
	cp_cares_test.timeout_ms = 200;
	CHECK_INT(resolve("both.test", NULL), ==, 3002);
	CHECK_INT(ares_live, ==, 0);
	fds = fds_open();
	do {
		ares_calls = 0;
		ares_fail_at = ++n;
		r = resolve("both.test", NULL);
		CHECK(r > 0 || r == -ENOMEM || r == -EAGAIN || r == -EIO || r == -ENOENT);
		errors += r == -ENOMEM;
		CHECK_INT(ares_live, ==, 0);
		CHECK_INT(fds_open(), ==, fds);
	} while (ares_calls >= ares_fail_at);
	ares_fail_at = 0;
	CHECK_INT(errors, >=, 5);
	CHECK_INT(resolve("both.test", NULL), ==, 3002);
	cp_cares_test.timeout_ms = 0;
	close_server();
	return 0;
}

/* The same for ours. */
REAL_IO_TEST(every_allocation_of_ours)
{
	int fds, r;

	open_server();
	CHECK_INT(resolve("both.test", NULL), ==, 3002);
	fds = fds_open();
	for (uint64_t n = 1;; n++) {
		cp_os_faults.alloc_calls = 0;
		cp_os_faults.alloc_fail_at = n;
		r = resolve("both.test", NULL);
		cp_os_faults.alloc_fail_at = 0;
		CHECK(r == 3002 || r == -ENOMEM);
		CHECK_INT(fds_open(), ==, fds);
		if (cp_os_faults.alloc_calls < n)
			break;
	}
	close_server();
	return 0;
}
