/* SPDX-License-Identifier: MIT */
/*
 * Accepting, whatever goes wrong with one connection or for a moment.
 *
 * Errors of accept(2) are of three kinds. Those of one connection (it ended before it was taken, a
 * firewall forbids it, its network is gone): on to the next. Those of the moment (no descriptor, no
 * memory): a rest, from 10 ms up to 100 ms while it goes on, which ends early when coop_close has
 * closed something. Connections stay in the kernel's queue meanwhile; none is taken only to
 * be shut in the peer's face, so no descriptor is kept in reserve for that. Those of the
 * listener itself end the call.
 *
 * However many errors come in a row, there is a rest after every sixteenth, so nothing here can
 * spin.
 */
#include "sys/net.h"

#include "sync/sync.h"

#include <coop/io.h>

#include <errno.h>

#define REST_MIN_NS COOP_MILLISECONDS(10)
#define REST_MAX_NS COOP_MILLISECONDS(100)
#define IN_A_ROW_MAX 16
#define TELL_NS COOP_SECONDS(1)

enum kind { OF_LISTENER, OF_CONNECTION, OF_MOMENT };

static enum kind kind_of(int r)
{
	switch (-r) {
	case EMFILE:
	case ENFILE:
	case ENOBUFS:
	case ENOMEM: return OF_MOMENT;
	case ECONNABORTED:
	case ECONNRESET:
	case EPROTO:
	case EPERM:
	case EAGAIN:
	case EINTR:
	case ENETDOWN:
	case ENOPROTOOPT:
	case EHOSTDOWN:
	case ENONET:
	case EHOSTUNREACH:
	case EOPNOTSUPP:
	case ENETUNREACH:
	case ETIMEDOUT: return OF_CONNECTION;
	default: return OF_LISTENER;
	}
}

static void tell(struct cp_rt *rt, struct coop_listener *l, int r)
{
	char text[COOP_ADDR_TEXT_MAX];

	if (l->told_ns && rt->now_ns - l->told_ns < TELL_NS)
		return;
	l->told_ns = rt->now_ns;
	coop_log(COOP_LOG_WARN, "%s: no connection can be accepted for now: %s",
		 coop_addr_text(&l->addr, text, sizeof text), coop_code_text(r));
}

/* Until the time is over, or a descriptor has become free. */
static int rest(struct cp_rt *rt, struct coop_listener *l, int r)
{
	struct coop_scope_opts opts = { 0 };
	struct coop_scope s = COOP_SCOPE_INIT;

	tell(rt, l, r);
	l->stats.rests++;
	l->rest_ns = l->rest_ns ? 2 * l->rest_ns : REST_MIN_NS;
	if (l->rest_ns > REST_MAX_NS)
		l->rest_ns = REST_MAX_NS;
	opts.timeout_ns = l->rest_ns;
	coop_scope_open(&s, &opts);
	r = cp_cancel_point(rt);
	if (r >= 0)
		r = cp_sync_wait(rt, &cp_fd_room, "coop_listener_accept");
	return coop_scope_close(&s, r);
}

int cp_accept_failed(struct cp_rt *rt, struct coop_listener *l, int r)
{
	enum kind kind;

	if (r == COOP_ECANCELED || r == COOP_ECLOSED || (kind = kind_of(r)) == OF_LISTENER)
		return r;
	l->stats.last_error = r;
	if (kind == OF_CONNECTION) {
		l->stats.lost++;
		if (++l->in_a_row % IN_A_ROW_MAX)
			return 0;
	}
	return rest(rt, l, r);
}

static int accept_next(struct cp_rt *rt, struct coop_listener *l, struct coop_addr *ret_peer)
{
	struct coop_addr peer;
	int r;

	do {
		if (l->fd < 0)
			return cp_refuse(COOP_ECLOSED);
		peer.len = sizeof peer.un;
		r = coop_accept(l->fd, ret_peer ? &peer.sa : NULL, &peer.len);
		if (r < 0)
			r = cp_accept_failed(rt, l, r);
		else
			break;
	} while (r >= 0);
	if (r < 0)
		return r;
	l->in_a_row = 0;
	l->rest_ns = 0;
	l->stats.accepted++;
	if (ret_peer) {
		cp_addr_unmap(&peer);
		*ret_peer = peer;
	}
	return r;
}

/* The listener may be closed meanwhile, and this call be in its rest then: so it stays as long. */
int coop_listener_accept(struct coop_listener *listener, struct coop_addr *ret_peer)
{
	struct cp_rt *rt = cp_in_task();
	int r;

	if (!rt)
		return cp_no_task();
	listener->accepting++;
	r = accept_next(rt, listener, ret_peer);
	cp_listener_leave(listener);
	return r;
}
