/* SPDX-License-Identifier: MIT */
/* All of coop but tls.h, testing.h and auto.h. */
#ifndef COOP_H
#define COOP_H

#include <coop/bag.h>
#include <coop/base.h>
#include <coop/channel.h>
#include <coop/compose.h>
#include <coop/defer.h>
#include <coop/error.h>
#include <coop/fs.h>
#include <coop/group.h>
#include <coop/io.h>
#include <coop/log.h>
#include <coop/process.h>
#include <coop/net.h>
#include <coop/run.h>
#include <coop/scope.h>
#include <coop/signal.h>
#include <coop/stream.h>
#include <coop/sync.h>
#include <coop/task.h>
#include <coop/thread.h>
#include <coop/time.h>
#include <coop/trace.h>
#include <coop/version.h>

#endif
