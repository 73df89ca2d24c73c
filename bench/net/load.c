/* SPDX-License-Identifier: MIT */
/*
 * load PORT PID CONNECTIONS SECONDS: the load of the echo benchmark.
 *
 * Each connection has one message of 64 bytes under way: it is sent, the answer is received and
 * compared, and the next one is sent. After a warm-up of a fifth of the time, at least 0.3 s, what
 * was answered in SECONDS is counted. One line comes out:
 *
 *	requests/s  p50_ns  p99_ns  server_cpu_ns/request  load_cpu_share
 *
 * PID is the server's. This is io_uring with send and receive linked and all that is due submitted
 * by one call, since a generator on epoll is slower than the servers it is to measure. The last
 * number tells how busy it was itself: near 1, it is what limits the figure, and only the
 * server's time by request says what the server costs.
 */
#include "net.h"

#include <liburing.h>
#include <stdbool.h>

struct conn {
	int fd;
	unsigned got; /* bytes of the answer that are there */
	uint64_t number;
	int64_t start_ns;
	char out[NET_MESSAGE], in[NET_MESSAGE];
};

static struct io_uring ring;
static struct conn *conns;
static int conns_count;

/* Buckets of 1/64 of a power of two: a quantile is right to 1.6 percent. */
#define PARTS 64
static uint32_t seen[64 * PARTS];
static uint64_t answers;

static unsigned bucket_of(uint64_t ns)
{
	unsigned top;

	if (ns < PARTS)
		return (unsigned)ns;
	top = 63 - (unsigned)__builtin_clzll(ns);
	return (top - 5) * PARTS + (unsigned)(ns >> (top - 6)) % PARTS;
}

static double bucket_ns(unsigned b)
{
	unsigned top = b / PARTS + 5;

	return b < PARTS ? b : (double)(PARTS + b % PARTS) * (double)(1ULL << (top - 6));
}

static double quantile_ns(double q)
{
	uint64_t sum = 0;

	for (unsigned b = 0; b < 64 * PARTS; b++) {
		sum += seen[b];
		if ((double)sum >= q * (double)answers)
			return bucket_ns(b);
	}
	return 0;
}

static void wrong(const char *what, int r)
{
	fprintf(stderr, "load: %s: %s\n", what, r < 0 ? strerror(-r) : "not what was sent");
	exit(1);
}

static struct io_uring_sqe *next_sqe(void)
{
	struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);

	if (!sqe)
		wrong("the ring is full", -ENOSPC);
	return sqe;
}

static void receive(struct conn *c)
{
	struct io_uring_sqe *sqe = next_sqe();

	io_uring_prep_recv(sqe, c->fd, c->in + c->got, NET_MESSAGE - c->got, 0);
	sqe->ioprio |= IORING_RECVSEND_POLL_FIRST; /* it takes a moment: no need to look first */
	io_uring_sqe_set_data(sqe, c);
}

static void ask(struct conn *c, int64_t now_ns)
{
	struct io_uring_sqe *sqe = next_sqe();

	c->number++;
	memcpy(c->out, &c->number, sizeof c->number);
	c->got = 0;
	c->start_ns = now_ns;
	io_uring_prep_send(sqe, c->fd, c->out, NET_MESSAGE, MSG_WAITALL | MSG_NOSIGNAL);
	io_uring_sqe_set_flags(sqe, IOSQE_IO_LINK | IOSQE_CQE_SKIP_SUCCESS);
	io_uring_sqe_set_data(sqe, NULL);
	receive(c);
}

/* Some of an answer has come. */
static void answer(struct conn *c, int bytes, int64_t now_ns)
{
	if (bytes <= 0)
		wrong("receive", bytes ? bytes : -EPIPE);
	c->got += (unsigned)bytes;
	if (c->got < NET_MESSAGE) {
		receive(c);
		return;
	}
	if (memcmp(c->in, c->out, NET_MESSAGE) != 0)
		wrong("an answer", 0);
	seen[bucket_of((uint64_t)(now_ns - c->start_ns))]++;
	answers++;
	ask(c, now_ns);
}

static void pass(void)
{
	struct io_uring_cqe *cqe;
	unsigned head, count = 0;
	int64_t now_ns;
	int r = io_uring_submit_and_wait(&ring, 1);

	if (r < 0 && r != -EINTR)
		wrong("io_uring_enter", r);
	now_ns = net_now_ns();
	io_uring_for_each_cqe(&ring, head, cqe)
	{
		struct conn *c = io_uring_cqe_get_data(cqe);

		if (!c)
			wrong("send", cqe->res);
		answer(c, cqe->res, now_ns);
		count++;
	}
	io_uring_cq_advance(&ring, count);
}

static void run_until(int64_t end_ns)
{
	while (net_now_ns() < end_ns)
		pass();
}

static void connect_all(int port, int count)
{
	conns_count = count;
	conns = calloc((size_t)count, sizeof *conns);
	if (!conns)
		wrong("memory", -ENOMEM);
	for (int i = 0; i < count; i++) {
		conns[i].fd = net_connect(port);
		memset(conns[i].out, 'a' + i % 26, NET_MESSAGE);
	}
}

static void open_ring(int count)
{
	struct io_uring_params p = { .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_CLAMP |
					      IORING_SETUP_DEFER_TASKRUN };
	unsigned entries = 64;
	int r;

	while (entries < 2U * (unsigned)count)
		entries *= 2;
	r = io_uring_queue_init_params(entries, &ring, &p);
	if (r < 0)
		wrong("io_uring", r);
}

static void measure(pid_t server, double seconds)
{
	double warm_s = seconds / 5 < 0.3 ? 0.3 : seconds / 5;
	int64_t start_ns, cpu_ns, own_ns, took_ns;

	for (int i = 0; i < conns_count; i++)
		ask(&conns[i], net_now_ns());
	run_until(net_now_ns() + (int64_t)(warm_s * 1e9));
	memset(seen, 0, sizeof seen);
	answers = 0;
	cpu_ns = net_cpu_ns(server);
	own_ns = net_cpu_ns(getpid());
	start_ns = net_now_ns();
	run_until(start_ns + (int64_t)(seconds * 1e9));
	took_ns = net_now_ns() - start_ns;
	cpu_ns = net_cpu_ns(server) - cpu_ns;
	own_ns = net_cpu_ns(getpid()) - own_ns;
	if (answers == 0)
		wrong("no answers", -ETIMEDOUT);
	printf("%.0f %.0f %.0f %.0f %.2f\n", (double)answers * 1e9 / (double)took_ns,
	       quantile_ns(0.5), quantile_ns(0.99), (double)cpu_ns / (double)answers,
	       (double)own_ns / (double)took_ns);
}

int main(int argc, char **argv)
{
	long files = net_raise_files();
	int count;

	if (argc != 5) {
		fprintf(stderr, "usage: load PORT PID CONNECTIONS SECONDS\n");
		return 2;
	}
	count = atoi(argv[3]);
	if (count < 1 || count > files - 16) {
		fprintf(stderr, "load: %d connections, and at most %ld descriptors\n", count,
			files);
		return 2;
	}
	connect_all(atoi(argv[1]), count);
	open_ring(count);
	measure(atoi(argv[2]), atof(argv[4]));
	return 0;
}
