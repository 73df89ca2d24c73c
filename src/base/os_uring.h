/* SPDX-License-Identifier: MIT */
/* The seam's calls on rings. */
#ifndef CP_OS_URING_H
#define CP_OS_URING_H

#include "base/os.h"

#include <liburing.h>

/*
 * A ring for this thread alone, whose work is done when it asks for it: -ENOSYS, -EPERM, -EINVAL,
 * -ENOMEM and the like where the system does not give one.
 */
int cp_os_uring_open(struct io_uring *ring, unsigned entries, unsigned completions);
void cp_os_uring_close(struct io_uring *ring);
int cp_os_uring_submit(struct io_uring *ring);
/*
 * For an entry that asks for something: has a test this request fail? Then the entry does not ask
 * for it any more, but comes back at once, and the answer is what this returns. Else 0.
 */
int cp_os_uring_refuse(struct io_uring_sqe *sqe);
CP_INLINE int cp_os_uring_refused(struct io_uring_sqe *sqe)
{
	if (CP_LIKELY(!__atomic_load_n(&cp_os_faults.call_fail_at, __ATOMIC_RELAXED)))
		return 0;
	return cp_os_uring_refuse(sqe);
}
/* Submits, and waits for one completion or `timeout_ns` (0: not at all; negative: for ever). */
int cp_os_uring_enter(struct io_uring *ring, int64_t timeout_ns);

#endif
