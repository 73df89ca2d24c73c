/* SPDX-License-Identifier: MIT */
/*
 * Looking up names. The C library's getaddrinfo is replaced here by one that the tests hold up and
 * answer, by the name it is asked for.
 */
#include "net_help.h"

#include <coop/thread.h>

#include <netdb.h>
#include <pthread.h>

__attribute__((constructor)) static void ask_threads(void)
{
	setenv("COOP_DNS", "threads", 1);
}

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static int held, at_work, at_work_peak, asked, given, freed;
static struct addrinfo asked_for;
static char asked_service[16];

static void hold(bool on)
{
	pthread_mutex_lock(&lock);
	held = on;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static int count_of(const int *number)
{
	int n;

	pthread_mutex_lock(&lock);
	n = *number;
	pthread_mutex_unlock(&lock);
	return n;
}

static struct addrinfo *answer(int family, const char *text, struct addrinfo *next)
{
	struct addrinfo *ai = calloc(1, sizeof *ai);
	struct coop_addr *addr = calloc(1, sizeof *addr);

	CHECK_INT(coop_addr_ip(text, 7, addr), ==, 0);
	*ai = (struct addrinfo){
		.ai_family = family, .ai_addr = &addr->sa, .ai_addrlen = addr->len, .ai_next = next
	};
	return ai;
}

int getaddrinfo(const char *restrict host, const char *restrict service,
		const struct addrinfo *restrict hints, struct addrinfo **restrict found)
{
	pthread_mutex_lock(&lock);
	asked++;
	asked_for = *hints;
	snprintf(asked_service, sizeof asked_service, "%s", service ? service : "");
	if (++at_work > at_work_peak)
		at_work_peak = at_work;
	while (held)
		pthread_cond_wait(&changed, &lock);
	at_work--;
	given += host && strcmp(host, "two.test") == 0;
	pthread_mutex_unlock(&lock);
	if (!host || strcmp(host, "two.test") == 0) {
		*found = answer(AF_INET, "10.0.0.1", answer(AF_INET6, "fd00::1", NULL));
		return 0;
	}
	return strcmp(host, "later.test") == 0    ? EAI_AGAIN
	       : strcmp(host, "broken.test") == 0 ? EAI_FAIL
						  : EAI_NONAME;
}

void freeaddrinfo(struct addrinfo *found)
{
	pthread_mutex_lock(&lock);
	freed++;
	pthread_mutex_unlock(&lock);
	while (found) {
		struct addrinfo *next = found->ai_next;

		free(found->ai_addr);
		free(found);
		found = next;
	}
}

static void expect(const struct coop_addr_list *list, uint32_t i, const char *text)
{
	char buf[COOP_ADDR_TEXT_MAX];

	CHECK_INT(i, <, list->count);
	CHECK_STR(coop_addr_text(&list->addrs[i], buf, sizeof buf), text);
}

/* Addresses and numbers are not looked up. */
REAL_IO_TEST(addresses_are_not_looked_up)
{
	struct coop_resolve_opts passive = { .passive = true }, ip4 = { .family = AF_INET };
	struct coop_addr_list *list;

	CHECK_INT(coop_resolve("10.1.2.3", "80", NULL, &list), ==, 0);
	expect(list, 0, "10.1.2.3:80");
	CHECK(coop_addr_list_free(list) == NULL);
	CHECK_INT(coop_resolve("fe80::1%lo", NULL, NULL, &list), ==, 0);
	expect(list, 0, "[fe80::1%lo]:0");
	coop_addr_list_free(list);
	CHECK_INT(coop_resolve(NULL, "80", NULL, &list), ==, 0);
	expect(list, 0, "[::1]:80");
	expect(list, 1, "127.0.0.1:80");
	coop_addr_list_free(list);
	CHECK_INT(coop_resolve("", "80", &passive, &list), ==, 0);
	expect(list, 0, "[::]:80");
	expect(list, 1, "0.0.0.0:80");
	coop_addr_list_free(list);
	CHECK_INT(coop_resolve(NULL, "80", &ip4, &list), ==, 0);
	CHECK_INT(list->count, ==, 1);
	coop_addr_list_free(list);
	CHECK_INT(coop_resolve("::1", "80", &ip4, &list), ==, -EAFNOSUPPORT);
	coop_error_clear();
	CHECK_INT(asked, ==, 0);
	CHECK(coop_addr_list_free(NULL) == NULL);
	return 0;
}

/* Nor is what cannot be a port, of which a resolver may make one. */
REAL_IO_TEST(ports_that_are_none)
{
	refuses_wrong_ports("two.test");
	refuses_wrong_ports("10.1.2.3");
	refuses_wrong_ports(NULL);
	CHECK_INT(asked, ==, 0);
	return 0;
}

/* What the resolver says is told in our words. */
REAL_IO_TEST(names_are_looked_up)
{
	struct coop_resolve_opts unknown = { ._reserved = { 1 } }, family = { .family = AF_UNIX };
	struct coop_addr_list *list = NULL;
	struct coop_error_info info;

	CHECK_INT(coop_resolve("none.test", "80", NULL, &list), ==, -ENOENT);
	coop_error_describe(coop_error_peek(-ENOENT), &info);
	CHECK_STR(info.message, "none.test:80: no such host");
	CHECK_INT(coop_resolve("later.test", "80", NULL, &list), ==, -EAGAIN);
	CHECK_INT(coop_resolve("broken.test", "80", NULL, &list), ==, -EIO);
	CHECK_INT(coop_resolve("two.test", "80", &unknown, &list), ==, -EINVAL);
	CHECK_INT(coop_resolve("two.test", "80", &family, &list), ==, -EINVAL);
	CHECK(list == NULL);
	coop_error_clear();
	CHECK_INT(coop_resolve("two.test", "80", NULL, &list), ==, 0);
	CHECK_INT(list->count, ==, 2);
	expect(list, 0, "10.0.0.1:7");
	expect(list, 1, "[fd00::1]:7");
	coop_addr_list_free(list);
	return 0;
}

static int ask_with(const char *host, const char *service, const struct coop_resolve_opts *opts)
{
	struct coop_addr_list *list;
	int r = coop_resolve(host, service, opts, &list);

	if (r < 0)
		return r;
	expect(list, 1, "[fd00::1]:7");
	coop_addr_list_free(list);
	return 7;
}

static int ask(void *arg)
{
	return ask_with(arg, "80", NULL);
}

static const struct coop_resolve_opts four = { .family = AF_INET }, any_host = { .passive = true },
				      datagrams = { .type = SOCK_DGRAM };

/* The resolver is told all that was asked. */
REAL_IO_TEST(options_are_passed_on)
{
	CHECK_INT(ask_with("two.test", "smtp", NULL), ==, 7);
	CHECK_STR(asked_service, "smtp");
	CHECK_INT(asked_for.ai_family, ==, AF_UNSPEC);
	CHECK_INT(asked_for.ai_socktype, ==, SOCK_STREAM);
	CHECK_INT(asked_for.ai_flags, ==, 0);
	CHECK_INT(ask_with("two.test", "80", &four), ==, 7);
	CHECK_INT(asked_for.ai_family, ==, AF_INET);
	CHECK_INT(ask_with("two.test", "80", &datagrams), ==, 7);
	CHECK_INT(asked_for.ai_socktype, ==, SOCK_DGRAM);
	CHECK_INT(ask_with(NULL, "smtp", &any_host), ==, 7);
	CHECK_INT(asked_for.ai_flags, ==, AI_PASSIVE);
	return 0;
}

static int ask_otherwise(void *arg)
{
	static const struct coop_resolve_opts *const opts[] = { NULL, &four, &any_host,
								&datagrams };
	intptr_t i = (intptr_t)arg;

	return i < 4 ? ask_with("two.test", "80", opts[i]) : ask_with("two.test", "81", NULL);
}

/* What differs in one thing only is another question. */
REAL_IO_TEST(other_look_ups_are_others)
{
	struct coop_group g = COOP_GROUP_INIT;

	hold(true);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 10; i++)
		CHECK_INT(coop_spawn(&g, ask_otherwise, (void *)(intptr_t)(i % 5)), ==, 0);
	while (count_of(&at_work) < 5)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	hold(false);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(count_of(&asked), ==, 5);
	return 0;
}

/* Ten ask the same, one look-up is made; another question is another look-up. */
REAL_IO_TEST(equal_look_ups_are_one)
{
	struct coop_group g = COOP_GROUP_INIT;

	hold(true);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 10; i++)
		CHECK_INT(coop_spawn(&g, ask, (void *)"two.test"), ==, 0);
	while (count_of(&at_work) < 1)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(count_of(&asked), ==, 1);
	hold(false);
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(count_of(&asked), ==, 1);
	CHECK_INT(ask((void *)"two.test"), ==, 7);
	CHECK_INT(count_of(&asked), ==, 2);
	return 0;
}

/* The one that asked is cancelled: the others are answered all the same. */
REAL_IO_TEST(a_cancel_leaves_the_others_their_answer)
{
	struct coop_group g = COOP_GROUP_INIT;
	struct coop_handle *first, *second;
	int value = 0;

	hold(true);
	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn_with(&g, ask, (void *)"two.test", NULL, &first), ==, 0);
	CHECK_INT(coop_spawn_with(&g, ask, (void *)"two.test", NULL, &second), ==, 0);
	while (count_of(&at_work) < 1)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_handle_cancel(first, "enough");
	CHECK_INT(coop_handle_wait(first, NULL), ==, COOP_ETASKCANCELLED);
	while (count_of(&at_work) < 2)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	hold(false);
	CHECK_INT(coop_handle_wait(second, &value), ==, 0);
	CHECK_INT(value, ==, 7);
	coop_handle_release(first);
	coop_handle_release(second);
	return coop_group_join(&g, 0);
}

static int file_work(void *arg)
{
	(void)arg;
	return 5;
}

static char names[1000][16];

/* The resolver is stuck with a hundred look-ups: other lanes are not (J01). */
REAL_IO_TEST(rel_J01_slow_names_hold_up_no_files)
{
	static const struct coop_offload_opts files = { .lane = COOP_LANE_FS };
	struct coop_group g = COOP_GROUP_INIT;

	hold(true);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 100; i++) {
		snprintf(names[i], sizeof names[i], "n%d.test", i);
		CHECK_INT(coop_spawn(&g, ask, names[i]), ==, 0);
	}
	CHECK_INT(coop_sleep(MS(5)), ==, 0);
	CHECK_INT(coop_offload_with(file_work, NULL, &files), ==, 5);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	hold(false);
	CHECK_INT(count_of(&at_work_peak), <=, 8);
	PROVES(rel_J01);
	return 0;
}

/* A thousand look-ups are cancelled: all tasks return while the resolver is stuck (J02). */
REAL_IO_TEST(rel_J02_cancelled_look_ups_return_at_once)
{
	struct coop_group g = COOP_GROUP_INIT;

	hold(true);
	coop_group_open(&g, NULL);
	for (int i = 0; i < 1000; i++) {
		snprintf(names[i], sizeof names[i], "n%d.test", i);
		CHECK_INT(coop_spawn(&g, ask, names[i]), ==, 0);
	}
	while (count_of(&at_work) < 1)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, "enough");
	CHECK_INT(coop_group_join(&g, 0), ==, 0);
	CHECK_INT(count_of(&at_work), >=, 1);
	hold(false);
	CHECK_INT(count_of(&at_work_peak), <=, 8);
	PROVES(rel_J02);
	return 0;
}

static int ask_and_leave(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, ask, arg), ==, 0);
	while (count_of(&at_work) < 1)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_group_cancel(&g, "enough");
	return coop_group_join(&g, 0);
}

static int64_t allocs_live(void)
{
	return __atomic_load_n(&cp_os_faults.allocs_live, __ATOMIC_RELAXED);
}

static void late_answer(enum coop_engine engine)
{
	struct coop_run_opts opts = { .engine = engine };
	int64_t live;

	unsetenv("COOP_IO"); /* it would have the last word */
	CHECK_INT(coop_run(ask, (void *)"two.test", &opts), ==, 7); /* its thread stays */
	live = allocs_live();
	freed = given = 0;
	hold(true);
	CHECK_INT(coop_run(ask_and_leave, (void *)"two.test", &opts), ==, 0);
	CHECK_INT(count_of(&freed), ==, 0);
	hold(false);
	for (int i = 0; i < 2000 && count_of(&freed) < 1; i++)
		usleep(1000);
	CHECK_INT(count_of(&freed), ==, 1); /* the answer came, and was given back */
	CHECK_INT(count_of(&given), ==, 1);
	while (allocs_live() != live) /* or the test's time is up */
		usleep(1000);
}

/* The run is over, and then the answer comes: it is thrown away (J03, J04). */
TEST(rel_J04_a_late_answer_is_freed)
{
	late_answer(COOP_ENGINE_EPOLL);
	PROVES(rel_J03, rel_J04);
}

static int stop_meanwhile(void *arg)
{
	struct coop_group g = COOP_GROUP_INIT;

	coop_group_open(&g, NULL);
	CHECK_INT(coop_spawn(&g, ask, arg), ==, 0);
	while (count_of(&at_work) < 1)
		CHECK_INT(coop_sleep(MS(1)), ==, 0);
	coop_stop("in the middle of a look-up");
	return coop_group_join(&g, 0);
}

/* A shutdown in the middle of a look-up does not wait for it (J03). */
TEST(rel_J03_a_shutdown_waits_for_no_name)
{
	hold(true);
	CHECK_INT(coop_run(stop_meanwhile, (void *)"two.test", NULL), ==, 0);
	hold(false);
	for (int i = 0; i < 2000 && count_of(&freed) < 1; i++)
		usleep(1000);
	CHECK_INT(count_of(&freed), ==, 1);
	PROVES(rel_J03);
}

static int one_name(void *arg)
{
	struct coop_addr_list *list;
	int r = coop_resolve("two.test", "80", NULL, &list);

	(void)arg;
	if (r == 0)
		coop_addr_list_free(list);
	return r;
}

/* COOP_DNS says who looks up, and a debug line who does. */
TEST(who_looks_up)
{
	keep_records(COOP_LOG_DEBUG);
	CHECK_INT(coop_run(one_name, NULL, NULL), ==, 0);
	CHECK_HAS(records, "names by threads (asked for)");
	coop_log_set(NULL, NULL, COOP_LOG_WARN);
}

/* A word that is no choice is an error, and one line says so. */
TEST(no_such_choice)
{
	setenv("COOP_DNS", "oracle", 1);
	keep_records(COOP_LOG_ERROR);
	CHECK_INT(coop_run(one_name, NULL, NULL), ==, -ENOTSUP);
	CHECK_HAS(records, "COOP_DNS=oracle: no such choice");
	coop_log_set(NULL, NULL, COOP_LOG_WARN);
}
