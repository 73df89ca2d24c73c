/* SPDX-License-Identifier: MIT */
/*
 * Setters: one value into its place.
 *
 * Values come from the command line and from coop.yaml alike. What a setter returns is what is
 * wrong, to stand behind the value; it has written nothing then.
 */
#include "setter.h"
#include "text.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static void *place_of(const struct setting *s)
{
	const struct option *option = s->option;
	char *base = option->scope == SCOPE_TASK    ? (char *)s->task
		     : option->scope == SCOPE_GROUP ? (char *)s->group
						    : (char *)s->plan;

	return base + option->offset;
}

const char *set_flag(const struct setting *s, const char *value)
{
	(void)value;
	*(bool *)place_of(s) = true;
	return NULL;
}

const char *set_text(const struct setting *s, const char *value)
{
	*(const char **)place_of(s) = value;
	return NULL;
}

const char *set_path(const struct setting *s, const char *value)
{
	if (!*value)
		return "is empty";
	return set_text(s, value);
}

const char *set_choice(const struct setting *s, const char *value)
{
	struct text_near near = { .wrong = value };
	const char *choices = s->option->choices;
	char *words = plan_copy(s->plan, choices, strlen(choices)), *save = NULL;
	unsigned number = 0;

	for (char *word = strtok_r(words, "|", &save); word; word = strtok_r(NULL, "|", &save)) {
		if (strcmp(word, value) == 0) {
			*(unsigned *)place_of(s) = number;
			return NULL;
		}
		text_near_offer(&near, word);
		number++;
	}
	if (near.best)
		return plan_format(s->plan, "is none of %s; did you mean %s?", choices, near.best);
	return plan_format(s->plan, "is none of %s", choices);
}

/* A duration that is a limit. */
static const char *read_limit(const char *value, int64_t *ret_ns)
{
	int64_t ns;
	const char *wrong = text_duration(value, &ns);

	if (wrong)
		return wrong;
	if (ns == 0)
		return "has to be more than 0";
	*ret_ns = ns;
	return NULL;
}

const char *set_limit(const struct setting *s, const char *value)
{
	return read_limit(value, place_of(s));
}

const char *set_codes(const struct setting *s, const char *value)
{
	return text_codes(value, place_of(s));
}

const char *set_lines(const struct setting *s, const char *value)
{
	long lines;
	const char *wrong = text_number(value, 0, 1000000000, &lines);

	if (!wrong)
		*(uint32_t *)place_of(s) = (uint32_t)lines;
	return wrong;
}

const char *set_name(const struct setting *s, const char *value)
{
	const char *wrong = plan_name_wrong(value);

	return wrong ? wrong : set_text(s, value);
}

const char *set_group(const struct setting *s, const char *value)
{
	struct plan_group *group;

	if (!*value)
		return "is empty";
	group = plan_group_at(s->plan, value, s->place);
	if (!group)
		return "has a part that is no name";
	s->task->group = group;
	return NULL;
}

const char *set_lock(const struct setting *s, const char *value)
{
	struct plan_list *locks = place_of(s);
	const char *wrong = plan_name_wrong(value);

	if (wrong)
		return wrong;
	if (!plan_list_has(locks, value))
		plan_list_add(s->plan, locks, value);
	return NULL;
}

static const char *const state_names[] = { "started", "ready", "done", "ok" };

/* TASK or TASK:STATE; without a state, plan_finish decides. */
static const char *add_after(const struct setting *s, const char *item)
{
	struct plan_task *task = s->task;
	const char *colon = strchr(item, ':');
	struct plan_after after = { .state = (enum plan_state) - 1, .place = *s->place };
	struct text_near near = { .wrong = colon ? colon + 1 : "" };

	after.name = plan_copy(s->plan, item, colon ? (size_t)(colon - item) : strlen(item));
	if (plan_name_wrong(after.name))
		return "has a part that is no name";
	for (int i = 0; colon && i < 4; i++) {
		if (strcmp(colon + 1, state_names[i]) == 0)
			after.state = (enum plan_state)i;
		text_near_offer(&near, state_names[i]);
	}
	if (colon && after.state == (enum plan_state) - 1)
		return near.best ? plan_format(s->plan, "has an unknown state; did you mean %s?",
					       near.best)
				 : "has an unknown state (started, ready, done, ok)";
	task->after = plan_grow(s->plan, task->after, task->after_count, &task->after_room,
				sizeof *task->after);
	task->after[task->after_count++] = after;
	return NULL;
}

const char *set_after(const struct setting *s, const char *value)
{
	char *words = plan_copy(s->plan, value, strlen(value)), *save = NULL;
	char *word = strtok_r(words, ",", &save);

	if (!word)
		return "is empty";
	for (; word; word = strtok_r(NULL, ",", &save)) {
		const char *wrong = add_after(s, word);

		if (wrong)
			return wrong;
	}
	return NULL;
}

const char *set_ready(const struct setting *s, const char *value)
{
	return probe_parse(s->plan, value, place_of(s));
}

const char *set_retry(const struct setting *s, const char *value)
{
	long more;
	const char *wrong = text_number(value, 0, 1000000, &more);

	if (!wrong)
		s->task->attempts_max = (uint32_t)more + 1;
	return wrong;
}

const char *set_backoff(const struct setting *s, const char *value)
{
	return text_backoff(value, &s->task->backoff_min_ns, &s->task->backoff_max_ns);
}

const char *set_restart_limit(const struct setting *s, const char *value)
{
	return text_limit(value, &s->task->restart_max, &s->task->restart_window_ns);
}

/* Which of its words is no signal, if it is that. */
static const char *ladder_wrong(const struct setting *s, const char *value, const char *wrong)
{
	char *words = plan_copy(s->plan, value, strlen(value)), *save = NULL;
	struct text_near near = { 0 };
	int sig;

	for (char *word = strtok_r(words, ",", &save); word; word = strtok_r(NULL, ",", &save)) {
		if ((*word >= '0' && *word <= '9') || !text_signal(word, &sig))
			continue;
		near.wrong = word;
		text_near_signals(&near);
		return plan_format(s->plan, "has '%s', which is no signal%s%s%s", word,
				   near.best ? "; did you mean " : " (INT,5s,TERM,10s,KILL)",
				   near.best ? near.best : "", near.best ? "?" : "");
	}
	return wrong;
}

const char *set_stop(const struct setting *s, const char *value)
{
	struct plan_step steps[PLAN_STEPS_MAX];
	size_t count;
	const char *wrong = text_ladder(value, steps, &count);

	if (wrong)
		return ladder_wrong(s, value, wrong);
	s->task->stop = plan_alloc(s->plan, count * sizeof *steps);
	memcpy(s->task->stop, steps, count * sizeof *steps);
	s->task->stop_count = count;
	return NULL;
}

const char *set_shield(const struct setting *s, const char *value)
{
	const char *wrong = value ? read_limit(value, &s->task->shield_ns) : NULL;

	if (!wrong)
		s->task->is_shielded = true;
	return wrong;
}

const char *set_env(const struct setting *s, const char *value)
{
	const char *equal = strchr(value, '=');

	if (!equal || equal == value)
		return "is not NAME=VALUE";
	plan_list_add(s->plan, place_of(s), value);
	return NULL;
}

const char *set_env_file(const struct setting *s, const char *value)
{
	if (!*value)
		return "is empty";
	plan_env_file_add(s->plan, s->task, value, s->place);
	return NULL;
}

const char *set_nice(const struct setting *s, const char *value)
{
	long nice;
	const char *wrong = text_number(value, -40, 40, &nice);

	if (!wrong)
		s->task->nice = (int)nice;
	return wrong;
}
