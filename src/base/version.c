/* SPDX-License-Identifier: MIT */
/*
 * The version of the library that is running. The headers' own version is a
 * constant in the caller; this one is asked of the shared object.
 */
#include "base/base.h"

#include <coop/version.h>

int coop_version(void)
{
	return COOP_VERSION;
}
