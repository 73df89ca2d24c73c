/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * Where C libraries differ: glibc has calls that musl has not, with which the static command is
 * linked.
 */

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifdef __GLIBC_PREREQ
#if __GLIBC_PREREQ(2, 32)
#include <sys/single_threaded.h>

/* Whether nobody else can run in this process. */
#define CP_ONE_THREAD __libc_single_threaded

/* The text of an errno, in static storage. */
#define CP_ERROR_TEXT(number) strerrordesc_np(number)
#endif
#endif

#ifndef CP_ONE_THREAD
#define CP_ONE_THREAD 0
#define CP_ERROR_TEXT(number) strerror(number)
#endif

#ifndef SYS_epoll_pwait2
#define SYS_epoll_pwait2 441
#endif

/* The last two words of the call are one offset where a word has 64 bits. */
#ifndef RWF_NOWAIT
#define RWF_NOWAIT 8
#define preadv2(fd, iov, count, offset, flags) \
	syscall(SYS_preadv2, fd, iov, count, (long)(offset), 0L, flags)
#define pwritev2(fd, iov, count, offset, flags) \
	syscall(SYS_pwritev2, fd, iov, count, (long)(offset), 0L, flags)
#endif

#ifndef RENAME_NOREPLACE
#define RENAME_NOREPLACE 1
#define renameat2(from_fd, from, to_fd, to, flags) \
	syscall(SYS_renameat2, from_fd, from, to_fd, to, flags)
#endif

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

/* The thread that a timer disturbs: musl has the name of the manual, glibc has not. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif
