/* SPDX-License-Identifier: MIT */
/*
 * Offloads of each kind in one program, cancelled at each of its checkpoints and run with each
 * of its allocations failing: each argument has one owner in the end, each token is back.
 */
#include "../core/core_help.h"

static struct coop_limiter limiter = COOP_LIMITER_INIT(1);
static const struct coop_local key = { "key" };

static int made, freed, late; /* arguments; `late` and `freed` atomic */

static int *arg_new(void)
{
	int *arg = malloc(sizeof *arg);

	CHECK(arg != NULL);
	*arg = ++made;
	return arg;
}

static void arg_free(int *arg)
{
	__atomic_add_fetch(&freed, 1, __ATOMIC_RELAXED);
	free(arg);
}

static void arg_late(void *arg, int result)
{
	(void)result;
	__atomic_add_fetch(&late, 1, __ATOMIC_RELAXED);
	arg_free(arg);
}

static int in_the_task(void *arg)
{
	int r = coop_sleep(MS(1));

	(void)arg;
	return r;
}

static int in_the_thread(void *arg)
{
	CHECK_INT(*(int *)arg, >, 0);
	CHECK(coop_local_get(&key) == &made);
	return coop_thread_call(in_the_task, NULL);
}

static int quick(void *arg)
{
	return *(int *)arg > 0 ? 0 : -EPROTO;
}

/* One offload; who has the argument afterwards is told by the result. */
static int one(coop_fn *fn, enum coop_on_cancel on_cancel)
{
	struct coop_offload_opts o = { .on_cancel = on_cancel, .limiter = &limiter };
	int *arg = arg_new(), r;

	if (on_cancel == COOP_ON_CANCEL_ABANDON)
		o.late = arg_late;
	r = coop_offload_with(fn, arg, &o);
	if (r != COOP_ECANCELED || !o.late)
		arg_free(arg);
	return r;
}

static int offloads(void *arg)
{
	int r = coop_local_set(&key, &made);

	(void)arg;
	for (int mode = 0; r >= 0 && mode <= COOP_ON_CANCEL_INTERRUPT; mode++) {
		r = one(quick, (enum coop_on_cancel)mode);
		if (r >= 0)
			r = one(in_the_thread, (enum coop_on_cancel)mode);
	}
	return r;
}

static uint32_t borrowed(void)
{
	struct coop_limiter_stats s;

	CHECK_INT(coop_limiter_stats(&limiter, &s), ==, 0);
	return s.borrowed;
}

static int program(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;
	int r;

	(void)arg;
	begin_ns = coop_now();
	coop_group_open(&g, NULL);
	r = coop_spawn(&g, offloads, NULL);
	r = coop_group_join(&g, r);
	while (borrowed())
		coop_yield(); /* what was abandoned is done, then */
	return r;
}

static const char *even(int rc, uint64_t n, void *ctx)
{
	static char text[100];
	bool wrong = made != freed || (rc < 0 && rc != *(int *)ctx && rc != COOP_ECANCELED);

	wrong |= n == 0 && (rc != 0 || made != 6 || late != 0);
	snprintf(text, sizeof text, "rc %d: %d made, %d freed, %d late", rc, made, freed, late);
	made = freed = late = 0;
	return wrong ? text : NULL;
}

/* Cancelled anywhere, each argument is freed once, and each token comes back. */
TEST(cancelled_at_each_checkpoint)
{
	int also = COOP_ECANCELED;
	struct coop_sweep s;

	TEST_SECONDS(60);
	if (coop_sweep_cancel(program, NULL, NULL, even, &also, &s) != 0)
		FAIL("checkpoint %d of %d: %s", (int)s.failed_at, (int)s.runs, s.why);
	CHECK_INT(s.injected, >=, 10);
	PROVES(B268, B269, B270, B273);
}

/* Without memory, for once or from then on, an offload fails, and nothing else goes wrong. */
TEST(without_memory)
{
	int also = -ENOMEM;
	struct coop_sweep s;

	TEST_SECONDS(60);
	for (int i = 0; i < 2; i++) {
		if (coop_sweep_alloc(program, NULL, NULL, i, even, &also, &s) != 0)
			FAIL("allocation %d of %d: %s", (int)s.failed_at, (int)s.runs, s.why);
		CHECK_INT(s.injected, >, 3);
	}
	PROVES(B274);
}
