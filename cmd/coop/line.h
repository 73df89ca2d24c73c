/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The lines in which people are told of a job: what a task wrote, behind its name; what has
 * happened to it; what coop itself has to say. Every screen for people writes the same ones, and a
 * style says how they look.
 *
 * The words
 *   Spans     under a minute as 12.3s, then as 1m32s (text_of_span).
 *   Signals   those that coop sends are named as --stop names them: INT, TERM. What a process died
 *             of is named in full: "killed by SIGSEGV".
 */

#include "pen.h"
#include "screen.h"

struct line_style {
	const struct plan *plan;
	size_t name_width;
	bool has_names;   /* false, for a map on a terminal: only its failures have one */
	bool has_colours; /* each task has one, from its first line on */
	bool is_safe;     /* what tasks write cannot do anything to a terminal */
	unsigned next_colour;
};

/* One without colours and safety; names are as wide as the longest, within reason. */
struct line_style line_style_for(const struct job *job);

/* What has happened, in a line, if that is worth one. */
void line_event(struct pen *pen, struct line_style *style, struct run_task *task,
		enum screen_event event);

/* What a task has written. */
void line_output(struct pen *pen, struct line_style *style, struct run_task *task, int stream,
		 const char *data, size_t size);

/* What coop has to say, unless that is too little for how talkative it should be. */
void line_say(struct pen *pen, const struct line_style *style, enum screen_level level,
	      const char *text);

/* The end of a task with the time that it took: "exit 3 after 0.4s"; "0.4s" if it went well. `buf`
 * has SCREEN_TEXT bytes. */
const char *line_end(const struct run_task *task, char *buf);

/* Of an input of map the name has only the number: ": " and the input, as far as it is one line.
 * Nothing of other tasks. */
void line_input(struct pen *pen, const struct run_task *task);

/* In a colour, if there are any. */
void line_coloured(struct pen *pen, bool has_colours, const char *colour, const char *text);

/* The mark of an outcome, in its colour. */
void line_mark(struct pen *pen, bool has_colours, enum run_outcome outcome);
