/* SPDX-License-Identifier: MIT */
/*
 * Signals: a handler that only counts and wakes, receivers, and the ladder.
 *
 * The handler adds to a counter of the signal and wakes the loop of the runtime that owns
 * signals; everything else happens in that loop, at a turn. For each signal there is at most
 * one owner: a receiver, or the ladder beneath it. A receiver that opens takes the signal
 * over and gives it back when it closes: to the ladder, or to the disposition that
 * was there before. What came and was not received is raised again for that.
 *
 * Invariants
 *   1. slots[s].handled: our handler is installed for s, and slots[s].before is what was there.
 *   2. It is installed exactly while a receiver or the ladder owns s.
 *   3. One runtime of the process owns signals: `owner`; set while anything is installed.
 */
#include "sys/signals.h"

#include <coop/signal.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#define CP_SIGNALS_MAX 65

struct cp_signal_slot {
	uint32_t count; /* atomic: came and was not taken in yet */
	bool handled;
	bool ladder;
	struct coop_signals *receiver;
	struct sigaction before;
};

struct coop_signals {
	struct cp_rt *rt;
	uint32_t pending[CP_SIGNALS_MAX]; /* taken in, not received */
	bool wanted[CP_SIGNALS_MAX];
	int last; /* received last: others have their turn */
	bool closed;
	struct cp_wait *waiter;
};

static struct cp_signal_slot slots[CP_SIGNALS_MAX];
static struct cp_rt *owner;
static struct cp_engine *owner_engine; /* read by the handler */
static uint32_t *owner_pending;
static unsigned owner_uses;
static pthread_mutex_t owner_lock = PTHREAD_MUTEX_INITIALIZER;
static unsigned ladder_step;

static void on_signal(int sig)
{
	int err_no = errno;
	struct cp_engine *engine = __atomic_load_n(&owner_engine, __ATOMIC_ACQUIRE);

	__atomic_fetch_add(&slots[sig].count, 1, __ATOMIC_RELEASE);
	if (engine) {
		__atomic_store_n(owner_pending, 1, __ATOMIC_RELEASE);
		engine->ops->wake(engine);
	}
	errno = err_no;
}

/* ------------------------------------------------------------------ owning signals */

static void take_in(struct cp_rt *rt);

/* This runtime wants signals: 0, or COOP_EWRONGTHREAD if another one has them. */
static int own(struct cp_rt *rt)
{
	int r = 0;

	pthread_mutex_lock(&owner_lock);
	if (owner && owner != rt) {
		r = COOP_EWRONGTHREAD;
	} else {
		owner = rt;
		owner_uses++;
		rt->on_pending = take_in;
		owner_pending = &rt->pending;
		__atomic_store_n(&owner_engine, rt->engine, __ATOMIC_RELEASE);
	}
	pthread_mutex_unlock(&owner_lock);
	return r;
}

static void disown(struct cp_rt *rt)
{
	pthread_mutex_lock(&owner_lock);
	if (--owner_uses == 0) {
		__atomic_store_n(&owner_engine, NULL, __ATOMIC_RELEASE);
		owner = NULL;
		rt->on_pending = NULL;
	}
	pthread_mutex_unlock(&owner_lock);
}

/* Installs the handler for `sig`, once. */
static int handle(int sig)
{
	struct cp_signal_slot *slot = &slots[sig];
	struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART | SA_ONSTACK };
	int r;

	if (slot->handled)
		return 0;
	sigfillset(&act.sa_mask);
	__atomic_store_n(&slot->count, 0, __ATOMIC_RELAXED);
	r = cp_os_sigaction(sig, &act, &slot->before);
	if (r < 0)
		return r;
	slot->handled = true;
	return 0;
}

/* Puts back what was there, if nobody wants `sig` any more; returns how many came meanwhile. */
static uint32_t unhandle(int sig)
{
	struct cp_signal_slot *slot = &slots[sig];

	if (!slot->handled || slot->ladder || slot->receiver)
		return 0;
	cp_os_sigaction(sig, &slot->before, NULL);
	slot->handled = false;
	return __atomic_exchange_n(&slot->count, 0, __ATOMIC_ACQUIRE);
}

/* ----------------------------------------------------------------------- the ladder */

static _Noreturn void last_step(struct cp_rt *rt, int sig)
{
	cp_dump(rt, stderr, COOP_DUMP_INTERNAL | COOP_DUMP_TIMES);
	fflush(stderr);
	_exit(128 + sig);
}

static void climb(struct cp_rt *rt, int sig)
{
	char text[COOP_NAME_MAX + 1];

	rt->stop_signal = rt->stop_signal ? rt->stop_signal : sig;
	switch (++ladder_step) {
	case 1:
		snprintf(text, sizeof text, "stopped by %s", coop_signal_name(sig));
		cp_shutdown_begin(rt, COOP_CANCEL_SIGNAL, sig, text);
		break;
	case 2: cp_shutdown_harden(rt); break;
	case 3: cp_shutdown_force(rt); break;
	default: last_step(rt, sig);
	}
}

int cp_ladder_install(struct cp_rt *rt)
{
	static const int sigs[] = { SIGINT, SIGTERM };
	struct sigaction now;
	int r = own(rt);

	if (r < 0)
		return r;
	ladder_step = 0;
	for (size_t i = 0; i < CP_ARRAY_LEN(sigs); i++) {
		r = cp_os_sigaction(sigs[i], NULL, &now);
		if (r >= 0 && now.sa_handler == SIG_IGN)
			continue; /* a background job of a shell: it stays so */
		if (r >= 0)
			r = handle(sigs[i]);
		if (r < 0) {
			cp_ladder_remove(rt);
			return r;
		}
		slots[sigs[i]].ladder = true;
	}
	rt->external++;
	return 0;
}

void cp_ladder_remove(struct cp_rt *rt)
{
	static const int sigs[] = { SIGINT, SIGTERM };

	for (size_t i = 0; i < CP_ARRAY_LEN(sigs); i++) {
		slots[sigs[i]].ladder = false;
		unhandle(sigs[i]);
	}
	if (rt->external)
		rt->external--;
	disown(rt);
}

/* ------------------------------------------------------------------------ receivers */

static int next_pending(const struct coop_signals *s)
{
	for (int i = 1; i <= CP_SIGNALS_MAX; i++) {
		int sig = (s->last + i) % CP_SIGNALS_MAX;

		if (s->pending[sig])
			return sig;
	}
	return 0;
}

static int receive_one(struct coop_signals *s)
{
	int sig = next_pending(s);

	if (!sig)
		return -EAGAIN;
	s->pending[sig] = 0;
	s->last = sig;
	return sig;
}

/* In the loop: what the handler has counted goes to whom it belongs. */
static void take_in(struct cp_rt *rt)
{
	for (int sig = 1; sig < CP_SIGNALS_MAX; sig++) {
		struct coop_signals *s = slots[sig].receiver;
		uint32_t n;

		if (!slots[sig].handled)
			continue;
		n = __atomic_exchange_n(&slots[sig].count, 0, __ATOMIC_ACQUIRE);
		if (n && s) {
			s->pending[sig] += n;
			if (s->waiter) {
				struct cp_wait *w = s->waiter;

				s->waiter = NULL;
				cp_wake(rt, w->task, receive_one(s));
			}
		} else {
			while (n-- && slots[sig].ladder)
				climb(rt, sig);
		}
	}
}

static bool valid(int sig)
{
	return sig > 0 && sig < CP_SIGNALS_MAX && sig != SIGKILL && sig != SIGSTOP && sig != 32 &&
	       sig != 33;
}

static int check_set(const int *signals, size_t count)
{
	if (!count)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (!valid(signals[i]))
			return -EINVAL;
		if (slots[signals[i]].receiver)
			return -EBUSY;
	}
	return 0;
}

/* Gives up every signal of `s`; what was not received goes to the ladder or is raised again. */
static void give_back(struct coop_signals *s)
{
	struct cp_rt *rt = s->rt;

	for (int sig = 1; sig < CP_SIGNALS_MAX; sig++) {
		uint32_t late;

		if (!s->wanted[sig])
			continue;
		s->wanted[sig] = false;
		slots[sig].receiver = NULL;
		late = unhandle(sig) + s->pending[sig];
		if (late && slots[sig].ladder)
			climb(rt, sig);
		else if (late)
			raise(sig);
	}
}

int coop_signals_open(const int *signals, size_t count, struct coop_signals **ret_signals)
{
	struct cp_rt *rt = cp_in_task();
	struct coop_signals *s;
	int r;

	if (!rt)
		return cp_no_task();
	r = own(rt);
	if (r < 0)
		return r;
	r = check_set(signals, count);
	s = r < 0 ? NULL : cp_calloc(1, sizeof *s);
	if (!s) {
		disown(rt);
		return r < 0 ? r : -ENOMEM;
	}
	s->rt = rt;
	for (size_t i = 0; i < count && r >= 0; i++) {
		r = handle(signals[i]);
		if (r < 0)
			break;
		s->wanted[signals[i]] = true;
		slots[signals[i]].receiver = s;
	}
	if (r < 0) {
		give_back(s);
		cp_free(s);
		disown(rt);
		return r;
	}
	rt->external++;
	*ret_signals = s;
	return 0;
}

static bool receive_abort(struct cp_wait *w)
{
	((struct coop_signals *)w->ctx)->waiter = NULL;
	return true;
}

int coop_signals_receive(struct coop_signals *signals)
{
	struct cp_rt *rt = cp_in_task();
	struct cp_wait w = { .abort = receive_abort,
			     .what = "coop_signals_receive",
			     .on = signals,
			     .ctx = signals };
	int r;

	if (!rt)
		return cp_no_task();
	cp_check_frames(rt->body, __builtin_frame_address(0), "coop_signals_receive");
	if (signals->rt != rt)
		return COOP_EWRONGTHREAD;
	if (signals->waiter)
		return -EBUSY;
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
	take_in(rt);
	r = receive_one(signals);
	if (r > 0) {
		cp_schedule_point(rt);
		return r;
	}
	signals->waiter = &w;
	r = cp_park(rt, &w);
	if (r == COOP_ECANCELED)
		cp_ignored(rt);
	return r;
}

int coop_signals_try_receive(struct coop_signals *signals)
{
	if (signals->rt != cp_rt)
		return COOP_EWRONGTHREAD;
	if (signals->waiter)
		return -EBUSY;
	take_in(cp_rt);
	return receive_one(signals);
}

struct coop_signals *coop_signals_close(struct coop_signals *signals)
{
	struct cp_rt *rt;

	if (!signals)
		return NULL;
	rt = signals->rt;
	if (signals->waiter) {
		struct cp_wait *w = signals->waiter;

		signals->waiter = NULL;
		cp_wake(rt, w->task, COOP_ECLOSED);
	}
	take_in(rt);
	give_back(signals);
	rt->external--;
	disown(rt);
	cp_free(signals);
	return NULL;
}

const char *coop_signal_name(int sig)
{
	static const struct {
		int sig;
		const char *name;
	} names[] = {
		{ SIGHUP, "SIGHUP" },       { SIGINT, "SIGINT" },   { SIGQUIT, "SIGQUIT" },
		{ SIGILL, "SIGILL" },       { SIGTRAP, "SIGTRAP" }, { SIGABRT, "SIGABRT" },
		{ SIGBUS, "SIGBUS" },       { SIGFPE, "SIGFPE" },   { SIGKILL, "SIGKILL" },
		{ SIGUSR1, "SIGUSR1" },     { SIGSEGV, "SIGSEGV" }, { SIGUSR2, "SIGUSR2" },
		{ SIGPIPE, "SIGPIPE" },     { SIGALRM, "SIGALRM" }, { SIGTERM, "SIGTERM" },
		{ SIGCHLD, "SIGCHLD" },     { SIGCONT, "SIGCONT" }, { SIGSTOP, "SIGSTOP" },
		{ SIGTSTP, "SIGTSTP" },     { SIGTTIN, "SIGTTIN" }, { SIGTTOU, "SIGTTOU" },
		{ SIGURG, "SIGURG" },       { SIGXCPU, "SIGXCPU" }, { SIGXFSZ, "SIGXFSZ" },
		{ SIGVTALRM, "SIGVTALRM" }, { SIGPROF, "SIGPROF" }, { SIGWINCH, "SIGWINCH" },
		{ SIGIO, "SIGIO" },         { SIGPWR, "SIGPWR" },   { SIGSYS, "SIGSYS" },
	};

	for (size_t i = 0; i < CP_ARRAY_LEN(names); i++)
		if (names[i].sig == sig)
			return names[i].name;
	return "SIG?";
}
