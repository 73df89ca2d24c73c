/* SPDX-License-Identifier: MIT */
#ifndef CP_OVERFLOW_H
#define CP_OVERFLOW_H
#include <stddef.h>
extern void (*cp_overflow_describe)(const void *top, char *buf, size_t size);
int cp_overflow_install(void);
void cp_overflow_remove(void);
#endif
