/* SPDX-License-Identifier: Apache-2.0 */
/* A program in a session and process group of its own, and the ends of its
 * streams.
 */
#ifndef CHILD_H
#define CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
	pid_t pid;		/* and its process group */
	int pidfd;		/* readable when it has ended */
	int in, out, err;	/* -1: closed; on a terminal in and out are one */
	bool has_tty;
};

struct window_size {
	uint32_t rows, columns;
};

/*
 * Starts @argv with @env; on a terminal of @size, unless that is NULL. What
 * keeps a program from starting it says on its standard error, as a shell
 * would: its status is then 127 (not found) or 126. False: errno.
 */
bool child_start(struct child *child, char **argv, char **env,
		 const struct window_size *size);
/* To its process group: harmless once child_reap() was called. */
void child_signal(const struct child *child, int number);
void child_resize(const struct child *child, const struct window_size *size);
void child_close_stdin(struct child *child);
/* After pidfd became readable: its exit status, or the signal that ended it. */
void child_reap(struct child *child, uint32_t *status, uint32_t *number);

#endif /* CHILD_H */
