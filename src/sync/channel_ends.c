/* SPDX-License-Identifier: MIT */
/*
 * The ends of channels: made, cloned, closed, reported when they are forgotten.
 *
 * Closing settles the result of everybody whom it concerns before anybody runs: those who wait on
 * the end that is closed, and, with the last end of a side, those on the other side. The
 * destructor of values is the program's and may call anything of the channel again, even free the
 * last hold: so a value has left the books before it is called, and the channel is held meanwhile.
 */
#include "sync/channel.h"
#include "sync/select.h"

#include <errno.h>

/* ---------------------------------------------------------------------------- making */

static void hold_left(struct cp_debt *debt);

/* Makes a hold without ends. */
static struct coop_chan *hold_new(struct cp_rt *rt, struct cp_chan *c, const char *site)
{
	struct coop_chan *chan = cp_calloc(1, sizeof *chan);

	if (!chan)
		return NULL;
	chan->c = c;
	chan->site = site;
	chan->debt.left = hold_left;
	c->holds++;
	cp_debt_add(rt, &chan->debt);
	return chan;
}

static void open_send(struct coop_chan *chan)
{
	chan->tx = chan->c;
	chan->sends = true;
	chan->c->send_ends++;
}

static void open_recv(struct coop_chan *chan)
{
	chan->rx = chan->c;
	chan->receives = true;
	chan->c->recv_ends++;
}

/* Something has changed that decides whether one may wait. */
static void may_wait(struct cp_chan *c)
{
	c->send_waits = !c->shut && c->recv_ends && c->cap != COOP_UNLIMITED;
	c->recv_waits = !c->shut && c->send_ends;
}

static int check(size_t item_bytes, const struct coop_chan_opts *opts)
{
	uint64_t sum = 0;

	if (item_bytes > COOP_CHAN_ITEM_MAX)
		return -EMSGSIZE;
	for (size_t i = 0; i < CP_ARRAY_LEN(opts->_reserved); i++)
		sum |= opts->_reserved[i];
	if (sum || opts->cap > COOP_CHAN_CAP_MAX || (opts->unbounded && opts->cap))
		return -EINVAL;
	return 0;
}

static struct cp_chan *chan_new(struct cp_rt *rt, size_t item_bytes,
				const struct coop_chan_opts *opts)
{
	struct cp_chan *c = cp_calloc(1, sizeof *c);

	if (!c)
		return NULL;
	c->rt = rt;
	c->bytes = item_bytes;
	c->cap = opts->unbounded ? COOP_UNLIMITED : opts->cap;
	c->limit = opts->cap;
	c->destroy = opts->destroy;
	c->ctx = opts->ctx;
	if (opts->name)
		cp_copy_name(c->name, opts->name);
	c->ring_bytes = opts->cap * item_bytes;
	if (!c->ring_bytes)
		return c;
	c->ring = cp_alloc(c->ring_bytes);
	if (!c->ring) {
		cp_free(c);
		return NULL;
	}
	return c;
}

static void chan_free(struct cp_chan *c)
{
	cp_free(c->ring);
	cp_free(c);
}

int coop_chan_new_at(size_t item_bytes, const struct coop_chan_opts *opts,
		     struct coop_chan **ret_chan, const char *site)
{
	static const struct coop_chan_opts none;
	struct cp_rt *rt = cp_in_task();
	struct coop_chan *chan;
	struct cp_chan *c;
	int r;

	if (!rt)
		return cp_no_task();
	if (!opts)
		opts = &none;
	r = check(item_bytes, opts);
	if (r < 0)
		return r;
	c = chan_new(rt, item_bytes, opts);
	if (!c)
		return -ENOMEM;
	chan = hold_new(rt, c, site);
	if (!chan) {
		chan_free(c);
		return -ENOMEM;
	}
	open_send(chan);
	open_recv(chan);
	may_wait(c);
	*ret_chan = chan;
	return 0;
}

/* False on a foreign thread, and when the run has ended, which another one does not replace. */
static bool in_its_run(const struct cp_chan *c)
{
	return c->rt && c->rt == cp_rt;
}

int coop_chan_clone_send_at(struct coop_chan *chan, struct coop_chan **ret_chan, const char *site)
{
	struct coop_chan *clone;

	if (!chan->tx)
		return chan->sends ? COOP_ECLOSED : -EPERM;
	if (!in_its_run(chan->c))
		return COOP_EWRONGTHREAD;
	if (chan->c->shut)
		return COOP_ECLOSED;
	clone = hold_new(cp_rt, chan->c, site);
	if (!clone)
		return -ENOMEM;
	open_send(clone);
	*ret_chan = clone;
	return 0;
}

int coop_chan_clone_recv_at(struct coop_chan *chan, struct coop_chan **ret_chan, const char *site)
{
	struct coop_chan *clone;

	if (!chan->rx)
		return chan->receives ? COOP_ECLOSED : -EPERM;
	if (!in_its_run(chan->c))
		return COOP_EWRONGTHREAD;
	clone = hold_new(cp_rt, chan->c, site);
	if (!clone)
		return -ENOMEM;
	open_recv(clone);
	*ret_chan = clone;
	return 0;
}

/* --------------------------------------------------------------------------- closing */

/* Wakes those in `q` who wait on `chan`, or everybody if it is NULL. */
static void wake(struct cp_chan *c, struct cp_queue *q, const struct coop_chan *chan, int result)
{
	struct cp_waiter *e = q->first, *next;

	while (e) {
		next = e->next;
		if (!chan || cp_party(e)->chan == chan) {
			cp_queue_remove(e);
			if (!e->chosen || cp_select_claim(e))
				cp_waiter_wake(c->rt, e, result);
			if (next && next->queue != q)
				next = q->first; /* it was of the same select */
		}
		e = next;
	}
}

/* Gives back what nobody holds. */
static void chan_unref(struct cp_chan *c)
{
	if (c->holds == 0 && !c->destroying)
		chan_free(c);
}

/* Destroys what is buffered; the channel may be gone then. */
static void drop(struct cp_chan *c)
{
	if (c->destroying)
		return; /* called by the destructor: the loop below goes on */
	c->destroying = true;
	while (c->used) {
		char *item = c->ring + c->head;

		c->head = c->head + c->bytes == c->ring_bytes ? 0 : c->head + c->bytes;
		c->used--;
		c->destroyed++;
		if (c->destroy)
			c->destroy(item, c->ctx);
	}
	c->destroying = false;
	cp_chan_check_join(c);
	chan_unref(c);
}

/* False for a foreign thread while the run goes on. */
static bool ours(const struct cp_chan *c)
{
	return !c->rt || c->rt == cp_rt;
}

static void close_send(struct coop_chan *chan)
{
	struct cp_chan *c = chan->tx;

	if (!c)
		return;
	chan->tx = NULL;
	c->send_ends--;
	may_wait(c);
	wake(c, &c->senders, chan, COOP_ECLOSED);
	if (!c->send_ends)
		wake(c, &c->receivers, NULL, COOP_EOF);
}

static void close_recv(struct coop_chan *chan)
{
	struct cp_chan *c = chan->rx;

	if (!c)
		return;
	chan->rx = NULL;
	c->recv_ends--;
	may_wait(c);
	wake(c, &c->receivers, chan, COOP_ECLOSED);
	if (c->recv_ends)
		return;
	c->limit = 0;
	wake(c, &c->senders, NULL, -EPIPE);
	drop(c);
}

int coop_chan_close_send(struct coop_chan *chan)
{
	if (!chan->tx)
		return 1;
	if (!ours(chan->c))
		return COOP_EWRONGTHREAD;
	close_send(chan);
	return 0;
}

int coop_chan_close_recv(struct coop_chan *chan)
{
	if (!chan->rx)
		return 1;
	if (!ours(chan->c))
		return COOP_EWRONGTHREAD;
	close_recv(chan);
	return 0;
}

int coop_chan_shutdown(struct coop_chan *chan, bool immediate)
{
	struct cp_chan *c = chan->c;

	if (!ours(c))
		return COOP_EWRONGTHREAD;
	c->shut = true;
	may_wait(c);
	c->limit = 0;
	wake(c, &c->senders, NULL, COOP_ECLOSED);
	wake(c, &c->receivers, NULL, COOP_EOF);
	if (immediate)
		drop(c);
	return 0;
}

struct coop_chan *coop_chan_free(struct coop_chan *chan)
{
	struct cp_chan *c;

	if (!chan)
		return NULL;
	c = chan->c;
	if (!ours(c))
		cp_die("coop_chan_free: channel \"%s\" (%s) belongs to another thread", c->name,
		       cp_at(chan->site));
	wake(c, &c->senders, chan, COOP_ECLOSED); /* before they are told of the other end */
	wake(c, &c->receivers, chan, COOP_ECLOSED);
	wake(c, &c->joiners, chan, COOP_ECLOSED);
	close_send(chan);
	close_recv(chan);
	if (c->rt)
		cp_debt_drop(c->rt, &chan->debt);
	cp_free(chan);
	c->holds--;
	chan_unref(c);
	return NULL;
}

/* ------------------------------------------------------------------------- forgotten */

static const char *ends_text(const struct coop_chan *chan)
{
	if (chan->tx && chan->rx)
		return "both ends are open";
	if (chan->tx)
		return "the send end is open";
	return chan->rx ? "the receive end is open" : "it was closed, but not freed";
}

/* The run has ended: nobody waits any more, and only closing and freeing is left to do. */
static void hold_left(struct cp_debt *debt)
{
	struct coop_chan *chan = CP_CONTAINER_OF(debt, struct coop_chan, debt);

	chan->c->rt = NULL;
	coop_log(COOP_LOG_WARN, "channel \"%s\": the hold made at %s was never freed (%s)",
		 chan->c->name, cp_at(chan->site), ends_text(chan));
}
