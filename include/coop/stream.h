/* SPDX-License-Identifier: MIT */
/*
 * Streams: bytes in order, one way or both, whatever carries them.
 *
 *	struct coop_stream s = COOP_STREAM_INIT;
 *	char line[512];
 *	struct coop_reader in;
 *
 *	r = coop_stream_from_fd(fd, &s);                       // s owns fd from here on
 *	coop_reader_init(&in, &s, line, sizeof line);
 *	while ((r = coop_reader_line(&in, &text)) >= 0)
 *		r = coop_stream_send_all(&s, text, (size_t)r, NULL);
 *	coop_stream_close(&s);
 *
 * A struct coop_stream lies in the program's memory. It is made by one of the calls below, or by a
 * layer of one's own (struct coop_stream_ops: a stream that encrypts, counts, delays), and ends by
 * coop_stream_close or coop_stream_abort. It may be moved by assignment while no call is using it.
 *
 * In each direction one task at a time may use it; a second one gets -EBUSY. The two directions
 * know nothing of each other: after coop_stream_send_eof one still receives, and what the peer
 * has ended can still be sent to. There are no timeouts here: a scope has the time limit.
 *
 * Ends and errors. coop_stream_recv and coop_reader_recv return 0 at the end, as read(2) does;
 * calls that want a certain piece return COOP_EOF when the end comes before it. What a peer or
 * the system does is -errno: -ECONNRESET, -EPIPE. What the program has closed is COOP_ECLOSED.
 *
 * Cancel. One transfer is whole or has not happened: COOP_ECANCELED from coop_stream_recv and from
 * every call of a reader means that nothing was consumed. The calls that need several transfers
 * (send_all, recv_exactly) may be interrupted in the middle, by a cancel or by an error. Their last
 * argument then says how far they came, and one can go on from there. Who passes NULL for it
 * cannot know: the stream is broken in this direction then, and further calls return COOP_EBROKEN.
 */
#ifndef COOP_STREAM_H
#define COOP_STREAM_H

#include <coop/base.h>
#include <coop/scope.h>

#include <sys/uio.h>

COOP_BEGIN_DECLS

struct coop_stream;

/**
 * What a stream can do: for streams of one's own.
 *
 * The calls are made by the task that uses the stream, in each direction one at a time, never
 * with nothing to transfer. `recv` and `send` make one transfer, are checkpoints, and return how
 * many bytes, at least 1; `recv` returns 0 at the end. Where they return COOP_ECANCELED
 * nothing has been transferred. NULL: the stream cannot do that.
 */
struct coop_stream_ops {
	const char *name;
	int (*recv)(struct coop_stream *stream, void *buf, size_t bytes);
	int (*send)(struct coop_stream *stream, const void *buf, size_t bytes);
	/* Several pieces, none of them empty. NULL: `send`, one after the other. */
	int (*sendv)(struct coop_stream *stream, const struct iovec *iov, int count);
	int (*send_eof)(struct coop_stream *stream); /* a checkpoint */
	/* Says goodbye before `release`: may suspend, runs behind a soft shield, may fail. */
	int (*finish)(struct coop_stream *stream);
	/* Gives back what the stream holds; calls that wait on it are to end with COOP_ECLOSED. */
	void (*release)(struct coop_stream *stream, bool abort);
	/* The descriptor that the next byte comes from or goes to, if it is that alone; -errno. */
	int (*fd)(const struct coop_stream *stream, bool sending);
	void *_reserved[8];
};

/** A stream; `ctx` is for its maker, the rest is coop's. */
struct coop_stream {
	const struct coop_stream_ops *_ops;
	void *ctx;
	void *_ctx2;
	int32_t _fd;
	uint32_t _flags;
	uint64_t _reserved[4];
};
#define COOP_STREAM_INIT { 0, 0, 0, 0, 0, { 0, 0, 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_stream) == 64, "struct coop_stream is ABI");

/** The largest buffer of a memory stream. */
#define COOP_MEMORY_STREAM_MAX 1073741824
/** How long the goodbye of a stream may take when it is closed. */
#define COOP_STREAM_FINISH_NS COOP_SECONDS(5)

/* ----------------------------------------------------------------------- making one */

/**
 * Makes a stream of a descriptor: a socket, a pipe, a terminal, a file, as it is.
 *
 * The descriptor is taken: it is closed with the stream. What it was opened for decides what the
 * stream can do; the master of a pseudo terminal has its end where the last slave was closed.
 *
 * Returns 0, with the stream in `ret_stream`.
 *
 * Checkpoint: never.
 * Errors: -EBADF (not open); the descriptor is still the caller's.
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_stream_from_fd(int fd, struct coop_stream *ret_stream);

/**
 * Makes a stream of one's own: `ops` and `ctx` are kept until it is closed.
 *
 * Returns nothing.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_stream_init(struct coop_stream *stream, const struct coop_stream_ops *ops, void *ctx);

/**
 * Makes a pipe: what is sent to `ret_writer` is received from `ret_reader`.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EMFILE, -ENFILE, COOP_ENOTASK, COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_pipe_open(struct coop_stream *ret_reader, struct coop_stream *ret_writer);

/**
 * Makes two streams that are each other's peer, in memory.
 *
 * Use the macro coop_memory_stream_pair. In each direction `bytes` bytes are buffered; who
 * sends more waits for the other to receive. Both have to be closed before the run ends.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (bytes is 0, or above COOP_MEMORY_STREAM_MAX), -ENOMEM, COOP_ENOTASK,
 *   COOP_EFORK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_memory_stream_pair_at(size_t bytes, struct coop_stream *ret_a, struct coop_stream *ret_b,
			       const char *site);
#define coop_memory_stream_pair(bytes, ret_a, ret_b) \
	coop_memory_stream_pair_at((bytes), (ret_a), (ret_b), COOP_HERE)

/**
 * Makes one stream of two halves: it receives from the one and sends to the other.
 *
 * The halves are kept until it is closed, which closes both. Where `send_half` cannot be
 * half-closed, coop_stream_send_eof closes it.
 *
 * Returns nothing.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_stream_staple(struct coop_stream *recv_half, struct coop_stream *send_half,
			struct coop_stream *ret_stream);

/* ------------------------------------------------------------------------ using it */

/**
 * Receives at least one byte and at most `bytes`.
 *
 * Returns how many; 0 at the end.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was received.
 * Errors: COOP_ECANCELED, -EINVAL (bytes is 0, whose answer would look like the end), COOP_ECLOSED,
 *   COOP_ENOTOPEN, -EBUSY (another task receives), -EPERM (it can only send), COOP_EBROKEN,
 *   -ECONNRESET and what else coop_recv returns, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_stream_recv(struct coop_stream *stream, void *buf, size_t bytes);

/**
 * Receives `bytes` bytes.
 *
 * *received says how many are in `buf`, whatever is returned. With NULL for it, an interruption
 * after the first byte breaks the stream for receiving.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; *received bytes were received.
 * Errors: COOP_EOF (it ended before), those of coop_stream_recv.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_stream_recv_exactly(struct coop_stream *stream, void *buf, size_t bytes, size_t *received);

/**
 * Sends `bytes` bytes: they have all been handed on when it returns 0.
 *
 * *sent says how many were, whatever is returned. With NULL for it, an interruption after the first
 * byte breaks the stream for sending.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; *sent bytes were sent.
 * Errors: COOP_ECANCELED, COOP_ECLOSED (also after coop_stream_send_eof), COOP_ENOTOPEN, -EBUSY
 *   (another task sends), -EPERM (it can only receive), COOP_EBROKEN, -EPIPE, -ECONNRESET and what
 *   else coop_send returns, COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_stream_send_all(struct coop_stream *stream, const void *buf, size_t bytes, size_t *sent);

/**
 * Sends `count` pieces one after the other, as if they were one; empty ones are fine.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; *sent bytes were sent.
 * Errors: as coop_stream_send_all; -EINVAL (negative count, more than SSIZE_MAX bytes).
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_stream_send_all_v(struct coop_stream *stream, const struct iovec *iov, int count,
			   size_t *sent);

/**
 * Ends what is sent: the peer receives what is on its way and then the end. One can still receive.
 *
 * Returns 0, also if it had been done.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was ended.
 * Errors: COOP_ECANCELED, -ENOTSUP (this kind of stream has no half-close), COOP_ECLOSED,
 *   COOP_ENOTOPEN, -EBUSY (another task sends), -EPERM, -ENOTCONN (the peer is gone), COOP_ENOTASK.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_stream_send_eof(struct coop_stream *stream);

/**
 * Closes the stream in order, and what it owns. NULL is fine, and so is one never opened.
 *
 * What was sent before still reaches the peer. A stream that has to say goodbye does so behind
 * a soft shield of COOP_STREAM_FINISH_NS. Calls of other tasks on it return COOP_ECLOSED.
 *
 * Returns 0, or 1 if there was nothing to close.
 *
 * Checkpoint: custom; it suspends for a goodbye and for calls that it ended, cancelled or not.
 * Cancel: COOP_ECANCELED only where the grace was used up by the goodbye; it is closed.
 * Errors: what the goodbye failed with, COOP_ETIMEDOUT; it is closed.
 * Thread: the runtime's, in a task; any without one.   Since: 0.1
 */
COOP_API
int coop_stream_close(struct coop_stream *stream);

/**
 * Closes the stream at once, without a goodbye: a TCP or memory peer gets -ECONNRESET.
 *
 * Returns 0, or 1 if there was nothing to close.
 *
 * Checkpoint: custom, as coop_stream_close.
 * Cancel: never.
 * Errors: none.
 * Thread: the runtime's, in a task; any without one.   Since: 0.1
 */
COOP_API
int coop_stream_abort(struct coop_stream *stream);

/**
 * Tells the descriptor behind the stream, which stays the stream's.
 *
 * Returns the descriptor that is received from, or, if `sending`, sent to.
 *
 * Checkpoint: never.
 * Errors: -ENOTSUP (there is none, or not that alone), -EPERM (no such direction), COOP_ECLOSED,
 *   COOP_ENOTOPEN.   Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_stream_fd(const struct coop_stream *stream, bool sending);

/* ------------------------------------------------------------------------- readers */

/**
 * A buffer in front of a stream, for what has to be looked for: lines, and other pieces.
 *
 * What was received and not asked for yet stays in it, through every error and every cancel. Pieces
 * are handed out where they lie in the buffer, and stay there until the next call.
 */
struct coop_reader {
	struct coop_stream *_stream;
	char *_buf;
	size_t _size;
	size_t _max;
	size_t _start;
	size_t _end;
	uint32_t _flags;
	uint32_t _reserved[5];
};
#define COOP_READER_INIT { 0, 0, 0, 0, 0, 0, 0, { 0, 0, 0, 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_reader) == 72, "struct coop_reader is ABI");

/** The largest buffer of a reader or a writer. */
#define COOP_BUFFER_MAX 1073741824
/** The size of a buffer where 0 is given. */
#define COOP_BUFFER_DEFAULT 65536

/**
 * Puts a reader in front of `stream`, which is kept until the reader is given up.
 *
 * `bytes` is the limit of what is buffered, and so of a piece with its delimiter. `buf`, of
 * that size, is kept as long; with NULL the reader takes memory as it needs it, and `bytes`
 * may be 0 for COOP_BUFFER_DEFAULT.
 *
 * Returns nothing; a size that is out of range is reported by the calls as -EINVAL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_reader_init(struct coop_reader *reader, struct coop_stream *stream, void *buf,
		      size_t bytes);

/**
 * Gives up the reader and what it has buffered. NULL is fine. The stream stays as it is.
 *
 * Returns nothing.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_reader_deinit(struct coop_reader *reader);

/**
 * Receives at least one byte and at most `bytes`, first of what is buffered.
 *
 * Returns how many; 0 at the end.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was consumed.
 * Errors: those of coop_stream_recv.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_reader_recv(struct coop_reader *reader, void *buf, size_t bytes);

/**
 * Receives `bytes` bytes, at most what the reader can buffer: all or none.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was consumed.
 * Errors: COOP_EOF (it ended before; what there is can still be received), -EMSGSIZE (more than the
 *   reader can buffer: coop_reader_stream and coop_stream_recv_exactly can do that), -ENOMEM,
 *   those of coop_stream_recv; nothing was consumed.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_reader_exactly(struct coop_reader *reader, void *buf, size_t bytes);

/**
 * Receives up to the next `delim` of `delim_bytes` bytes, which is dropped.
 *
 * `ret_data` gets the piece, which lies in the reader until its next call, with a NUL behind it.
 *
 * Returns its length, 0 and up.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was consumed.
 * Errors: COOP_EOF (it ended before; a piece without its delimiter can still be received),
 *   -EMSGSIZE (the buffer is full, and there is none in it), -EINVAL (an empty delimiter), -ENOMEM,
 *   those of coop_stream_recv; nothing was consumed.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_reader_until(struct coop_reader *reader, const void *delim, size_t delim_bytes,
		      char **ret_data);

/**
 * Receives a line, which ends in "\n" or "\r\n"; that is dropped.
 *
 * Returns its length, with the line in `ret_line`, as coop_reader_until.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing was consumed.
 * Errors: as coop_reader_until: a line cut off by the end is COOP_EOF, and can still be received.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_reader_line(struct coop_reader *reader, char **ret_line);

/**
 * Waits until `bytes` bytes are buffered, and shows all that are; nothing is consumed.
 *
 * Returns how many there are, at least `bytes`; 0 for `bytes` does not wait.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED.
 * Errors: as coop_reader_exactly.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_reader_peek(struct coop_reader *reader, size_t bytes, char **ret_data);

/**
 * Consumes `bytes` bytes of what is buffered.
 *
 * Returns 0.
 *
 * Checkpoint: never.
 * Errors: -EINVAL (there are not that many: nothing was consumed), -EBUSY (a call is using it).
 * Thread: any.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_reader_consume(struct coop_reader *reader, size_t bytes);

/**
 * Makes a stream that receives through the reader, what is buffered first, and sends to its stream:
 * for whoever goes on with the connection, a proxy after the first line.
 *
 * Both are kept until it is closed, which closes the reader's stream.
 *
 * Returns nothing.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_reader_stream(struct coop_reader *reader, struct coop_stream *ret_stream);

/* ------------------------------------------------------------------------- writers */

/** A buffer in front of a stream that gathers small pieces until it is flushed or full. */
struct coop_writer {
	struct coop_stream *_stream;
	char *_buf;
	size_t _size;
	size_t _start;
	size_t _end;
	uint32_t _flags;
	uint32_t _reserved[5];
};
#define COOP_WRITER_INIT { 0, 0, 0, 0, 0, 0, { 0, 0, 0, 0, 0 } }
COOP_STATIC_ASSERT(sizeof(struct coop_writer) == 64, "struct coop_writer is ABI");

/**
 * Puts a writer in front of `stream`, which is kept until the writer is given up.
 *
 * `buf`, of `bytes` bytes, is kept as long; with NULL the writer takes memory at its first
 * use, and `bytes` may be 0 for COOP_BUFFER_DEFAULT.
 *
 * Returns nothing; a size that is out of range is reported by the calls as -EINVAL.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
void coop_writer_init(struct coop_writer *writer, struct coop_stream *stream, void *buf,
		      size_t bytes);

/**
 * Gives up the writer, and what was not flushed. NULL is fine. The stream stays as it is.
 *
 * Returns how many bytes were dropped.
 *
 * Checkpoint: never.   Errors: none.   Thread: any.   Since: 0.1
 */
COOP_API
size_t coop_writer_deinit(struct coop_writer *writer);

/**
 * Takes `bytes` bytes: into the buffer, which is flushed before where it has no room.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; none of these bytes were taken, what is buffered stays. Only a piece
 *   larger than the buffer may be interrupted half way: the stream is broken for sending then.
 * Errors: -ENOMEM, -EINVAL (size of the buffer), those of coop_stream_send_all; as under Cancel.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_writer_write(struct coop_writer *writer, const void *data, size_t bytes);

/**
 * Takes a text that is made as by printf(3); it must have room in the empty buffer.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; nothing of the text was taken, what is buffered stays.
 * Errors: -EMSGSIZE (larger than the buffer), -EILSEQ, as coop_writer_write.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE COOP_PRINTF(2, 3)
int coop_writer_printf(struct coop_writer *writer, const char *format, ...);

/**
 * Sends all that is buffered: it has been handed on when it returns 0.
 *
 * Returns 0.
 *
 * Checkpoint: always, also when there is nothing to send.
 * Cancel: COOP_ECANCELED; what was not sent is still buffered, and the next flush goes on.
 * Errors: those of coop_stream_send_all; what was not sent is still buffered.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_writer_flush(struct coop_writer *writer);

/* ------------------------------------------------------------- from one to another */

/** As a limit of coop_stream_copy: until the end. */
#define COOP_UNTIL_END UINT64_MAX

/**
 * Sends to `to` what comes from `from`, until its end or until `limit` bytes were copied.
 *
 * Where both have descriptors that can, the bytes do not leave the kernel (splice). The
 * half-close is left to the caller. *copied (may be NULL) says how many have arrived at `to`,
 * whatever is returned.
 *
 * Returns 0.
 *
 * Checkpoint: always.
 * Cancel: COOP_ECANCELED; *copied bytes were sent. If some more had been received, they are
 *   lost: `from` is broken for receiving then.
 * Errors: those of coop_stream_recv and coop_stream_send_all, with the same effect; -ENOMEM.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_stream_copy(struct coop_stream *from, struct coop_stream *to, uint64_t limit,
		     uint64_t *copied);

/**
 * Copies both ways between `a` and `b`, until both have ended: what a proxy does.
 *
 * An end is passed on as a half-close, and the other way goes on. Where the other side cannot be
 * half-closed, its end is the end of both. `counts` (may be NULL) gets what arrived at b, and at a.
 *
 * Use the macro coop_relay. Both streams stay open.
 *
 * Returns 0.
 *
 * Checkpoint: custom; it is cancelled like any wait, and waits for both directions to end.
 * Cancel: COOP_ECANCELED; the streams are of no further use but to be closed.
 * Errors: those of coop_stream_copy and coop_stream_send_eof in either direction, in a group.
 * Thread: the runtime's, in a task.   Since: 0.1
 */
COOP_API COOP_MUST_USE
int coop_relay_at(struct coop_stream *a, struct coop_stream *b, uint64_t counts[2],
		  const char *site);
#define coop_relay(a, b, counts) coop_relay_at((a), (b), (counts), COOP_HERE)

COOP_END_DECLS

#endif
