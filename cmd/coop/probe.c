/* SPDX-License-Identifier: MIT */
/*
 * Readiness probes as they are written: KIND, or KIND:ARGUMENT.
 */
#include "front.h"
#include "text.h"

#include <regex.h>
#include <string.h>

/* The port behind `text`, up to `end`. */
static const char *read_port(struct plan *plan, const char *text, const char *end,
			     uint16_t *ret_port)
{
	long port;

	if (text_number(plan_copy(plan, text, (size_t)(end - text)), 1, 65535, &port))
		return "has no port from 1 to 65535";
	*ret_port = (uint16_t)port;
	return NULL;
}

/* PORT, HOST:PORT or [ADDRESS]:PORT, up to `end`; without a port: `usual`, where that is not 0. */
static const char *read_host(struct plan *plan, const char *text, const char *end, uint16_t usual,
			     struct plan_probe *probe)
{
	const char *colon = memrchr(text, ':', (size_t)(end - text));
	const char *bracket = *text == '[' ? memchr(text, ']', (size_t)(end - text)) : NULL;
	bool is_port = strspn(text, "0123456789") == (size_t)(end - text) && end > text;

	probe->host = "localhost";
	if (is_port && !usual)
		return read_port(plan, text, end, &probe->port);
	if (bracket && (colon < bracket || colon != bracket + 1))
		colon = NULL;
	if (!colon && !usual)
		return "has no port (tcp:5432, tcp:HOST:5432)";
	if (colon != text) {
		const char *stop = bracket ? bracket : colon ? colon : end;

		probe->host = plan_copy(plan, text + !!bracket, (size_t)(stop - text) - !!bracket);
	}
	if (!*probe->host)
		return "has no host";
	probe->port = usual;
	return colon ? read_port(plan, colon + 1, end, &probe->port) : NULL;
}

static const char *read_tcp(struct plan *plan, const char *arg, struct plan_probe *probe)
{
	return read_host(plan, arg, arg + strlen(arg), 0, probe);
}

/* http://HOST[:PORT][/PATH]; the "http://" may be missing, for "http:" is already there. */
static const char *read_http(struct plan *plan, const char *arg, struct plan_probe *probe)
{
	const char *at = arg, *end;

	if (strncmp(at, "//", 2) == 0)
		at += 2;
	else if (strncmp(at, "http://", 7) == 0)
		at += 7;
	else if (strncmp(at, "https:", 6) == 0)
		return "wants TLS, which no probe has: take cmd:'curl -fsS URL'";
	end = at + strcspn(at, "/?#");
	probe->path = *end == '/' ? end : *end == '?' ? plan_format(plan, "/%s", end) : "/";
	if (strpbrk(probe->path, " \t\r\n"))
		return "has a blank in its path";
	/* A bare port, as in http:8080/health, is this machine's. */
	if (end > at && strspn(at, "0123456789") == (size_t)(end - at))
		return read_host(plan, at, end, 0, probe);
	return read_host(plan, at, end, 80, probe);
}

static const char *read_unix(struct plan *plan, const char *arg, struct plan_probe *probe)
{
	(void)plan;
	if (strlen(arg) > 107)
		return "has a path longer than a socket's 107 bytes";
	probe->path = arg;
	return NULL;
}

static const char *read_file(struct plan *plan, const char *arg, struct plan_probe *probe)
{
	(void)plan;
	probe->path = arg;
	return NULL;
}

static const char *read_log(struct plan *plan, const char *arg, struct plan_probe *probe)
{
	regex_t regex;
	char why[100];
	int r = regcomp(&regex, arg, REG_EXTENDED | REG_NOSUB);

	if (r) {
		regerror(r, &regex, why, sizeof why);
		return plan_format(plan, "is no extended regular expression: %s", why);
	}
	regfree(&regex);
	probe->regex = arg;
	return NULL;
}

static const char *read_cmd(struct plan *plan, const char *arg, struct plan_probe *probe)
{
	probe->command = plan_command_of(plan, arg);
	return NULL;
}

static const char *read_fd(struct plan *plan, const char *arg, struct plan_probe *probe)
{
	long fd;

	(void)plan;
	if (text_number(arg, 3, 1023, &fd))
		return "has no descriptor from 3 to 1023";
	probe->fd = (int)fd;
	return NULL;
}

static const struct kind {
	const char *name;
	enum plan_probe_kind kind;
	const char *(*read)(struct plan *plan, const char *arg, struct plan_probe *probe);
} kinds[] = {
	{ "tcp", PROBE_TCP, read_tcp },    { "unix", PROBE_UNIX, read_unix },
	{ "http", PROBE_HTTP, read_http }, { "log", PROBE_LOG, read_log },
	{ "file", PROBE_FILE, read_file }, { "cmd", PROBE_CMD, read_cmd },
	{ "fd", PROBE_FD, read_fd },       { "notify", PROBE_NOTIFY, NULL },
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

static const char *unknown(struct plan *plan, const char *name)
{
	struct text_near near = { .wrong = name };

	for (size_t i = 0; i < KINDS; i++)
		text_near_offer(&near, kinds[i].name);
	if (near.best)
		return plan_format(plan, "is no probe; did you mean %s?", near.best);
	return "is no probe (tcp, unix, http, log, file, cmd, fd, notify)";
}

const char *probe_parse(struct plan *plan, const char *text, struct plan_probe *ret_probe)
{
	size_t len = strcspn(text, ":");
	const char *name = plan_copy(plan, text, len), *arg = text + len + (text[len] == ':');
	struct plan_probe probe = { .text = text,
				    .interval_ns = COOP_MILLISECONDS(100),
				    .attempt_ns = COOP_SECONDS(5) };

	for (size_t i = 0; i < KINDS; i++) {
		const char *wrong = NULL;

		if (strcmp(kinds[i].name, name) != 0)
			continue;
		if (kinds[i].read && !*arg)
			return "has nothing behind the colon";
		if (!kinds[i].read && text[len])
			return "takes no argument";
		probe.kind = kinds[i].kind;
		if (kinds[i].read)
			wrong = kinds[i].read(plan, arg, &probe);
		if (!wrong)
			*ret_probe = probe;
		return wrong;
	}
	if (strcmp(name, "https") == 0)
		return "wants TLS, which no probe has: take cmd:'curl -fsS URL'";
	return unknown(plan, name);
}
