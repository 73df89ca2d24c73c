/* SPDX-License-Identifier: MIT */
/*
 * Channels: values handed from task to task, by copy.
 *
 *	struct coop_chan *jobs;
 *
 *	r = coop_chan_new(sizeof(struct job), &(struct coop_chan_opts){ .cap = 64 }, &jobs);
 *	...
 *	r = coop_chan_send(jobs, &job);                      // one task; waits while it is full
 *	...
 *	while ((r = coop_chan_recv(jobs, &job)) == 0)        // another; COOP_EOF ends the loop
 *		work(&job);
 *
 * A struct coop_chan is a hold on a channel: a send end, a receive end, or, as made
 * by coop_chan_new, both. Clones are ends of their own; the channel can be sent to while a
 * receive end is open, and has an end (COOP_EOF) when the last send end is closed and
 * what was buffered has been received. So each producer gets a clone of its own, closes it
 * when done, and the maker closes its send end after it has cloned it. Every hold is given
 * back by coop_chan_free(); one that is left at the end of the run is
 * reported with the place that made it.
 *
 * Order is first in, first out, for values and for those who wait on either side. A value sent
 * while somebody waits is that receiver's, a place that becomes free is that of the first
 * waiting sender: nobody overtakes. A call that returns an error has sent or taken nothing: the
 * value is still the caller's. One that was completed before its task was cancelled
 * returns 0.
 *
 * COOP_EOF is an ordinary error code: handle it where the loop ends; returned from a
 * child it fails the group.
 *
 * A channel belongs to the run, and so to the thread, that it was made in; other threads
 * are answered with COOP_ENOTASK or COOP_EWRONGTHREAD.
 */
#ifndef COOP_CHANNEL_H
#define COOP_CHANNEL_H

#include <coop/base.h>
#include <coop/scope.h>

COOP_BEGIN_DECLS

struct coop_chan;

/** The largest value, in bytes: what is larger goes by pointer. */
#define COOP_CHAN_ITEM_MAX 1048576
/** The most values that a bounded channel holds. */
#define COOP_CHAN_CAP_MAX 1073741824

/** Options of a channel; all zero: no buffer, a rendezvous. */
struct coop_chan_opts {
	const char *name; /* copied */
	/*
	 * Called once for each value that was sent and that nobody can receive any more, with the
	 * value where the channel keeps it. Must not suspend. NULL: values own nothing.
	 */
	void (*destroy)(void *item, void *ctx);
	void *ctx;
	uint32_t cap;   /* values it holds while nobody receives */
	bool unbounded; /* holds any number, and a send never waits; cap is 0 then */
	uint64_t _reserved[8];
};

/* ------------------------------------------------------------- making and ending */

/**
 * Makes a channel for values of `item_bytes` each, and a hold with both ends.
 *
 * Use the macro coop_chan_new. Values of no bytes are signals: they are
 * counted, and pointers to them may be NULL. A bounded channel has all its memory from
 * here on.
 *
 * Returns 0, with the hold in `ret_chan`: the caller's, for coop_chan_free.
 *
 * Checkpoint: never.
 * Errors: -EMSGSIZE (value too large), -EINVAL (options), -ENOMEM, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_chan_new_at(size_t item_bytes, const struct coop_chan_opts *opts,
		     struct coop_chan **ret_chan, const char *site);
/* The options may be a literal with commas in it, which is why this is variadic. */
#define coop_chan_new(item_bytes, ...) coop_chan_new_at((item_bytes), __VA_ARGS__, COOP_HERE)

/**
 * Makes another hold on the channel, with a send end of its own.
 *
 * Use the macro coop_chan_clone_send. `chan` must have its send end open.
 *
 * Returns 0, with the hold in `ret_chan`: the caller's, for coop_chan_free.
 *
 * Checkpoint: never.
 * Errors: COOP_ECLOSED (closed, or the channel is shut down), -EPERM (`chan` is a receive end),
 *   -ENOMEM, COOP_EWRONGTHREAD.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_chan_clone_send_at(struct coop_chan *chan, struct coop_chan **ret_chan, const char *site);
#define coop_chan_clone_send(chan, ret_chan) \
	coop_chan_clone_send_at((chan), (ret_chan), COOP_HERE)

/**
 * Makes another hold on the channel, with a receive end of its own.
 *
 * Use the macro coop_chan_clone_recv. `chan` must have its receive end open.
 *
 * Returns 0, with the hold in `ret_chan`: the caller's, for coop_chan_free.
 *
 * Checkpoint: never.
 * Errors: COOP_ECLOSED (closed), -EPERM (`chan` is a send end), -ENOMEM, COOP_EWRONGTHREAD.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_chan_clone_recv_at(struct coop_chan *chan, struct coop_chan **ret_chan, const char *site);
#define coop_chan_clone_recv(chan, ret_chan) \
	coop_chan_clone_recv_at((chan), (ret_chan), COOP_HERE)

/**
 * Closes the send end of this hold.
 *
 * Tasks that wait in a send on it return COOP_ECLOSED; other send ends go on. With
 * the last one, receivers get what is buffered and then COOP_EOF.
 *
 * Returns 0, or 1 if it has none, or had it closed already: nothing changed.
 *
 * Checkpoint: never; never allocates.
 * Errors: COOP_EWRONGTHREAD.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
int coop_chan_close_send(struct coop_chan *chan);

/**
 * Closes the receive end of this hold.
 *
 * Tasks that wait in a receive on it return COOP_ECLOSED; other receive ends go on. With
 * the last one, senders get -EPIPE, and what is buffered is destroyed.
 *
 * Returns 0, or 1 if it has none, or had it closed already: nothing changed.
 *
 * Checkpoint: never; never allocates.
 * Errors: COOP_EWRONGTHREAD.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
int coop_chan_close_recv(struct coop_chan *chan);

/**
 * Ends the channel for all its holds; they still have to be freed.
 *
 * Nothing can be sent any more (COOP_ECLOSED, also for those who wait). What is
 * buffered can still be received before COOP_EOF, or, if `immediate`, is destroyed.
 *
 * Returns 0.
 *
 * Checkpoint: never; never allocates.
 * Errors: COOP_EWRONGTHREAD.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
int coop_chan_shutdown(struct coop_chan *chan, bool immediate);

/**
 * Closes what ends this hold has open, and gives it back. NULL is fine.
 *
 * Tasks that wait on it return COOP_ECLOSED. The channel itself goes with its last hold.
 * From a foreign thread during the run: aborts the program.
 *
 * Returns NULL.
 *
 * Checkpoint: never; never allocates.
 * Errors: none.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
struct coop_chan *coop_chan_free(struct coop_chan *chan);

/* ------------------------------------------------------------ sending, receiving */

/**
 * Sends a copy of `item` (borrowed for the call), waiting for room, or, without a buffer, for
 * a receiver.
 *
 * Returns 0: a receiver has it, or the buffer.
 *
 * Checkpoint: always, also when there is room.
 * Cancel: COOP_ECANCELED; nothing was sent.
 * Errors: COOP_ECANCELED, -EPIPE (no receive end is left), COOP_ECLOSED (this end, or the channel
 *   shut down, maybe while it waited), -EPERM (a receive end), -ENOMEM (unbounded ones only),
 *   COOP_EWRONGTHREAD, COOP_ENOTASK. The value is still the caller's.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_chan_send(struct coop_chan *chan, const void *item);

/**
 * Sends a copy of `item` if that needs no waiting.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (no room, nobody waits for it), and those of coop_chan_send but COOP_ECANCELED.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_chan_try_send(struct coop_chan *chan, const void *item);

/**
 * Receives the next value into `ret_item`, waiting for one.
 *
 * `ret_item` is kept until the call returns, and untouched by one that fails.
 *
 * Returns 0: the value is the caller's.
 *
 * Checkpoint: always, also when there is a value.
 * Cancel: COOP_ECANCELED; nothing was taken.
 * Errors: COOP_ECANCELED, COOP_EOF (no more can come), COOP_ECLOSED (this end, maybe while it
 *   waited), -EPERM (a send end), COOP_EWRONGTHREAD, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_chan_recv(struct coop_chan *chan, void *ret_item);

/**
 * Receives the next value if there is one.
 *
 * Returns 0: the value is the caller's.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (none there, no sender waits), and those of coop_chan_recv but COOP_ECANCELED.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_chan_try_recv(struct coop_chan *chan, void *ret_item);

/* -------------------------------------------------------------------- accounting */

/**
 * Says that one value that was received has been dealt with; see coop_chan_join.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (more often than values were received), COOP_EWRONGTHREAD.
 * Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_chan_done(struct coop_chan *chan);

/**
 * Waits until every value that was sent has been dealt with: coop_chan_done was called
 * for it, or it was destroyed.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED.
 * Errors: COOP_ECANCELED, COOP_ECLOSED (the hold was freed meanwhile), COOP_EWRONGTHREAD,
 *   COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_chan_join(struct coop_chan *chan);

/** How a channel is doing. */
struct coop_chan_stats {
	const char *name; /* borrowed while the hold is there; "" if it has none */
	size_t item_bytes;
	uint32_t cap;     /* COOP_UNLIMITED: unbounded */
	uint32_t used;    /* values in the buffer */
	uint32_t peak;    /* the most there ever were */
	uint32_t holds;   /* not freed */
	uint32_t send_ends; /* open ones */
	uint32_t recv_ends;
	uint32_t senders; /* tasks that wait to send */
	uint32_t receivers;
	uint64_t sent;      /* values taken over from senders so far */
	uint64_t received;  /* of them, given to receivers */
	uint64_t destroyed; /* of them, given to nobody */
	uint64_t done;      /* calls of coop_chan_done */
	bool shut_down;
	uint64_t _reserved[4];
};

/**
 * Tells how the channel is doing, through any hold that is not freed.
 *
 * Returns nothing; `ret_stats` is written.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_chan_stats(const struct coop_chan *chan, struct coop_chan_stats *ret_stats);

/* -------------------------------------------------------------------------- select */

/**
 * One thing to wait for in a coop_select: made by a coop_case_ call, kept by the caller.
 *
 * It can be used again and again, by one select at a time.
 */
struct coop_case {
	void *_entry[5];
	void *_item;
	void *_on;
	const void *_ops;
	void *_select;
	int64_t _time_ns;
	int rc; /* of the case that was chosen: how that went, 0 or an error */
	uint32_t _zero;
	uint64_t _reserved[5];
};
COOP_STATIC_ASSERT(sizeof(struct coop_case) == 128, "struct coop_case is ABI");

/**
 * Makes a case that sends `item`, which is read when the case is chosen.
 *
 * Returns the case; `chan` and `item` are kept by it. With NULL for a channel: one that is
 * never chosen, so that an array can stay as it is while a case is out of use.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_send(struct coop_chan *chan, const void *item);

/**
 * Makes a case that receives into `ret_item`, which is written when the case is chosen.
 *
 * Its result may be COOP_EOF, and stays that, so it is chosen again and again; see
 * coop_case_send for NULL.
 *
 * Returns the case; `chan` and `ret_item` are kept by it.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_recv(struct coop_chan *chan, void *ret_item);

/**
 * Makes a case that is ready from `deadline_ns` on. COOP_NEVER: never.
 *
 * Returns the case.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_deadline(int64_t deadline_ns);

/**
 * Makes a case that is ready `timeout_ns` after the begin of each select it is in.
 *
 * Returns the case.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_timeout(int64_t timeout_ns);

/** Options of a select; all zero: the first case in order that is ready, no time limit. */
struct coop_select_opts {
	int64_t timeout_ns; /* from the call; 0: none */
	bool fair;          /* of those that are ready each is chosen as often */
	uint64_t _reserved[8];
};

/**
 * Waits until one of `count` cases can be completed, and completes that one.
 *
 * Of all others nothing has happened: nothing was sent, taken, or acquired. Where
 * several are ready at the call, the first in order is chosen, or, with `fair`, any; later the
 * first to become ready. A case that completes with an error (the end of a channel)
 * is a case that completes. `cases` is kept until the call returns, `opts` is borrowed.
 *
 * Returns the index of the case, whose rc says how it went.
 *
 * Checkpoint: always, also when one is ready.
 * Cancel: COOP_ECANCELED; no case had any effect.
 * Errors: COOP_ECANCELED, COOP_ETIMEDOUT (of the options), -EINVAL (no cases, options), -EBUSY (a
 *   case is in another select), COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_select(struct coop_case *cases, size_t count, const struct coop_select_opts *opts);

/**
 * Completes one of `count` cases if one can be completed without waiting.
 *
 * Returns the index of the case, whose rc says how it went.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (none is ready), -EINVAL (no cases, options; a time limit is one), -EBUSY (a
 *   case is in another select), COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_select_try(struct coop_case *cases, size_t count, const struct coop_select_opts *opts);

/* ----------------------------------------------------------------------- broadcast */

/*
 * A broadcast: every receiver sees every value that is sent from where it began. Sending never
 * waits: the last `cap` values are kept, and a receiver that falls behind
 * further is told how many it has missed, and goes on with the oldest there is.
 *
 *	uint64_t at = coop_broadcast_position(news);      // a receiver: from now on
 *
 *	while ((r = coop_broadcast_recv(news, &at, &item)) >= 0)
 *		if (r > 0)
 *			coop_log(COOP_LOG_WARN, "%d missed", r);
 *
 * Values are copied to each receiver, so they own nothing. Nobody counts the receivers: one
 * is a position, kept by whoever receives.
 */
struct coop_broadcast;

/** Options of a broadcast; all zero: 64 values are kept. */
struct coop_broadcast_opts {
	const char *name; /* copied */
	uint32_t cap;     /* values that are kept for those who are late; 0: 64 */
	uint64_t _reserved[8];
};

/**
 * Makes a broadcast of values of `item_bytes` each.
 *
 * Use the macro coop_broadcast_new.
 *
 * Returns 0, with it in `ret_broadcast`: the caller's, for coop_broadcast_free.
 *
 * Checkpoint: never.
 * Errors: -EMSGSIZE (value too large), -EINVAL (options), -ENOMEM, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_broadcast_new_at(size_t item_bytes, const struct coop_broadcast_opts *opts,
			  struct coop_broadcast **ret_broadcast, const char *site);
#define coop_broadcast_new(item_bytes, ...) \
	coop_broadcast_new_at((item_bytes), __VA_ARGS__, COOP_HERE)

/**
 * Frees a broadcast. NULL is fine. Aborts the program if a task waits on it; none does
 * after coop_broadcast_close.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
struct coop_broadcast *coop_broadcast_free(struct coop_broadcast *broadcast);

/**
 * Ends a broadcast: receivers get what is still kept, and then COOP_EOF.
 *
 * Returns 0, or 1 if it was closed already.
 *
 * Checkpoint: never; never allocates.
 * Errors: COOP_EWRONGTHREAD.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
int coop_broadcast_close(struct coop_broadcast *broadcast);

/**
 * Sends a copy of `item` (borrowed for the call) to everybody; waits for nobody.
 *
 * Returns 0.
 *
 * Checkpoint: never; never allocates.
 * Errors: COOP_ECLOSED, COOP_EWRONGTHREAD, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_broadcast_send(struct coop_broadcast *broadcast, const void *item);

/**
 * Tells where the broadcast is: what a receiver starts with that wants what comes from now on.
 *
 * Returns the number of values sent so far. (0 is where one starts that wants
 * what is kept, too.)
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API COOP_MUST_USE
uint64_t coop_broadcast_position(const struct coop_broadcast *broadcast);

/**
 * Receives the value at `position`, waiting for it, and moves the position behind it.
 *
 * Both pointers are kept until the call returns.
 *
 * Returns how many values were missed before this one (0 in the ordinary case).
 *
 * Checkpoint: always, also when there is a value.
 * Cancel: COOP_ECANCELED; the position is where it was.
 * Errors: COOP_ECANCELED, COOP_EOF (closed, all received), -EINVAL (a position that is none),
 *   COOP_EWRONGTHREAD, COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_broadcast_recv(struct coop_broadcast *broadcast, uint64_t *position, void *ret_item);

/**
 * Receives the value at `position` if it has been sent.
 *
 * Returns how many values were missed before this one.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (not sent yet), and those of coop_broadcast_recv but COOP_ECANCELED.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_broadcast_try_recv(struct coop_broadcast *broadcast, uint64_t *position, void *ret_item);

/** How a broadcast is doing. */
struct coop_broadcast_stats {
	const char *name; /* borrowed while it is there; "" if it has none */
	size_t item_bytes;
	uint32_t cap;
	uint32_t receivers; /* tasks that wait */
	uint64_t sent;
	uint64_t missed; /* by all receivers together */
	bool closed;
	uint64_t _reserved[4];
};

/**
 * Tells how a broadcast is doing.
 *
 * Returns nothing; `ret_stats` is written.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
void coop_broadcast_stats(const struct coop_broadcast *broadcast,
			  struct coop_broadcast_stats *ret_stats);

/**
 * Makes a case that receives from a broadcast; its rc is what coop_broadcast_recv returns.
 *
 * Returns the case; all three are kept by it. With NULL for the broadcast it is never chosen.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_broadcast(struct coop_broadcast *broadcast, uint64_t *position,
				     void *ret_item);

/* --------------------------------------------------------------------------- watch */

/*
 * A watch: one value that is set again and again; who waits for a change gets the latest, and
 * may skip some. Values are copied, and own nothing.
 *
 *	uint64_t seen = 0;
 *
 *	while ((r = coop_watch_wait(config, &seen, &c)) == 0)
 *		use(&c);
 */
struct coop_watch;

/**
 * Makes a watch of values of `item_bytes` each.
 *
 * Use the macro coop_watch_new. `initial` (borrowed) is the first value; NULL: there is
 * none yet. `name` is copied; NULL: none.
 *
 * Returns 0, with it in `ret_watch`: the caller's, for coop_watch_free.
 *
 * Checkpoint: never.
 * Errors: -EMSGSIZE (value too large), -ENOMEM, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_watch_new_at(size_t item_bytes, const void *initial, const char *name,
		      struct coop_watch **ret_watch, const char *site);
#define coop_watch_new(item_bytes, initial, name, ret_watch) \
	coop_watch_new_at((item_bytes), (initial), (name), (ret_watch), COOP_HERE)

/**
 * Frees a watch. NULL is fine. Aborts the program if a task waits on it; none does after
 * coop_watch_close.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
struct coop_watch *coop_watch_free(struct coop_watch *watch);

/**
 * Ends a watch: who waits gets COOP_EOF; so does everybody once he has seen the last value.
 *
 * Returns 0, or 1 if it was closed already.
 *
 * Checkpoint: never; never allocates.
 * Errors: COOP_EWRONGTHREAD.   Thread: the runtime's; any after the run.   Since: 0.1
 */
COOP_API
int coop_watch_close(struct coop_watch *watch);

/**
 * Sets the value (`item` is borrowed for the call), and gives it to all who wait.
 *
 * Returns 0.
 *
 * Checkpoint: never; never allocates.
 * Errors: COOP_ECLOSED, COOP_EWRONGTHREAD, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_watch_set(struct coop_watch *watch, const void *item);

/**
 * Reads the latest value.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN (there is none yet), COOP_EWRONGTHREAD.   Thread: the runtime's.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_watch_get(const struct coop_watch *watch, void *ret_item);

/**
 * Waits until there is a value that is newer than `seen` (0: any), and reads it.
 *
 * `seen` is moved to that value. Both pointers are kept until the call returns.
 *
 * Returns 0.
 *
 * Checkpoint: always, also when there is one.
 * Cancel: COOP_ECANCELED; `seen` is where it was.
 * Errors: COOP_ECANCELED, COOP_EOF (closed, the last one seen), -EINVAL (`seen` is none),
 *   COOP_EWRONGTHREAD, COOP_ENOTASK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_watch_wait(struct coop_watch *watch, uint64_t *seen, void *ret_item);

/**
 * Makes a case that waits for a newer value of a watch; its rc is 0 or more, or an error as of
 * coop_watch_wait.
 *
 * Returns the case; all three are kept by it. With NULL for the watch it is never chosen.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_watch(struct coop_watch *watch, uint64_t *seen, void *ret_item);

/* ---------------------------------------------------------------- between threads */

/**
 * A channel between threads: tasks of any run, and threads without one, on either side.
 *
 * A task waits as in coop_chan_send and coop_chan_recv, while other tasks go on; a thread
 * blocks, by the calls that end in _thread. Order is first in, first out, for values and for
 * those who wait, whatever they are. A value is in one place: a call that returns an error has sent
 * or taken nothing, and one that was completed before its task was cancelled returns 0.
 * The channel belongs to no run; it is counted, and goes with its last owner. A forked child has a
 * copy that nothing passes through: COOP_EFORK.
 */
struct coop_xchan;

/** Options of such a channel; all zero: no buffer, a rendezvous. */
struct coop_xchan_opts {
	/*
	 * Called once for each value that was sent and that nobody can receive any more, in the
	 * thread that closes the channel or drops it last. NULL: values own nothing.
	 */
	void (*destroy)(void *item, void *ctx);
	void *ctx;
	uint32_t cap; /* values it holds while nobody receives */
	uint64_t _reserved[8];
};

/**
 * Makes a channel between threads for values of `item_bytes` each; 0: signals.
 *
 * Returns 0, with the channel in `ret_xchan`: the caller's, for coop_xchan_unref.
 *
 * Checkpoint: never.
 * Errors: -EMSGSIZE (value too large), -EINVAL (options), -ENOMEM.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_xchan_new(size_t item_bytes, const struct coop_xchan_opts *opts,
		   struct coop_xchan **ret_xchan);

/**
 * Counts one more owner of the channel.   Returns `xchan`; NULL stays NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_xchan *coop_xchan_ref(struct coop_xchan *xchan);

/**
 * Drops the channel; with the last owner it goes, and what is buffered is destroyed. NULL is fine.
 *
 * Who waits at it must own it: aborts the program if somebody does when the last owner drops it.
 *
 * Returns NULL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
struct coop_xchan *coop_xchan_unref(struct coop_xchan *xchan);

/**
 * Closes the channel: nothing can be sent any more, and who waits to send gets COOP_ECLOSED.
 *
 * What is buffered can still be received before COOP_EOF, or, if `immediate`, is destroyed.
 *
 * Returns 0, or 1 if it was closed already; `immediate` counts also then. 1 and nothing else in a
 * forked child.
 *
 * Checkpoint: never; never allocates.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
int coop_xchan_close(struct coop_xchan *xchan, bool immediate);

/**
 * Sends a copy of `item` (borrowed for the call) from a task, waiting for room, or, without a
 * buffer, for a receiver.
 *
 * Returns 0.
 *
 * Checkpoint: always, also when there is room.
 * Cancel: COOP_ECANCELED; nothing was sent.
 * Errors: COOP_ECANCELED, COOP_ECLOSED, -ENOMEM (only at the first wait of a run), COOP_ENOTASK,
 *   COOP_EFORK. The value is still the caller's.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_xchan_send(struct coop_xchan *xchan, const void *item);

/**
 * Receives a value in a task, waiting until there is one.
 *
 * Returns 0 with `ret_item` written.
 *
 * Checkpoint: always, also when there is one.
 * Cancel: COOP_ECANCELED; nothing was taken.
 * Errors: COOP_ECANCELED, COOP_EOF (closed and drained), -ENOMEM (only at the first wait of a run),
 *   COOP_ENOTASK, COOP_EFORK.   Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_xchan_recv(struct coop_xchan *xchan, void *ret_item);

/**
 * Sends a copy of `item` if that needs no waiting.
 *
 * Without a buffer somebody has to wait for it, in a call or in a select, of any thread.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN, COOP_ECLOSED, COOP_EFORK. The value is still the caller's.
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_xchan_try_send(struct coop_xchan *xchan, const void *item);

/**
 * Receives a value if there is one; without a buffer as coop_xchan_try_send.
 *
 * Returns 0 with `ret_item` written.
 *
 * Checkpoint: never.
 * Errors: -EAGAIN, COOP_EOF, COOP_EFORK.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_xchan_try_recv(struct coop_xchan *xchan, void *ret_item);

/**
 * Sends a copy of `item` from a thread, which blocks at most `timeout_ns` of real time; COOP_NEVER:
 * for ever.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: COOP_ETIMEDOUT, COOP_ECLOSED, COOP_EFORK, -EINVAL (negative timeout), COOP_EWRONGTHREAD
 *   (a run goes on in this thread, and would stand still). The value is still the caller's.
 * Thread: any without a run.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_xchan_send_thread(struct coop_xchan *xchan, const void *item, int64_t timeout_ns);

/**
 * Receives a value in a thread, which blocks at most `timeout_ns` of real time; COOP_NEVER: for
 * ever.
 *
 * Returns 0 with `ret_item` written.
 *
 * Checkpoint: never.
 * Errors: COOP_ETIMEDOUT, COOP_EOF, COOP_EFORK, -EINVAL, COOP_EWRONGTHREAD: as
 *   coop_xchan_send_thread.
 * Thread: any without a run.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_xchan_recv_thread(struct coop_xchan *xchan, void *ret_item, int64_t timeout_ns);

/**
 * Makes a case of a select that sends `item`, which is read when the case is chosen.
 *
 * Calls that wait come before selects that wait. Without a buffer it meets calls and selects of
 * any thread: whichever case of a select is completed first, here or there, is the only one. It
 * may complete with COOP_ECLOSED or COOP_EFORK, or, at the first wait of a run, with -ENOMEM.
 *
 * Returns the case; `xchan` and `item` are kept by it. NULL for a channel: never chosen.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_xchan_send(struct coop_xchan *xchan, const void *item);

/**
 * Makes a case of a select that receives into `ret_item`, which is written when the case is chosen.
 *
 * As coop_case_xchan_send; it may complete with COOP_EOF.
 *
 * Returns the case; `xchan` and `ret_item` are kept by it. NULL for a channel: never chosen.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
struct coop_case coop_case_xchan_recv(struct coop_xchan *xchan, void *ret_item);

/** How a channel between threads is doing. */
struct coop_xchan_stats {
	size_t item_bytes;
	uint32_t cap;
	uint32_t used;
	uint32_t peak;
	uint32_t senders; /* who wait, in selects too */
	uint32_t receivers;
	uint64_t sent;
	uint64_t received;
	uint64_t destroyed;
	bool closed;
	uint64_t _reserved[4];
};

/**
 * Tells how the channel is doing.
 *
 * Returns nothing; `ret_stats` is written.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_xchan_stats(struct coop_xchan *xchan, struct coop_xchan_stats *ret_stats);

COOP_END_DECLS

#endif
