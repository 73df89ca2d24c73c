/* SPDX-License-Identifier: MIT */
/*
 * compose's words, as far as they are about commands.
 */
#include "yaml.h"
#include "text.h"

#include <errno.h>
#include <string.h>

static void add_after(struct yaml *y, const char *name, enum plan_state state)
{
	struct plan_task *task = y->task;

	task->after = plan_grow(y->plan, task->after, task->after_count, &task->after_room,
				sizeof *task->after);
	task->after[task->after_count++] =
		(struct plan_after){ .name = name, .state = state, .place = y->place };
}

static int read_condition(struct yaml *y, const char *key, struct fy_node *value)
{
	static const struct {
		const char *name;
		enum plan_state state;
	} conditions[] = { { "service_started", STATE_STARTED },
			   { "service_healthy", STATE_READY },
			   { "service_completed_successfully", STATE_OK } };
	struct text_near near = { 0 };
	const char *text;
	bool is_on;
	int error;

	if (strcmp(key, "required") == 0 || strcmp(key, "restart") == 0) {
		error = yaml_bool(y, value, &is_on);
		if (!error && is_on != (key[2] == 'q'))
			return yaml_fail(y, "%s: %s is not supported", key,
					 is_on ? "true" : "false");
		return error;
	}
	if (strcmp(key, "condition") != 0)
		return yaml_fail(y, "unknown key '%s' (condition)", key);
	error = yaml_text(y, value, &text);
	if (error)
		return error;
	near.wrong = text;
	for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++) {
		if (strcmp(conditions[i].name, text) == 0) {
			y->task->after[y->task->after_count - 1].state = conditions[i].state;
			return 0;
		}
		text_near_offer(&near, conditions[i].name);
	}
	if (near.best)
		return yaml_fail(y, "condition '%s' is none; did you mean %s?", text, near.best);
	return yaml_fail(y, "condition '%s' is none of %s|%s|%s", text, conditions[0].name,
			 conditions[1].name, conditions[2].name);
}

static int read_dependency(struct yaml *y, const char *key, struct fy_node *value)
{
	add_after(y, key, STATE_STARTED);
	return yaml_pairs(y, value, read_condition);
}

static int read_dependency_name(struct yaml *y, struct fy_node *item)
{
	const char *name;
	int error = yaml_text(y, item, &name);

	if (!error)
		add_after(y, name, STATE_STARTED);
	return error;
}

static int read_depends_on(struct yaml *y, struct fy_node *value)
{
	value = yaml_look(y, value);
	if (!value)
		return -EINVAL;
	return fy_node_is_mapping(value) ? yaml_pairs(y, value, read_dependency)
					 : yaml_items(y, value, read_dependency_name);
}

static bool begins_name(char c)
{
	return c == '{' || c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

int yaml_compose_dollars(struct yaml *y, bool is_line, const char **text)
{
	char *copy, *to;

	if (!y->is_compose || !strchr(*text, '$'))
		return 0;
	copy = to = plan_copy(y->plan, *text, strlen(*text));
	for (const char *from = *text; *from; from++) {
		if (from[0] == '$' && from[1] == '$')
			from++;
		else if (from[0] == '$' && begins_name(from[1]) && !is_line)
			return yaml_fail(y, "%s: variables are not expanded here; $$ is a dollar",
					 y->key);
		*to++ = *from;
	}
	*to = '\0';
	*text = copy;
	return 0;
}

static int add_env(struct yaml *y, const char *item)
{
	int error = yaml_compose_dollars(y, false, &item);

	if (!error)
		plan_list_add(y->plan, &y->task->env, item);
	return error;
}

/* A name without a value is what we have of that name: it is inherited. */
static int read_variable(struct yaml *y, const char *key, struct fy_node *value)
{
	const char *text;
	int error;

	if (!*key || strchr(key, '='))
		return yaml_fail(y, "'%s' is no name of a variable", key);
	value = yaml_look(y, value);
	if (!value)
		return -EINVAL;
	if (fy_node_is_null(value))
		return 0;
	error = yaml_text(y, value, &text);
	return error ? error : add_env(y, plan_format(y->plan, "%s=%s", key, text));
}

static int read_variable_item(struct yaml *y, struct fy_node *item)
{
	const char *text;
	int error = yaml_text(y, item, &text);

	if (error)
		return error;
	if (!*text || *text == '=')
		return yaml_fail(y, "'%s' is not NAME=VALUE", text);
	return strchr(text, '=') ? add_env(y, text) : 0;
}

static int read_environment(struct yaml *y, struct fy_node *value)
{
	value = yaml_look(y, value);
	if (!value)
		return -EINVAL;
	return fy_node_is_mapping(value) ? yaml_pairs(y, value, read_variable)
					 : yaml_items(y, value, read_variable_item);
}

static int add_env_file(struct yaml *y, const char *path)
{
	int error = yaml_compose_dollars(y, false, &path);

	if (!error)
		plan_env_file_add(y->plan, y->task, path, &y->place);
	return error;
}

static int read_env_file_pair(struct yaml *y, const char *key, struct fy_node *value)
{
	const char *text;
	int error = yaml_text(y, value, &text);

	if (error)
		return error;
	if (strcmp(key, "path") == 0)
		return add_env_file(y, text);
	if (strcmp(key, "required") == 0 && strcmp(text, "true") == 0)
		return 0;
	return yaml_fail(y, "%s: %s is not supported", key, text);
}

static int read_env_file_item(struct yaml *y, struct fy_node *item)
{
	const char *text;
	int error;

	item = yaml_look(y, item);
	if (!item)
		return -EINVAL;
	if (fy_node_is_mapping(item))
		return yaml_pairs(y, item, read_env_file_pair);
	error = yaml_text(y, item, &text);
	return error ? error : add_env_file(y, text);
}

static int read_env_file(struct yaml *y, struct fy_node *value)
{
	return yaml_items(y, value, read_env_file_item);
}

static int read_directory(struct yaml *y, struct fy_node *value)
{
	const char *text;
	int error = yaml_text(y, value, &text);

	if (!error)
		error = yaml_compose_dollars(y, false, &text);
	if (error)
		return error;
	if (!*text)
		return yaml_fail(y, "%s is empty", y->key);
	y->task->cwd = text;
	return 0;
}

static int read_stop_signal(struct yaml *y, struct fy_node *value)
{
	const char *text, *wrong;
	int error = yaml_text(y, value, &text);

	if (error)
		return error;
	wrong = text_signal(text, &y->task->stop_sig);
	return wrong ? yaml_fail(y, "%s '%s' %s", y->key, text, wrong) : 0;
}

static int read_duration(struct yaml *y, struct fy_node *value, int64_t *ret_ns)
{
	const char *text, *wrong;
	int error = yaml_text(y, value, &text);

	if (error)
		return error;
	wrong = text_duration(text, ret_ns);
	return wrong ? yaml_fail(y, "%s '%s' %s", y->key, text, wrong) : 0;
}

static int read_stop_grace(struct yaml *y, struct fy_node *value)
{
	return read_duration(y, value, &y->task->stop_grace_ns);
}

/* no, always, on-failure, on-failure:N, unless-stopped */
static int read_restart(struct yaml *y, struct fy_node *value)
{
	struct plan_task *task = y->task;
	const char *text;
	long max;
	int error = yaml_text(y, value, &text);

	if (error)
		return error;
	if (strncmp(text, "on-failure:", 11) == 0) {
		if (text_number(text + 11, 1, 1000000, &max))
			return yaml_fail(y, "restart '%s' has no number", text);
		task->restart = RESTART_ON_FAILURE;
		task->restart_max = (uint32_t)max;
		task->restart_window_ns = COOP_NEVER;
		return 0;
	}
	if (strcmp(text, "unless-stopped") == 0) {
		task->restart = RESTART_ALWAYS;
		return 0;
	}
	return yaml_option(y, option_find("restart", 7, VERB_RUN), NULL, value);
}

/* healthcheck: what was said of its times; -1 where nothing was. */
struct health {
	int64_t interval_ns, start_interval_ns, timeout_ns, start_ns;
	long retries;
	bool is_disabled;
};

/* test: a line for sh, [CMD, WORD...], [CMD-SHELL, LINE], or [NONE]. */
static int read_test(struct yaml *y, struct fy_node *value, struct health *health)
{
	struct plan_probe *probe = &y->task->ready;
	struct plan_command command;
	int error = yaml_command(y, value, &command);
	size_t count = 0;

	if (error)
		return error;
	value = yaml_look(y, value);
	if (!value)
		return -EINVAL;
	while (command.argv[count])
		count++;
	if (fy_node_is_sequence(value) && strcmp(command.argv[0], "NONE") == 0) {
		health->is_disabled = true;
	} else if (fy_node_is_sequence(value) && strcmp(command.argv[0], "CMD-SHELL") == 0 &&
		   count == 2) {
		command = plan_command_of(y->plan, command.argv[1]);
	} else if (fy_node_is_sequence(value)) {
		if (strcmp(command.argv[0], "CMD") != 0 || count < 2)
			return yaml_fail(y, "test begins with none of CMD, CMD-SHELL, NONE");
		command = plan_command_argv(y->plan, command.argv + 1, count - 1);
	}
	*probe = (struct plan_probe){ .kind = PROBE_CMD,
				      .command = command,
				      .text = plan_format(y->plan, "cmd:%s", command.text) };
	return 0;
}

static int read_retries(struct yaml *y, struct fy_node *value, struct health *health)
{
	const char *text, *wrong;
	int error = yaml_text(y, value, &text);

	if (error)
		return error;
	wrong = text_number(text, 0, 1000000, &health->retries);
	return wrong ? yaml_fail(y, "%s '%s' %s", y->key, text, wrong) : 0;
}

static int read_health_pair(struct yaml *y, const char *key, struct fy_node *value)
{
	struct health *health = y->part;

	if (strcmp(key, "test") == 0)
		return read_test(y, value, health);
	if (strcmp(key, "interval") == 0)
		return read_duration(y, value, &health->interval_ns);
	if (strcmp(key, "start_interval") == 0)
		return read_duration(y, value, &health->start_interval_ns);
	if (strcmp(key, "timeout") == 0)
		return read_duration(y, value, &health->timeout_ns);
	if (strcmp(key, "start_period") == 0)
		return read_duration(y, value, &health->start_ns);
	if (strcmp(key, "retries") == 0)
		return read_retries(y, value, health);
	if (strcmp(key, "disable") == 0)
		return yaml_bool(y, value, &health->is_disabled);
	return yaml_fail(y,
			 "unknown key '%s' (test, interval, timeout, retries, start_period, "
			 "start_interval, disable)",
			 key);
}

/* compose's limit: so many failures behind the time in which none counts. */
static int64_t health_limit(const struct health *health)
{
	int64_t each, all,
		interval = health->interval_ns < 0 ? COOP_SECONDS(30) : health->interval_ns;
	int64_t attempt = health->timeout_ns < 0 ? COOP_SECONDS(30) : health->timeout_ns;
	int64_t start = health->start_ns < 0 ? 0 : health->start_ns;

	if (health->retries < 0 && health->start_ns < 0)
		return COOP_SECONDS(60);
	if (__builtin_add_overflow(interval, attempt, &each) ||
	    __builtin_mul_overflow(each, health->retries < 0 ? 3 : health->retries, &all) ||
	    __builtin_add_overflow(all, start, &all))
		return COOP_NEVER;
	return all ? all : COOP_SECONDS(60);
}

/* Looks more often than compose would: each 1 s where nothing else was said, and at once. */
static int read_healthcheck(struct yaml *y, struct fy_node *value)
{
	struct health health = { -1, -1, -1, -1, -1, false };
	struct plan_probe *probe = &y->task->ready;
	struct plan_place place = y->place;
	int error;

	*probe = (struct plan_probe){ .kind = PROBE_NONE };
	y->part = &health;
	error = yaml_pairs(y, value, read_health_pair);
	if (error)
		return error;
	if (health.is_disabled) {
		*probe = (struct plan_probe){ .kind = PROBE_NONE };
		return 0;
	}
	y->place = place;
	if (probe->kind == PROBE_NONE)
		return yaml_fail(y, "healthcheck has no test");
	probe->interval_ns = health.start_interval_ns >= 0 ? health.start_interval_ns
			     : health.interval_ns >= 0     ? health.interval_ns
							   : COOP_SECONDS(1);
	if (probe->interval_ns < COOP_MILLISECONDS(10))
		probe->interval_ns = COOP_MILLISECONDS(10);
	probe->attempt_ns = health.timeout_ns > 0 ? health.timeout_ns : COOP_SECONDS(30);
	if (!option_given(y->task->given, "ready-timeout"))
		y->task->ready_timeout_ns = health_limit(&health);
	return 0;
}

const struct yaml_key yaml_compose_keys[] = {
	{ "depends_on", read_depends_on },
	{ "environment", read_environment },
	{ "env", read_environment },
	{ "env_file", read_env_file },
	{ "working_dir", read_directory },
	{ "healthcheck", read_healthcheck },
	{ "restart", read_restart },
	{ "stop_signal", read_stop_signal },
	{ "stop_grace_period", read_stop_grace },
	{ NULL, NULL },
};

const char *yaml_compose_refused(const char *key)
{
	static const char containers[] = " image build container_name ports expose volumes "
					 "networks network_mode links cap_add cap_drop "
					 "privileged deploy hostname domainname platform "
					 "pull_policy ulimits sysctls tmpfs devices dns "
					 "extra_hosts ipc pid security_opt shm_size read_only "
					 "cgroup userns_mode runtime mem_limit cpus "
					 "labels annotations logging secrets configs isolation "
					 "init user group_add stdin_open "
					 "entrypoint scale credential_spec ";
	char word[40];

	if (strcmp(key, "profiles") == 0)
		return "is not supported: name the tasks that should run, coop up TASK...";
	if (strcmp(key, "extends") == 0 || strcmp(key, "include") == 0)
		return "is not supported: use anchors and << within one file";
	snprintf(word, sizeof word, " %s ", key);
	if (strlen(key) < sizeof word - 3 && strstr(containers, word))
		return "is about containers; coop runs commands of this machine";
	return NULL;
}
