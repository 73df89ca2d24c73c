/* SPDX-License-Identifier: MIT */
/*
 * Running a process and keeping what it writes.
 *
 * Each stream is served by a task of its own, so that none waits for another: a process that
 * fills its standard error before it reads its input goes on. These tasks are behind shields: while
 * the process is stopped it can still write, and is not held up, or ended by a closed pipe, on
 * its way out. They are ended by their own scopes, once the process is reaped and those who
 * inherited a stream have had their time.
 */
#include "sys/process.h"

#include <errno.h>
#include <string.h>

#define CP_KEEP_BYTES ((size_t)1 << 20)
#define CP_PIECE_BYTES ((size_t)16 * 1024)
#define CP_ROOM_MIN ((size_t)4096)

/* One stream and the task that serves it. */
struct served {
	struct coop_process *p;
	int which;
	struct coop_scope scope;
	bool done;
	/* of one that is read */
	char *text;
	size_t bytes, room, max;
	uint64_t total;
	/* of one that is written */
	const char *input;
	size_t input_bytes;
};

struct capture {
	struct coop_process *p;
	const struct coop_process_opts *opts;
	int64_t drain_ns;
	struct served streams[3];
	bool held;
	struct coop_process_status status;
};

/* Room for at least one byte more of those that are kept. */
static int make_room(struct served *s)
{
	size_t room = s->room ? s->room * 2 : CP_ROOM_MIN;
	char *text;

	if (s->bytes < s->room || s->room == s->max)
		return 0;
	if (room > s->max)
		room = s->max;
	text = cp_realloc(s->text, room + 1);
	if (!text)
		return -ENOMEM;
	s->text = text;
	s->room = room;
	return 0;
}

/* Reads what there is: how much, 0 at the end. What is beyond the limit goes nowhere. */
static int read_piece(struct served *s)
{
	char beyond[CP_PIECE_BYTES];
	int fd = coop_process_fd(s->p, s->which), n = make_room(s);
	bool kept = s->bytes < s->room;

	if (n < 0)
		return n;
	n = kept ? cp_os_read_now(fd, s->text + s->bytes, s->room - s->bytes)
		 : cp_os_read_now(fd, beyond, sizeof beyond);
	if (n <= 0)
		return n == -EIO && cp_os_is_pty(fd) ? 0 : n; /* a terminal that nobody has open */
	s->bytes += kept ? (size_t)n : 0;
	s->total += (uint64_t)n;
	return n;
}

static int read_all(struct served *s)
{
	int r;

	do {
		r = cp_process_poll(coop_process_fd(s->p, s->which), POLLIN);
		if (r < 0)
			return r;
		r = read_piece(s);
	} while (r == -EAGAIN || r > 0);
	return r;
}

/* A process that does not read all of its input is none of our business. */
static int write_all(struct served *s)
{
	int r = 0;

	while (s->input_bytes && r >= 0) {
		int fd = coop_process_fd(s->p, s->which);

		r = cp_process_poll(fd, POLLOUT);
		if (r < 0)
			return r;
		r = cp_os_write_quiet(fd, s->input, s->input_bytes);
		if (r > 0) {
			s->input += r;
			s->input_bytes -= (size_t)r;
		} else if (r == -EAGAIN) {
			r = 0;
		}
	}
	return r == -EPIPE ? 0 : r;
}

static int serve_stream(void *arg)
{
	struct served *s = arg;
	struct coop_scope_opts opts = { .name = "stream", .shield = true };
	int r;

	coop_scope_open(&s->scope, &opts);
	r = s->which == 0 ? write_all(s) : read_all(s);
	r = coop_scope_close(&s->scope, r);
	s->done = !coop_scope_caught(&s->scope);
	if (s->which == 0)
		cp_process_close_fd(s->p, 0);
	return r;
}

static int start_serving(struct coop_group *g, struct capture *c)
{
	int r = 0;

	for (int i = 0; i < 3 && r >= 0; i++) {
		struct served *s = &c->streams[i];

		s->done = true;
		if (coop_process_fd(c->p, i) < 0 || (i == 0 && !s->input) ||
		    (i == 2 && coop_process_fd(c->p, 1) == coop_process_fd(c->p, 2)))
			continue;
		s->done = false;
		r = coop_spawn(g, serve_stream, s);
	}
	return r;
}

/* The process is gone; others may hold its streams, for a time. */
static int drain(struct coop_group *g, struct capture *c)
{
	struct coop_scope_opts opts = { .name = "drain", .timeout_ns = c->drain_ns };
	struct coop_scope s = COOP_SCOPE_INIT;

	coop_scope_open(&s, &opts);
	return coop_scope_close(&s, coop_group_wait(g));
}

static int serve(struct capture *c)
{
	struct coop_group_opts opts = { .name = "capture" };
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	coop_group_open(&g, &opts);
	r = start_serving(&g, c);
	if (r >= 0)
		r = cp_process_run_on(c->p, c->opts, &c->status);
	if (r >= 0)
		r = drain(&g, c);
	c->held = !c->streams[1].done || !c->streams[2].done;
	for (int i = 0; i < 3; i++)
		coop_scope_cancel(&c->streams[i].scope, "the process has ended");
	return coop_group_join(&g, r);
}

/* ------------------------------------------------------------------ the call */

static struct coop_process_opts with_pipes(const struct coop_process_opts *opts, bool input)
{
	struct coop_process_opts o = *opts;

	if (o.in.how == COOP_PROCESS_INHERIT)
		o.in.how = input ? COOP_PROCESS_PIPE : COOP_PROCESS_NULL;
	if (o.out.how == COOP_PROCESS_INHERIT)
		o.out.how = COOP_PROCESS_PIPE;
	if (o.err.how == COOP_PROCESS_INHERIT)
		o.err.how = COOP_PROCESS_PIPE;
	return o;
}

static bool opts_ok(const struct coop_capture_opts *o)
{
	for (size_t i = 0; i < CP_ARRAY_LEN(o->_reserved); i++)
		if (o->_reserved[i])
			return false;
	return o->drain_ns >= 0 && (o->input || !o->input_bytes) && o->out_max < SIZE_MAX / 2 &&
	       o->err_max < SIZE_MAX / 2;
}

static void capture_init(struct capture *c, struct coop_process *p,
			 const struct coop_process_opts *opts, const struct coop_capture_opts *o)
{
	static const struct coop_scope unopened = COOP_SCOPE_INIT;

	*c = (struct capture){ .p = p, .opts = opts };
	c->drain_ns = o->drain_ns ? o->drain_ns : COOP_SECONDS(1);
	for (int i = 0; i < 3; i++) {
		c->streams[i].p = p;
		c->streams[i].which = i;
		c->streams[i].scope = unopened;
	}
	c->streams[0].input = o->input;
	c->streams[0].input_bytes = o->input_bytes;
	c->streams[1].max = o->out_max ? o->out_max : CP_KEEP_BYTES;
	c->streams[2].max = o->err_max ? o->err_max : CP_KEEP_BYTES;
}

/* The text is the caller's, ended by a NUL. */
static int take_text(struct served *s, char **ret_text)
{
	char *text = s->text ? s->text : cp_alloc(1);

	if (!text)
		return -ENOMEM;
	text[s->bytes] = '\0';
	s->text = NULL;
	*ret_text = text;
	return 0;
}

static int take(struct capture *c, struct coop_capture *ret_capture)
{
	struct coop_capture kept = {
		.out_bytes = c->streams[1].bytes,
		.err_bytes = c->streams[2].bytes,
		.out_total = c->streams[1].total,
		.err_total = c->streams[2].total,
		.held = c->held,
		.status = c->status,
	};
	int r = take_text(&c->streams[1], &kept.out);

	if (r >= 0)
		r = take_text(&c->streams[2], &kept.err);
	if (r < 0) {
		coop_capture_deinit(&kept);
		return r;
	}
	*ret_capture = kept;
	return 0;
}

int coop_process_capture(const struct coop_process_opts *opts,
			 const struct coop_capture_opts *capture, struct coop_capture *ret_capture)
{
	static const struct coop_capture_opts usual;
	struct coop_process_opts piped;
	struct coop_process *p;
	struct capture c;
	int r;

	if (!cp_in_task())
		return cp_no_task();
	cp_check_frames(cp_rt->body, __builtin_frame_address(0), "coop_process_capture");
	if (!opts || !opts_ok(capture ? capture : &usual))
		return cp_refuse(-EINVAL);
	piped = with_pipes(opts, capture && capture->input);
	r = coop_process_spawn(&piped, &p);
	if (r < 0)
		return r;
	capture_init(&c, p, &piped, capture ? capture : &usual);
	r = serve(&c);
	coop_process_free(p);
	if (r >= 0)
		r = take(&c, ret_capture);
	cp_free(c.streams[1].text);
	cp_free(c.streams[2].text);
	return r;
}

void coop_capture_deinit(struct coop_capture *capture)
{
	cp_free(capture->out);
	cp_free(capture->err);
	*capture = (struct coop_capture){ 0 };
}
