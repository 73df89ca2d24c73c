/* SPDX-License-Identifier: MIT */
/* What the files of the seam to the world share. */
#ifndef CP_OS_IMPL_H
#define CP_OS_IMPL_H

#include "base/os.h"

#include <errno.h>

/* Has a test this request fail? Then the answer is cp_os_refusal(). */
bool cp_os_refused(void);
int cp_os_refusal(void);

/* What a libc call returned, in our convention. */
static inline int cp_os_result(long r)
{
	return r < 0 ? -errno : (int)r;
}

#endif
