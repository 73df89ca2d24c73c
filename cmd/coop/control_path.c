/* SPDX-License-Identifier: MIT */
/* Where control sockets are. */
#include "control.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

bool control_dir(char *buf, size_t size)
{
	const char *base = secure_getenv("XDG_RUNTIME_DIR");
	int len;

	if (base && base[0] == '/')
		len = snprintf(buf, size, "%s/coop", base);
	else
		len = snprintf(buf, size, "/tmp/coop-%u", (unsigned)geteuid());
	return len > 0 && (size_t)len < size;
}

bool control_is_private(const char *dir)
{
	struct stat st;

	return lstat(dir, &st) == 0 && S_ISDIR(st.st_mode) && st.st_uid == geteuid() &&
	       !(st.st_mode & 077);
}
