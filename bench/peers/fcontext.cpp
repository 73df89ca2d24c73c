// SPDX-License-Identifier: MIT
//
// A bare switch, Boost's fcontext: no queue, no scheduler, no cancellation. What the processor can
// do, and so the ruler that the others are read against.
#include "peer.h"

#include <boost/context/detail/fcontext.hpp>
#include <vector>

using namespace boost::context::detail;

// Goes back and forth; counts how often it was entered.
static void bounce(transfer_t t)
{
	auto *count = static_cast<long *>(t.data);

	for (;;) {
		++*count;
		t = jump_fcontext(t.fctx, nullptr);
	}
}

static fcontext_t context_on(char *stack, size_t size, void (*fn)(transfer_t))
{
	return make_fcontext(stack + size, size, fn);
}

// Two contexts alternate; a figure is one switch.
static void yield_two()
{
	static char stack[65536];
	long count = 0, n = 20000000;
	fcontext_t other = context_on(stack, sizeof stack, bounce);
	double start = now_ns();

	for (long i = 0; i < n; i++)
		other = jump_fcontext(other, &count).fctx;
	give("yield", (now_ns() - start) / (2.0 * (double)n));
	must(count == n);
}

struct ring {
	std::vector<fcontext_t> at;
	size_t next = 0;
	long left = 0, count = 0;
	fcontext_t home = nullptr;
};

static ring r;

// Each jumps to the one behind it; whoever finds the work done goes home.
static void pass_on(transfer_t t)
{
	size_t me = r.next;

	for (;;) {
		size_t from = (me + r.at.size() - 1) % r.at.size();

		if (r.home)
			r.at[from] = t.fctx;
		else
			r.home = t.fctx;
		r.count++;
		if (--r.left <= 0)
			jump_fcontext(r.home, nullptr);
		r.next = (me + 1) % r.at.size();
		t = jump_fcontext(r.at[r.next], nullptr);
	}
}

static void yield_many()
{
	const size_t tasks = 1000, stride = 65536;
	const long n = 10000000;
	char *stacks = static_cast<char *>(aligned_alloc(4096, tasks * stride));
	double start;

	must(stacks != nullptr);
	for (size_t i = 0; i < tasks; i++)
		r.at.push_back(context_on(stacks + i * stride, stride - i % 16 * 128, pass_on));
	r.left = n;
	start = now_ns();
	jump_fcontext(r.at[0], nullptr);
	give("yield1000", (now_ns() - start) / (double)n);
	must(r.count == n);
}

static void once(transfer_t t)
{
	++*static_cast<long *>(t.data);
	jump_fcontext(t.fctx, nullptr);
}

// Made, run and dropped, on one stack that is there: what is left of a spawn without its meaning.
static void spawn_join()
{
	static char stack[65536];
	long count = 0, n = 20000000;
	double start = now_ns();

	for (long i = 0; i < n; i++)
		jump_fcontext(context_on(stack, sizeof stack, once), &count);
	give("spawn_join", (now_ns() - start) / (double)n);
	must(count == n);
}

int main(int argc, char **argv)
{
	static const peer_question questions[] = {
		{ "yield", yield_two },
		{ "yield1000", yield_many },
		{ "spawn_join", spawn_join },
		{ nullptr, nullptr },
	};

	return peer_main(argc, argv, questions);
}
