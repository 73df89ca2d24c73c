/* SPDX-License-Identifier: MIT */
/*
 * What a fork does with the state of the whole process; see forks.h.
 *
 * Everything here is told when the library is loaded. So our handlers are among the first of the
 * program: what it has registered itself runs before our locks are taken and after they are free,
 * and may call us.
 *
 * Invariants
 *   1. `told` changes under `lock`, which a fork holds from its beginning to its end: a thread that
 *      forks meets the same list three times, and two of them take the locks one after the other.
 *   2. What is taken is free, in the child as well, before any function of the child's is called.
 */
#include "base/forks.h"

#include "base/os.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct cp_forked *told;
static uint32_t forks; /* atomic: changed in the child alone, before its code goes on */

static void lock_all(void)
{
	pthread_mutex_lock(&lock);
	for (struct cp_forked *f = told; f; f = f->next)
		if (f->lock)
			pthread_mutex_lock(f->lock);
}

static void unlock_all(void)
{
	for (struct cp_forked *f = told; f; f = f->next)
		if (f->lock)
			pthread_mutex_unlock(f->lock);
	pthread_mutex_unlock(&lock);
}

static void in_child(void)
{
	__atomic_store_n(&forks, forks + 1, __ATOMIC_RELAXED);
	unlock_all();
	for (struct cp_forked *f = told; f; f = f->next)
		if (f->child)
			f->child();
}

/* There is nobody yet to whom a failure could be returned, and nothing that could be lost. */
__attribute__((constructor)) static void begin(void)
{
	int r = cp_os_atfork(lock_all, unlock_all, in_child);

	if (r < 0)
		cp_die("the system cannot tell of forks: %s", cp_os_error_text(-r));
}

void cp_forks_tell(struct cp_forked *forked)
{
	pthread_mutex_lock(&lock);
	forked->next = told;
	told = forked;
	pthread_mutex_unlock(&lock);
}

uint32_t cp_forks(void)
{
	return __atomic_load_n(&forks, __ATOMIC_RELAXED);
}
