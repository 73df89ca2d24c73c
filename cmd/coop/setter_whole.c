/* SPDX-License-Identifier: MIT */
/*
 * Setters of what is for the whole job or for a group.
 */
#include "setter.h"
#include "text.h"

#include <sched.h>
#include <string.h>
#include <time.h>

uint32_t plan_processors(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof set, &set) < 0)
		return 1;
	return (uint32_t)CPU_COUNT(&set);
}

static const char *read_jobs(struct plan_group *group, const char *value)
{
	long jobs = 0;
	const char *wrong =
		strcmp(value, "auto") == 0 ? NULL : text_number(value, 0, 1000000, &jobs);

	if (wrong)
		return wrong;
	group->given |= GIVEN_JOBS;
	group->jobs_max = strcmp(value, "auto") == 0 ? plan_processors()
			  : jobs                     ? (uint32_t)jobs
						     : COOP_UNLIMITED;
	return NULL;
}

const char *set_jobs(const struct setting *s, const char *value)
{
	return read_jobs(s->group, value);
}

const char *set_keep_going(const struct setting *s, const char *value)
{
	(void)value;
	s->group->given |= GIVEN_POLICY;
	s->group->is_keep_going = true;
	return NULL;
}

const char *set_fail_fast(const struct setting *s, const char *value)
{
	(void)value;
	s->group->given |= GIVEN_POLICY;
	s->group->is_keep_going = false;
	return NULL;
}

const char *set_exit(const struct setting *s, const char *value)
{
	const char *wrong = set_choice(s, value);

	if (!wrong)
		s->group->given |= GIVEN_EXIT;
	return wrong;
}

const char *set_finally(const struct setting *s, const char *value)
{
	struct plan_group *group = s->group;

	if (!value[strspn(value, " \t\n")])
		return "is empty";
	group->finally = plan_grow(s->plan, group->finally, group->finally_count,
				   &group->finally_room, sizeof *group->finally);
	group->finally[group->finally_count++] = plan_command_of(s->plan, value);
	return NULL;
}

const char *set_finally_timeout(const struct setting *s, const char *value)
{
	const char *wrong = set_limit(s, value);

	if (!wrong)
		s->group->given |= GIVEN_FINALLY_TIMEOUT;
	return wrong;
}

/* One word of a policy. */
static const char *policy_word(const struct setting *s, const char *word)
{
	static const char *const keys[] = { "keep-going", "fail-fast", "jobs",
					    "timeout",    "exit",      "finally" };
	const char *equal = strchr(word, '=');
	size_t len = equal ? (size_t)(equal - word) : strlen(word);
	char *key = plan_copy(s->plan, word, len);
	struct text_near near = { .wrong = key };
	struct setting at = *s;

	at.option = option_find(key, len, VERB_RUN);
	if (strcmp(key, "timeout") == 0 && equal) {
		struct option timeout = *at.option;

		timeout.scope = SCOPE_GROUP;
		timeout.offset = offsetof(struct plan_group, timeout_ns);
		at.option = &timeout;
		return set_limit(&at, equal + 1);
	}
	for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++) {
		if (strcmp(key, keys[i]) == 0 && !at.option->arg == !equal)
			return at.option->set(&at, equal ? equal + 1 : NULL);
		text_near_offer(&near, keys[i]);
	}
	if (near.best && strcmp(near.best, key) != 0)
		return plan_format(s->plan, "has the unknown word '%s'; did you mean %s?", key,
				   near.best);
	return plan_format(s->plan,
			   "has the word '%s' (keep-going, fail-fast, jobs=N, timeout=D, "
			   "exit=WAY, finally=COMMAND)",
			   word);
}

/* GROUP:WORD,WORD,...; finally= takes all that is left. */
const char *set_policy(const struct setting *s, const char *value)
{
	const char *colon = strchr(value, ':'), *wrong;
	struct setting at = *s;
	size_t len;

	if (!colon || colon == value)
		return "is not GROUP:WORD,...";
	at.group = plan_group_at(s->plan, plan_copy(s->plan, value, (size_t)(colon - value)),
				 s->place);
	if (!at.group)
		return "has a part that is no name";
	for (const char *word = colon + 1;; word += len + 1) {
		len = strncmp(word, "finally=", 8) == 0 ? strlen(word) : strcspn(word, ",");
		wrong = policy_word(&at, plan_copy(s->plan, word, len));
		if (wrong || !word[len])
			return wrong;
	}
}

const char *set_deadline(const struct setting *s, const char *value)
{
	int64_t ns;
	const char *wrong = text_deadline(value, time(NULL), &ns);

	if (wrong)
		return wrong;
	if (ns == 0)
		return "has to be more than 0";
	s->plan->deadline_ns = ns;
	s->plan->is_deadline_fixed = strchr(value, ':') != NULL;
	return NULL;
}

const char *set_events(const struct setting *s, const char *value)
{
	long fd;

	if (strncmp(value, "fd:", 3) == 0) {
		if (text_number(value + 3, 0, 1023, &fd))
			return "has no descriptor from 0 to 1023";
		s->plan->events_fd = (int)fd;
		s->plan->events_file = NULL;
		return NULL;
	}
	if (!*value)
		return "is empty";
	s->plan->events_file = value;
	s->plan->events_fd = -1;
	return NULL;
}

const char *set_verbose(const struct setting *s, const char *value)
{
	(void)value;
	s->plan->verbosity++;
	return NULL;
}

const char *set_null(const struct setting *s, const char *value)
{
	(void)value;
	s->plan->map.separator = '\0';
	return NULL;
}
