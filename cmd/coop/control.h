/* SPDX-License-Identifier: MIT */
#pragma once

/*
 * The control socket of a running job, and where it is: by default DIR/PID.sock, where DIR is
 * $XDG_RUNTIME_DIR/coop, or /tmp/coop-UID, and PID is the guard's.
 *
 * One request a connection: a line of words, the first of them a verb. The answer is a line, "ok"
 * or "error TEXT", and then text until the end of the connection.
 */

#include "run.h"

#include <sys/un.h>

enum { CONTROL_REQUEST_MAX = 4096, CONTROL_PATH_MAX = sizeof((struct sockaddr_un *)0)->sun_path };

/* The folder of the sockets; false where its name is too long. It may not be there. */
bool control_dir(char *buf, size_t size);

/* Whether a folder is ours, and nobody else can write to it. */
bool control_is_private(const char *dir);

/*
 * A socket that listens at `path`: the descriptor, or -errno. The socket of a coop that was killed
 * is replaced; -EADDRINUSE: there is one who listens, -ENOTSOCK: there is something else.
 */
int control_bind(const char *path);

/* Opens it and serves it in the plumbing; 0 also where there can be none. */
int control_open(struct job *job);
/* When the job has ended, before the plumbing is cancelled; and after that. */
void control_close(struct job *job);
void control_free(struct job *job);
