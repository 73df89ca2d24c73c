/* SPDX-License-Identifier: MIT */
/*
 * Streams: the same of every kind, over memory, sockets, pipes, a pseudo terminal, and a layer of
 * the test's own.
 */
#include "stream_help.h"

/* What is sent arrives, both ways. */
EACH_KIND(bytes_arrive_both_ways, ALL)
{
	sends(&p->a, "hello");
	receives(&p->b, "hello");
	sends(&p->b, "and back");
	receives(&p->a, "and back");
}

/* One receives what there is, at most what was asked for. */
EACH_KIND(receives_what_there_is, CONNECTIONS)
{
	char buf[16];

	sends(&p->a, "hello");
	CHECK_INT(coop_stream_recv(&p->b, buf, 2), ==, 2);
	CHECK(memcmp(buf, "he", 2) == 0);
	CHECK_INT(coop_stream_recv(&p->b, buf, sizeof buf), ==, 3);
	CHECK(memcmp(buf, "llo", 3) == 0);
}

/* A receive waits for what is sent later. */
EACH_KIND(receive_waits, ALL)
{
	struct coop_group g = COOP_GROUP_INIT;
	char buf[4];
	struct io io = { .s = &p->b, .buf = buf, .bytes = 4, .all = true };

	coop_group_open(&g, NULL);
	start(&g, io_receives, &io);
	CHECK(!io.ended);
	sends(&p->a, "ab");
	settle();
	CHECK(!io.ended);
	sends(&p->a, "cd");
	finish(&io);
	CHECK_INT(io.rc, ==, 0);
	CHECK_INT(io.done, ==, 4);
	CHECK(memcmp(buf, "abcd", 4) == 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
}

/* A megabyte through small buffers, whole and in order, while the other side takes its time. */
EACH_KIND(large_pieces_are_whole, ALL)
{
	size_t bytes = now_testing == BYTEWISE ? 2000 : (size_t)TEST_COUNT(1000000, 50000), at = 0;
	struct coop_group g = COOP_GROUP_INIT;
	char *out = malloc(bytes), in[777];
	struct io io = { .s = &p->a, .buf = out, .bytes = bytes };

	CHECK(out != NULL);
	fill_pattern(out, bytes, 0);
	coop_group_open(&g, NULL);
	start(&g, io_sends, &io);
	while (at < bytes) {
		int r = coop_stream_recv(&p->b, in, 1 + at % sizeof in);

		CHECK_INT(r, >, 0);
		check_pattern(in, (size_t)r, at);
		at += (size_t)r;
	}
	finish(&io);
	CHECK_INT(io.rc, ==, 0);
	CHECK_INT(io.done, ==, bytes);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	free(out);
}

/* Who sends more than there is room for waits: nothing is buffered without end. */
EACH_KIND(send_waits_for_room, PLAIN)
{
	size_t bytes = 32 << 20, at = 0;
	struct coop_group g = COOP_GROUP_INIT;
	char *out = malloc(bytes), in[65536];
	struct io io = { .s = &p->a, .buf = out, .bytes = bytes };

	CHECK(out != NULL);
	fill_pattern(out, bytes, 0);
	coop_group_open(&g, NULL);
	start(&g, io_sends, &io);
	CHECK(!io.ended);
	cancel(&io);
	CHECK_INT(io.rc, ==, COOP_ECANCELED);
	CHECK_INT(io.done, <, bytes);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	while (at < io.done) { /* as many as it said, and they are the first ones */
		int r = coop_stream_recv(&p->b, in, sizeof in);

		CHECK_INT(r, >, 0);
		check_pattern(in, (size_t)r, at);
		at += (size_t)r;
	}
	CHECK_INT(at, ==, io.done);
	free(out);
}

/* After the last byte comes the end, again and again. */
EACH_KIND(end_after_the_last_byte, CONNECTIONS)
{
	char buf[8];

	sends(&p->a, "bye");
	CHECK_INT(coop_stream_close(&p->a), ==, 0);
	receives(&p->b, "bye");
	receives_end(&p->b);
	receives_end(&p->b);
	CHECK_INT(coop_stream_recv_exactly(&p->b, buf, 1, NULL), ==, COOP_EOF);
}

/* What comes before the end is told, and is in the buffer. */
EACH_KIND(end_before_all_came, CONNECTIONS)
{
	char buf[8] = "";
	size_t got = 77;

	sends(&p->a, "abc");
	CHECK_INT(coop_stream_send_eof(&p->a), ==, 0);
	CHECK_INT(coop_stream_recv_exactly(&p->b, buf, sizeof buf, &got), ==, COOP_EOF);
	CHECK_INT(got, ==, 3);
	CHECK_STR(buf, "abc");
}

/* G01: one side has ended; the other one still sends, and is heard. */
EACH_KIND(rel_G01_half_close, CONNECTIONS)
{
	sends(&p->a, "question");
	CHECK_INT(coop_stream_send_eof(&p->a), ==, 0);
	CHECK_INT(coop_stream_send_eof(&p->a), ==, 0);
	receives(&p->b, "question");
	receives_end(&p->b);
	sends(&p->b, "answer");
	receives(&p->a, "answer");
	CHECK_INT(coop_stream_send_all(&p->a, "x", 1, NULL), ==, COOP_ECLOSED);
	CHECK_INT(coop_stream_send_eof(&p->b), ==, 0);
	receives_end(&p->a);
	PROVES(rel_G01);
}

/* Of bytewise streams, too; a terminal has no half-close. */
TASK_TEST(half_close_of_layers)
{
	struct pair p;

	pair_open(&p, BYTEWISE);
	CHECK_INT(coop_stream_send_eof(&p.a), ==, 0);
	receives_end(&p.b);
	sends(&p.b, "answer");
	receives(&p.a, "answer");
	pair_close(&p);
	pair_open(&p, PTY);
	CHECK_INT(coop_stream_send_eof(&p.a), ==, -ENOTSUP);
	sends(&p.a, "still");
	receives(&p.b, "still");
	pair_close(&p);
	return 0;
}

/* G02: empty pieces are passed over, wherever they are, and nothing is an end. */
EACH_KIND(rel_G02_empty_pieces, ALL)
{
	static const char *const texts[] = { "", "ab", "", "", "c", "" };
	struct iovec iov[6];
	size_t sent = 77;
	char c;

	for (unsigned mask = 0; mask < 64; mask++) {
		char expected[16] = "";
		int n = 0;

		for (int i = 0; i < 6; i++) {
			if (!(mask & 1u << i))
				continue;
			iov[n++] = (struct iovec){ (void *)(uintptr_t)texts[i], strlen(texts[i]) };
			strcat(expected, texts[i]);
		}
		CHECK_INT(coop_stream_send_all_v(&p->a, iov, n, &sent), ==, 0);
		CHECK_INT(sent, ==, strlen(expected));
		receives(&p->b, expected);
	}
	CHECK_INT(coop_stream_send_all(&p->a, NULL, 0, &sent), ==, 0);
	CHECK_INT(sent, ==, 0);
	CHECK_INT(coop_stream_recv_exactly(&p->b, NULL, 0, NULL), ==, 0);
	CHECK_INT(coop_stream_recv(&p->b, &c, 0), ==, -EINVAL);
	PROVES(rel_G02);
}

/* More pieces than go out at once, of all lengths, also bytewise. */
EACH_KIND(many_pieces, ALL)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct iovec iov[100];
	char out[100 * 17], in[100 * 17];
	struct io io = { .s = &p->b, .buf = in, .all = true };
	size_t at = 0;

	for (size_t i = 0; i < 100; i++) {
		iov[i] = (struct iovec){ out + at, i % 17 };
		at += i % 17;
	}
	fill_pattern(out, at, 0);
	io.bytes = at;
	coop_group_open(&g, NULL);
	start(&g, io_receives, &io);
	CHECK_INT(coop_stream_send_all_v(&p->a, iov, 100, NULL), ==, 0);
	finish(&io);
	CHECK_INT(io.rc, ==, 0);
	check_pattern(in, at, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
}

/* I08: lengths whose sum wraps, and counts below zero, are refused before anything is sent. */
EACH_KIND(rel_I08_sizes_that_wrap, PLAIN)
{
	struct iovec iov[] = { { (void *)"a", SIZE_MAX - 1 }, { (void *)"b", 3 } };

	CHECK_INT(coop_stream_send_all_v(&p->a, iov, 2, NULL), ==, -EINVAL);
	iov[0].iov_len = SIZE_MAX / 2;
	iov[1].iov_len = SIZE_MAX / 2;
	CHECK_INT(coop_stream_send_all_v(&p->a, iov, 2, NULL), ==, -EINVAL);
	CHECK_INT(coop_stream_send_all_v(&p->a, iov, -1, NULL), ==, -EINVAL);
	sends(&p->a, "well");
	receives(&p->b, "well");
	PROVES(rel_I08);
}

/* B264: a second task in one direction is refused; the other direction is free. */
EACH_KIND(two_tasks_in_one_direction, ALL)
{
	struct coop_group g = COOP_GROUP_INIT;
	char a[4], b[4], big[1000] = "";
	struct io first = { .s = &p->b, .buf = a, .bytes = 4, .all = true };
	struct io second = { .s = &p->b, .buf = b, .bytes = 4 };
	struct io sender = { .s = &p->b, .buf = big, .bytes = 4 };

	coop_group_open(&g, NULL);
	start(&g, io_receives, &first);
	start(&g, io_receives, &second);
	CHECK_INT(second.rc, ==, -EBUSY);
	start(&g, io_sends, &sender);
	CHECK_INT(sender.rc, ==, 0);
	sends(&p->a, "abcd");
	finish(&first);
	CHECK_INT(first.rc, ==, 0);
	finish(&second);
	finish(&sender);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B264);
}

/* A piece is not torn by another task's, also where its sender gives way in between. */
EACH_KIND(pieces_are_not_torn, ALL)
{
	struct coop_group g = COOP_GROUP_INIT;
	size_t bytes = now_testing == BYTEWISE ? 3000 : 32 << 20; /* more than TCP buffers */
	char *out = malloc(bytes), other = '!', in[4096];
	struct io first = { .s = &p->a, .buf = out, .bytes = bytes };
	struct io second = { .s = &p->a, .buf = &other, .bytes = 1 };
	size_t at = 0;

	CHECK(out != NULL);
	fill_pattern(out, bytes, 0);
	coop_group_open(&g, NULL);
	start(&g, io_sends, &first);
	start(&g, io_sends, &second);
	CHECK_INT(second.rc, ==, -EBUSY);
	finish(&second);
	while (at < bytes) {
		int r = coop_stream_recv(&p->b, in, sizeof in);

		CHECK_INT(r, >, 0);
		check_pattern(in, (size_t)r, at);
		at += (size_t)r;
	}
	finish(&first);
	CHECK_INT(first.rc, ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	free(out);
}

/* ---- cancel */

/* Cancelled while it waits: nothing was received, and what comes later is whole. */
EACH_KIND(cancelled_receive_takes_nothing, ALL)
{
	struct coop_group g = COOP_GROUP_INIT;
	char buf[8] = "-------";
	struct io io = { .s = &p->b, .buf = buf, .bytes = 7 };

	coop_group_open(&g, NULL);
	start(&g, io_receives, &io);
	cancel(&io);
	CHECK_INT(io.rc, ==, COOP_ECANCELED);
	CHECK_STR(buf, "-------");
	sends(&p->a, "later");
	receives(&p->b, "later");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
}

/* Under a cancelled scope nothing is done, though all is ready. */
EACH_KIND(cancelled_before, ALL)
{
	struct coop_scope s = COOP_SCOPE_INIT;
	struct iovec iov = { (void *)"no", 2 };
	char buf[4];

	sends(&p->a, "yes");
	coop_scope_open(&s, NULL);
	coop_scope_cancel(&s, "before");
	CHECK_INT(coop_stream_recv(&p->b, buf, 4), ==, COOP_ECANCELED);
	CHECK_INT(coop_stream_recv_exactly(&p->b, buf, 3, NULL), ==, COOP_ECANCELED);
	CHECK_INT(coop_stream_send_all(&p->b, "no", 2, NULL), ==, COOP_ECANCELED);
	CHECK_INT(coop_stream_send_all_v(&p->b, &iov, 1, NULL), ==, COOP_ECANCELED);
	CHECK_INT(coop_stream_send_eof(&p->b), ==, COOP_ECANCELED);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	receives(&p->b, "yes");
	sends(&p->b, "ok");
	receives(&p->a, "ok");
}

/* Interrupted in the middle, and asked how far it came: one can go on from there. */
EACH_KIND(interrupted_receive_goes_on, AT_ONCE)
{
	struct coop_group g = COOP_GROUP_INIT;
	char buf[8] = "";
	struct io io = { .s = &p->b, .buf = buf, .bytes = 6, .all = true };

	coop_group_open(&g, NULL);
	start(&g, io_receives, &io);
	sends(&p->a, "abc");
	settle();
	cancel(&io);
	CHECK_INT(io.rc, ==, COOP_ECANCELED);
	CHECK_INT(io.done, ==, 3);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	sends(&p->a, "def");
	CHECK_INT(coop_stream_recv_exactly(&p->b, buf + 3, 3, NULL), ==, 0);
	CHECK_STR(buf, "abcdef");
}

/* Interrupted in the middle, and nobody knows where: the stream is broken in this direction. */
EACH_KIND(interrupted_blindly_is_broken, AT_ONCE)
{
	struct coop_group g = COOP_GROUP_INIT;
	size_t bytes = 32 << 20;
	char *big = calloc(1, bytes), buf[8];
	struct io in = { .s = &p->b, .buf = buf, .bytes = 6, .all = true, .blind = true };
	struct io out = { .s = &p->b, .buf = big, .bytes = bytes, .blind = true };

	CHECK(big != NULL);
	coop_group_open(&g, NULL);
	start(&g, io_receives, &in);
	cancel(&in); /* before the first byte: not broken */
	start(&g, io_receives, &in);
	CHECK_INT(in.rc, ==, PENDING);
	sends(&p->a, "abc");
	settle();
	cancel(&in);
	CHECK_INT(coop_stream_recv(&p->b, buf, 1), ==, COOP_EBROKEN);
	CHECK_INT(coop_stream_recv_exactly(&p->b, buf, 1, NULL), ==, COOP_EBROKEN);
	sends(&p->b, "still");
	receives(&p->a, "still");
	start(&g, io_sends, &out);
	cancel(&out);
	CHECK_INT(coop_stream_send_all(&p->b, "x", 1, NULL), ==, COOP_EBROKEN);
	CHECK_INT(coop_stream_send_eof(&p->b), ==, COOP_EBROKEN);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	free(big);
}

/* ---- the end */

/* B265: closing wakes who waits on it. */
EACH_KIND(close_wakes_who_waits, ALL)
{
	struct coop_group g = COOP_GROUP_INIT;
	char buf[4];
	struct io io = { .s = &p->b, .buf = buf, .bytes = 4 };

	coop_group_open(&g, NULL);
	start(&g, io_receives, &io);
	CHECK(!io.ended);
	CHECK_INT(coop_stream_close(&p->b), ==, 0);
	finish(&io);
	CHECK_INT(io.rc, ==, COOP_ECLOSED);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(B265);
}

/* G05: what was closed stays closed, also when its number is that of another file by now. */
EACH_KIND(rel_G05_use_after_close, ALL)
{
	int fds[8], n = 0;
	char buf[4];

	CHECK_INT(coop_stream_close(&p->a), ==, 0);
	for (; n < 8; n++)
		fds[n] = open("/dev/null", O_RDWR | O_CLOEXEC);
	CHECK_INT(coop_stream_send_all(&p->a, "x", 1, NULL), ==, COOP_ECLOSED);
	CHECK_INT(coop_stream_recv(&p->a, buf, 1), ==, COOP_ECLOSED);
	CHECK_INT(coop_stream_send_eof(&p->a), ==, COOP_ECLOSED);
	CHECK_INT(coop_stream_fd(&p->a, true), ==, COOP_ECLOSED);
	CHECK_INT(coop_stream_close(&p->a), ==, 1);
	CHECK_INT(coop_stream_abort(&p->a), ==, 1);
	while (n--)
		CHECK_INT(close(fds[n]), ==, 0); /* they are all still there */
	PROVES(rel_G05);
}

/* A peer that is gone: sending fails, without a signal. */
EACH_KIND(peer_is_gone, CONNECTIONS)
{
	int r = 0;

	CHECK_INT(coop_stream_close(&p->b), ==, 0);
	for (int i = 0; i < 3 && r >= 0; i++) /* TCP hears of it with the second */
		r = coop_stream_send_all(&p->a, "x", 1, NULL);
	if (r != -EPIPE)
		CHECK_INT(r, ==, -ECONNRESET);
}

static int writes_to_nobody(void *arg)
{
	struct coop_stream r, w;
	int fds[2], fd;

	(void)arg;
	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	from_fds(fds, &r, &w);
	CHECK_INT(coop_stream_close(&r), ==, 0);
	for (int i = 0; i < 3; i++)
		CHECK_INT(coop_stream_send_all(&w, "x", 1, NULL), ==, -EPIPE);
	fd = coop_stream_fd(&w, true);
	printf("alive\n");
	fflush(stdout);
	return write(fd, "x", 1) < 0;
}

/* The program's own writes to such a pipe end it as they always did: nothing was changed. */
TEST_ABORT(own_writes_get_the_signal, "alive")
{
	(void)!coop_run(writes_to_nobody, NULL, &virtual_clock);
}

/* An abort is seen by the peer of a connection as no ordinary end. */
TASK_TEST(abort_resets)
{
	static const enum kind kinds[] = { MEMORY, TCP, BYTEWISE };

	for (int i = 0; i < 3; i++) {
		struct pair p;
		char c;
		int r;

		pair_open(&p, kinds[i]);
		sends(&p.a, "lost");
		CHECK_INT(coop_stream_abort(&p.a), ==, 0);
		while ((r = coop_stream_recv(&p.b, &c, 1)) > 0)
			; /* TCP hands out what had arrived */
		CHECK_INT(r, ==, -ECONNRESET);
		pair_close(&p);
	}
	return 0;
}

/* F09: data and the end in one packet: first the data. */
EACH_KIND(rel_F09_data_and_end_at_once, CONNECTIONS)
{
	struct coop_group g = COOP_GROUP_INIT;
	char buf[100] = "", out[50];
	struct io io = { .s = &p->b, .buf = buf, .bytes = 100, .all = true };

	fill_pattern(out, sizeof out, 0);
	coop_group_open(&g, NULL);
	start(&g, io_receives, &io);
	CHECK_INT(coop_stream_send_all(&p->a, out, sizeof out, NULL), ==, 0);
	CHECK_INT(coop_stream_close(&p->a), ==, 0);
	finish(&io);
	CHECK_INT(io.rc, ==, COOP_EOF);
	CHECK_INT(io.done, ==, 50);
	check_pattern(buf, 50, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(rel_F09);
}

/* F02: what was written to a terminal before its last user went is read, and then the end. */
TASK_TEST(rel_F02_terminal_of_a_child)
{
	enum { BYTES = 20000 };
	struct coop_stream s = COOP_STREAM_INIT;
	int fds[2], status;
	char in[512];
	size_t at = 0;
	pid_t pid;

	pty_fds(fds);
	pid = fork();
	if (pid == 0) {
		char out[BYTES];

		fill_pattern(out, BYTES, 0);
		for (size_t done = 0; done < BYTES;) {
			ssize_t n = write(fds[1], out + done, BYTES - done);

			done += n > 0 ? (size_t)n : BYTES;
		}
		_exit(0);
	}
	close(fds[1]);
	CHECK_INT(coop_stream_from_fd(fds[0], &s), ==, 0);
	for (;;) {
		int r = coop_stream_recv(&s, in, sizeof in);

		CHECK_INT(r, >=, 0);
		if (r == 0)
			break;
		check_pattern(in, (size_t)r, at);
		at += (size_t)r;
	}
	CHECK_INT(at, ==, BYTES);
	receives_end(&s);
	CHECK_INT(coop_stream_close(&s), ==, 0);
	CHECK_INT(waitpid(pid, &status, 0), ==, pid);
	CHECK_INT(status, ==, 0);
	PROVES(rel_F02);
	return 0;
}

/* G03: half-closed and closed, nothing holds the run up. */
static int shuts_down(void *arg)
{
	struct pair p;

	(void)arg;
	pair_open(&p, TCP);
	CHECK_INT(coop_stream_send_eof(&p.a), ==, 0);
	CHECK_INT(coop_stream_send_eof(&p.b), ==, 0);
	pair_close(&p);
	return 0;
}

TASK_TEST(rel_G03_shutdown_without_close)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, shuts_down, NULL), ==, 0);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	PROVES(rel_G03);
	return 0;
}

/* ---- what a stream is */

/* The zero value, and what was never opened, is no stream. */
TASK_TEST(never_opened)
{
	struct coop_stream s = COOP_STREAM_INIT;
	char c;

	CHECK_INT(coop_stream_recv(&s, &c, 1), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_stream_send_all(&s, &c, 1, NULL), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_stream_send_eof(&s), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_stream_fd(&s, false), ==, COOP_ENOTOPEN);
	CHECK_INT(coop_stream_close(&s), ==, 1);
	CHECK_INT(coop_stream_close(NULL), ==, 1);
	CHECK_INT(coop_stream_abort(NULL), ==, 1);
	return 0;
}

/* What a descriptor was opened for is what the stream can do. */
TASK_TEST(directions_of_a_descriptor)
{
	struct coop_stream r = COOP_STREAM_INIT, w = COOP_STREAM_INIT;
	int fds[2];
	char c;

	CHECK_INT(coop_stream_from_fd(-1, &r), ==, -EBADF);
	CHECK_INT(pipe2(fds, O_CLOEXEC), ==, 0);
	from_fds(fds, &r, &w);
	CHECK_INT(coop_stream_send_all(&r, "x", 1, NULL), ==, -EPERM);
	CHECK_INT(coop_stream_send_eof(&r), ==, -EPERM);
	CHECK_INT(coop_stream_recv(&w, &c, 1), ==, -EPERM);
	CHECK_INT(coop_stream_fd(&r, false), ==, fds[0]);
	CHECK_INT(coop_stream_fd(&r, true), ==, -EPERM);
	CHECK_INT(coop_stream_fd(&w, true), ==, fds[1]);
	sends(&w, "ok");
	CHECK_INT(coop_stream_send_eof(&w), ==, 0);
	receives(&r, "ok");
	receives_end(&r);
	CHECK_INT(coop_stream_close(&w), ==, 0);
	CHECK_INT(coop_stream_close(&r), ==, 0);
	return 0;
}

/* A file is a stream, too: it has an end. */
TASK_TEST(stream_of_a_file)
{
	struct coop_stream s = COOP_STREAM_INIT;
	char path[] = "/tmp/coop-stream-XXXXXX";
	int fd = mkostemp(path, O_CLOEXEC);

	CHECK_INT(fd, >=, 0);
	unlink(path);
	CHECK_INT(coop_stream_from_fd(fd, &s), ==, 0);
	sends(&s, "written");
	CHECK_INT(lseek(fd, 0, SEEK_SET), ==, 0);
	receives(&s, "written");
	receives_end(&s);
	CHECK_INT(coop_stream_close(&s), ==, 0);
	return 0;
}

/* A stream can be moved between calls. */
EACH_KIND(moved_between_calls, PLAIN)
{
	struct coop_stream moved = p->a;

	p->a = (struct coop_stream)COOP_STREAM_INIT;
	sends(&moved, "moved");
	receives(&p->b, "moved");
	p->a = moved;
}

/* ---- goodbyes */

struct polite {
	struct coop_stream s;
	int64_t takes_ns;
	int rc;
	int finished, released, aborted;
};

static int polite_finish(struct coop_stream *s)
{
	struct polite *p = s->ctx;

	p->finished++;
	p->rc = coop_sleep(p->takes_ns);
	return p->rc;
}

static void polite_release(struct coop_stream *s, bool abort)
{
	struct polite *p = s->ctx;

	p->released++;
	p->aborted += abort;
}

static const struct coop_stream_ops polite_ops = { .name = "polite",
						   .finish = polite_finish,
						   .release = polite_release };

/* A goodbye is said before the end, not with an abort, and has its time. */
TASK_TEST(goodbye_has_its_time)
{
	struct polite p = { .takes_ns = SEC(1) };

	coop_stream_init(&p.s, &polite_ops, &p);
	CHECK_INT(coop_stream_close(&p.s), ==, 0);
	CHECK_INT(now_ms(), ==, 1000);
	CHECK(p.finished == 1 && p.released == 1 && !p.aborted);
	coop_stream_init(&p.s, &polite_ops, &p);
	CHECK_INT(coop_stream_abort(&p.s), ==, 0);
	CHECK(p.finished == 1 && p.released == 2 && p.aborted == 1);
	p.takes_ns = COOP_NEVER;
	coop_stream_init(&p.s, &polite_ops, &p);
	CHECK_INT(coop_stream_close(&p.s), ==, COOP_ETIMEDOUT);
	CHECK_INT(now_ms(), ==, 1000 + COOP_STREAM_FINISH_NS / 1000000);
	CHECK_INT(p.released, ==, 3);
	return 0;
}

/* Under a cancel it is still said, as long as the grace lasts; the stream is closed in any case. */
TASK_TEST(goodbye_under_a_cancel)
{
	struct polite p = { .takes_ns = SEC(1) };
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, NULL);
	coop_scope_cancel_grace(&s, "enough", SEC(3));
	coop_stream_init(&p.s, &polite_ops, &p);
	CHECK_INT(coop_stream_close(&p.s), ==, 0);
	CHECK_INT(p.rc, ==, 0);
	p.takes_ns = SEC(10);
	coop_stream_init(&p.s, &polite_ops, &p);
	CHECK_INT(coop_stream_close(&p.s), ==, COOP_ECANCELED);
	CHECK_INT(now_ms(), ==, 3000);
	CHECK_INT(p.released, ==, 2);
	CHECK_INT(coop_scope_close(&s, 0), ==, 0);
	return 0;
}
