/* SPDX-License-Identifier: MIT */
/*
 * Addresses: whatever the bytes are, nothing beyond the buffers is touched; what is accepted is
 * written, read again and equal; what is refused has changed nothing.
 */
#include <coop/net.h>

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(int cond)
{
	if (!cond)
		abort();
}

static void round_trip(const struct coop_addr *addr)
{
	char text[COOP_ADDR_TEXT_MAX];
	struct coop_addr again;

	coop_addr_text(addr, text, sizeof text);
	check(strlen(text) < sizeof text - 1);
	check(coop_addr_compare(addr, addr) == 0);
	if (strchr(text, '\\')) /* bytes that are shown by number */
		return;
	check(coop_addr_parse(text, &again) == 0);
	check(coop_addr_compare(addr, &again) == 0);
}

static void parse(const char *text)
{
	struct coop_addr addr, before;
	struct coop_hostport parts;

	memset(&addr, 0xa5, sizeof addr);
	before = addr;
	if (coop_addr_parse(text, &addr) < 0)
		check(memcmp(&addr, &before, sizeof addr) == 0);
	else
		round_trip(&addr);
	if (coop_hostport_split(text, &parts) >= 0)
		check(strlen(parts.host) + strlen(parts.service) <= strlen(text));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *text = malloc(size + 1); /* exactly as long: a read beyond it is seen */
	struct coop_addr addr;

	if (!text)
		return 0;
	memcpy(text, data, size);
	text[size] = '\0';
	parse(text);
	if (coop_addr_unix(data, size, &addr) >= 0)
		round_trip(&addr);
	free(text);
	return 0;
}
