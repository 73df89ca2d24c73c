/* SPDX-License-Identifier: MIT */
/*
 * Questions to a tree of errors, and its division in two.
 *
 * Every walk is a loop over a list of frames, the way down from the root. For
 * trees up to 64 deep that list is part of the walk. For deeper ones it comes
 * from the heap; where the heap has nothing, only the deepest 64 frames are
 * kept, as in a ring, and when the walk comes back up past them it goes down
 * from the root once more to find the ones above. For that each frame knows
 * the number of the next object, counted in the order of the walk, and each
 * object how many are below it (E3). So no question here can fail.
 */
#include "base/err_impl.h"
#include "base/os.h"

#include <string.h>

/* ---- the walk */

void cp_err_walk_begin(struct cp_err_walk *walk, const struct coop_error *root, bool causes)
{
	walk->root = root;
	walk->node = NULL;
	walk->ring = walk->own;
	walk->heap = NULL;
	walk->cap = CP_ERR_WALK_INLINE;
	walk->depth = walk->kept = 0;
	walk->causes = causes;
	walk->started = false;
	if (!root || root->depth <= CP_ERR_WALK_INLINE)
		return;
	walk->heap = cp_alloc(root->depth * sizeof *walk->heap);
	if (walk->heap) {
		walk->ring = walk->heap;
		walk->cap = root->depth;
	}
}

void cp_err_walk_end(struct cp_err_walk *walk)
{
	cp_free(walk->heap);
	walk->heap = NULL;
	walk->ring = walk->own;
}

static struct cp_err_frame *cp_err_walk_top(struct cp_err_walk *walk)
{
	return &walk->ring[(walk->depth - 1) % walk->cap];
}

static uint32_t cp_err_walk_fanout(const struct cp_err_walk *walk, const struct coop_error *node)
{
	return walk->causes || node->kind == COOP_ERROR_GROUP ? node->count : 0;
}

/* `number` is the one that `node` has in the order of the walk, the root's being 0. */
static void cp_err_walk_push(struct cp_err_walk *walk, const struct coop_error *node,
			     uint64_t number)
{
	walk->depth++;
	if (walk->kept < walk->cap)
		walk->kept++;
	*cp_err_walk_top(walk) = (struct cp_err_frame){ .node = node, .at = number + 1 };
}

/* Goes down from the root to the frame whose kid has the number `number` and has been visited. */
static void cp_err_walk_refill(struct cp_err_walk *walk, uint64_t number)
{
	const struct coop_error *node = walk->root;
	uint64_t at = 0;

	walk->depth = 0;
	while (at != number) {
		struct cp_err_frame *frame;

		cp_err_walk_push(walk, node, at);
		frame = cp_err_walk_top(walk);
		while (number - frame->at >= node->kids[frame->next]->nodes)
			frame->at += node->kids[frame->next++]->nodes;
		at = frame->at;
		node = node->kids[frame->next++];
		frame->at += node->nodes;
	}
}

static void cp_err_walk_pop(struct cp_err_walk *walk)
{
	const struct cp_err_frame *frame = cp_err_walk_top(walk);
	bool below = cp_err_walk_fanout(walk, frame->node) > 0;
	uint64_t number = frame->at - (below ? frame->node->nodes : 1);

	walk->node = frame->node;
	walk->depth--;
	walk->kept--;
	if (walk->kept == 0 && walk->depth > 0)
		cp_err_walk_refill(walk, number);
}

enum cp_err_step cp_err_walk_step(struct cp_err_walk *walk)
{
	struct cp_err_frame *top;
	uint64_t number;

	if (!walk->started) {
		walk->started = true;
		walk->node = walk->root;
		if (walk->root)
			cp_err_walk_push(walk, walk->root, 0);
		return walk->root ? CP_ERR_ENTER : CP_ERR_END;
	}
	if (walk->depth == 0)
		return CP_ERR_END;
	top = cp_err_walk_top(walk);
	if (top->next == cp_err_walk_fanout(walk, top->node)) {
		cp_err_walk_pop(walk);
		return CP_ERR_LEAVE;
	}
	walk->node = top->node->kids[top->next++];
	number = top->at;
	top->at += walk->node->nodes;
	cp_err_walk_push(walk, walk->node, number);
	return CP_ERR_ENTER;
}

const struct coop_error *cp_err_walk_leaf(struct cp_err_walk *walk)
{
	enum cp_err_step step;

	while ((step = cp_err_walk_step(walk)) != CP_ERR_END)
		if (step == CP_ERR_ENTER && walk->node->kind != COOP_ERROR_GROUP)
			return walk->node;
	return NULL;
}

/* ---- questions */

const struct coop_error *coop_error_member(const struct coop_error *error, uint32_t index)
{
	if (!error || error->kind != COOP_ERROR_GROUP)
		return NULL;
	cp_err_see(error);
	return index < error->count ? error->kids[index] : NULL;
}

const struct coop_error *coop_error_primary(const struct coop_error *error)
{
	return error ? error->primary : NULL;
}

bool coop_error_is(const struct coop_error *error, int code)
{
	struct cp_err_walk walk;
	enum cp_err_step step;
	bool found = false;

	cp_err_walk_begin(&walk, error, true);
	while (!found && (step = cp_err_walk_step(&walk)) != CP_ERR_END)
		found = step == CP_ERR_ENTER && walk.node->code == code;
	cp_err_walk_end(&walk);
	return found;
}

const struct coop_error *coop_error_find(const struct coop_error *error, coop_error_match *match,
					 void *ctx)
{
	const struct coop_error *leaf;
	struct cp_err_walk walk;

	cp_err_see(error);
	cp_err_walk_begin(&walk, error, false);
	do {
		leaf = cp_err_walk_leaf(&walk);
	} while (leaf && !match(leaf, ctx));
	cp_err_walk_end(&walk);
	return leaf;
}

int coop_error_leaves(const struct coop_error *error, coop_error_visit *visit, void *ctx)
{
	const struct coop_error *leaf;
	struct cp_err_walk walk;
	int r = 0;

	cp_err_see(error);
	cp_err_walk_begin(&walk, error, false);
	while (r == 0 && (leaf = cp_err_walk_leaf(&walk)))
		r = visit(leaf, ctx);
	cp_err_walk_end(&walk);
	return r;
}

/* ---- the division */

/*
 * First every leaf is asked, once and in order, and the answers are kept as
 * soon as there are two kinds of them. Then the tree is walked once more and
 * built up from below: each finished object leaves what it came to on two
 * stacks, one a side; a group takes what its members left there. A group that
 * is all on one side is not built again but kept.
 */
enum { CP_ERR_MATCH, CP_ERR_REST, CP_ERR_SIDES };

struct cp_err_split {
	struct coop_error **stack[CP_ERR_SIDES]; /* owned */
	uint32_t height[CP_ERR_SIDES];
	uint32_t (*base)[CP_ERR_SIDES]; /* heights where the group at this depth began */
	uint8_t *bits;                  /* one a leaf: it matches */
	void *mem;
};

static int cp_err_split_alloc(struct cp_err_split *split, const struct coop_error *root)
{
	size_t stack = root->nodes * sizeof *split->stack[0];
	size_t base = root->depth * sizeof *split->base;
	char *mem;

	if (root->nodes > UINT32_MAX)
		return -ENOMEM;
	mem = cp_calloc(1, CP_ERR_SIDES * stack + base + root->leaves / 8 + 1);
	if (!mem)
		return -ENOMEM;
	split->mem = mem;
	split->stack[CP_ERR_MATCH] = (void *)mem;
	split->stack[CP_ERR_REST] = (void *)(mem + stack);
	split->base = (void *)(mem + CP_ERR_SIDES * stack);
	split->bits = (uint8_t *)(mem + CP_ERR_SIDES * stack + base);
	return 0;
}

static void cp_err_split_free(struct cp_err_split *split)
{
	for (int side = 0; side < CP_ERR_SIDES; side++)
		while (split->height[side] > 0)
			coop_error_unref(split->stack[side][--split->height[side]]);
	cp_free(split->mem);
}

static void cp_err_split_push(struct cp_err_split *split, int side, const struct coop_error *error)
{
	split->stack[side][split->height[side]++] = coop_error_ref(error);
}

/*
 * Asks all leaves. Returns 0, with split->mem set if there is something on
 * both sides; else *ret_side is the one that has it all, the rest for nothing.
 */
static int cp_err_split_ask(struct cp_err_split *split, const struct coop_error *error,
			    coop_error_match *match, void *ctx, int *ret_side)
{
	const struct coop_error *leaf;
	struct cp_err_walk walk;
	uint64_t asked = 0;
	bool first = false;
	int r = 0;

	cp_err_walk_begin(&walk, error, false);
	for (; r == 0 && (leaf = cp_err_walk_leaf(&walk)); asked++) {
		bool yes = match(leaf, ctx);

		if (asked == 0)
			first = yes;
		if (yes != first && !split->mem) {
			r = cp_err_split_alloc(split, error);
			for (uint64_t i = 0; r == 0 && first && i < asked; i++)
				split->bits[i / 8] |= (uint8_t)(1u << i % 8);
		}
		if (yes && split->mem)
			split->bits[asked / 8] |= (uint8_t)(1u << asked % 8);
	}
	cp_err_walk_end(&walk);
	*ret_side = first ? CP_ERR_MATCH : CP_ERR_REST;
	return r;
}

/* A group like `like` of what lies on one side above `base`; what is unknown goes with the rest. */
static struct coop_error *cp_err_split_part(struct cp_err_split *split, int side, uint32_t base,
					    const struct coop_error *like)
{
	uint32_t count = split->height[side] - base;
	uint32_t unkept = side == CP_ERR_REST ? like->total - like->count : 0;
	struct cp_err_group from = {
		.name = like->name,
		.path = like->task,
		.file = like->file,
		.line = like->line,
		.when_ns = like->when_ns,
		.members = split->stack[side] + base,
		.count = count,
		.total = count + unkept,
		.cancelled = like->cancelled,
		.gone = like->gone,
		.gone_count = like->gone_count,
		.cancel_pending = side == CP_ERR_REST && like->cancel_pending,
		.strict = like->flags & CP_ERR_STRICT,
	};

	return cp_err_try_group(&from);
}

/* All below the group is on the stacks: replaces it by the group, or by its two parts. */
static int cp_err_split_close(struct cp_err_split *split, const struct coop_error *group,
			      const uint32_t base[CP_ERR_SIDES])
{
	bool match = split->height[CP_ERR_MATCH] > base[CP_ERR_MATCH];
	bool rest = split->height[CP_ERR_REST] > base[CP_ERR_REST];

	if (!match || !rest) {
		int side =
			match ? CP_ERR_MATCH : CP_ERR_REST; /* a group without leaves: the rest */

		while (split->height[side] > base[side])
			coop_error_unref(split->stack[side][--split->height[side]]);
		cp_err_split_push(split, side, group);
		return 0;
	}
	for (int side = 0; side < CP_ERR_SIDES; side++) {
		struct coop_error *part = cp_err_split_part(split, side, base[side], group);

		if (!part)
			return -ENOMEM;
		split->height[side] = base[side];
		split->stack[side][split->height[side]++] = part;
	}
	return 0;
}

static int cp_err_split_build(struct cp_err_split *split, const struct coop_error *error)
{
	struct cp_err_walk walk;
	enum cp_err_step step;
	uint64_t leaf = 0;
	int r = 0;

	cp_err_walk_begin(&walk, error, false);
	while (r == 0 && (step = cp_err_walk_step(&walk)) != CP_ERR_END) {
		if (walk.node->kind != COOP_ERROR_GROUP) {
			bool yes = split->bits[leaf / 8] >> leaf % 8 & 1;

			if (step == CP_ERR_LEAVE)
				continue;
			cp_err_split_push(split, yes ? CP_ERR_MATCH : CP_ERR_REST, walk.node);
			leaf++;
		} else if (step == CP_ERR_ENTER) {
			memcpy(split->base[walk.depth - 1], split->height, sizeof split->height);
		} else {
			r = cp_err_split_close(split, walk.node, split->base[walk.depth]);
		}
	}
	cp_err_walk_end(&walk);
	return r;
}

int coop_error_split(const struct coop_error *error, coop_error_match *match, void *ctx,
		     struct coop_error **ret_match, struct coop_error **ret_rest)
{
	struct cp_err_split split = { .mem = NULL };
	int side = CP_ERR_REST;
	int r;

	cp_err_see(error);
	r = cp_err_split_ask(&split, error, match, ctx, &side);
	if (r == 0 && !split.mem) {
		*ret_match = side == CP_ERR_MATCH ? coop_error_ref(error) : NULL;
		*ret_rest = side == CP_ERR_REST ? coop_error_ref(error) : NULL;
		return 0;
	}
	if (r == 0)
		r = cp_err_split_build(&split, error);
	if (r == 0) {
		*ret_match = split.stack[CP_ERR_MATCH][--split.height[CP_ERR_MATCH]];
		*ret_rest = split.stack[CP_ERR_REST][--split.height[CP_ERR_REST]];
	}
	cp_err_split_free(&split);
	return r;
}
