/* SPDX-License-Identifier: MIT */
/*
 * Forks. In the child of a process with several threads there is one thread, and all the rest of
 * the memory: a lock that another thread held is held for ever, and what it was at is half done.
 *
 * Whatever has such state for the whole process names it here, once in its file: its lock, which
 * the thread that forks takes for as long as it forks, so that nobody is half way through a change
 * and the child finds it free; and a function that begins anew what was of the threads and runs
 * that the child has not got. A lock that no fork may wait for is begun anew by that function, too.
 *
 *	static struct cp_forked forked = { .lock = &lock, .child = after_fork };
 *	CP_FORKED(forked)
 *
 * Things by which threads reach a run are many, and who posts there in a child waits for ever: each
 * of them remembers in which process it was made, as a number that every fork raises.
 */
#ifndef CP_FORKS_H
#define CP_FORKS_H

#include <pthread.h>
#include <stdint.h>

struct cp_forked {
	/* Who holds it takes no other lock, not even malloc's, and calls nobody who may. */
	pthread_mutex_t *lock;
	void (*child)(void); /* in the child, with no lock held; signal-safe */
	struct cp_forked *next;
};

void cp_forks_tell(struct cp_forked *forked);
/* When the library is loaded, so that nobody has used the lock before. */
#define CP_FORKED(forked) \
	__attribute__((constructor)) static void forked##_is_told(void) \
	{ \
		cp_forks_tell(&(forked)); \
	}

/* The number of this process. Any thread, signal-safe. */
uint32_t cp_forks(void);

#endif
