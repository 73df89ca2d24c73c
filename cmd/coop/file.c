/* SPDX-License-Identifier: MIT */
/*
 * Small files, as a whole.
 */
#include "front.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* The whole of an open file, at most PLAN_FILE_MAX. */
static ssize_t read_all(int fd, char *text)
{
	size_t len = 0;

	while (len <= PLAN_FILE_MAX) {
		ssize_t n = read(fd, text + len, PLAN_FILE_MAX + 1 - len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : (ssize_t)len;
		len += (size_t)n;
	}
	return -EFBIG;
}

int plan_read_file(struct plan *plan, const char *path, const struct plan_place *place,
		   char **ret_text, size_t *ret_len)
{
	bool is_stdin = strcmp(path, "-") == 0;
	int fd = is_stdin ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
	char *text;
	ssize_t len;

	if (fd < 0)
		return plan_fail(plan, place, "cannot read %s: %s", path, strerror(errno));
	text = plan_alloc(plan, PLAN_FILE_MAX + 2);
	len = read_all(fd, text);
	if (!is_stdin)
		close(fd);
	if (len < 0)
		return plan_fail(plan, place, "cannot read %s: %s", path,
				 len == -EFBIG ? "more than 1 MiB" : strerror((int)-len));
	if (memchr(text, '\0', (size_t)len))
		return plan_fail(plan, place, "cannot read %s: it is no text", path);
	text[len] = '\0';
	if (strncmp(text, "\xef\xbb\xbf", 3) == 0) { /* a mark that some editors put there */
		text += 3;
		len -= 3;
	}
	*ret_text = text;
	*ret_len = (size_t)len;
	return 0;
}
