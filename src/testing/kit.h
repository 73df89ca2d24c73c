/* SPDX-License-Identifier: MIT */
/* The testing library's way into the core. */
#ifndef CP_KIT_H
#define CP_KIT_H

#include "core/private.h"

#include <coop/testing.h>

const struct cp_private *cp_kit(void);

#endif
