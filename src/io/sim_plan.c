/* SPDX-License-Identifier: MIT */
/*
 * What is drawn by chance in the simulated world, and what was planned to go wrong.
 */
#include "io/sim.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

/* splitmix64: any seed will do, 0 too. */
static uint64_t next_random(struct cp_sim *sim)
{
	uint64_t z = (sim->rng += UINT64_C(0x9e3779b97f4a7c15));

	z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
	return z ^ (z >> 31);
}

uint64_t sim_below(struct cp_sim *sim, uint64_t n)
{
	return n > 1 ? next_random(sim) % n : 0;
}

bool sim_chance(struct cp_sim *sim, uint32_t percent)
{
	return percent && sim_below(sim, 100) < percent;
}

int64_t sim_between(struct cp_sim *sim, int64_t min, int64_t max)
{
	return max > min ? min + (int64_t)sim_below(sim, (uint64_t)(max - min) + 1) : min;
}

size_t sim_shorten(struct cp_sim *sim, size_t bytes)
{
	return sim_chance(sim, sim->plan.short_percent) ? 1 + sim_below(sim, bytes) : bytes;
}

/* ---------------------------------------------------------------------- faults */

enum coop_sim_call sim_call_of(const struct cp_op *op)
{
	switch ((enum cp_op_code)op->code) {
	case CP_OP_READ:
	case CP_OP_PREAD:
	case CP_OP_RECV:
	case CP_OP_RECVMSG: return COOP_SIM_READ;
	case CP_OP_WRITE:
	case CP_OP_PWRITE:
	case CP_OP_SEND:
	case CP_OP_SENDMSG: return COOP_SIM_WRITE;
	case CP_OP_ACCEPT: return COOP_SIM_ACCEPT;
	case CP_OP_CONNECT: return COOP_SIM_CONNECT;
	case CP_OP_POLL: return COOP_SIM_POLL;
	case CP_OP_FSYNC: return COOP_SIM_FSYNC;
	case CP_OP_SPLICE: return COOP_SIM_SPLICE;
	}
	return COOP_SIM_READ;
}

int sim_fault(struct cp_sim *sim, enum coop_sim_call call)
{
	int error = 0;

	for (int i = 0; i < SIM_FAULTS; i++) {
		struct sim_fault *f = &sim->faults[i];

		if (!f->left || f->call != call || --f->left)
			continue;
		if (!error)
			error = f->error;
	}
	return error;
}

static int sim_fail(struct cp_engine *engine, enum coop_sim_call call, int error, uint64_t nth)
{
	struct cp_sim *sim = CP_CONTAINER_OF(engine, struct cp_sim, epoll.io.engine);

	if ((unsigned)call >= COOP_SIM_CALLS || error <= 0 || error > 4095 || !nth)
		return -EINVAL;
	for (int i = 0; i < SIM_FAULTS; i++) {
		if (sim->faults[i].left)
			continue;
		sim->faults[i] = (struct sim_fault){ call, error, nth };
		return 0;
	}
	return -ENOSPC;
}

/* ------------------------------------------------------------------------ plan */

static bool valid(const struct coop_sim_opts *o)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < CP_ARRAY_LEN(o->_reserved); i++)
		sum |= o->_reserved[i];
	return !sum && o->short_percent <= 100 && o->refuse_percent <= 100 &&
	       o->reset_percent <= 100 && o->drop_percent <= 100 && o->dup_percent <= 100 &&
	       o->latency_min_ns >= 0 && o->latency_max_ns >= o->latency_min_ns &&
	       o->latency_max_ns <= COOP_SECONDS(3600) && o->completion_max_ns >= 0 &&
	       o->completion_max_ns <= COOP_SECONDS(3600) &&
	       o->accept_errors_count <= COOP_SIM_ACCEPT_ERRORS &&
	       (!o->accept_errors_count || o->accept_errors);
}

static int sim_plan(struct cp_engine *engine, const struct coop_sim_opts *opts)
{
	static const struct coop_sim_opts none;
	struct cp_sim *sim = CP_CONTAINER_OF(engine, struct cp_sim, epoll.io.engine);

	if (!opts) {
		opts = &none;
		memset(sim->faults, 0, sizeof sim->faults);
	}
	if (!valid(opts))
		return -EINVAL;
	sim->plan = *opts;
	sim->accept_errors_left = opts->accept_errors_count;
	for (uint32_t i = 0; i < opts->accept_errors_count; i++)
		sim->accept_errors[i] = opts->accept_errors[opts->accept_errors_count - 1 - i];
	sim->plan.accept_errors = NULL;
	return 0;
}

/* ------------------------------------------------------------------- partitions */

static bool is_between(const struct sim_cut *cut, const struct sim_ip *a, const struct sim_ip *b)
{
	return (IN6_ARE_ADDR_EQUAL(&cut->a.ip, &a->ip) && IN6_ARE_ADDR_EQUAL(&cut->b.ip, &b->ip)) ||
	       (IN6_ARE_ADDR_EQUAL(&cut->a.ip, &b->ip) && IN6_ARE_ADDR_EQUAL(&cut->b.ip, &a->ip));
}

bool sim_is_cut(const struct cp_sim *sim, const struct sim_addr *a, const struct sim_addr *b)
{
	struct sim_ip from, to;

	if (!sim->cuts || !a->len || !b->len || a->sa.sa_family == AF_UNIX)
		return false;
	from = sim_ip_of(a);
	to = sim_ip_of(b);
	for (const struct sim_cut *cut = sim->cuts; cut; cut = cut->next)
		if (is_between(cut, &from, &to))
			return true;
	return false;
}

static void hold_all(struct cp_sim *sim)
{
	for (struct sim_object *o = sim->objects; o; o = o->next)
		if (o->is_socket)
			sim_stream_cut(sim, sim_sock_of(o));
	sim_settle(sim);
}

static int parse_host(const char *text, struct sim_ip *ret_ip)
{
	struct sim_addr addr = { .len = sizeof addr.in };

	addr.in.sin_family = AF_INET;
	if (inet_pton(AF_INET, text, &addr.in.sin_addr) == 1) {
		*ret_ip = sim_ip_of(&addr);
		return 0;
	}
	*ret_ip = (struct sim_ip){ .port = 0 };
	return inet_pton(AF_INET6, text, &ret_ip->ip) == 1 ? 0 : -EINVAL;
}

static int sim_partition(struct cp_engine *engine, const char *a, const char *b, bool cut)
{
	struct cp_sim *sim = CP_CONTAINER_OF(engine, struct cp_sim, epoll.io.engine);
	struct sim_cut **at, *new, between;

	if (!a || !b || parse_host(a, &between.a) < 0 || parse_host(b, &between.b) < 0)
		return -EINVAL;
	for (at = &sim->cuts; *at; at = &(*at)->next)
		if (is_between(*at, &between.a, &between.b))
			break;
	if (cut && !*at) {
		new = cp_alloc(sizeof *new);
		if (!new)
			return -ENOMEM;
		*new = between;
		new->next = sim->cuts;
		sim->cuts = new;
	} else if (!cut && *at) {
		new = *at;
		*at = new->next;
		cp_free(new);
	}
	hold_all(sim);
	return 0;
}

static int sim_crash(struct cp_engine *engine)
{
	return sim_fs_crash(CP_CONTAINER_OF(engine, struct cp_sim, epoll.io.engine));
}

const struct cp_sim_control sim_control = {
	.crash = sim_crash,
	.plan = sim_plan,
	.fail = sim_fail,
	.partition = sim_partition,
};

void sim_plan_deinit(struct cp_sim *sim)
{
	while (sim->cuts) {
		struct sim_cut *cut = sim->cuts;

		sim->cuts = cut->next;
		cp_free(cut);
	}
}
