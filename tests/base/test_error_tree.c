/* SPDX-License-Identifier: MIT */
/* Trees of errors: shape, questions, division; deep, wide, random, and without memory. */
#include "error_help.h"
#include "test.h"

#include <time.h>

static struct coop_error_info info_of(const struct coop_error *error)
{
	struct coop_error_info info;

	coop_error_describe(error, &info);
	return info;
}

static const char *leaves_of(const struct coop_error *error)
{
	static char text[4096];

	text[0] = '\0';
	CHECK_INT(coop_error_leaves(error, leaf_name, text), ==, 0);
	return text;
}

/* ---- the shape */

TEST(one_error_is_a_group_as_many_are)
{
	struct coop_error *one = GROUP("g", leaf(-EIO));
	struct coop_error *two = GROUP("g", leaf(-EIO), leaf(-EPIPE));

	CHECK_INT(info_of(one).kind, ==, COOP_ERROR_GROUP);
	CHECK_INT(info_of(two).kind, ==, COOP_ERROR_GROUP);
	CHECK_INT(coop_error_code(one), ==, -EIO);
	CHECK_INT(coop_error_code(two), ==, -EIO);
	PROVES(B51);
	CHECK_INT(info_of(two).members, ==, 2);
	CHECK_INT(info_of(two).members_total, ==, 2);
	CHECK(coop_error_member(two, 1) != NULL);
	CHECK(coop_error_member(two, 2) == NULL);
	CHECK(coop_error_member(coop_error_member(two, 0), 0) == NULL);
	coop_error_unref(one);
	coop_error_unref(two);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(group_message_is_stable)
{
	struct coop_error *one = GROUP("pages", leaf(-EIO));
	struct coop_error *three = GROUP("pages", leaf(-EIO), leaf(-EIO), leaf(-EPIPE));
	struct coop_error *unnamed = GROUP("", leaf(-EIO));

	CHECK_STR(info_of(one).message, "unhandled errors in group \"pages\" (1 sub-error)");
	CHECK_STR(info_of(three).message, "unhandled errors in group \"pages\" (3 sub-errors)");
	CHECK_STR(info_of(unnamed).message, "unhandled errors in a group (1 sub-error)");
	CHECK_STR(info_of(three).file, "group.c");
	CHECK_INT(info_of(three).line, ==, 3);
	CHECK_STR(info_of(three).name, "pages");
	PROVES(B67);
	coop_error_unref(one);
	coop_error_unref(three);
	coop_error_unref(unnamed);
}

TEST(primary_is_the_first_in_time)
{
	struct coop_error *error = GROUP("o", GROUP("i", leaf(-EPIPE), leaf(-EIO)), leaf(-EBADF));

	CHECK_INT(coop_error_code(error), ==, -EPIPE);
	CHECK_INT(coop_error_code(coop_error_primary(error)), ==, -EPIPE);
	CHECK_INT(info_of(coop_error_primary(error)).kind, ==, COOP_ERROR_LEAF);
	CHECK(coop_error_primary(coop_error_primary(error)) == coop_error_primary(error));
	PROVES(B53);
	coop_error_unref(error);
}

TEST(fatal_comes_before_all_at_every_level)
{
	struct coop_error *error =
		GROUP("o", leaf(-EBADF),
		      GROUP("i", leaf(-EPIPE), leaf(COOP_EEXIT(3)), leaf(COOP_EINTERRUPT)),
		      leaf(COOP_EINTERNAL));

	CHECK_INT(coop_error_code(error), ==, COOP_EEXIT(3));
	CHECK_INT(coop_error_code(coop_error_member(error, 1)), ==, COOP_EEXIT(3));
	/* The others stay where they are. */
	CHECK_STR(leaves_of(error), "EBADF EPIPE COOP_EEXIT(3) COOP_EINTERRUPT COOP_EINTERNAL ");
	PROVES(B53, B54);
	coop_error_unref(error);
}

/* The code of a strict group is COOP_EGROUP, until it holds an error of the fatal class. */
TEST(strict_groups)
{
	struct coop_error *member = leaf(-EIO), *error, *fatal, *rest;

	error = cp_err_new_group(
		&(struct cp_err_group){ .members = &member, .count = 1, .strict = true });
	CHECK_INT(coop_error_code(error), ==, COOP_EGROUP);
	CHECK_INT(coop_error_code(coop_error_primary(error)), ==, -EIO);
	CHECK(coop_error_is(error, COOP_EGROUP) && coop_error_is(error, -EIO));
	/* A group around it goes by the leaf. */
	error = GROUP("outer", error);
	CHECK_INT(coop_error_code(error), ==, -EIO);
	coop_error_unref(error);
	error = cp_err_new_group(&(struct cp_err_group){
		.members = (struct coop_error *[]){ leaf(-EIO), GROUP("in", leaf(COOP_EEXIT(4))) },
		.count = 2,
		.strict = true });
	CHECK_INT(coop_error_code(error), ==, COOP_EEXIT(4));
	/* What is left of it without the fatal one is strict as it was. */
	CHECK_INT(coop_error_split(error, has_code, &(int){ COOP_EEXIT(4) }, &fatal, &rest), ==, 0);
	CHECK_INT(coop_error_code(fatal), ==, COOP_EEXIT(4));
	CHECK_INT(coop_error_code(rest), ==, COOP_EGROUP);
	coop_error_unref(fatal);
	coop_error_unref(rest);
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* The same where there is no memory for any object. */
TEST(strict_groups_without_memory)
{
	fail_alloc(1, true);
	CHECK_INT(coop_error_code(cp_err_new_group(&(struct cp_err_group){
			  .members = (struct coop_error *[]){ leaf(-EIO), leaf(-EPIPE) },
			  .count = 2,
			  .strict = true })),
		  ==, COOP_EGROUP);
	CHECK_INT(coop_error_code(cp_err_new_group(&(struct cp_err_group){
			  .members = (struct coop_error *[]){ leaf(-EIO), leaf(COOP_EEXIT(4)) },
			  .count = 2,
			  .strict = true })),
		  ==, COOP_EEXIT(4));
}

TEST(group_without_members)
{
	struct coop_error *error = cp_err_new_group(&(struct cp_err_group){ .total = 0 }), *a, *b;

	CHECK_INT(coop_error_code(error), ==, COOP_EGROUP);
	CHECK_STR(leaves_of(error), "");
	CHECK(coop_error_primary(error) == error);
	CHECK_INT(coop_error_split(error, has_code, &(int){ -EIO }, &a, &b), ==, 0);
	CHECK(a == NULL && b == error);
	coop_error_unref(b);
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(same_object_is_a_member_once)
{
	struct coop_error *twice = leaf(-EIO), *other = leaf(-EIO), *error;

	coop_error_ref(twice);
	coop_error_ref(twice);
	error = GROUP("g", twice, other, twice, twice);
	CHECK_INT(info_of(error).members, ==, 2);
	CHECK_INT(info_of(error).members_total, ==, 2);
	CHECK(coop_error_member(error, 0) == twice);
	CHECK(coop_error_member(error, 1) == other);
	PROVES(B64);
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(errors_not_kept_are_counted_without_those_that_came_twice)
{
	struct coop_error *members[3] = { leaf(-EIO), NULL, leaf(-EPIPE) }, *error;

	members[1] = coop_error_ref(members[0]);
	error = cp_err_new_group(
		&(struct cp_err_group){ .members = members, .count = 3, .total = 10 });
	CHECK_INT(info_of(error).members, ==, 2);
	CHECK_INT(info_of(error).members_total, ==, 9);
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* Many shared objects, with and without memory to find them by. */
static void many_shared(uint32_t count)
{
	struct coop_error **all = malloc(2 * count * sizeof *all), *error;

	for (uint32_t i = 0; i < count; i++) {
		all[i] = leaf(-EIO);
		all[2 * count - 1 - i] = coop_error_ref(all[i]);
	}
	fail_alloc(1, false);
	error = group_of("g", all, 2 * count);
	fail_alloc(0, false);
	CHECK_INT(info_of(error).members, ==, count);
	CHECK_INT(info_of(error).members_total, ==, count);
	coop_error_unref(error);
	for (uint32_t i = 0; i < count; i++) {
		all[i] = leaf(-EIO);
		all[2 * count - 1 - i] = coop_error_ref(all[i]);
	}
	error = group_of("g", all, 2 * count);
	CHECK_INT(info_of(error).members, ==, count);
	coop_error_unref(error);
	free(all);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(same_objects_among_many)
{
	many_shared(65);
	many_shared(1000);
	PROVES(B64);
}

/* The whole of a tree goes with its root, and what has other owners stays. */
TEST(freeing_the_root_frees_all)
{
	struct coop_error *kept = leaf(-EIO), *error;

	coop_error_ref(kept);
	error = GROUP("a", wrap(-EPROTO, GROUP("b", kept, leaf(-EPIPE))), leaf(-EBADF));
	error = wrap(-EINVAL, error);
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 1);
	CHECK_STR(info_of(kept).message, "it failed");
	coop_error_unref(kept);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
	PROVES(B66);
}

/* Raised again and again through groups around groups: a chain, never a ring. */
TEST(raising_through_groups_makes_no_ring)
{
	struct coop_error *error = leaf(-EIO);

	for (int i = 0; i < 100; i++) {
		int r = coop_error_raise(GROUP("g", error, coop_error_ref(error)));

		error = coop_error_take(r);
		CHECK_INT(info_of(error).members, ==, 1);
	}
	CHECK_STR(leaves_of(error), "EIO ");
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
	PROVES(B66);
}

TEST(pending_cancellation_can_be_taken_back)
{
	struct coop_error *member = leaf(-EIO), *error;

	error = cp_err_new_group(&(struct cp_err_group){
		.members = &member, .count = 1, .cancel_pending = true, .cancelled = 4 });
	CHECK(cp_err_cancel_pending(error) && info_of(error).cancel_pending);
	CHECK_INT(info_of(error).cancelled, ==, 4);
	CHECK(cp_err_caught(error) == error);
	CHECK(!cp_err_cancel_pending(error));
	coop_error_unref(error);
}

/* An object that somebody else may be reading stays as it is: the flag is gone from a copy. */
TEST(pending_cancellation_of_a_shared_object)
{
	struct coop_error *member = leaf(-EIO), *error, *copy;
	struct cp_err_cancelled gone = { "main/g/t", "why", "" };
	char *text;

	error = cp_err_new_group(&(struct cp_err_group){ .members = &member,
							 .count = 1,
							 .total = 7,
							 .name = "g",
							 .path = "main/p",
							 .cancel_pending = true,
							 .gone = &gone,
							 .gone_count = 1,
							 .cancelled = 4 });
	CHECK_INT(coop_error_raise(error), ==, -EIO);
	CHECK_INT(COOP_AT(-EIO), ==, -EIO);
	error = coop_error_take(-EIO);
	copy = cp_err_caught(coop_error_ref(error));
	CHECK(copy != error);
	CHECK(cp_err_cancel_pending(error) && !cp_err_cancel_pending(copy));
	CHECK_INT(info_of(copy).members_total, ==, 7);
	CHECK_INT(info_of(copy).cancelled, ==, 4);
	CHECK_STR(info_of(copy).name, "g");
	CHECK_STR(info_of(copy).task, "main/p");
	CHECK_STR(info_of(copy).message, info_of(error).message);
	CHECK(coop_error_member(copy, 0) == member);
	coop_error_unref(error);
	CHECK_STR(leaves_of(copy), "EIO ");
	text = printed(copy, 0);
	CHECK_HAS(text, "why");
	CHECK_HAS(text, "test_error_tree.c");
	free(text);
	/* Without memory for a copy, what is shared is left alone all the same. */
	error = cp_err_new_group(
		&(struct cp_err_group){ .members = &copy, .count = 1, .cancel_pending = true });
	coop_error_ref(error);
	fail_alloc(1, true);
	CHECK(cp_err_caught(error) == error && cp_err_cancel_pending(error));
	fail_alloc(0, false);
	coop_error_unref(error);
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* ---- questions */

TEST(leaves_come_in_order_of_completion)
{
	struct coop_error *error =
		GROUP("a", leaf(-EIO), GROUP("b", GROUP("c", leaf(-EPIPE)), leaf(-EBADF)),
		      wrap(-EPROTO, leaf(-ENOENT)), leaf(-EPERM));

	CHECK_STR(leaves_of(error), "EIO EPIPE EBADF EPROTO EPERM ");
	PROVES(B62);
	coop_error_unref(error);
}

static int stop_at_third(const struct coop_error *error, void *ctx)
{
	(void)error;
	return ++*(int *)ctx == 3 ? 77 : 0;
}

TEST(leaves_can_be_left)
{
	struct coop_error *error = GROUP("a", leaf(-EIO), leaf(-EIO), leaf(-EIO), leaf(-EIO));
	int visited = 0;

	CHECK_INT(coop_error_leaves(error, stop_at_third, &visited), ==, 77);
	CHECK_INT(visited, ==, 3);
	coop_error_unref(error);
}

TEST(is_looks_everywhere)
{
	struct coop_error *error =
		GROUP("a", leaf(-EIO),
		      wrap(-EPROTO, GROUP("b", leaf(-EPIPE), wrap(-EBADF, leaf(-ENOENT)))));

	CHECK(coop_error_is(error, -EIO));
	CHECK(coop_error_is(error, -EPROTO));
	CHECK(coop_error_is(error, -EPIPE));
	CHECK(coop_error_is(error, -EBADF));
	CHECK(coop_error_is(error, -ENOENT));
	CHECK(!coop_error_is(error, -EPERM));
	CHECK(!coop_error_is(error, 0));
	PROVES(B63);
	coop_error_unref(error);
}

TEST(find_gives_the_first)
{
	struct coop_error *first = leaf(-EPIPE), *error;

	error = GROUP("a", leaf(-EIO), GROUP("b", first), leaf(-EPIPE));
	CHECK(coop_error_find(error, has_code, &(int){ -EPIPE }) == first);
	CHECK(coop_error_find(error, has_code, &(int){ -EPERM }) == NULL);
	CHECK(coop_error_find(first, has_code, &(int){ -EPIPE }) == first);
	/* It looks at leaves, not behind them. */
	error = wrap(-EPROTO, error);
	CHECK(coop_error_find(error, has_code, &(int){ -EPIPE }) == NULL);
	coop_error_unref(error);
}

/* ---- texts of trees, to compare shapes */

static void shape_into(const struct coop_error *error, char *text)
{
	struct coop_error_info info = info_of(error);

	if (info.kind == COOP_ERROR_GROUP) {
		sprintf(text + strlen(text), "%s(", info.name);
		for (uint32_t i = 0; i < info.members; i++)
			shape_into(coop_error_member(error, i), text);
		strcat(text, ")");
		return;
	}
	sprintf(text + strlen(text), "%d", -info.code);
	if (info.cause) {
		strcat(text, "<");
		shape_into(info.cause, text);
		strcat(text, ">");
	}
	strcat(text, " ");
}

static const char *shape(const struct coop_error *error)
{
	static char text[2][8192];
	static int turn;

	turn = !turn;
	text[turn][0] = '\0';
	if (error)
		shape_into(error, text[turn]);
	return text[turn];
}

/* ---- division */

static bool odd(const struct coop_error *leaf_, void *ctx)
{
	if (ctx)
		++*(uint32_t *)ctx;
	return coop_error_code(leaf_) & 1;
}

static bool all(const struct coop_error *leaf_, void *ctx)
{
	(void)leaf_;
	return *(bool *)ctx;
}

TEST(split_keeps_nesting_and_order)
{
	struct coop_error *error =
		GROUP("a", leaf(-1), GROUP("b", leaf(-2), leaf(-3), GROUP("c", leaf(-4))), leaf(-5),
		      GROUP("d", leaf(-7)), wrap(-6, leaf(-9)));
	struct coop_error *match, *rest;
	uint32_t asked = 0;

	CHECK_INT(coop_error_split(error, odd, &asked, &match, &rest), ==, 0);
	CHECK_INT(asked, ==, 7);
	CHECK_STR(shape(match), "a(1 b(3 )5 d(7 ))");
	CHECK_STR(shape(rest), "a(b(2 c(4 ))6<9 > )");
	CHECK_INT(coop_error_code(match), ==, -1);
	CHECK_INT(coop_error_code(rest), ==, -2);
	CHECK_STR(info_of(rest).message, "unhandled errors in group \"a\" (2 sub-errors)");
	CHECK_STR(shape(error), "a(1 b(2 3 c(4 ))5 d(7 )6<9 > )");
	PROVES(B61);
	/* What is all on one side is shared, not copied. */
	CHECK(coop_error_member(match, 3) == coop_error_member(error, 3));
	coop_error_unref(error);
	CHECK_STR(shape(match), "a(1 b(3 )5 d(7 ))");
	coop_error_unref(match);
	CHECK_STR(shape(rest), "a(b(2 c(4 ))6<9 > )");
	coop_error_unref(rest);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(split_to_one_side_allocates_nothing)
{
	struct coop_error *error = GROUP("a", leaf(-1), GROUP("b", leaf(-2))), *match, *rest;

	fail_alloc(1, true);
	CHECK_INT(coop_error_split(error, all, &(bool){ true }, &match, &rest), ==, 0);
	CHECK(match == error && rest == NULL);
	coop_error_unref(match);
	CHECK_INT(coop_error_split(error, all, &(bool){ false }, &match, &rest), ==, 0);
	CHECK(match == NULL && rest == error);
	coop_error_unref(rest);
	CHECK_INT(cp_os_faults.alloc_calls, ==, 0);
	fail_alloc(0, false);
	CHECK_INT(coop_error_split(NULL, odd, NULL, &match, &rest), ==, 0);
	CHECK(match == NULL && rest == NULL);
	coop_error_unref(error);
	PROVES(B61);
}

TEST(split_of_a_leaf)
{
	struct coop_error *error = leaf(-1), *match, *rest;

	CHECK_INT(coop_error_split(error, odd, NULL, &match, &rest), ==, 0);
	CHECK(match == error && !rest);
	coop_error_unref(match);
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(split_tells_what_else_there_was)
{
	struct coop_error *members[] = { leaf(-1), leaf(-2) }, *error, *match, *rest;
	struct cp_err_cancelled gone = { "main/g/t", "why", "" };

	error = cp_err_new_group(&(struct cp_err_group){
		.members = members,
		.count = 2,
		.total = 9,
		.cancelled = 1,
		.gone = &gone,
		.gone_count = 1,
		.cancel_pending = true,
		.strict = true,
		.when_ns = 5,
		.path = "main",
	});
	CHECK_INT(coop_error_split(error, odd, NULL, &match, &rest), ==, 0);
	CHECK_INT(info_of(match).members_total, ==, 1);
	CHECK_INT(info_of(rest).members_total, ==, 8);
	CHECK(!info_of(match).cancel_pending && info_of(rest).cancel_pending);
	CHECK_INT(info_of(match).cancelled, ==, 1);
	CHECK_INT(info_of(rest).cancelled, ==, 1);
	CHECK_INT(coop_error_code(match), ==, COOP_EGROUP);
	CHECK_INT(info_of(match).when_ns, ==, 5);
	CHECK_STR(info_of(match).task, "main");
	coop_error_unref(error);
	coop_error_unref(match);
	coop_error_unref(rest);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* ---- deep and wide */

static int count_leaf(const struct coop_error *error, void *ctx)
{
	(void)error;
	++*(uint32_t *)ctx;
	return 0;
}

TEST(deep_trees)
{
	struct coop_error *error = nest(GROUP("", leaf(-1), leaf(-2)), 100000), *match, *rest;
	uint32_t seen = 0;

	CHECK_INT(coop_error_code(error), ==, -1);
	CHECK(coop_error_is(error, -2));
	CHECK(!coop_error_is(error, -3));
	CHECK_INT(coop_error_leaves(error, count_leaf, &seen), ==, 0);
	CHECK_INT(seen, ==, 2);
	CHECK(coop_error_find(error, has_code, &(int){ -2 }) != NULL);
	CHECK_INT(coop_error_split(error, odd, NULL, &match, &rest), ==, 0);
	CHECK_INT(coop_error_code(rest), ==, -2);
	coop_error_unref(match);
	coop_error_unref(error);
	coop_error_unref(rest);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
	PROVES(B66);
}

TEST(deep_chains_of_causes)
{
	struct coop_error *error = leaf(-EIO);

	for (int i = 0; i < 100000; i++)
		error = wrap(-EPROTO, error);
	CHECK(coop_error_is(error, -EIO));
	CHECK_STR(leaves_of(error), "EPROTO ");
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(wide_trees)
{
	uint32_t count = 100000, seen = 0;
	struct coop_error **members = malloc(count * sizeof *members), *error, *match, *rest;

	for (uint32_t i = 0; i < count; i++)
		members[i] = leaf(-1 - (int)(i % 100));
	error = group_of("wide", members, count);
	free(members);
	CHECK_INT(info_of(error).members, ==, count);
	CHECK_INT(coop_error_leaves(error, count_leaf, &seen), ==, 0);
	CHECK_INT(seen, ==, count);
	CHECK(coop_error_is(error, -100));
	CHECK_INT(coop_error_split(error, odd, NULL, &match, &rest), ==, 0);
	CHECK_INT(info_of(match).members, ==, count / 2);
	CHECK_INT(info_of(rest).members, ==, count / 2);
	coop_error_unref(error);
	coop_error_unref(match);
	coop_error_unref(rest);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/*
 * Without memory for the way down a walk is slower but right, around the
 * depths where it begins to forget.
 */
TEST(walks_without_memory)
{
	for (unsigned depth = 50; depth<400; depth += depth> 70 && depth < 300 ? 40 : 1) {
		struct coop_error *error = leaf(-EIO), *match, *rest;
		char with[8192];

		/* A comb with a tooth on both sides every few levels, some behind causes. */
		for (unsigned i = 0; i < depth; i++) {
			if (i % 9 == 0)
				error = GROUP("", leaf(-2), error, leaf(-3), leaf(-4));
			else if (i % 31 == 0)
				error = wrap(-5, error);
			else
				error = GROUP("", error);
		}
		strcpy(with, leaves_of(error));
		fail_alloc(1, true);
		CHECK_STR(leaves_of(error), with);
		CHECK(coop_error_is(error, -EIO));
		CHECK(!coop_error_is(error, -100));
		CHECK(coop_error_find(error, has_code, &(int){ -100 }) == NULL);
		CHECK_INT(coop_error_split(error, all, &(bool){ true }, &match, &rest), ==, 0);
		CHECK(match == error && !rest);
		coop_error_unref(match);
		fail_alloc(0, false);
		coop_error_unref(error);
	}
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* ---- against a naive model */

enum { MODEL_KIDS = 5 };

struct model {
	enum coop_error_kind kind;
	int code;
	int kid_count;
	struct model *kids[MODEL_KIDS];
};

static uint64_t chance_state = 88172645463325252u;

static unsigned chance(unsigned below)
{
	chance_state ^= chance_state << 13;
	chance_state ^= chance_state >> 7;
	chance_state ^= chance_state << 17;
	return (unsigned)(chance_state >> 33) % below;
}

static int any_code(void)
{
	return chance(12) == 0 ? COOP_EEXIT(chance(4)) : -1 - (int)chance(9);
}

static struct model *model_new(unsigned depth)
{
	struct model *m = calloc(1, sizeof *m);
	unsigned kind = depth == 0 ? 0 : chance(5);

	m->code = any_code();
	m->kind = kind < 2 ? COOP_ERROR_LEAF : kind < 4 ? COOP_ERROR_GROUP : COOP_ERROR_WRAP;
	if (m->kind == COOP_ERROR_GROUP)
		m->kid_count = 1 + (int)chance(MODEL_KIDS);
	else if (m->kind == COOP_ERROR_WRAP)
		m->kid_count = 1;
	for (int i = 0; i < m->kid_count; i++)
		m->kids[i] = model_new(depth - 1);
	return m;
}

static void model_free(struct model *m)
{
	for (int i = 0; i < m->kid_count; i++)
		model_free(m->kids[i]);
	free(m);
}

static struct coop_error *model_build(const struct model *m)
{
	struct coop_error *kids[MODEL_KIDS];

	for (int i = 0; i < m->kid_count; i++)
		kids[i] = model_build(m->kids[i]);
	if (m->kind == COOP_ERROR_GROUP)
		return group_of("", kids, (uint32_t)m->kid_count);
	return m->kind == COOP_ERROR_WRAP ? wrap(m->code, kids[0]) : leaf(m->code);
}

/* 0: none yet; a fatal one is not replaced, another only by a fatal one. */
static int model_primary(const struct model *m)
{
	int primary = 0;

	if (m->kind != COOP_ERROR_GROUP)
		return m->code;
	for (int i = 0; i < m->kid_count; i++) {
		int kid = model_primary(m->kids[i]);

		if (primary == 0 || (coop_is_fatal(kid) && !coop_is_fatal(primary)))
			primary = kid;
	}
	return primary;
}

static bool model_is(const struct model *m, int code)
{
	if (m->kind != COOP_ERROR_GROUP && m->code == code)
		return true;
	for (int i = 0; i < m->kid_count; i++)
		if (model_is(m->kids[i], code))
			return true;
	return false;
}

static void model_leaves(const struct model *m, char *text)
{
	char name[64];

	if (m->kind != COOP_ERROR_GROUP)
		sprintf(text + strlen(text), "%s ", coop_code_name(m->code, name, sizeof name));
	else
		for (int i = 0; i < m->kid_count; i++)
			model_leaves(m->kids[i], text);
}

/* The shape of what has `parity`; everything for parity 2. Returns false where that is nothing. */
static bool model_shape(const struct model *m, int parity, char *text)
{
	size_t before = strlen(text);
	bool something = false;

	if (m->kind != COOP_ERROR_GROUP) {
		if (parity < 2 && (m->code & 1) != parity)
			return false;
		sprintf(text + before, "%d", -m->code);
		if (m->kid_count > 0) {
			strcat(text, "<");
			model_shape(m->kids[0], 2, text);
			strcat(text, ">");
		}
		strcat(text, " ");
		return true;
	}
	strcat(text, "(");
	for (int i = 0; i < m->kid_count; i++)
		something |= model_shape(m->kids[i], parity, text);
	if (something)
		strcat(text, ")");
	else
		text[before] = '\0';
	return something;
}

static int compare(const struct model *m, const struct coop_error *error)
{
	static char text[65536];
	struct coop_error *part[2];
	int asked = 0;

	CHECK_INT(coop_error_code(coop_error_primary(error)), ==, model_primary(m));
	CHECK_INT(coop_error_code(error), ==, model_primary(m));
	asked += 2;
	for (int code = -9; code < 0; code++, asked++)
		CHECK_INT(coop_error_is(error, code), ==, model_is(m, code));
	CHECK_INT(coop_error_is(error, COOP_EEXIT(1)), ==, model_is(m, COOP_EEXIT(1)));
	text[0] = '\0';
	model_leaves(m, text);
	CHECK_STR(leaves_of(error), text);
	CHECK_INT(coop_error_split(error, odd, NULL, &part[1], &part[0]), ==, 0);
	for (int parity = 0; parity < 2; parity++) {
		text[0] = '\0';
		model_shape(m, parity, text);
		CHECK_STR(shape(part[parity]), text);
		coop_error_unref(part[parity]);
	}
	return asked + 4;
}

TEST(random_trees_do_as_a_naive_model)
{
	int asked = 0, trees = 0;

	TEST_SECONDS(120);
	while (asked < 100000) {
		struct model *m = model_new(1 + chance(5));
		struct coop_error *error = model_build(m);

		asked += compare(m, error);
		coop_error_unref(error);
		model_free(m);
		CHECK_INT(cp_os_faults.allocs_live, ==, 0);
		trees++;
	}
	CHECK_INT(trees, >, 5000);
}

/* ---- without memory */

/* Everything that makes objects, once. Codes must be right whatever is refused. */
static void make_all(bool heap_may_fail)
{
	struct coop_error *error, *match = NULL, *rest = NULL;
	int r = coop_fail(-EIO, "a %s", "message");

	CHECK_INT(r, ==, -EIO);
	r = COOP_AT(r);
	r = coop_wrap(r, -EPROTO, "wrapped");
	CHECK_INT(r, ==, -EPROTO);
	CHECK_INT(coop_error_code(coop_error_peek(r)), ==, -EPROTO);
	error = coop_error_take(r);
	CHECK_INT(coop_error_code(error), ==, -EPROTO);
	error = GROUP("inner", error, leaf(COOP_CODE(300, 1)), leaf(-EPIPE), leaf(COOP_EEXIT(3)),
		      leaf(COOP_CODE(300, 2)), leaf(-ENOENT));
	CHECK_INT(coop_error_code(error), ==, COOP_EEXIT(3));
	CHECK_INT(info_of(error).kind, ==, COOP_ERROR_GROUP);
	error = GROUP("outer", leaf(-EBADF), error, coop_error_ref(error));
	CHECK_INT(coop_error_code(error), ==, COOP_EEXIT(3));
	CHECK_INT(info_of(error).kind, ==, COOP_ERROR_GROUP);
	CHECK_INT(coop_error_code(coop_error_primary(error)), ==, COOP_EEXIT(3));
	CHECK_INT(coop_error_raise(error), ==, COOP_EEXIT(3));
	CHECK(coop_error_is(coop_error_peek(COOP_EEXIT(3)), COOP_EEXIT(3)));
	error = coop_error_take(COOP_EEXIT(3));
	free(printed(error, 0));
	free(json_of(error));
	r = coop_error_split(error, has_code, &(int){ COOP_EEXIT(3) }, &match, &rest);
	if (r == 0) {
		CHECK(coop_error_is(match, COOP_EEXIT(3)));
		CHECK(!rest || !coop_error_is(rest, COOP_EEXIT(3)));
	} else {
		CHECK_INT(r, ==, -ENOMEM);
		CHECK(heap_may_fail && !match && !rest);
	}
	coop_error_unref(match);
	coop_error_unref(rest);
	coop_error_unref(error);
	CHECK_INT(coop_error_code(coop_error_peek(-EAGAIN)), ==, -EAGAIN);
	CHECK_INT(COOP_AT(-EBUSY), ==, -EBUSY);
	coop_error_clear();
}

static void fail_each(void (*fn)(bool), int64_t live)
{
	uint64_t nth = 0;

	do {
		fail_alloc(++nth, false);
		fn(true);
		CHECK_INT(cp_os_faults.allocs_live, ==, live);
	} while (cp_os_faults.alloc_failed > 0);
	CHECK_INT(nth, >, 10);
	nth = 0;
	do {
		fail_alloc(++nth, true);
		fn(true);
		CHECK_INT(cp_os_faults.allocs_live, ==, live);
	} while (cp_os_faults.alloc_failed > 0);
	fail_alloc(0, false);
	fn(false);
	CHECK_INT(cp_os_faults.allocs_live, ==, live);
}

TEST(every_allocation_may_fail)
{
	fail_each(make_all, 0);
}

TEST(every_allocation_may_fail_with_a_reserve)
{
	CHECK_INT(cp_err_reserve_open(), ==, 0);
	fail_each(make_all, 1);
	cp_err_reserve_close();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(reserve_makes_leaves_with_message_and_path)
{
	struct coop_error *error;
	struct coop_error_info info;
	char big[1000];
	int r;

	memset(big, 'x', sizeof big - 1);
	big[sizeof big - 1] = '\0';
	CHECK_INT(cp_err_reserve_open(), ==, 0);
	fail_alloc(1, true);
	r = coop_fail(-EIO, "open: %s", "x.txt");
	r = COOP_AT(r);
	error = coop_error_take(r);
	info = info_of(error);
	CHECK_STR(info.message, "open: x.txt");
	CHECK(!info.truncated && info.line > 0);
	coop_error_unref(error);
	error = cp_err_new_leaf(-EIO, "f.c", 1, "f", big, 0, false, big);
	info = info_of(error);
	CHECK(info.truncated);
	CHECK_INT(strlen(info.task), ==, 160);
	CHECK_INT(strlen(info.message), ==, 384 - 161 - 1);
	coop_error_unref(error);
	fail_alloc(0, false);
	cp_err_reserve_close();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(reserve_makes_groups_of_three)
{
	struct coop_error *error;
	char *text;

	CHECK_INT(cp_err_reserve_open(), ==, 0);
	fail_alloc(1, true);
	error = GROUP("hard times", leaf(-1), leaf(-2), leaf(COOP_EINTERRUPT), leaf(-3), leaf(-4));
	CHECK(info_of(error).truncated);
	CHECK_INT(info_of(error).members, ==, 3);
	CHECK_INT(info_of(error).members_total, ==, 5);
	CHECK_INT(coop_error_code(error), ==, COOP_EINTERRUPT);
	CHECK_STR(leaves_of(error), "EPERM COOP_EINTERRUPT EINTR ");
	text = printed(error, 0);
	CHECK_HAS(text, "... 2 more not kept");
	free(text);
	coop_error_unref(error);
	/* The primary may be the first or the last. */
	error = GROUP("", leaf(-1), leaf(-2), leaf(-3), leaf(COOP_EINTERRUPT));
	CHECK_STR(leaves_of(error), "EPERM COOP_EINTERRUPT ");
	coop_error_unref(error);
	error = GROUP("", leaf(-1));
	CHECK_STR(leaves_of(error), "EPERM ");
	CHECK_INT(info_of(error).kind, ==, COOP_ERROR_GROUP);
	coop_error_unref(error);
	fail_alloc(0, false);
	cp_err_reserve_close();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
	PROVES(B51);
}

/* After the 64 of the reserve there are the immortal ones: a code each, and nothing else. */
TEST(reserve_runs_dry_and_fills_again)
{
	struct coop_error *all[200];
	int64_t live;

	CHECK_INT(cp_err_reserve_open(), ==, 0);
	CHECK_INT(cp_err_reserve_open(), ==, 0);
	live = cp_os_faults.allocs_live;
	fail_alloc(1, true);
	for (int round = 0; round < 3; round++) {
		int whole = 0;

		for (int i = 0; i < 200; i++) {
			all[i] = leaf(-1 - i % 50);
			CHECK_INT(coop_error_code(all[i]), ==, -1 - i % 50);
			whole += !info_of(all[i]).truncated;
		}
		CHECK_INT(whole, ==, 64);
		for (int i = 0; i < 200; i++)
			coop_error_unref(all[i]);
	}
	/* Objects of the reserve outlive the last run. */
	all[0] = leaf(-EIO);
	cp_err_reserve_close();
	cp_err_reserve_close();
	CHECK_INT(cp_os_faults.allocs_live, ==, live);
	CHECK_STR(info_of(all[0]).message, "it failed");
	coop_error_unref(all[0]);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
	CHECK_INT(cp_err_reserve_open(), ==, -ENOMEM);
	fail_alloc(0, false);
	CHECK_INT(cp_err_reserve_open(), ==, 0);
	cp_err_reserve_close();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

TEST(immortals)
{
	struct coop_error *one, *two, *error;
	char *text;

	fail_alloc(1, true);
	one = leaf(-EIO);
	two = leaf(-EIO);
	CHECK_STR(info_of(one).message, coop_code_text(-EIO));
	CHECK(info_of(one).truncated);
	/* Two failures without memory are still two. */
	fail_alloc(0, false);
	error = GROUP("g", one, two, leaf(-EPIPE));
	CHECK_INT(info_of(error).members, ==, 3);
	CHECK_INT(info_of(error).members_total, ==, 3);
	coop_error_unref(error);
	fail_alloc(1, true);
	error = GROUP("g", leaf(-EPIPE), leaf(COOP_EEXIT(3)), leaf(-EIO), leaf(COOP_EINTERRUPT));
	CHECK_INT(info_of(error).kind, ==, COOP_ERROR_GROUP);
	CHECK_INT(info_of(coop_error_primary(error)).kind, ==, COOP_ERROR_LEAF);
	CHECK_INT(coop_error_code(error), ==, COOP_EEXIT(3));
	CHECK_STR(leaves_of(error), "COOP_EEXIT(3) ");
	text = printed(error, 0);
	CHECK_HAS(text, "error COOP_EEXIT(3)");
	free(text);
	/* Nothing about it can be changed, by anybody. */
	CHECK_INT(coop_error_raise(error), ==, COOP_EEXIT(3));
	CHECK_INT(COOP_AT(COOP_EEXIT(3)), ==, COOP_EEXIT(3));
	CHECK(cp_err_caught(error) == error);
	coop_error_clear();
	for (int i = 0; i < 10; i++)
		coop_error_unref(error);
	CHECK_INT(coop_error_code(error), ==, COOP_EEXIT(3));
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* They count in a tree as others do, so that a walk without memory finds its way. */
TEST(immortals_in_deep_trees)
{
	struct coop_error *error;

	fail_alloc(1, true);
	error = leaf(-EIO);
	fail_alloc(0, false);
	for (int i = 0; i < 200; i++)
		error = i % 20 == 7 ? GROUP("", leaf(-1), error, leaf(-2)) : GROUP("", error);
	fail_alloc(1, true);
	CHECK_STR(leaves_of(error),
		  "EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EPERM EIO "
		  "ENOENT ENOENT ENOENT ENOENT ENOENT ENOENT ENOENT ENOENT ENOENT "
		  "ENOENT ");
	fail_alloc(0, false);
	coop_error_unref(error);
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}

/* There is room for 128 codes; the ones after stand for their class. */
TEST(immortals_are_bounded)
{
	fail_alloc(1, true);
	for (int i = 0; i < 128; i++)
		CHECK_INT(coop_error_code(leaf(COOP_CODE(20, 1 + i))), ==, COOP_CODE(20, 1 + i));
	CHECK_INT(coop_error_code(leaf(-EIO)), ==, -ENOMEM);
	CHECK_INT(coop_error_code(leaf(COOP_EEXIT(9))), ==, COOP_EINTERNAL);
	CHECK_INT(coop_error_code(leaf(COOP_CODE(20, 77))), ==, COOP_CODE(20, 77));
	/* The code that travels is right all the same. */
	CHECK_INT(coop_fail(-EIO, "x"), ==, -EIO);
	CHECK_INT(COOP_AT(-EIO), ==, -EIO);
	CHECK(coop_error_peek(-EIO) != NULL);
	coop_error_clear();
	CHECK_INT(cp_os_faults.allocs_live, ==, 0);
}
