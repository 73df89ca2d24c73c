/* SPDX-License-Identifier: MIT */
/* The number of a process, as forks count; see forks.h. */
#include "base/forks.h"

#include "base/os.h"

#include <pthread.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t forks; /* atomic: changed in the child alone, before its code goes on */
static uint32_t counts; /* atomic: set once, under the lock */

static void after_fork(void)
{
	__atomic_store_n(&forks, forks + 1, __ATOMIC_RELAXED);
}

int cp_forks_count(void)
{
	int r = 0;

	if (__atomic_load_n(&counts, __ATOMIC_ACQUIRE))
		return 0;
	pthread_mutex_lock(&lock);
	if (!counts)
		r = cp_os_atfork_child(after_fork);
	if (r >= 0)
		__atomic_store_n(&counts, 1, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&lock);
	return r;
}

uint32_t cp_forks(void)
{
	return __atomic_load_n(&forks, __ATOMIC_RELAXED);
}
