/* SPDX-License-Identifier: MIT */
/*
 * A server in a bad world: simulated, with latency, short transfers, refusals, resets, errors of
 * accept, late completions, and clients that come and go, under many seeds.
 *
 * COOP_TEST_SEED=n plays one seed alone.
 */
#include "net_help.h"

/* Each run here says on which engine it is; COOP_IO would have the last word. */
__attribute__((constructor)) static void engines_are_named(void)
{
	unsetenv("COOP_IO");
}

#define CLIENTS 12

static const int accept_errors[] = { EMFILE, ECONNABORTED, ENFILE, ENOBUFS,
				     ENOMEM, EPERM,        EINTR,  EPROTO };

struct world {
	struct coop_listener *l;
	struct coop_addr addr;
	struct coop_serve_opts opts;
	uint64_t random;
	int answered, refused, broken, stopped;
	uint64_t hash;
};

static uint32_t draw(struct world *w, uint32_t n)
{
	w->random = w->random * UINT64_C(6364136223846793005) + 1442695040888963407;
	return (uint32_t)(w->random >> 33) % n;
}

static void note(struct world *w, int64_t what)
{
	w->hash = (w->hash ^ (uint64_t)what) * UINT64_C(0x100000001b3);
}

/* Answers each byte with the next one. */
static int next_bytes(int fd, void *arg)
{
	unsigned char buf[100];
	int n, at, r;

	(void)arg;
	while ((n = coop_serve_recv(fd, buf, sizeof buf)) > 0) {
		for (int i = 0; i < n; i++)
			buf[i]++;
		for (at = 0; at < n; at += r) {
			r = coop_send(fd, buf + at, (size_t)(n - at), 0);
			if (r < 0)
				return r;
		}
	}
	return n;
}

static int serve(void *arg)
{
	struct world *w = arg;

	return coop_serve(w->l, next_bytes, w, &w->opts);
}

/* Sends some and reads the answer: what comes is right, or there is an error. */
static int talk(struct world *w, int fd, int bytes)
{
	unsigned char buf[300], first = (unsigned char)draw(w, 256);
	int at, r;

	for (at = 0; at < bytes; at++)
		buf[at] = (unsigned char)(first + at);
	for (at = 0; at < bytes; at += r) {
		r = coop_send(fd, buf + at, (size_t)(bytes - at), 0);
		if (r < 0)
			return r;
	}
	for (at = 0; at < bytes; at += r) {
		r = coop_recv(fd, buf + at, (size_t)(bytes - at), 0);
		if (r <= 0)
			return r < 0 ? r : -ECONNRESET;
	}
	for (at = 0; at < bytes; at++)
		CHECK_INT(buf[at], ==, (unsigned char)(first + at + 1));
	return 0;
}

static int client_once(struct world *w)
{
	int fd = coop_tcp_connect_addr(&w->addr, NULL), r = 0;

	if (fd < 0)
		return fd;
	for (uint32_t i = 1 + draw(w, 4); i && r >= 0; i--)
		r = talk(w, fd, 1 + (int)draw(w, 300));
	coop_close(fd);
	return r;
}

static int client(void *arg)
{
	struct world *w = arg;
	struct coop_scope scope = COOP_SCOPE_INIT;
	int r = coop_sleep(MS(draw(w, 50)));

	if (r < 0)
		return r;
	coop_scope_open(&scope, NULL);
	if (draw(w, 4) == 0) /* in a hurry */
		CHECK_INT(coop_scope_set_deadline(&scope, coop_now() + MS(draw(w, 20))), ==, 0);
	r = client_once(w);
	note(w, r);
	note(w, coop_now());
	w->answered += r == 0;
	w->refused += r == -ECONNREFUSED;
	w->broken += r == -ECONNRESET || r == -EPIPE;
	w->stopped += r == COOP_ECANCELED;
	CHECK(r == 0 || r == -ECONNREFUSED || r == -ECONNRESET || r == -EPIPE ||
	      r == COOP_ECANCELED);
	coop_error_clear();
	r = coop_scope_close(&scope, r == COOP_ECANCELED ? r : 0);
	return r == COOP_ECANCELED ? r : 0;
}

static void plan(struct world *w)
{
	struct coop_sim_opts plan = { .short_percent = draw(w, 60),
				      .refuse_percent = draw(w, 20),
				      .reset_percent = draw(w, 30),
				      .reset_bytes = 400,
				      .latency_min_ns = draw(w, 100000),
				      .completion_max_ns = draw(w, 2) ? draw(w, 200000) : 0,
				      .accept_errors = accept_errors,
				      .accept_errors_count = draw(w, 9) };

	plan.latency_max_ns = plan.latency_min_ns + draw(w, 2000000);
	CHECK_INT(coop_sim_plan(&plan), ==, 0);
}

static int bad_world(void *arg)
{
	struct coop_group_opts log = { .policy = COOP_LOG };
	struct coop_group server = COOP_GROUP_INIT, clients = COOP_GROUP_INIT;
	struct world *w = arg;

	w->l = listen_at(&w->addr, NULL);
	w->opts.connections_max = draw(w, 3) ? 0 : 1 + draw(w, 4);
	coop_group_open(&server, NULL);
	CHECK_INT(coop_spawn(&server, serve, w), ==, 0);
	plan(w);
	coop_group_open(&clients, &log);
	for (int i = 0; i < CLIENTS; i++)
		CHECK_INT(coop_spawn(&clients, client, w), ==, 0);
	CHECK_INT(coop_group_join(&clients, 0), ==, 0);

	CHECK_INT(coop_sim_plan(NULL), ==, 0); /* the world is well again: so is the server */
	CHECK_INT(client_once(w), ==, 0);
	CHECK_INT(coop_listener_drain(w->l), ==, 0);
	CHECK_INT(coop_group_join(&server, 0), ==, 0);
	CHECK_INT(stats_of(w->l).open, ==, 0);
	coop_listener_close(w->l);
	return 0;
}

static struct world play(uint64_t seed)
{
	struct coop_run_opts opts = { .engine = COOP_ENGINE_SIM, .seed = seed };
	struct world w = { .random = seed };

	CHECK_INT(coop_run(bad_world, &w, &opts), ==, 0);
	CHECK_INT(w.answered + w.refused + w.broken + w.stopped, ==, CLIENTS);
	return w;
}

/* Whatever happens to connections, the server serves the others, and ends in order. */
TEST(a_server_in_a_bad_world)
{
	const char *one = getenv("COOP_TEST_SEED");
	int answered = 0, refused = 0, broken = 0, stopped = 0;

	TEST_SECONDS(120);
	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	if (one) {
		play(strtoull(one, NULL, 0));
		return;
	}
	for (uint64_t seed = 1; seed <= TEST_COUNT(400, 40); seed++) {
		struct world w = play(seed);

		answered += w.answered;
		refused += w.refused;
		broken += w.broken;
		stopped += w.stopped;
	}
	CHECK(answered > 0 && refused > 0 && broken > 0 && stopped > 0);
}

/* The same seed gives the same day. */
TEST(a_bad_world_can_be_played_again)
{
	coop_log_set(NULL, NULL, COOP_LOG_ERROR);
	for (uint64_t seed = 1; seed <= 10; seed++) {
		struct world a = play(seed), b = play(seed);

		CHECK(a.hash == b.hash);
	}
}
