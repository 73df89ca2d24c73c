/* SPDX-License-Identifier: MIT */
/*
 * Errors as JSON, and beside each what the object says of itself, for error_json.py to compare:
 *
 *	J <the line of JSON>
 *	N <kind> <code> <line> <when_ns> <flags> <members> <total> <cancelled> <texts, in hex>
 *
 * with one line N for each object of the tree, in the order of the JSON. Texts are what they are,
 * byte by byte: control characters, broken UTF-8, anything but a NUL.
 */
#include "error_help.h"

#include <inttypes.h>

static uint64_t state = 1;

static uint64_t next_random(uint64_t n)
{
	state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
	return (state >> 33) % n;
}

static void put_hex(const char *text)
{
	putchar(' ');
	putchar('.'); /* so that an empty one is seen */
	for (; *text; text++)
		printf("%02x", (unsigned char)*text);
}

static void put_object(const struct coop_error *error)
{
	struct coop_error_info i;

	coop_error_describe(error, &i);
	printf("N %d %d %d %" PRId64 " %d%d%d %u %u %u", (int)i.kind, i.code, i.line, i.when_ns,
	       i.cancel_pending, i.during_cancel, i.truncated, i.members, i.members_total,
	       i.cancelled);
	put_hex(i.message);
	put_hex(i.file);
	put_hex(i.func);
	put_hex(i.task);
	put_hex(i.name);
	putchar('\n');
}

/* In pre-order; without recursion, as trees are deep: the rest of each level is kept. */
static void put_tree(const struct coop_error *error)
{
	const struct coop_error **stack = malloc(200000 * sizeof *stack);
	struct coop_error_info i;
	size_t n = 0;

	stack[n++] = error;
	while (n > 0) {
		error = stack[--n];
		put_object(error);
		coop_error_describe(error, &i);
		if (i.cause)
			stack[n++] = i.cause;
		for (uint32_t k = i.members; k-- > 0;)
			stack[n++] = coop_error_member(error, k);
	}
	free(stack);
}

/* Takes the error. */
static void put(struct coop_error *error)
{
	fputs("J ", stdout);
	if (coop_error_json(stdout, error) != 0)
		abort();
	if (error)
		put_tree(error);
	coop_error_unref(error);
}

/* ---- texts */

static struct coop_error *leaf_of(const char *message, const char *path)
{
	return cp_err_new_leaf(-EIO, "a.c", 3, "f", path, 5, false, message);
}

/* Every byte alone, between letters, and before and after a character of several bytes. */
static void every_byte(void)
{
	for (int byte = 1; byte < 256; byte++) {
		char one[2] = { (char)byte, '\0' }, more[32];

		snprintf(more, sizeof more, "a%cb%c\xc3\xa9%c\xe2\x82\xac%c", byte, byte, byte,
			 byte);
		put(leaf_of(one, more));
	}
}

/* The ends of what UTF-8 can say, and what is just beyond them. */
static void ends_of_utf8(void)
{
	static const char *const texts[] = {
		"\x7f",
		"\xc2\x80",
		"\xc1\xbf",
		"\xc0\x80",
		"\xdf\xbf",
		"\xe0\xa0\x80",
		"\xe0\x9f\xbf",
		"\xed\x9f\xbf",
		"\xed\xa0\x80",
		"\xed\xbf\xbf",
		"\xee\x80\x80",
		"\xef\xbf\xbf",
		"\xf0\x90\x80\x80",
		"\xf0\x8f\xbf\xbf",
		"\xf4\x8f\xbf\xbf",
		"\xf4\x90\x80\x80",
		"\xf5\x80\x80\x80",
		"\xff",
		"\xe2\x82",
		"\xe2",
		"\xf0\x9f\x92",
		"\xf0\x9f",
		"\xf0\x9f\x92x",
		"\xe2\x82\xe2\x82\xac",
		"\xe2\x80\xa8\xe2\x80\xa9",
		"\xef\xbb\xbf",
		"</script>",
		"\"\\/",
		"\\u0041",
		"\\",
		"\"",
		"",
	};

	for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
		put(leaf_of(texts[i], "main"));
}

static char *random_text(char *text, size_t size)
{
	size_t n = next_random(size);

	for (size_t i = 0; i < n; i++) {
		/* Often from where characters begin and go on. */
		unsigned byte = next_random(3) ? 0x80 + (unsigned)next_random(128)
					       : 1 + (unsigned)next_random(127);

		text[i] = (char)byte;
	}
	text[n] = '\0';
	return text;
}

/* ---- trees */

static struct coop_error *random_tree(int depth);

static struct coop_error *random_group(int depth)
{
	struct coop_error *members[4];
	char name[24], path[24];
	struct cp_err_cancelled gone[2];
	struct cp_err_group from = { .name = random_text(name, sizeof name),
				     .path = random_text(path, sizeof path),
				     .file = "../../g.c",
				     .line = (int)next_random(1000),
				     .when_ns = INT64_MAX - (int64_t)next_random(9),
				     .members = members,
				     .count = 1 + (uint32_t)next_random(4),
				     .cancelled = (uint32_t)next_random(3),
				     .gone = gone,
				     .cancel_pending = next_random(2) };

	for (uint32_t i = 0; i < from.count; i++)
		members[i] = random_tree(depth - 1);
	from.gone_count = from.cancelled;
	from.total = from.count + (uint32_t)next_random(2) * UINT32_MAX / 2;
	for (uint32_t i = 0; i < from.gone_count; i++) {
		random_text(gone[i].who, sizeof gone[i].who);
		random_text(gone[i].why, sizeof gone[i].why);
		random_text(gone[i].blocked_in, sizeof gone[i].blocked_in);
	}
	return cp_err_new_group(&from);
}

static struct coop_error *random_tree(int depth)
{
	static const int codes[] = { -EIO, COOP_ETIMEDOUT, COOP_EEXIT(7), APP_CODE(65535),
				     INT32_MIN };
	char message[64], path[40];
	struct coop_error *e;
	int r;

	random_text(message, sizeof message);
	random_text(path, sizeof path);
	if (depth > 0 && next_random(3))
		return random_group(depth);
	if (depth > 0 && next_random(3) == 0)
		return cp_err_new_wrap(-EPROTO, random_tree(depth - 1), "w.c", 9, "g", path,
				       (int64_t)next_random(1000), message);
	e = cp_err_new_leaf(codes[next_random(5)], "l.c", (int)next_random(100), "fn", path,
			    -(int64_t)next_random(1000), next_random(2), message);
	r = coop_error_raise(e);
	for (uint64_t i = next_random(12); i > 0; i--)
		r = coop_trace_at(r, "t.c", (int)i, i % 2 ? "no\"te\x01" : NULL);
	return coop_error_take(r);
}

/* Every allocation of a tree fails in its turn: what is left of it is a tree as well. */
static void without_memory(void)
{
	for (int on = 0; on < 2; on++) {
		for (uint64_t nth = 1; nth < 60; nth++) {
			struct coop_error *e;

			state = 77;
			fail_alloc(nth, on);
			e = random_tree(3);
			fail_alloc(0, false);
			put(e);
		}
	}
}

int main(void)
{
	struct coop_error *e = leaf_of("far down", "main");

	put(NULL);
	every_byte();
	ends_of_utf8();
	state = 1;
	for (int i = 0; i < 2000; i++) {
		char message[200], path[100];

		put(leaf_of(random_text(message, sizeof message), random_text(path, sizeof path)));
	}
	for (int i = 0; i < 250; i++)
		put(random_tree(4));
	without_memory();
	put(nest(e, 20000));
	e = leaf_of("first of many causes", "main");
	for (int i = 0; i < 5000; i++)
		e = wrap(-EPROTO, e);
	put(e);
	return 0;
}
