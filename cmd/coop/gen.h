/* SPDX-License-Identifier: MIT */
#pragma once

/* What gen prints of a file of its own. */

void gen_schema(void);
