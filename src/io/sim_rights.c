/* SPDX-License-Identifier: MIT */
/* Descriptors that travel in messages of Unix sockets: objects of here, or copies of real ones. */
#include "io/sim.h"

#include "base/os.h"

#include <errno.h>
#include <string.h>

#define RIGHTS_MAX 253 /* the kernel's SCM_MAX_FD */

void sim_rights_free(struct cp_sim *sim, struct sim_rights *rights)
{
	for (int i = 0; i < rights->count; i++) {
		if (rights->items[i].object)
			sim_unref(sim, rights->items[i].object);
		else
			cp_os_close(rights->items[i].fd);
	}
	cp_free(rights);
}

static int add(struct cp_sim *sim, struct sim_rights *rights, int fd)
{
	struct sim_object *o = sim_find(sim, fd);
	int copy = -1;

	if (o) {
		sim_ref(o);
	} else {
		copy = cp_os_dup(fd);
		if (copy < 0)
			return copy;
	}
	rights->items[rights->count].object = o;
	rights->items[rights->count].fd = copy;
	rights->count++;
	return 0;
}

/* How many descriptors the control data has, or -EINVAL. */
static int count_them(struct msghdr *msg)
{
	size_t count = 0;

	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_len < CMSG_LEN(0))
			return -EINVAL;
		if (c->cmsg_type == SCM_RIGHTS)
			count += (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	}
	return count <= RIGHTS_MAX ? (int)count : -EINVAL;
}

static int add_all(struct cp_sim *sim, struct sim_rights *rights, struct msghdr *msg)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		for (size_t i = 0; c->cmsg_type == SCM_RIGHTS && i < count; i++) {
			int fd, r;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof fd, sizeof fd);
			r = add(sim, rights, fd);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

int sim_rights_take(struct cp_sim *sim, const struct msghdr *msg, struct sim_rights **ret_rights)
{
	struct msghdr copy = *msg;
	struct sim_rights *rights;
	int r = count_them(&copy);

	if (r <= 0)
		return r;
	rights = cp_calloc(1, sizeof *rights + (size_t)r * sizeof rights->items[0]);
	if (!rights)
		return -ENOMEM;
	r = add_all(sim, rights, &copy);
	if (r < 0) {
		sim_rights_free(sim, rights);
		return r;
	}
	*ret_rights = rights;
	return 0;
}

/* A number for what came, or negative: there is none to be had. */
static int receive(struct cp_sim *sim, struct sim_rights *rights, int i)
{
	int fd;

	if (!rights->items[i].object)
		return rights->items[i].fd;
	fd = sim_number(sim, rights->items[i].object);
	if (fd >= 0)
		sim_unref(sim, rights->items[i].object);
	return fd;
}

void sim_rights_give(struct cp_sim *sim, struct sim_rights *rights, struct msghdr *msg,
		     size_t *control_used)
{
	size_t room = msg->msg_control ? msg->msg_controllen : 0, most;
	struct cmsghdr *c = msg->msg_control;
	int given = 0;

	most = room > CMSG_LEN(0) ? (room - CMSG_LEN(0)) / sizeof(int) : 0;
	while (given < rights->count && (size_t)given < most) {
		int fd = receive(sim, rights, given);

		if (fd < 0)
			break;
		memcpy(CMSG_DATA(c) + (size_t)given * sizeof fd, &fd, sizeof fd);
		given++;
	}
	if (given) {
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN((size_t)given * sizeof(int));
		*control_used = CMSG_SPACE((size_t)given * sizeof(int));
		if (*control_used > room)
			*control_used = room;
	}
	if (given < rights->count)
		msg->msg_flags |= MSG_CTRUNC;
	rights->count -= given;
	memmove(rights->items, rights->items + given,
		(size_t)rights->count * sizeof rights->items[0]);
	sim_rights_free(sim, rights);
}
