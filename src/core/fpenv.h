/* SPDX-License-Identifier: MIT */
/*
 * The control words of the floating point units: rounding, traps, what is flushed to zero.
 *
 * A switch does not touch them, for hardly anybody changes them and loading them costs as
 * much as the switch. A task that has asked (coop_set_fpenv) has its own: they are kept when
 * it gives way, and those of the run, taken when it began, are loaded for whoever comes next.
 *
 * Invariant: as long as only tasks that have asked change them, every other task and the
 * loop see those of the run.
 */
#ifndef CP_FPENV_H
#define CP_FPENV_H

#include "base/base.h"

#if defined(__aarch64__)
struct cp_fpenv {
	uint64_t fpcr;
};

CP_INLINE void cp_fpenv_save(struct cp_fpenv *env)
{
	__asm__ volatile("mrs %0, fpcr" : "=r"(env->fpcr));
}

CP_INLINE void cp_fpenv_load(const struct cp_fpenv *env)
{
	__asm__ volatile("msr fpcr, %0" : : "r"(env->fpcr) : "memory");
}
#else
struct cp_fpenv {
	uint32_t mxcsr;
	uint16_t x87;
};

CP_INLINE void cp_fpenv_save(struct cp_fpenv *env)
{
	__asm__ volatile("stmxcsr %0\n\tfnstcw %1" : "=m"(env->mxcsr), "=m"(env->x87));
}

CP_INLINE void cp_fpenv_load(const struct cp_fpenv *env)
{
	__asm__ volatile("ldmxcsr %0\n\tfldcw %1" : : "m"(env->mxcsr), "m"(env->x87) : "memory");
}
#endif

#endif
