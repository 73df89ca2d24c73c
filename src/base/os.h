/* SPDX-License-Identifier: MIT */
/*
 * The one seam to the world: system calls, clock, memory, chance.
 *
 * Everything of coop that asks the system for something does it here, so that
 * tests can make the nth request fail (cp_os_faults) and the simulator can put
 * itself in place. Calls return 0 or more, or a negative errno.
 */
#ifndef CP_OS_H
#define CP_OS_H

#include "base.h"

#include <signal.h>
#include <stdio.h>
#include <sys/types.h>
#include <sys/uio.h>

/* ---- faults: for tests; all zero in ordinary runs */
struct cp_os_faults {
	uint64_t alloc_calls;   /* counted always, by every thread */
	uint64_t alloc_fail_at; /* this call fails: 1 is the first; 0: none */
	bool alloc_fail_on;     /* and every one after it */
	uint64_t alloc_failed;  /* how many did fail */
	uint64_t call_calls;    /* the same for system calls; a ring's only while one is to fail */
	uint64_t call_fail_at;
	bool call_fail_on;
	uint64_t call_failed;
	int call_errno;
	const void *call_not_thread; /* the address of errno of a thread that is left alone */
	int64_t allocs_live; /* blocks allocated and not freed */
};
extern struct cp_os_faults cp_os_faults;

/* ---- memory: NULL when there is none */
void *cp_alloc(size_t bytes);
void *cp_calloc(size_t count, size_t bytes);
void *cp_realloc(void *mem, size_t bytes);
void cp_free(void *mem);

int cp_os_map(size_t bytes, void **ret_mem); /* anonymous, private, no reserve */
void cp_os_unmap(void *mem, size_t bytes);
int cp_os_protect_none(void *mem, size_t bytes);
int cp_os_advise(void *mem, size_t bytes, int advice);
/* process_madvise on this process; whole or partial: returns bytes done or -errno */
ssize_t cp_os_advise_many(const struct iovec *iov, size_t count, int advice);
void cp_os_name_map(void *mem, size_t bytes, const char *name);
size_t cp_os_page_bytes(void);
long cp_os_map_count_max(void); /* vm.max_map_count */
long cp_os_map_count(void);     /* maps of this process now, or -errno */
/* pages of [mem, mem+bytes) that are resident, one byte each */
int cp_os_resident(void *mem, size_t bytes, unsigned char *ret_pages);

/* ---- clock */
int64_t cp_os_now_ns(void); /* CLOCK_MONOTONIC */
int64_t cp_os_timer_slack_ns(void); /* of this thread, or -errno */
int cp_os_cpus_online(void); /* 1 if nobody knows */

/* The system's words for an errno, untranslated where the C library can. */
const char *cp_os_error_text(int number);

/* ---- environment; NULL in set-uid programs */
const char *cp_os_env(const char *name);

/* ---- events */
int cp_os_epoll_create(void);
int cp_os_epoll_add(int epfd, int fd, uint32_t events, uint64_t data);
struct epoll_event;
/* timeout_ns < 0: for ever. Nanoseconds where the kernel can, else rounded up. */
int cp_os_epoll_wait(int epfd, struct epoll_event *events, int count, int64_t timeout_ns);
int cp_os_eventfd(void);
void cp_os_eventfd_signal(int fd); /* async-signal-safe */
void cp_os_eventfd_drain(int fd);
void cp_os_close(int fd);
int cp_os_dup(int fd); /* close-on-exec, the lowest number there is */
int cp_os_close_any(int fd); /* one that the program gave us: 0 or -EBADF */
int cp_os_close_written(int fd); /* what came too late for any write to tell; never -EINTR */
int cp_os_write_all(int fd, const void *data, size_t bytes); /* async-signal-safe */
/* Standard error, for last words: never refused by a test, async-signal-safe. */
void cp_os_complain(const char *text, size_t bytes);

/* ---- sockets, none of which waits; descriptors are made close-on-exec and non-blocking */
struct sockaddr;
int cp_os_socket(int domain, int type, int protocol);
int cp_os_socketpair(int domain, int type, int protocol, int ret_fds[2]);
int cp_os_bind(int fd, const struct sockaddr *addr, uint32_t len);
int cp_os_listen(int fd, int backlog);
int cp_os_getsockname(int fd, struct sockaddr *ret_addr, uint32_t *len);
int cp_os_getpeername(int fd, struct sockaddr *ret_addr, uint32_t *len);
int cp_os_setsockopt(int fd, int level, int name, const void *value, uint32_t bytes);
int cp_os_getsockopt(int fd, int level, int name, void *ret_value, uint32_t *bytes);
int cp_os_shutdown(int fd, int how);
int cp_os_pipe(int ret_fds[2]);
int cp_os_set_nonblocking(int fd); /* and close-on-exec */
int cp_os_somaxconn(void);         /* the kernel's limit of a backlog; 4096 if it does not say */
struct addrinfo;
/* getaddrinfo(3), which blocks: 0, or -errno for what it says. */
int cp_os_lookup(const char *host, const char *service, const struct addrinfo *hints,
		 struct addrinfo **ret_found);
void cp_os_lookup_free(struct addrinfo *found);
/* What stands behind "hosts:" in nsswitch.conf; -ENOENT: nothing. Another error: nobody knows. */
int cp_os_nss_hosts(char *ret_line, size_t size);
int cp_os_if_index(const char *name); /* of a network interface */
int cp_os_if_name(unsigned index, char ret_name[16]); /* IF_NAMESIZE */

/* ---- paths of sockets */
struct cp_path_info {
	uint32_t mode; /* S_IFSOCK and the like, with the rights */
	uint64_t dev;
	uint64_t ino;
};
int cp_os_path_info(const char *path, struct cp_path_info *ret_info); /* follows no link */
int cp_os_unlink(const char *path);
int cp_os_rename(const char *from, const char *to); /* -EEXIST where there is one already */
int cp_os_chmod(const char *path, uint32_t mode); /* follows no link, either */
int cp_os_fchmod(int fd, uint32_t mode);

/* ---- descriptors; none of these waits: -EAGAIN says that it would */
struct stat;
struct msghdr;
struct sockaddr;
int cp_os_fstat(int fd, struct stat *ret_stat);
int cp_os_fd_flags(int fd);
int cp_os_fd_set_flags(int fd, int flags);
int cp_os_socket_option(int fd, int name); /* of SOL_SOCKET */
int cp_os_socket_error(int fd); /* what SO_ERROR holds, negative; clears it */
int cp_os_poll(int fd, int events);
int cp_os_recv(int fd, void *buf, size_t bytes, int flags);
int cp_os_send(int fd, const void *buf, size_t bytes, int flags);
int cp_os_recvmsg(int fd, struct msghdr *msg, int flags);
int cp_os_sendmsg(int fd, const struct msghdr *msg, int flags);
int cp_os_accept(int fd, struct sockaddr *addr, unsigned *len, int flags); /* non-blocking fd */
int cp_os_connect(int fd, const struct sockaddr *addr, unsigned len);
/* `blocking`: the descriptor is not in non-blocking mode */
int cp_os_readv(int fd, const struct iovec *iov, int count, bool blocking);
int cp_os_writev(int fd, const struct iovec *iov, int count, bool blocking);
int cp_os_splice(int fd_in, int fd_out, size_t bytes, unsigned flags);
int cp_os_epoll_remove(int epfd, int fd);
/* These wait for the disk, if they may. An offset of -1: the file's position. */
int cp_os_preadv(int fd, const struct iovec *iov, int count, int64_t offset, bool may_wait);
int cp_os_pwritev(int fd, const struct iovec *iov, int count, int64_t offset, bool may_wait);
int cp_os_fsync(int fd, bool data);

/* ---- files */
struct cp_fd_traits {
	bool reads, writes; /* as it was opened */
	bool nonblock;
	bool regular;
	bool pipe;
	bool pty_master;
};
int cp_os_fd_traits(int fd, struct cp_fd_traits *ret_traits);
/* These may wait for a disk: from threads. Without EINTR; new descriptors are close-on-exec. */
int cp_os_openat(int dir_fd, const char *path, int flags, unsigned mode);
/* The same two with EINTR, for what waits for somebody else. */
int cp_os_openat_once(int dir_fd, const char *path, int flags, unsigned mode);
int cp_os_read_once(int fd, void *buf, size_t bytes);
int cp_os_statat(int dir_fd, const char *path, bool follow, struct stat *ret_stat);
int cp_os_renameat(int from_fd, const char *from, int to_fd, const char *to, bool replace);
int cp_os_linkat(int from_fd, const char *from, int to_fd, const char *to);
int cp_os_unlinkat(int dir_fd, const char *path, bool directory);
int cp_os_mkdirat(int dir_fd, const char *path, unsigned mode);
int cp_os_getdents(int fd, void *buf, size_t bytes);
int cp_os_rewind(int fd);
int64_t cp_os_position(int fd);
int64_t cp_os_seek_data(int fd, int64_t offset);
int64_t cp_os_seek_hole(int fd, int64_t offset);
int cp_os_ftruncate(int fd, int64_t bytes);
int cp_os_clone(int from_fd, int to_fd); /* the whole file shares its blocks */
int cp_os_copy_range(int from_fd, int to_fd, int64_t offset, size_t bytes);
uint64_t cp_os_chance(void); /* for names that nobody guesses */

/* ---- signals */
int cp_os_sigaction(int sig, const struct sigaction *act, struct sigaction *ret_old);
int cp_os_sigaltstack(const stack_t *stack, stack_t *ret_old);
/* As pthread_atfork. */
int cp_os_atfork(void (*before)(void), void (*parent)(void), void (*child)(void));

/* ---- threads */
unsigned cp_os_cpus(void); /* that this process may run on; at least 1 */
/* A thread that nobody joins, with every signal blocked but those of faults, and `sig`. */
int cp_os_thread_start(void *(*fn)(void *), void *arg, int sig);
/*
 * Sleeps while *word is `expected`, at most `timeout_ns` (< 0: for ever). 0, -ETIMEDOUT, or at once
 * or early -EAGAIN, -EINTR: look again. The wake is signal-safe; `word` may be gone by then.
 */
int cp_os_futex_wait(uint32_t *word, uint32_t expected, int64_t timeout_ns);
void cp_os_futex_wake(uint32_t *word, int count);
/* A clock that sends a signal to the thread that opened it, again and again while it is set. */
struct cp_os_alarm {
	void *timer;
	bool open;
};
int cp_os_alarm_open(struct cp_os_alarm *alarm, int sig);
void cp_os_alarm_set(struct cp_os_alarm *alarm, int64_t period_ns); /* first at once; 0: off */
void cp_os_alarm_close(struct cp_os_alarm *alarm);

/* ---- a text in memory, of any length; NULL without memory */
FILE *cp_os_text_open(char **text, size_t *size);
void cp_os_text_close(FILE *out);
void cp_os_text_free(char *text);

#endif
