/* SPDX-License-Identifier: MIT */
/*
 * In a forked child there are the things by which threads reach a run, and no run: whoever posts
 * there waits for ever. So each of them remembers in which process it was made, as a number that
 * every fork raises.
 */
#ifndef CP_FORKS_H
#define CP_FORKS_H

#include <stdint.h>

/* Counts from here on. 0, or an error of the system: a fork would pass unseen. */
int cp_forks_count(void);
/* The number of this process. Any thread, signal-safe. */
uint32_t cp_forks(void);

#endif
