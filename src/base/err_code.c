/* SPDX-License-Identifier: MIT */
/*
 * Codes and their words: the system's, coop's own, and those of the domains
 * that programs register.
 *
 * Domains are only ever added. An entry is complete before the count that
 * makes it visible is stored, so readers need no lock.
 */
#include "base/os.h"

#include "base/err.h"
#include "base/forks.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define CP_DOMAINS_MAX 64
#define CP_CODE_EXIT 0x100 /* COOP_EEXIT(0) .. COOP_EEXIT(255) */

struct cp_domain {
	int number;
	const char *name;
	const char *(*text)(int number);
};

static struct cp_domain cp_domains[CP_DOMAINS_MAX];
static _Atomic uint32_t cp_domains_count;
static pthread_mutex_t cp_domains_lock = PTHREAD_MUTEX_INITIALIZER;
static struct cp_forked cp_domains_forked = { .lock = &cp_domains_lock };
CP_FORKED(cp_domains_forked)

struct cp_own_code {
	const char *name;
	const char *text;
	int code;
};

static const struct cp_own_code cp_own_codes[] = {
#define X(name, number, bits, word, text) \
	{ #name, text, -((int)(bits) | COOP_DOMAIN_COOP << 16 | (number)) },
	COOP_ERROR_TABLE(X)
#undef X
};

#define X(name, number, bits, word, text) \
	_Static_assert(name == -((int)(bits) | COOP_DOMAIN_COOP << 16 | (number)), \
		       "the table and the constant differ");
COOP_ERROR_TABLE(X)
#undef X

/* The C library's own names came late to it, and not to all of them. */
/* clang-format off */
#define CP_ERRNO_TABLE(X)                                                                          \
	X(EPERM) X(ENOENT) X(ESRCH) X(EINTR) X(EIO) X(ENXIO) X(E2BIG) X(ENOEXEC) X(EBADF)          \
	X(ECHILD) X(EAGAIN) X(ENOMEM) X(EACCES) X(EFAULT) X(ENOTBLK) X(EBUSY) X(EEXIST) X(EXDEV)   \
	X(ENODEV) X(ENOTDIR) X(EISDIR) X(EINVAL) X(ENFILE) X(EMFILE) X(ENOTTY) X(ETXTBSY) X(EFBIG) \
	X(ENOSPC) X(ESPIPE) X(EROFS) X(EMLINK) X(EPIPE) X(EDOM) X(ERANGE) X(EDEADLK)               \
	X(ENAMETOOLONG) X(ENOLCK) X(ENOSYS) X(ENOTEMPTY) X(ELOOP) X(ENOMSG) X(EIDRM) X(ECHRNG)     \
	X(EL2NSYNC) X(EL3HLT) X(EL3RST) X(ELNRNG) X(EUNATCH) X(ENOCSI) X(EL2HLT) X(EBADE) X(EBADR) \
	X(EXFULL) X(ENOANO) X(EBADRQC) X(EBADSLT) X(EBFONT) X(ENOSTR) X(ENODATA) X(ETIME) X(ENOSR) \
	X(ENONET) X(ENOPKG) X(EREMOTE) X(ENOLINK) X(EADV) X(ESRMNT) X(ECOMM) X(EPROTO)             \
	X(EMULTIHOP) X(EDOTDOT) X(EBADMSG) X(EOVERFLOW) X(ENOTUNIQ) X(EBADFD) X(EREMCHG)           \
	X(ELIBACC) X(ELIBBAD) X(ELIBSCN) X(ELIBMAX) X(ELIBEXEC) X(EILSEQ) X(ERESTART) X(ESTRPIPE)  \
	X(EUSERS) X(ENOTSOCK) X(EDESTADDRREQ) X(EMSGSIZE) X(EPROTOTYPE) X(ENOPROTOOPT)             \
	X(EPROTONOSUPPORT) X(ESOCKTNOSUPPORT) X(EOPNOTSUPP) X(EPFNOSUPPORT) X(EAFNOSUPPORT)        \
	X(EADDRINUSE) X(EADDRNOTAVAIL) X(ENETDOWN) X(ENETUNREACH) X(ENETRESET) X(ECONNABORTED)     \
	X(ECONNRESET) X(ENOBUFS) X(EISCONN) X(ENOTCONN) X(ESHUTDOWN) X(ETOOMANYREFS) X(ETIMEDOUT)  \
	X(ECONNREFUSED) X(EHOSTDOWN) X(EHOSTUNREACH) X(EALREADY) X(EINPROGRESS) X(ESTALE)          \
	X(EUCLEAN) X(ENOTNAM) X(ENAVAIL) X(EISNAM) X(EREMOTEIO) X(EDQUOT) X(ENOMEDIUM)             \
	X(EMEDIUMTYPE) X(ECANCELED) X(ENOKEY) X(EKEYEXPIRED) X(EKEYREVOKED) X(EKEYREJECTED)        \
	X(EOWNERDEAD) X(ENOTRECOVERABLE) X(ERFKILL) X(EHWPOISON)
/* clang-format on */

static const char *const cp_errno_names[] = {
#define X(name) [name] = #name,
	CP_ERRNO_TABLE(X)
#undef X
};

/* The parts of a code; for a number that is none (0 or more) false. */
static bool cp_code_parts(int code, unsigned *ret_domain, unsigned *ret_number)
{
	unsigned magnitude = 0u - (unsigned)code;

	if (code >= 0)
		return false;
	*ret_domain = magnitude >> 16 & COOP_DOMAIN_MAX;
	*ret_number = magnitude & 0xffff;
	return true;
}

static const struct cp_own_code *cp_own_code(int code)
{
	for (size_t i = 0; i < CP_ARRAY_LEN(cp_own_codes); i++)
		if (cp_own_codes[i].code == code)
			return &cp_own_codes[i];
	return NULL;
}

static bool cp_code_is_exit(int code, unsigned number)
{
	return code == COOP_CODE_FATAL(COOP_DOMAIN_COOP, number) &&
	       (number & ~0xffu) == CP_CODE_EXIT;
}

/* Acquire pairs with the release at the end of coop_domain_register. */
static const struct cp_domain *cp_domain_find(unsigned number)
{
	uint32_t count = atomic_load_explicit(&cp_domains_count, memory_order_acquire);

	for (uint32_t i = 0; i < count; i++)
		if (cp_domains[i].number == (int)number)
			return &cp_domains[i];
	return NULL;
}

static int cp_domain_add(int domain, const char *name, const char *(*text)(int number))
{
	uint32_t count = atomic_load_explicit(&cp_domains_count, memory_order_relaxed);

	for (uint32_t i = 0; i < count; i++)
		if (cp_domains[i].number == domain || strcmp(cp_domains[i].name, name) == 0)
			return -EEXIST;
	if (count == CP_DOMAINS_MAX)
		return -ENOSPC;
	cp_domains[count] = (struct cp_domain){ domain, name, text };
	atomic_store_explicit(&cp_domains_count, count + 1, memory_order_release);
	return 0;
}

int coop_domain_register(int domain, const char *name, const char *(*text)(int number))
{
	int r;

	if (domain < COOP_DOMAIN_USER || domain > COOP_DOMAIN_MAX || !name || !*name)
		return -EINVAL;
	if (strcmp(name, "coop") == 0)
		return -EEXIST;
	pthread_mutex_lock(&cp_domains_lock);
	r = cp_domain_add(domain, name, text);
	pthread_mutex_unlock(&cp_domains_lock);
	return r;
}

static void cp_code_name_os(unsigned number, char *buf, size_t size)
{
	if (number < CP_ARRAY_LEN(cp_errno_names) && cp_errno_names[number])
		snprintf(buf, size, "%s", cp_errno_names[number]);
	else
		snprintf(buf, size, "errno %u", number);
}

static void cp_code_name_coop(int code, unsigned number, char *buf, size_t size)
{
	const struct cp_own_code *own = cp_own_code(code);

	if (own)
		snprintf(buf, size, "%s", own->name);
	else if (cp_code_is_exit(code, number))
		snprintf(buf, size, "COOP_EEXIT(%u)", number & 0xff);
	else
		snprintf(buf, size, "coop:%u", number);
}

char *coop_code_name(int code, char *buf, size_t size)
{
	const struct cp_domain *domain;
	unsigned where, number;

	if (size == 0)
		return buf;
	if (!cp_code_parts(code, &where, &number)) {
		snprintf(buf, size, "%d", code);
		return buf;
	}
	if (where == COOP_DOMAIN_OS) {
		cp_code_name_os(number, buf, size);
		return buf;
	}
	if (where == COOP_DOMAIN_COOP) {
		cp_code_name_coop(code, number, buf, size);
		return buf;
	}
	domain = cp_domain_find(where);
	if (domain)
		snprintf(buf, size, "%s:%u", domain->name, number);
	else
		snprintf(buf, size, "domain %u:%u", where, number);
	return buf;
}

/* Untranslated where the C library can, so that what is printed is the same everywhere. */
static const char *cp_code_text_os(unsigned number)
{
	if (number >= CP_ARRAY_LEN(cp_errno_names) || !cp_errno_names[number])
		return "a system error without a text";
	return cp_os_error_text((int)number);
}

static const char *cp_code_text_coop(int code, unsigned number)
{
	const struct cp_own_code *own = cp_own_code(code);

	if (own)
		return own->text;
	if (cp_code_is_exit(code, number))
		return "the program is asked to end";
	return "an error of coop without a text";
}

const char *coop_code_text(int code)
{
	const struct cp_domain *domain;
	const char *text = NULL;
	unsigned where, number;

	if (!cp_code_parts(code, &where, &number))
		return "no error";
	if (where == COOP_DOMAIN_OS)
		return cp_code_text_os(number);
	if (where == COOP_DOMAIN_COOP)
		return cp_code_text_coop(code, number);
	domain = cp_domain_find(where);
	if (domain && domain->text)
		text = domain->text((int)number);
	return text ? text : "an error without a text";
}
