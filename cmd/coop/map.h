/* SPDX-License-Identifier: MIT */
#pragma once

#include "front.h"

/* Completes the template of a `map`: plan->map.words. */
int map_finish(struct plan *plan);
