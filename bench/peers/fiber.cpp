// SPDX-License-Identifier: MIT
//
// Boost.Fiber with its round robin scheduler and its default stacks (128 KiB, no guard). malloc is
// told to keep them: it would map each one anew otherwise, for forty microseconds.
//
// It has no cancellation: in cancel10000 and in the tear-down of sleepers a condition variable is
// what ends the wait.
#include "peer.h"

#include <boost/fiber/all.hpp>
#include <malloc.h>
#include <vector>

using boost::fibers::fiber;
namespace this_fiber = boost::this_fiber;

static long counter;

static double ring(int tasks, long each)
{
	std::vector<fiber> all;
	double start;

	counter = 0;
	for (int i = 0; i < tasks; i++)
		all.push_back(fiber([each] {
			for (long k = 0; k < each; k++) {
				this_fiber::yield();
				counter++;
			}
		}));
	start = now_ns();
	for (auto &f : all)
		f.join();
	must(counter == tasks * each);
	return (now_ns() - start) / ((double)tasks * (double)each);
}

static void yield_two()
{
	ring(2, 10000);
	give("yield", ring(2, 5000000));
}

static void yield_many()
{
	ring(1000, 10);
	give("yield1000", ring(1000, 2000));
}

static void spawn_join()
{
	long n = 1000000;
	double start = 0;

	for (long i = -n / 10; i < n; i++) {
		if (i == 0)
			start = now_ns();
		fiber([] { counter++; }).join();
	}
	give("spawn_join", (now_ns() - start) / (double)n);
	must(counter == n + n / 10);
}

static void spawn1000()
{
	int rounds = 500;
	double start = 0;

	for (int i = -10; i < rounds; i++) {
		std::vector<fiber> all;

		if (i == 0)
			start = now_ns();
		all.reserve(1000);
		for (int k = 0; k < 1000; k++)
			all.push_back(fiber([] { counter++; }));
		for (auto &f : all)
			f.join();
	}
	give("spawn1000", (now_ns() - start) / (1e3 * rounds));
	must(counter == 1000 * (rounds + 10));
}

struct asleep {
	double start_ns, bytes, teardown_ns;
};

static asleep sleepers(int n, bool timed)
{
	boost::fibers::mutex lock;
	boost::fibers::condition_variable cond;
	std::vector<fiber> all;
	bool over = false;
	asleep a;
	double before = memory(), start = now_ns();

	counter = 0;
	all.reserve((size_t)n);
	for (int i = 0; i < n; i++)
		all.push_back(fiber([&] {
			std::unique_lock<boost::fibers::mutex> held(lock);

			counter++;
			if (timed)
				cond.wait_for(held, std::chrono::hours(1), [&] { return over; });
			else
				cond.wait(held, [&] { return over; });
			counter--;
		}));
	while (counter < n)
		this_fiber::yield();
	a.start_ns = (now_ns() - start) / n;
	a.bytes = (memory() - before) / n;
	start = now_ns();
	over = true;
	cond.notify_all();
	for (auto &f : all)
		f.join();
	a.teardown_ns = (now_ns() - start) / n;
	must(counter == 0);
	return a;
}

static void cancel10000()
{
	sleepers(10000, false);
	give("cancel10000", sleepers(10000, false).teardown_ns);
}

static void sleepers100k()
{
	asleep a = sleepers(100000, true);

	give("sleepers100k_start", a.start_ns);
	give("sleepers100k_bytes", a.bytes);
	give("sleepers100k_teardown", a.teardown_ns);
}

static void timers2000()
{
	const int n = 2000;
	bool stop = false;
	std::vector<fiber> all;
	auto start_at = std::chrono::steady_clock::now() + std::chrono::seconds(1);
	double wall, cpu;

	for (int i = 0; i < n; i++)
		all.push_back(fiber([&, i] {
			uint32_t seed = seed_of(i);

			this_fiber::sleep_until(start_at);
			while (!stop) {
				this_fiber::sleep_for(std::chrono::microseconds(nap_us(&seed)));
				counter++;
			}
		}));
	this_fiber::sleep_until(start_at + std::chrono::milliseconds(200));
	wall = now_ns();
	cpu = cpu_ns();
	counter = 0;
	this_fiber::sleep_for(std::chrono::seconds(2));
	give("timers2000", (cpu_ns() - cpu) / (double)counter);
	give("timers2000_rate", (double)counter / (now_ns() - wall) * 1e6);
	must(counter > n);
	stop = true;
	for (auto &f : all)
		f.join();
}

int main(int argc, char **argv)
{
	static const peer_question questions[] = {
		{ "yield", yield_two },         { "yield1000", yield_many },
		{ "spawn_join", spawn_join },   { "spawn1000", spawn1000 },
		{ "cancel10000", cancel10000 }, { "sleepers100k", sleepers100k },
		{ "timers2000", timers2000 },   { nullptr, nullptr },
	};

	mallopt(M_MMAP_THRESHOLD, 1 << 30);
	mallopt(M_TRIM_THRESHOLD, 1 << 30);
	return peer_main(argc, argv, questions);
}
