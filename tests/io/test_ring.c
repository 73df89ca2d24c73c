/* SPDX-License-Identifier: MIT */
/*
 * What a ring answers when it cannot, and when it is asked for more than it has room for.
 *
 * A request of the ring that a test refuses is not made: what comes back in its place is the
 * error (cp_os_uring_refuse). A call whose task begins at once ("eager") has made its request when
 * the spawn returns, so the plan is over by then, and what follows is undisturbed.
 *
 * Of operations that go on for more than one completion we have one, the poll of the
 * eventfd that wakes the loop: each receive, poll and accept of a program is an operation of its
 * own, over with its only completion.
 */
#include "io_help.h"

#include "base/os.h"
#include "io/io.h"

#include <limits.h>
#include <coop/thread.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define QUEUE 256 /* what the ring's submission queue has room for */

static const struct coop_spawn_opts eager = { .eager = true };

#define URING_TEST(name) \
	static int task_##name(void *arg); \
	TEST(name) \
	{ \
		io_run(task_##name, COOP_ENGINE_URING); \
	} \
	static int task_##name(__attribute__((unused)) void *arg)

/* The nth request from now on fails by `error`, or that one and all others. */
static void arm(uint64_t n, int error, bool on)
{
	cp_os_faults.call_errno = error;
	cp_os_faults.call_failed = 0;
	cp_os_faults.call_fail_on = on;
	cp_os_faults.call_fail_at = cp_os_faults.call_calls + n;
}

/* How many have failed? */
static uint64_t disarm(void)
{
	cp_os_faults.call_fail_at = 0;
	cp_os_faults.call_fail_on = false;
	return cp_os_faults.call_failed;
}

/* ---- each operation, and what it is for */

struct place {
	int a, b; /* a socket and its peer, or a file */
	int result;
	const struct op *op;
};

struct op {
	const char *name;
	enum cp_op_code code;
	bool file;
	bool sends;
	int (*call)(int fd);
};

static char got[4];
static const char text[] = "text";

static int by_read(int fd)
{
	return coop_read(fd, got, 4);
}

static int by_recv(int fd)
{
	return coop_recv(fd, got, 4, 0);
}

static int by_recvmsg(int fd)
{
	struct iovec iov[2] = { { got, 1 }, { got + 1, 3 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	return coop_recvmsg(fd, &msg, 0);
}

static int by_write(int fd)
{
	return coop_write(fd, text, 4);
}

static int by_send(int fd)
{
	return coop_send(fd, text, 4, 0);
}

static int by_sendmsg(int fd)
{
	struct iovec iov[2] = { { (char *)(uintptr_t)text, 1 },
				{ (char *)(uintptr_t)text + 1, 3 } };
	struct msghdr msg = { .msg_iov = iov, .msg_iovlen = 2 };

	return coop_sendmsg(fd, &msg, 0);
}

static int by_pread(int fd)
{
	return coop_pread(fd, got, 4, 0);
}

static int by_file_read(int fd)
{
	CHECK_INT(lseek(fd, 0, SEEK_SET), ==, 0);
	return coop_read(fd, got, 4);
}

static int by_fsync(int fd)
{
	return coop_fsync(fd) == 0 ? 4 : -1;
}

static int by_poll(int fd)
{
	return coop_poll(fd, POLLIN) == POLLIN ? by_recv(fd) : -1;
}

static const struct op ops[] = {
	{ "read", CP_OP_READ, false, false, by_read },
	{ "recv", CP_OP_RECV, false, false, by_recv },
	{ "recvmsg", CP_OP_RECVMSG, false, false, by_recvmsg },
	{ "write", CP_OP_WRITE, false, true, by_write },
	{ "send", CP_OP_SEND, false, true, by_send },
	{ "sendmsg", CP_OP_SENDMSG, false, true, by_sendmsg },
	{ "pread", CP_OP_PREAD, true, false, by_pread },
	{ "read of a file", CP_OP_READ, true, false, by_file_read },
	{ "fsync", CP_OP_FSYNC, true, false, by_fsync },
	{ "poll", CP_OP_POLL, false, false, by_poll },
};
#define OPS (sizeof ops / sizeof *ops)

static int call_it(void *arg)
{
	struct place *p = arg;

	p->result = p->op->call(p->a);
	return 0;
}

/* What is known of a descriptor when a call has had to wait on it. */
static void make_known(struct place *p)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct place first = { .a = p->a, .op = &ops[1] };

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, call_it, &first, &eager, NULL), ==, 0);
	CHECK_INT(send(p->b, text, 4, 0), ==, 4);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(first.result, ==, 4);
}

static struct place begin(const struct op *op)
{
	struct place p = { .a = -1, .b = -1, .result = INT_MIN, .op = op };

	if (op->file) {
		p.a = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
		CHECK_INT(p.a, >=, 0);
		CHECK_INT(pwrite(p.a, text, 4, 0), ==, 4);
		CHECK_INT(coop_poll(p.a, POLLIN), ==, POLLIN);
	} else {
		pair(&p.a, &p.b);
		make_known(&p);
	}
	return p;
}

/* It has to wait for something: here it is. */
static void provide(const struct place *p)
{
	if (!p->op->file && !p->op->sends)
		CHECK_INT(send(p->b, text, 4, 0), ==, 4);
}

/* Everything that the call asks for until it waits fails so: how many did? */
static uint64_t refused_until_it_waits(struct place *p, int error)
{
	struct coop_group g = COOP_GROUP_INIT;
	uint64_t failed;

	coop_group_open(&g, NULL);
	arm(1, error, true);
	CHECK_INT(coop_spawn_with(&g, call_it, p, &eager, NULL), ==, 0);
	failed = disarm();
	provide(p);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	return failed;
}

static void undisturbed(struct place *p)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, call_it, p, &eager, NULL), ==, 0);
	provide(p);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(p->result, ==, 4);
}

static void end(struct place *p)
{
	char buf[64];
	int sent = 0, r;

	if (p->b >= 0) {
		while ((r = (int)recv(p->b, buf, sizeof buf, MSG_DONTWAIT)) > 0)
			sent += r;
		CHECK_INT(sent % 4, ==, 0);
		CHECK_INT(coop_close(p->b), ==, 0);
	}
	CHECK_INT(coop_close(p->a), ==, 0);
}

static bool is_by_ring(const struct place *p)
{
	struct cp_fd *f = cp_fd_peek(cp_io_of(cp_rt), p->a);

	CHECK(f != NULL);
	return !(f->no_ring & 1u << p->op->code);
}

/* ---- E07: more requests in one go than the submission queue takes */

struct many {
	struct place *places;
	int count;
};

static struct many many_places(int count)
{
	struct many m = { calloc((size_t)count, sizeof(struct place)), count };

	CHECK(m.places != NULL);
	for (int i = 0; i < count; i++) {
		m.places[i] = (struct place){ .op = &ops[1] };
		pair(&m.places[i].a, &m.places[i].b);
		make_known(&m.places[i]);
	}
	return m;
}

/*
 * All of them ask; the loop looks at the ring within 61 switches. Then they are sent something, or
 * cancelled, and that is one go: as many requests as there are tasks.
 */
static void one_batch(struct many *m, bool cancel, int error)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	for (int i = 0; i < m->count; i++)
		CHECK_INT(coop_spawn_with(&g, call_it, &m->places[i], &eager, NULL), ==, 0);
	if (error)
		arm(1, error,
		    false); /* the submission of a full queue: cancellations are not refused */
	if (cancel)
		coop_group_cancel(&g, "as many again");
	if (error)
		CHECK_INT(disarm(), ==, 1);
	for (int i = 0; !cancel && i < m->count; i++)
		provide(&m->places[i]);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < m->count; i++)
		CHECK_INT(m->places[i].result, ==, cancel ? COOP_ECANCELED : 4);
}

static void free_places(struct many *m)
{
	for (int i = 0; i < m->count; i++)
		end(&m->places[i]);
	free(m->places);
}

static void raise_files(void)
{
	struct rlimit l;

	CHECK_INT(getrlimit(RLIMIT_NOFILE, &l), ==, 0);
	if (l.rlim_max < 4 * QUEUE + 64)
		SKIP("at most %d descriptors", (int)l.rlim_max);
	l.rlim_cur = l.rlim_max;
	CHECK_INT(setrlimit(RLIMIT_NOFILE, &l), ==, 0);
}

/* A batch of just as many requests, of one more, of twice as many. */
URING_TEST(rel_E07_a_batch_longer_than_the_queue)
{
	static const int sizes[] = { QUEUE - 1, QUEUE, QUEUE + 1, 2 * QUEUE, 2 * QUEUE + 1 };

	raise_files();
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		struct many m = many_places(sizes[i]);

		one_batch(&m, false, 0);
		one_batch(&m, true, 0);
		one_batch(&m, false, 0);
		free_places(&m);
	}
	PROVES(rel_E07);
	return 0;
}

/* The queue is full, and the ring does not take it just now. */
URING_TEST(rel_E07_a_full_queue_is_not_taken)
{
	static const int says[] = { EBUSY, EAGAIN, EINTR, ENOMEM };
	struct many m;

	raise_files();
	m = many_places(2 * QUEUE);
	for (size_t e = 0; e < sizeof says / sizeof *says; e++)
		one_batch(&m, true, says[e]);
	one_batch(&m, false, 0);
	free_places(&m);
	PROVES(rel_E07);
	return 0;
}

/* ---- E08: an operation of many completions ends by itself */

/* In a thread: the loop sleeps in the ring, and is woken by the end of this. */
static int when_it_sleeps(void *arg)
{
	const struct cp_rt *rt = arg;

	while (__atomic_load_n(&rt->asleep, __ATOMIC_SEQ_CST) != CP_IN_ENGINE)
		sched_yield();
	return 7;
}

/* How many polls are there in the ring, but for those that receives have made? -1: nobody says. */
static int polls(void)
{
	DIR *d = opendir("/proc/self/fd");
	struct dirent *e;
	int n = -1;

	CHECK(d != NULL);
	while ((e = readdir(d))) {
		char path[300], line[200];
		FILE *f;

		snprintf(path, sizeof path, "/proc/self/fdinfo/%s", e->d_name);
		f = fopen(path, "r");
		while (f && fgets(line, sizeof line, f)) {
			if (strncmp(line, "PollList:", 9) == 0)
				n = 0;
			n += strstr(line, "op=6,") != NULL;
		}
		if (f)
			fclose(f);
	}
	closedir(d);
	return n;
}

/* The poll of what wakes the loop has ended: it is there again at the next wait, and once. */
URING_TEST(rel_E08_the_poll_that_wakes_ends)
{
	struct place p = { .op = &ops[1], .result = INT_MIN };
	struct coop_group g = COOP_GROUP_INIT;

	pair(&p.a, &p.b);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, call_it, &p, &eager, NULL), ==, 0);
	arm(1, ENOMEM, false); /* the first wait of this run has it armed */
	CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(disarm(), ==, 1);
	for (int i = 0; i < 20; i++)
		CHECK_INT(coop_offload(when_it_sleeps, cp_rt), ==, 7);
	CHECK_INT(polls(), <=, 1);
	CHECK_INT(p.result, ==, INT_MIN);
	provide(&p);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(p.result, ==, 4);
	end(&p);
	PROVES(rel_E08);
	return 0;
}

/* ---- E10: what the kernel, or this file, has no operation for */

/* Each operation is refused as not supported: it is done in another way, then and from then on. */
URING_TEST(rel_E10_each_operation_has_another_way)
{
	static const int says[] = { EOPNOTSUPP, EINVAL };

	for (size_t e = 0; e < 2; e++) {
		for (size_t i = 0; i + 1 < OPS; i++) {
			struct place p;

			if (ops[i].code != CP_OP_FSYNC && ops[i].file && says[e] == EINVAL)
				continue; /* the look at what is cached says so itself */
			p = begin(&ops[i]);
			undisturbed(&p);
			CHECK(is_by_ring(&p));
			CHECK_INT(refused_until_it_waits(&p, says[e]), >=, 1);
			if (p.result != 4)
				FAIL("%s: %d, after the ring said %d", ops[i].name, p.result,
				     says[e]);
			CHECK(!is_by_ring(&p));
			undisturbed(&p);
			CHECK(!is_by_ring(&p));
			end(&p);
		}
	}
	PROVES(rel_E10);
	return 0;
}

/* It is kept for this operation alone, and for this file: its number's next one starts anew. */
URING_TEST(rel_E10_one_operation_of_one_file)
{
	struct place p = begin(&ops[1]), next;

	CHECK_INT(refused_until_it_waits(&p, EOPNOTSUPP), >=, 1);
	CHECK(!is_by_ring(&p));
	p.op = &ops[2];
	CHECK(is_by_ring(&p));
	undisturbed(&p);
	end(&p);
	next = begin(&ops[1]);
	CHECK_INT(next.a, ==, p.a);
	CHECK(is_by_ring(&next));
	end(&next);
	PROVES(rel_E10);
	return 0;
}

static int accepts(void *arg)
{
	const struct place *p = arg;

	return coop_accept(p->a, NULL, NULL);
}

/* The system call says the same: it is the caller's mistake, and nothing to keep. */
URING_TEST(rel_E10_a_mistake_is_told)
{
	struct place p = { .a = new_socket(AF_UNIX, SOCK_STREAM), .op = &ops[1] };
	struct sockaddr_un none = { .sun_family = AF_UNIX };
	struct coop_group g = COOP_GROUP_INIT;

	CHECK_INT(bind(p.a, (struct sockaddr *)&none, sizeof none.sun_family), ==, 0);
	CHECK_INT(listen(p.a, 1), ==, 0);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, accepts, &p, &eager, NULL), ==, 0);
	coop_group_cancel(&g, "nothing to read is known");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	for (int i = 0; i < 2; i++) {
		CHECK_INT(by_recv(p.a), ==, -EINVAL); /* a listener is not connected */
		CHECK(is_by_ring(&p));
	}
	CHECK_INT(coop_close(p.a), ==, 0);
	PROVES(rel_E10);
	return 0;
}

/* The kernel does not have one of the operations at all: there is no ring, and epoll does it. */
static int recv_send(void *arg)
{
	struct place p;

	*(uint64_t *)arg = disarm();
	p = begin(&ops[4]);
	undisturbed(&p);
	end(&p);
	return 0;
}

TEST(rel_E10_no_such_operation_in_this_kernel)
{
	struct coop_run_opts ring = { .engine = COOP_ENGINE_URING };
	uint64_t failed = 0;
	int fds = fds_open(), by_epoll = 0;

	unsetenv("COOP_IO");
	if (coop_run(recv_send, &failed, &ring) == -ENOTSUP)
		SKIP("this machine has no io_uring");
	for (uint64_t n = 1; n < 40; n++) {
		int r;

		keep_records(COOP_LOG_DEBUG);
		failed = 0;
		arm(n, ENOSYS, false);
		r = coop_run(recv_send, &failed, NULL);
		failed += disarm();
		/* There is no stack without its guard. */
		CHECK(r == 0 || ((r == -ENOSYS || r == -ENOMEM) && failed));
		by_epoll += failed && strstr(records, "engine epoll (this kernel has no io_uring");
		CHECK_INT(fds_open(), ==, fds);
	}
	CHECK_INT(by_epoll, >=, 5); /* the ring, its operations, its rights, its start, its use */
	PROVES(rel_E10);
}

/* ---- E14: another way, whose buffers are left behind */

URING_TEST(rel_E14_the_other_way_leaves_nothing)
{
	int64_t allocs = 0;
	int fds = 0, rounds = TEST_COUNT(300, 20);

	for (int round = 0; round < rounds; round++) {
		for (size_t i = 0; i + 1 < OPS; i++) {
			struct place p = begin(&ops[i]);

			CHECK_INT(refused_until_it_waits(&p, EOPNOTSUPP), >=, 1);
			CHECK_INT(p.result, ==, 4);
			CHECK(!is_by_ring(&p));
			end(&p);
		}
		if (round == 2) {
			allocs = cp_os_faults.allocs_live;
			fds = fds_open();
		}
	}
	CHECK_INT(cp_os_faults.allocs_live, ==, allocs);
	CHECK_INT(fds_open(), ==, fds);
	PROVES(rel_E14);
	return 0;
}

/* ---- E16: what the ring takes back is done again */

/* An operation of the ring ends by EINTR, or EAGAIN: nobody notices. */
URING_TEST(rel_E16_taken_back_and_done_again)
{
	static const int says[] = { EINTR, EAGAIN };

	for (size_t e = 0; e < 2; e++) {
		for (size_t i = 0; i < OPS; i++) {
			struct place p;

			if (ops[i].file && (says[e] == EINTR || ops[i].code != CP_OP_FSYNC))
				continue; /* of the calls before it: below */
			if (ops[i].code == CP_OP_POLL)
				continue;
			p = begin(&ops[i]);
			CHECK_INT(refused_until_it_waits(&p, says[e]), >=, 1);
			CHECK_INT(p.result, ==, 4);
			CHECK(is_by_ring(&p));
			undisturbed(&p);
			end(&p);
		}
	}
	PROVES(rel_E16);
	return 0;
}

/* The same for the nth request alone, so that the calls which are made before it are made. */
URING_TEST(rel_E16_interrupted_behind_the_cache)
{
	for (size_t i = 0; i < OPS; i++) {
		struct place p = begin(&ops[i]);
		bool hit = true;

		for (uint64_t n = 1; hit; n++) {
			struct coop_group g = COOP_GROUP_INIT;

			coop_group_open(&g, NULL);
			arm(n, EINTR, false);
			CHECK_INT(coop_spawn_with(&g, call_it, &p, &eager, NULL), ==, 0);
			hit = disarm();
			provide(&p);
			CHECK_INT(coop_group_join(&g, 0), ==, 0);
			CHECK_INT(p.result, ==, 4);
		}
		end(&p);
	}
	PROVES(rel_E16);
	return 0;
}

/* ---- what is relied on: the ring waits for a socket whatever mode it is in */

/* One request, that of the receive, and no poll by us: also on one in non-blocking mode. */
URING_TEST(the_ring_waits_in_either_mode)
{
	for (int nonblock = 0; nonblock < 2; nonblock++) {
		for (size_t i = 0; i < 3; i++) {
			struct place p = begin(&ops[i]);
			struct coop_group g = COOP_GROUP_INIT;
			uint64_t calls;

			if (nonblock)
				CHECK_INT(fcntl(p.a, F_SETFL, O_RDWR | O_NONBLOCK), ==, 0);
			coop_group_open(&g, NULL);
			arm(1000000, EIO, false);
			calls = cp_os_faults.call_calls;
			CHECK_INT(coop_spawn_with(&g, call_it, &p, &eager, NULL), ==, 0);
			CHECK_INT(cp_os_faults.call_calls - calls, ==, 1);
			CHECK_INT(coop_sleep(MS(1)), ==, 0);
			calls = cp_os_faults.call_calls;
			provide(&p);
			CHECK_INT(coop_group_join(&g, 0), ==, 0);
			CHECK_INT(p.result, ==, 4);
			/* those of the loop, none of the call's */
			CHECK_INT(cp_os_faults.call_calls - calls, <=, 1);
			disarm();
			end(&p);
		}
	}
	return 0;
}

/* ---- in the child of a fork there is the descriptor of a ring, and none of its memory */

struct maps {
	char *at[8];
	size_t bytes[8];
	int count;
};

/* Where the rings of this process are. */
static struct maps ring_maps(void)
{
	struct maps maps = { .count = 0 };
	FILE *f = fopen("/proc/self/maps", "re");
	char line[512];

	CHECK(f != NULL);
	while (maps.count < 8 && fgets(line, sizeof line, f)) {
		unsigned long from, to;

		if (!strstr(line, "[io_uring]") || sscanf(line, "%lx-%lx", &from, &to) != 2)
			continue;
		maps.at[maps.count] = (char *)from;
		maps.bytes[maps.count++] = to - from;
	}
	fclose(f);
	return maps;
}

/* The child has put memory of its own there: closing the runner leaves that alone. */
static void close_in_child(struct coop_runner *runner, const struct maps *maps)
{
	for (int i = 0; i < maps->count; i++) {
		void *mine = mmap(maps->at[i], maps->bytes[i], PROT_READ | PROT_WRITE,
				  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

		CHECK(mine == maps->at[i]);
		memset(mine, 1, maps->bytes[i]);
	}
	coop_runner_free(runner);
	for (int i = 0; i < maps->count; i++)
		CHECK_INT(maps->at[i][maps->bytes[i] - 1], ==, 1);
	_exit(0);
}

static int nothing(void *arg)
{
	(void)arg;
	return 0;
}

TEST(a_forked_child_closes_no_ring)
{
	struct coop_run_opts opts = { .engine = COOP_ENGINE_URING };
	struct coop_runner *runner;
	struct maps maps;
	int status;
	pid_t pid;

	unsetenv("COOP_IO");
	if (coop_runner_open(&opts, &runner) == -ENOTSUP)
		SKIP("this machine has no io_uring");
	CHECK_INT(coop_runner_run(runner, nothing, NULL), ==, 0);
	maps = ring_maps();
	pid = fork();
	CHECK_INT(pid, >=, 0);
	if (pid == 0)
		close_in_child(runner, &maps);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	CHECK_INT(coop_runner_run(runner, nothing, NULL), ==, 0);
	coop_runner_free(runner);
}
