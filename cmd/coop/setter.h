/* SPDX-License-Identifier: MIT */
#pragma once

/* How the options of option_table.c write what they are given. */

#include "option.h"

const char *set_flag(const struct setting *s, const char *value);
const char *set_text(const struct setting *s, const char *value);
const char *set_path(const struct setting *s, const char *value);
const char *set_choice(const struct setting *s, const char *value);
const char *set_limit(const struct setting *s, const char *value); /* a duration above 0 */
const char *set_codes(const struct setting *s, const char *value);
const char *set_lines(const struct setting *s, const char *value);

const char *set_name(const struct setting *s, const char *value);
const char *set_group(const struct setting *s, const char *value);
const char *set_policy(const struct setting *s, const char *value);
const char *set_lock(const struct setting *s, const char *value);
const char *set_after(const struct setting *s, const char *value);
const char *set_ready(const struct setting *s, const char *value);
const char *set_retry(const struct setting *s, const char *value);
const char *set_backoff(const struct setting *s, const char *value);
const char *set_restart_limit(const struct setting *s, const char *value);
const char *set_stop(const struct setting *s, const char *value);
const char *set_shield(const struct setting *s, const char *value);
const char *set_env(const struct setting *s, const char *value);
const char *set_env_file(const struct setting *s, const char *value);
const char *set_nice(const struct setting *s, const char *value);

const char *set_jobs(const struct setting *s, const char *value);
const char *set_keep_going(const struct setting *s, const char *value);
const char *set_fail_fast(const struct setting *s, const char *value);
const char *set_exit(const struct setting *s, const char *value);
const char *set_finally(const struct setting *s, const char *value);
const char *set_finally_timeout(const struct setting *s, const char *value);
const char *set_deadline(const struct setting *s, const char *value);
const char *set_events(const struct setting *s, const char *value);
const char *set_verbose(const struct setting *s, const char *value);
const char *set_null(const struct setting *s, const char *value);
