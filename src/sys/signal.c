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
 * The one thing that the handler does by itself: it ends the process at the ladder's last step
 * where the loop has not even heard the step before, for then some task does not let it run.
 *
 * Invariants
 *   1. slots[s].handled: our handler is installed for s, and slots[s].before is what was there.
 *   2. It is installed exactly while a receiver or the ladder owns s.
 *   3. One runtime of the process owns signals: `owner`; set while anything is installed.
 *   4. A handler may run in any thread: what it looks at is given up only when none runs.
 *   5. A forked child has no runtime, so it has the dispositions from before, too.
 */
#include "base/forks.h"
#include "core/park.h"
#include "io/offload.h"
#include "sys/signals.h"

#include <coop/signal.h>

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#define CP_SIGNALS_MAX 65
#define CP_LADDER_STEPS 4

struct cp_signal_slot {
	uint32_t count; /* atomic: came and was not taken in yet */
	bool handled;
	bool ladder;
	struct coop_signals *receiver;
	struct sigaction before;
};

struct coop_signals {
	struct cp_rt *rt; /* NULL: its run has ended, and took the signals away */
	struct cp_debt debt;
	uint32_t pending[CP_SIGNALS_MAX]; /* taken in, not received */
	bool wanted[CP_SIGNALS_MAX];
	int last; /* received last: others have their turn */
	struct cp_wait *waiter;
};

static const int ladder_signals[] = { SIGINT, SIGTERM };

static struct cp_signal_slot slots[CP_SIGNALS_MAX];
static struct cp_rt *owner; /* atomic: the handler reads it */
static pthread_t owner_thread;
static unsigned owner_uses;
static pthread_mutex_t owner_lock = PTHREAD_MUTEX_INITIALIZER;
static uint32_t handlers_running; /* atomic */
static unsigned ladder_step;      /* steps that the loop has climbed */

/* --------------------------------------------------------------------- the handler */

static bool on_ladder(int sig)
{
	return slots[sig].ladder && !slots[sig].receiver;
}

/* Signals of the ladder that the loop has not taken in yet. */
static uint32_t unheard(void)
{
	uint32_t n = 0;

	for (size_t i = 0; i < CP_ARRAY_LEN(ladder_signals); i++)
		if (on_ladder(ladder_signals[i]))
			n += __atomic_load_n(&slots[ladder_signals[i]].count, __ATOMIC_RELAXED);
	return n;
}

/* The last step without the loop: no dump, for the tree may be in the middle of a change. */
static _Noreturn void end_deaf(struct cp_rt *rt, int sig)
{
	bool here = pthread_equal(pthread_self(), owner_thread);
	struct coop_task *t = here ? rt->cur : NULL;
	char text[320];
	int n;

	n = snprintf(text, sizeof text,
		     "coop: %s again, and the loop does not hear it%s%.63s%s%s%s\n",
		     coop_signal_name(sig), t ? ": task \"" : "", t ? cp_task_name(t) : "",
		     t ? "\" (spawned at " : "", t ? cp_at(cp_task_site(t)) : "",
		     t ? ") does not let it run" : "");
	cp_os_complain(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
	_exit(128 + sig);
}

static void on_signal(int sig)
{
	int err_no = errno;
	struct cp_rt *rt;

	/* Pairs with quiesce(): either the handler is seen there, or it sees no owner here. */
	__atomic_fetch_add(&handlers_running, 1, __ATOMIC_SEQ_CST);
	rt = __atomic_load_n(&owner, __ATOMIC_SEQ_CST);
	__atomic_fetch_add(&slots[sig].count, 1, __ATOMIC_RELEASE);
	if (rt && on_ladder(sig) && unheard() > 1 && ladder_step + unheard() >= CP_LADDER_STEPS)
		end_deaf(rt, sig);
	if (rt) {
		cp_pending(rt, CP_PENDING_SIGNALS);
	}
	__atomic_fetch_sub(&handlers_running, 1, __ATOMIC_SEQ_CST);
	errno = err_no;
}

/* Waits for handlers that run in other threads; they are a few instructions long. */
static void quiesce(void)
{
	while (__atomic_load_n(&handlers_running, __ATOMIC_SEQ_CST))
		sched_yield();
}

/* ------------------------------------------------------------------ owning signals */

static void take_in(struct cp_rt *rt);

static void after_fork(void)
{
	static const struct cp_signal_slot none;

	owner = NULL;
	owner_uses = 0;
	handlers_running = 0;
	for (int sig = 1; sig < CP_SIGNALS_MAX; sig++) {
		if (slots[sig].handled)
			cp_os_sigaction(sig, &slots[sig].before, NULL);
		slots[sig] = none;
	}
}

static struct cp_forked forked = { .lock = &owner_lock, .child = after_fork };
CP_FORKED(forked)

/* This runtime wants signals: 0, or COOP_EWRONGTHREAD if another one has them. */
static int own(struct cp_rt *rt)
{
	int r = 0;

	pthread_mutex_lock(&owner_lock);
	if (owner && owner != rt) {
		r = COOP_EWRONGTHREAD;
	} else {
		owner_uses++;
		owner_thread = pthread_self();
		rt->on_signals = take_in;
		__atomic_store_n(&owner, rt, __ATOMIC_SEQ_CST);
	}
	pthread_mutex_unlock(&owner_lock);
	return r;
}

static void disown(struct cp_rt *rt)
{
	pthread_mutex_lock(&owner_lock);
	if (--owner_uses == 0) {
		__atomic_store_n(&owner, NULL, __ATOMIC_SEQ_CST);
		quiesce();
		rt->on_signals = NULL;
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
	quiesce();
	return __atomic_exchange_n(&slot->count, 0, __ATOMIC_ACQUIRE);
}

/* Real-time signals count one by one, all others once however often they came. */
static bool is_counted(int sig)
{
	return sig >= SIGRTMIN;
}

/* For what is there now. */
static void raise_again(int sig, uint32_t count)
{
	for (uint32_t n = is_counted(sig) || !count ? count : 1; n; n--)
		raise(sig);
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
	struct sigaction now;
	int r = own(rt);

	if (r < 0)
		return r;
	ladder_step = 0;
	rt->ladder = true;
	for (size_t i = 0; i < CP_ARRAY_LEN(ladder_signals); i++) {
		int sig = ladder_signals[i];

		r = cp_os_sigaction(sig, NULL, &now);
		if (r >= 0 && now.sa_handler == SIG_IGN)
			continue; /* a background job of a shell: it stays so */
		if (r >= 0)
			r = handle(sig);
		if (r < 0) {
			cp_ladder_remove(rt);
			return r;
		}
		slots[sig].ladder = true;
	}
	return 0;
}

/* One that came too late for the loop is for what was there before, unless one was heard. */
void cp_ladder_remove(struct cp_rt *rt)
{
	uint32_t late[CP_ARRAY_LEN(ladder_signals)];

	for (size_t i = 0; i < CP_ARRAY_LEN(ladder_signals); i++) {
		slots[ladder_signals[i]].ladder = false;
		late[i] = unhandle(ladder_signals[i]);
	}
	rt->ladder = false;
	disown(rt);
	for (size_t i = 0; i < CP_ARRAY_LEN(ladder_signals) && !rt->stop_signal; i++)
		raise_again(ladder_signals[i], late[i]);
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
	s->pending[sig] = is_counted(sig) ? s->pending[sig] - 1 : 0;
	s->last = sig;
	return sig;
}

static void wake_receiver(struct cp_rt *rt, struct coop_signals *s)
{
	struct cp_wait *w = s->waiter;

	if (!w)
		return;
	s->waiter = NULL;
	cp_wake(rt, w->task, receive_one(s));
}

/* Those of the ladder wait until the run has a group that they can cancel. */
static void take_in_ladder(struct cp_rt *rt, int sig)
{
	uint32_t n;

	if (rt->group._scope._state != CP_OPEN) {
		if (cp_unopened(rt->group._scope._state))
			__atomic_fetch_or(&rt->pending, CP_PENDING_SIGNALS, __ATOMIC_RELAXED);
		return; /* after the run: see cp_ladder_remove */
	}
	n = __atomic_exchange_n(&slots[sig].count, 0, __ATOMIC_ACQUIRE);
	while (n--)
		climb(rt, sig);
}

/* In the loop: what the handler has counted goes to whom it belongs. */
static void take_in(struct cp_rt *rt)
{
	for (int sig = 1; sig < CP_SIGNALS_MAX; sig++) {
		struct coop_signals *s = slots[sig].receiver;
		uint32_t n;

		if (!slots[sig].handled || !__atomic_load_n(&slots[sig].count, __ATOMIC_ACQUIRE))
			continue;
		if (!s) {
			take_in_ladder(rt, sig);
			continue;
		}
		n = __atomic_exchange_n(&slots[sig].count, 0, __ATOMIC_ACQUIRE);
		s->pending[sig] += n;
		wake_receiver(rt, s);
	}
}

/*
 * Signals that can be received. Not those that cannot be caught, those of the C library, and
 * those by which the processor reports a fault: the handler's return would run into it again.
 */
static bool valid(int sig)
{
	switch (sig) {
	case SIGKILL:
	case SIGSTOP:
	case SIGSEGV:
	case SIGBUS:
	case SIGILL:
	case SIGFPE: return false;
	default: return sig > 0 && sig < CP_SIGNALS_MAX && (sig < 32 || sig >= SIGRTMIN);
	}
}

static int check_set(const int *signals, size_t count)
{
	if (!count || !signals)
		return -EINVAL;
	for (size_t i = 0; i < count; i++) {
		if (!valid(signals[i]))
			return -EINVAL;
		if (slots[signals[i]].receiver || cp_offload_interrupts(signals[i]))
			return -EBUSY;
	}
	return 0;
}

/*
 * Gives up every signal of `s`. What was not received goes to the ladder, or is raised again
 * when all are given back, so that a handler finds the order of before.
 */
static void give_back(struct coop_signals *s)
{
	uint32_t late[CP_SIGNALS_MAX] = { 0 };
	struct cp_rt *rt = s->rt;

	for (int sig = 1; sig < CP_SIGNALS_MAX; sig++) {
		if (!s->wanted[sig])
			continue;
		s->wanted[sig] = false;
		slots[sig].receiver = NULL;
		late[sig] = unhandle(sig) + s->pending[sig];
		s->pending[sig] = 0;
		if (late[sig] && slots[sig].ladder) {
			late[sig] = 0;
			__atomic_fetch_add(&slots[sig].count, 1, __ATOMIC_RELEASE);
			__atomic_fetch_or(&rt->pending, CP_PENDING_SIGNALS, __ATOMIC_RELEASE);
		}
	}
	disown(rt);
	for (int sig = 1; sig < CP_SIGNALS_MAX; sig++)
		raise_again(sig, late[sig]);
}

/* The run has ended with the receiver open: the signals are not its own any longer. */
static void left_open(struct cp_debt *debt)
{
	struct coop_signals *s = CP_CONTAINER_OF(debt, struct coop_signals, debt);
	struct cp_rt *rt = s->rt;

	coop_log(COOP_LOG_WARN, "a receiver of signals was left open when the run ended");
	take_in(rt);
	rt->external--;
	give_back(s);
	s->rt = NULL;
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
		return r;
	}
	s->debt.left = left_open;
	cp_debt_add(rt, &s->debt);
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
		return cp_refuse(signals->rt ? COOP_EWRONGTHREAD : COOP_ECLOSED);
	if (signals->waiter)
		return cp_refuse(-EBUSY);
	take_in(rt); /* first: a step of the ladder may be the end of this task, too */
	r = cp_cancel_point(rt);
	if (r < 0)
		return r;
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
	if (!signals->rt)
		return COOP_ECLOSED;
	if (signals->rt != cp_rt)
		return cp_rt_forked() ? COOP_EFORK : COOP_EWRONGTHREAD;
	if (signals->waiter)
		return -EBUSY;
	take_in(cp_rt);
	return receive_one(signals);
}

struct coop_signals *coop_signals_close(struct coop_signals *signals)
{
	struct cp_rt *rt = signals ? signals->rt : NULL;

	if (rt && rt != cp_rt && !cp_rt_forked())
		cp_die("coop_signals_close: the receiver belongs to another thread's run");
	if (rt && rt == cp_rt) {
		if (signals->waiter)
			cp_wake(rt, signals->waiter->task, COOP_ECLOSED);
		signals->waiter = NULL;
		take_in(rt);
		cp_debt_drop(rt, &signals->debt);
		rt->external--;
		give_back(signals);
	}
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
