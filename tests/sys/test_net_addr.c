/* SPDX-License-Identifier: MIT */
/* Addresses: read, written, compared. */
#include "test.h"

#include <coop.h>

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

static struct coop_addr addr_of(const char *text)
{
	struct coop_addr addr;

	CHECK_INT(coop_addr_parse(text, &addr), ==, 0);
	return addr;
}

/* What is read is written the same. */
TEST(an_address_is_written_as_it_was_read)
{
	static const char *const texts[] = {
		"127.0.0.1:80",
		"0.0.0.0:0",
		"255.255.255.255:65535",
		"[::1]:80",
		"[::]:0",
		"[2001:db8::ff00:42:8329]:443",
		"[fe80::1%lo]:22",
		"[fe80::1%9999]:22",
		"unix:/run/x.sock",
		"unix:x",
		"unix:@name",
	};
	char buf[COOP_ADDR_TEXT_MAX];

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
		struct coop_addr addr = addr_of(texts[i]);

		CHECK_STR(coop_addr_text(&addr, buf, sizeof buf), texts[i]);
	}
}

/* What is not an address in full is refused, and nothing is written. */
TEST(what_is_no_address_is_refused)
{
	static const char *const texts[] = {
		"",
		"127.0.0.1",
		"127.0.0.1:",
		"127.0.0.1:65536",
		"127.0.0.1:080",
		"127.1:80",
		"127.0.0.01:80",
		" 127.0.0.1:80",
		"127.0.0.1:80 ",
		"127.0.0.1:+1",
		"localhost:80",
		"::1:80",
		"[::1]",
		"[::1]80",
		"[::1",
		"[]:80",
		"[127.0.0.1]:80",
		"[::1%]:80",
		"[::1%lo",
		"::1]:80",
		"unix:",
		"unix:@",
		"[::1]:80:90",
		"[[::1]]:80",
		"127.0.0.1:1e1",
		":80",
		"127.0.0.1:-1",
		"[::g]:1",
		"1.2.3.4:000080",
		"unixx:/a",
	};
	struct coop_addr addr, same;

	memset(&addr, 0x5a, sizeof addr);
	same = addr;
	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (coop_addr_parse(texts[i], &addr) != -EINVAL)
			FAIL("\"%s\" was not refused", texts[i]);
	CHECK_INT(coop_addr_parse(NULL, &addr), ==, -EINVAL);
	CHECK_INT(coop_addr_parse("[fe80::1%nosuchnetif]:1", &addr), ==, -ENODEV);
	CHECK_INT(coop_addr_parse("[fe80::1%0]:1", &addr), ==, -ENODEV);
	CHECK(memcmp(&addr, &same, sizeof addr) == 0);
}

/* Fields are in network order and in full. */
TEST(an_ip_address_has_its_fields)
{
	struct coop_addr a = addr_of("1.2.3.4:258"), b = addr_of("[::1%lo]:258");

	CHECK_INT(a.len, ==, sizeof(struct sockaddr_in));
	CHECK_INT(a.in.sin_family, ==, AF_INET);
	CHECK_INT(a.in.sin_port, ==, htons(258));
	CHECK_INT(a.in.sin_addr.s_addr, ==, htonl(0x01020304));
	CHECK_INT(b.len, ==, sizeof(struct sockaddr_in6));
	CHECK_INT(b.in6.sin6_port, ==, htons(258));
	CHECK(IN6_IS_ADDR_LOOPBACK(&b.in6.sin6_addr));
	CHECK_INT(b.in6.sin6_scope_id, !=, 0);
	CHECK_INT(coop_addr_port(&a), ==, 258);
	CHECK_INT(coop_addr_port(&b), ==, 258);
}

/* A path has room for its NUL, an abstract name needs none; not a byte more. */
TEST(paths_are_as_long_as_they_may_be)
{
	struct coop_addr addr;
	char path[128], text[COOP_ADDR_TEXT_MAX];

	memset(path, 'p', sizeof path);
	CHECK_INT(coop_addr_unix(path, 107, &addr), ==, 0);
	CHECK_INT(addr.len, ==, offsetof(struct sockaddr_un, sun_path) + 108);
	CHECK_INT(addr.un.sun_path[107], ==, 0);
	CHECK_INT(coop_addr_unix(path, 108, &addr), ==, -ENAMETOOLONG);
	path[0] = '\0';
	CHECK_INT(coop_addr_unix(path, 108, &addr), ==, 0);
	CHECK_INT(addr.len, ==, offsetof(struct sockaddr_un, sun_path) + 108);
	CHECK_INT(strlen(coop_addr_text(&addr, text, sizeof text)), ==, 6 + 107);
	CHECK_INT(coop_addr_unix(path, 109, &addr), ==, -ENAMETOOLONG);
	CHECK_INT(coop_addr_unix(path, 1, &addr), ==, -EINVAL);
	CHECK_INT(coop_addr_unix("a\0b", 3, &addr), ==, -EINVAL);
	CHECK_INT(coop_addr_unix("", 0, &addr), ==, -EINVAL);
	CHECK_INT(coop_addr_unix(NULL, 4, &addr), ==, -EINVAL);

	memset(path, 'p', sizeof path);
	memcpy(path, "unix:@", 6);
	path[127] = '\0';
	CHECK_INT(coop_addr_parse(path, &addr), ==, -ENAMETOOLONG);
	path[6 + 107] = '\0';
	CHECK_INT(coop_addr_parse(path, &addr), ==, 0);
}

/* No byte of a name gets to a terminal as it is, and small buffers are kept to. */
TEST(texts_are_harmless_and_cut)
{
	struct coop_addr addr;
	char all[108], text[COOP_ADDR_TEXT_MAX], small[8] = "#######";

	CHECK_INT(coop_addr_unix("a\x1b[2J\\ \n\xff", 9, &addr), ==, 0);
	CHECK_STR(coop_addr_text(&addr, text, sizeof text), "unix:a\\x1b[2J\\x5c\\x20\\x0a\\xff");
	CHECK_STR(coop_addr_text(&addr, small, 7), "unix:a");
	CHECK_INT(small[7], ==, 0);
	coop_addr_text(&addr, small, 0);
	CHECK_INT(small[0], ==, 'u');
	CHECK_INT(coop_addr_unix("@a", 2, &addr), ==, 0);
	CHECK_STR(coop_addr_text(&addr, text, sizeof text), "unix:\\x40a");
	memset(all, 1, sizeof all);
	CHECK_INT(coop_addr_unix(all, 107, &addr), ==, 0);
	CHECK_INT(strlen(coop_addr_text(&addr, text, sizeof text)), ==, 5 + 4 * 107);

	addr = (struct coop_addr){ .len = 0 };
	CHECK_STR(coop_addr_text(&addr, text, sizeof text), "none");
	addr = (struct coop_addr){ .sa = { .sa_family = 77 }, .len = 16 };
	CHECK_STR(coop_addr_text(&addr, text, sizeof text), "family 77");
	addr = (struct coop_addr){ .sa = { .sa_family = AF_UNIX }, .len = 2 };
	CHECK_STR(coop_addr_text(&addr, text, sizeof text), "unix:");
	CHECK_INT(coop_addr_port(&addr), ==, -EAFNOSUPPORT);
}

/* The order is one: each before all that come after it. */
TEST(addresses_are_in_order)
{
	static const char *const texts[] = {
		"unix:@a",    "unix:@ab",    "unix:a",        "unix:ab",       "unix:b",
		"1.2.3.4:80", "1.2.3.4:256", "2.0.0.0:1",     "255.0.0.1:1",   "[::]:9",
		"[::1]:8",    "[::1]:256",   "[fe80::1%7]:1", "[fe80::1%9]:1",
	};
	size_t count = sizeof texts / sizeof *texts;
	struct coop_addr none = { .len = 0 };

	for (size_t i = 0; i < count; i++)
		for (size_t j = 0; j < count; j++) {
			struct coop_addr a = addr_of(texts[i]), b = addr_of(texts[j]);
			int r = coop_addr_compare(&a, &b);

			if ((i < j) != (r < 0) || (i > j) != (r > 0))
				FAIL("%s and %s: %d", texts[i], texts[j], r);
			CHECK_INT(coop_addr_compare(&none, &b), <, 0);
		}
	CHECK_INT(coop_addr_compare(&none, &none), ==, 0);
}

static void check_split(const char *text, const char *host, const char *service)
{
	struct coop_hostport parts;

	CHECK_INT(coop_hostport_split(text, &parts), ==, 0);
	CHECK_STR(parts.host, host);
	CHECK_STR(parts.service, service);
}

/* Host and service come apart at the right colon. */
TEST(host_and_service_come_apart)
{
	check_split("example.org:443", "example.org", "443");
	check_split("example.org", "example.org", "");
	check_split(":http", "", "http");
	check_split("[::1]:80", "::1", "80");
	check_split("[fe80::1%eth0]", "fe80::1%eth0", "");
	check_split("::1", "::1", "");
	check_split("2001:db8::1", "2001:db8::1", "");
}

/* What has no one meaning is refused, and so is what does not fit. */
TEST(no_host_and_service_are_refused)
{
	static const char *const texts[] = { "",       "[]:80", "[::1",   "::1]",    "a]:80",
					     "a[:80",  "host:", "[a]b",   "a b:80",  "a:8 0",
					     "a\n:80", "[a]:",  "a:\x7f", "[a]:1:2", "[a[]:1" };
	struct coop_hostport parts = { .host = "same" };
	char text[512];

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		if (coop_hostport_split(texts[i], &parts) != -EINVAL)
			FAIL("\"%s\" was not refused", texts[i]);
	CHECK_INT(coop_hostport_split(NULL, &parts), ==, -EINVAL);
	memset(text, 'h', sizeof text);
	strcpy(text + 256, ":1");
	CHECK_INT(coop_hostport_split(text, &parts), ==, -ENAMETOOLONG);
	CHECK_STR(parts.host, "same");
	strcpy(text + 255, ":1");
	CHECK_INT(coop_hostport_split(text, &parts), ==, 0);
	CHECK_INT(strlen(parts.host), ==, 255);
	memset(text, 's', 128);
	strcpy(text, "h");
	text[1] = ':';
	text[2 + 64] = '\0';
	CHECK_INT(coop_hostport_split(text, &parts), ==, -ENAMETOOLONG);
	text[2 + 63] = '\0';
	CHECK_INT(coop_hostport_split(text, &parts), ==, 0);
}
