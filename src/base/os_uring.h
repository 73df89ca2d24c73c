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
/* Submits, and waits for one completion or `timeout_ns` (0: not at all; negative: for ever). */
int cp_os_uring_enter(struct io_uring *ring, int64_t timeout_ns);

#endif
