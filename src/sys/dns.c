/* SPDX-License-Identifier: MIT */
/*
 * Choosing who looks names up.
 *
 * COOP_DNS=threads|cares, or auto: c-ares where this build has it and nsswitch.conf names nothing
 * but "files" and "dns" for hosts, which is all that c-ares knows; so an answer never depends on
 * the choice. On a virtual clock, whose time c-ares does not know, and in a simulated world it is
 * always the threads.
 */
#include "sys/dns.h"

#include "base/os.h"
#include "io/world.h"

#include <coop/log.h>

#include <errno.h>
#include <string.h>

#ifdef CP_HAVE_CARES
#define HAVE_CARES true
#else
#define HAVE_CARES false

int cp_cares_look_up(struct cp_rt *rt, const struct cp_dns_query *q, uint16_t port,
		     struct coop_addr_list **ret_list)
{
	(void)rt;
	(void)q;
	(void)port;
	(void)ret_list;
	return -ENOTSUP; /* nobody chooses it */
}
#endif

struct choice {
	int who; /* enum cp_dns, or -ENOTSUP */
	const char *why;
};

/*
 * Has the "hosts:" line of nsswitch.conf words that c-ares does not know? Without one: no; one that
 * cannot be read now may have.
 */
static bool others_are_asked(void)
{
	char line[256], *at = NULL;
	int r = cp_os_nss_hosts(line, sizeof line);

	if (r < 0)
		return r != -ENOENT;
	for (char *word = strtok_r(line, " \t", &at); word; word = strtok_r(NULL, " \t", &at))
		if (strcmp(word, "files") != 0 && strcmp(word, "dns") != 0)
			return true; /* another service, or what is to be done in which case */
	return false;
}

static struct choice by_name(const char *name)
{
	if (strcmp(name, "threads") == 0)
		return (struct choice){ CP_DNS_THREADS, "asked for" };
	if (strcmp(name, "cares") != 0) {
		coop_log(COOP_LOG_ERROR, "COOP_DNS=%s: no such choice", name);
		return (struct choice){ -ENOTSUP, "no such choice" };
	}
	if (!HAVE_CARES) {
		coop_log(COOP_LOG_ERROR, "COOP_DNS=cares: this build of coop has no c-ares");
		return (struct choice){ -ENOTSUP, "not in this build" };
	}
	return (struct choice){ CP_DNS_CARES, "asked for" };
}

static struct choice choose(void)
{
	const char *name = cp_os_env("COOP_DNS");

	if (name && name[0] && strcmp(name, "auto") != 0)
		return by_name(name);
	if (!HAVE_CARES)
		return (struct choice){ CP_DNS_THREADS, "this build of coop has no c-ares" };
	if (others_are_asked())
		return (struct choice){ CP_DNS_THREADS, "nsswitch.conf asks others" };
	return (struct choice){ CP_DNS_CARES, "nsswitch.conf asks files and dns" };
}

int cp_dns_choose(const struct cp_rt *rt)
{
	static int chosen; /* atomic: 0: not yet; else who + 1, or an error */
	int known = __atomic_load_n(&chosen, __ATOMIC_RELAXED);

	if (!known) {
		struct choice c = choose();

		coop_log(COOP_LOG_DEBUG, "names by %s (%s)",
			 c.who == CP_DNS_CARES ? "c-ares"
			 : c.who < 0           ? "nobody"
					       : "threads",
			 c.why);
		known = c.who < 0 ? c.who : c.who + 1;
		__atomic_store_n(&chosen, known, __ATOMIC_RELAXED); /* by two threads: the same */
	}
	if (known < 0)
		return known;
	if (rt->clock_virtual || cp_world_of(rt) != &cp_world_system)
		return CP_DNS_THREADS;
	return known - 1;
}
