/* SPDX-License-Identifier: MIT */
/* What the files of the seam to the world share. */
#ifndef CP_OS_IMPL_H
#define CP_OS_IMPL_H

#include "base/libc.h"
#include "base/os.h"

#include <errno.h>

bool cp_os_counted_refused(void); /* the same, where a test or another thread takes part */
/* Has a test this request fail? Then the answer is cp_os_refusal(). */
static inline bool cp_os_refused(void)
{
	if (CP_UNLIKELY(!CP_ONE_THREAD ||
			__atomic_load_n(&cp_os_faults.call_fail_at, __ATOMIC_RELAXED)))
		return cp_os_counted_refused();
	cp_os_faults.call_calls++; /* before each system call: nobody else can be counting */
	return false;
}
int cp_os_refusal(void);

/* What a libc call returned, in our convention. */
static inline int cp_os_result(long r)
{
	return r < 0 ? -errno : (int)r;
}

#endif
