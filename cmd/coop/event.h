/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * What has happened to a task, as facts that can be written as a line of JSON and read again: the
 * screen `json`, the stream of --events, and what a coop tells the coop in which it runs.
 */

#include "pen.h"
#include "screen.h"

enum {
	EVENT_SIZE_MAX = 8192,             /* of a line that is read */
	EVENT_TEXT_MAX = 500,              /* of one text in a line for another coop */
	EVENT_FINISHED = SCREEN_ENDED + 1, /* the whole job */
};

struct event {
	int kind;                                     /* a screen_event, or EVENT_FINISHED */
	const char *task, *group;                     /* never NULL but for FINISHED */
	const char *command, *input; /* input: of map */
	const char *why, *signal, *outcome; /* NULL: not told, here and above */
	const char *text;                             /* its end in words */
	uint32_t attempt;
	int pid;          /* 0: none */
	int code, status; /* of ATTEMPT and ENDED; of FINISHED */
	bool is_shielded;
	double seconds; /* less than 0: not told */
	size_t left;    /* FINISHED: processes that could not be ended */
};

/* The facts; `buf` has SCREEN_TEXT bytes, and is used for one of them. */
struct event event_of(struct run_task *task, enum screen_event kind, char *buf);
struct event event_of_finish(const struct job *job, int status);

/* As a line; texts of more than `text_max` bytes are cut. */
void event_write(struct pen *pen, const struct event *event, size_t text_max);

/*
 * Reads a line of `size` bytes in `text`, which has room for one more; it is changed, and the facts
 * point into it. Of texts nothing is left that is more than text: no controls, valid UTF-8.
 * False: it is no event, or one of a kind that is unknown here.
 */
bool event_read(struct event *ret_event, char *text, size_t size);

/* The beginning of any object: its time, its kind. */
void event_begin(struct pen *pen, const char *kind);
/* One more member of an object that has one already. */
void event_member(struct pen *pen, const char *name, const char *text, size_t text_max);
