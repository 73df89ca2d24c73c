/* SPDX-License-Identifier: MIT */
/*
 * Fetches many pages, a few at a time, each with a limit of time and some more tries; a line says
 * how far it is. What could not be had is told in the end, and decides of the exit status.
 *
 *	crawl [-j JOBS] http://HOST[:PORT]/PATH...
 */
#include <coop.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRIES 3

struct page {
	const char *url;
	uint64_t bytes;
};

static struct {
	size_t pages, done, failed, retries;
	uint64_t bytes;
} total;

static void show_progress(void)
{
	fprintf(stderr, "\r%zu of %zu pages, %zu failed, %zu retries, %llu bytes", total.done,
		total.pages, total.failed, total.retries, (unsigned long long)total.bytes);
}

/* The status line and the headers; 0 if a body follows. */
static int read_head(struct coop_reader *in)
{
	char *line;
	int r = coop_reader_line(in, &line), status = 0;

	if (r < 0)
		return r;
	if (sscanf(line, "HTTP/1.%*d %d", &status) != 1 || status != 200)
		return coop_fail(-EPROTO, "the answer is: %s", line);
	do
		r = coop_reader_line(in, &line);
	while (r > 0);
	return r;
}

static int read_body(struct coop_reader *in, struct page *page)
{
	char buf[4096];
	int n;

	while ((n = coop_reader_recv(in, buf, sizeof buf)) > 0)
		page->bytes += (uint64_t)n;
	return n;
}

static int talk(struct coop_stream *s, struct page *page, const char *host, const char *path)
{
	char head[4096], request[2048];
	struct coop_reader in;
	int r, n = snprintf(request, sizeof request, "GET %s HTTP/1.0\r\nHost: %s\r\n\r\n", path,
			    host);

	if (n >= (int)sizeof request)
		return -EMSGSIZE;
	r = coop_stream_send_all(s, request, (size_t)n, NULL);
	if (r < 0)
		return r;
	coop_reader_init(&in, s, head, sizeof head);
	r = read_head(&in);
	return r < 0 ? r : read_body(&in, page);
}

static int fetch(void *arg)
{
	struct page *page = arg;
	const char *begin = page->url + strlen("http://"), *path = strchr(begin, '/');
	struct coop_stream s = COOP_STREAM_INIT;
	struct coop_hostport at;
	char host[300];
	int fd, r;

	if (strncmp(page->url, "http://", 7) != 0 || !path)
		return coop_fail(-EINVAL, "not http://HOST/PATH: %s", page->url);
	snprintf(host, sizeof host, "%.*s", (int)(path - begin), begin);
	r = coop_hostport_split(host, &at);
	if (r < 0)
		return coop_fail(r, "bad host in %s", page->url);
	fd = coop_tcp_connect(at.host, at.service[0] ? at.service : "80", NULL);
	if (fd < 0)
		return coop_wrap(fd, fd, "connecting to %s", host);
	page->bytes = 0;
	r = coop_stream_from_fd(fd, &s);
	if (r < 0) {
		coop_close(fd);
		return r;
	}
	r = talk(&s, page, host, path);
	coop_stream_close(&s);
	return r < 0 ? coop_wrap(r, r, "fetching %s", page->url) : 0;
}

/* What may be over the next time: not what the server said of the page, nor what is no address. */
static bool is_passing(int r)
{
	return r < 0 && r != COOP_ECANCELED && r != -EPROTO && r != -EINVAL;
}

static int fetch_patiently(void *arg)
{
	int r = coop_fail_after(COOP_SECONDS(10), fetch, arg);

	for (int i = 1; i < TRIES && is_passing(r); i++) {
		coop_error_clear();
		total.retries++;
		r = coop_sleep(COOP_MILLISECONDS(100) << i);
		if (r >= 0)
			r = coop_fail_after(COOP_SECONDS(10), fetch, arg);
	}
	total.done += r >= 0;
	total.failed += r < 0 && r != COOP_ECANCELED;
	total.bytes += r >= 0 ? ((struct page *)arg)->bytes : 0;
	show_progress();
	return r;
}

struct job {
	struct page *pages;
	uint32_t jobs;
};

static int crawl(void *arg)
{
	struct job *job = arg;
	struct coop_group_opts opts = { .name = "pages",
					.policy = COOP_COLLECT,
					.running_max = job->jobs,
					.errors_max = COOP_UNLIMITED };
	struct coop_group g = COOP_GROUP_INIT;
	int r = 0;

	coop_group_open(&g, &opts);
	for (size_t i = 0; r >= 0 && i < total.pages; i++)
		r = coop_spawn_wait(&g, fetch_patiently, &job->pages[i]);
	r = coop_group_join(&g, r);
	fputs("\n", stderr);
	for (size_t i = 0; i < total.pages; i++)
		if (job->pages[i].bytes)
			printf("%8llu %s\n", (unsigned long long)job->pages[i].bytes,
			       job->pages[i].url);
	return r;
}

int main(int argc, char **argv)
{
	struct job job = { .jobs = 4 };
	int first = 1, r;

	if (argc > 2 && strcmp(argv[1], "-j") == 0) {
		job.jobs = (uint32_t)strtoul(argv[2], NULL, 10);
		first = 3;
	}
	if (first >= argc || !job.jobs) {
		fputs("usage: crawl [-j JOBS] URL...\n", stderr);
		return 2;
	}
	total.pages = (size_t)(argc - first);
	job.pages = calloc(total.pages, sizeof *job.pages);
	if (!job.pages)
		return 1;
	for (size_t i = 0; i < total.pages; i++)
		job.pages[i].url = argv[first + (int)i];
	r = coop_main(crawl, &job);
	free(job.pages);
	return r;
}
