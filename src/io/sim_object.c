/* SPDX-License-Identifier: MIT */
/*
 * The objects of the simulated world, and the numbers that mean them.
 *
 * Behind each number is a copy of the engine's own epoll descriptor: it takes the number, counts
 * against the limit, is closed on exec, and answers whoever reads or writes it with an error.
 */
#include "io/sim.h"

#include "base/os.h"

#include <errno.h>
#include <string.h>

void sim_object_init(struct cp_sim *sim, struct sim_object *o, const struct sim_object_ops *ops)
{
	o->ops = ops;
	o->number = -1;
	o->next = sim->objects;
	if (o->next)
		o->next->prev = o;
	sim->objects = o;
}

void sim_object_deinit(struct cp_sim *sim, struct sim_object *o)
{
	if (o->changed) {
		*(o->changed_prev ? &o->changed_prev->changed_next : &sim->changed_first) =
			o->changed_next;
		*(o->changed_next ? &o->changed_next->changed_prev : &sim->changed_last) =
			o->changed_prev;
	}
	*(o->prev ? &o->prev->next : &sim->objects) = o->next;
	if (o->next)
		o->next->prev = o->prev;
}

void sim_unref(struct cp_sim *sim, struct sim_object *o)
{
	CP_ASSERT(o->refs > 0);
	if (--o->refs == 0 && !sim->dying)
		o->ops->gone(sim, o);
}

/* --------------------------------------------------------------------- numbers */

struct sim_object *sim_find(const struct cp_sim *sim, int fd)
{
	return fd >= 0 && (size_t)fd < sim->numbers_count ? sim->numbers[fd].object : NULL;
}

static int grow(struct cp_sim *sim, int fd)
{
	size_t count = sim->numbers_count;
	struct sim_number *numbers;

	if ((size_t)fd < count)
		return 0;
	count = 2 * count > (size_t)fd + 64 ? 2 * count : (size_t)fd + 64;
	numbers = cp_realloc(sim->numbers, count * sizeof *numbers);
	if (!numbers)
		return -ENOMEM;
	memset(numbers + sim->numbers_count, 0, (count - sim->numbers_count) * sizeof *numbers);
	sim->numbers = numbers;
	sim->numbers_count = count;
	return 0;
}

static void drop(struct cp_sim *sim, int fd)
{
	struct sim_object *o = sim->numbers[fd].object;
	int *at = &o->number;

	while (*at != fd)
		at = &sim->numbers[*at].next;
	*at = sim->numbers[fd].next;
	sim->numbers[fd].object = NULL;
	sim->numbers_open--;
	sim_unref(sim, o);
}

int sim_number(struct cp_sim *sim, struct sim_object *o)
{
	int fd, r;

	if (sim->plan.fds_max && sim->numbers_open >= sim->plan.fds_max)
		return -EMFILE;
	fd = cp_os_dup(sim->epoll.epfd);
	if (fd < 0)
		return fd;
	r = grow(sim, fd);
	if (r < 0) {
		cp_os_close(fd);
		return r;
	}
	if (sim->numbers[fd].object) /* closed by somebody who did not say so */
		drop(sim, fd);
	sim->numbers[fd] = (struct sim_number){ o, o->number };
	o->number = fd;
	sim->numbers_open++;
	sim_ref(o);
	return fd;
}

int sim_number_first(struct cp_sim *sim, struct sim_object *o)
{
	int fd = sim_number(sim, o);

	if (fd < 0)
		o->ops->gone(sim, o);
	return fd;
}

void sim_number_close(struct cp_sim *sim, int fd)
{
	drop(sim, fd);
	cp_os_close(fd); /* what is behind it */
}
