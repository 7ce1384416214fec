// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE /* for pipe2(), execvpe() and ptsname_r() */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "child.h"

#define NOT_EXECUTABLE	126
#define NOT_FOUND	127
/* Larger than the default of 64 KiB: fewer changes between processes. */
#define PIPE_SIZE	(256 * 1024)

/* What the child gets as 0, 1 and 2, and what is kept of them. */
struct ends {
	int child[3], ours[3];
};

static void close_all(int fds[3])
{
	for (size_t i = 0; i < 3; i++)
		if (fds[i] >= 0)
			close(fds[i]);
}

static bool open_pipes(struct ends *ends)
{
	int fds[2] = { -1, -1 };

	for (size_t i = 0; i < 3; i++) {
		/* Of the first the child has the reading end. */
		const size_t mine = i == 0;

		if (pipe2(fds, O_CLOEXEC))
			return false;
		ends->ours[i] = fds[mine];
		ends->child[i] = fds[!mine];
		fcntl(fds[0], F_SETPIPE_SZ, PIPE_SIZE);
	}

	return true;
}

static void set_size(int fd, const struct window_size *size)
{
	const struct winsize winsize = {
		.ws_row = size->rows, .ws_col = size->columns,
	};

	ioctl(fd, TIOCSWINSZ, &winsize);
}

static bool open_terminal(struct ends *ends, const struct window_size *size)
{
	char name[64] = "";
	int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);

	if (master < 0)
		return false;
	ends->ours[0] = master;
	if (grantpt(master) || unlockpt(master) ||
	    ptsname_r(master, name, sizeof(name)))
		return false;
	for (size_t i = 0; i < 3; i++) {
		ends->child[i] = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC);
		if (ends->child[i] < 0)
			return false;
	}
	set_size(ends->child[0], size);

	return true;
}

_Noreturn static void run(char **argv, char **env, const int fds[3],
			  bool has_tty)
{
	sigset_t none;
	int error = 0;

	setsid();
	for (int i = 0; i < 3; i++)
		dup2(fds[i], i);
	if (has_tty)
		ioctl(0, TIOCSCTTY, 0);
	/* Ours are ignored, or blocked for a signalfd. */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int number = 1; number < NSIG; number++)
		signal(number, SIG_DFL);
	/* For the PATH that is searched, too. */
	environ = env;
	execvp(argv[0], argv);
	error = errno;
	dprintf(2, "%s: %s\n", argv[0],
		error == ENOENT ? "not found" : strerror(error));
	_exit(error == ENOENT ? NOT_FOUND : NOT_EXECUTABLE);
}

bool child_start(struct child *child, char **argv, char **env,
		 const struct window_size *size)
{
	struct ends ends = { { -1, -1, -1 }, { -1, -1, -1 } };
	pid_t pid = -1;
	int error = 0;

	if (!(size ? open_terminal(&ends, size) : open_pipes(&ends)))
		goto err;
	pid = fork();
	if (pid < 0)
		goto err;
	if (!pid)
		run(argv, env, ends.child, size);
	*child = (struct child){
		.pid = pid,
		.pidfd = pidfd_open(pid, 0),
		.in = ends.ours[0],
		.out = size ? ends.ours[0] : ends.ours[1],
		.err = ends.ours[2],
		.has_tty = size,
	};
	if (child->pidfd < 0) {
		error = errno;
		kill(pid, SIGKILL);
		waitpid(pid, NULL, 0);
		errno = error;
		goto err;
	}
	close_all(ends.child);
	for (size_t i = 0; i < 3; i++)
		if (ends.ours[i] >= 0)
			fcntl(ends.ours[i], F_SETFL, O_NONBLOCK);

	return true;

err:
	error = errno;
	close_all(ends.child);
	close_all(ends.ours);
	errno = error;
	return false;
}

void child_signal(const struct child *child, int number)
{
	/* Between fork() and setsid() there is no such group yet. */
	if (child->pid > 0 && kill(-child->pid, number))
		kill(child->pid, number);
}

void child_resize(const struct child *child, const struct window_size *size)
{
	if (child->has_tty && child->out >= 0)
		set_size(child->out, size);
}

void child_close_stdin(struct child *child)
{
	/* A terminal has no end of input, but a character that means it. */
	if (!child->has_tty && child->in >= 0)
		close(child->in);
	child->in = -1;
}

void child_reap(struct child *child, uint32_t *status, uint32_t *number)
{
	siginfo_t info = { 0 };

	waitid(P_PID, child->pid, &info, WEXITED);
	*status = info.si_code == CLD_EXITED ? info.si_status : 0;
	*number = info.si_code == CLD_EXITED ? 0 : info.si_status;
	child->pid = 0;
	close(child->pidfd);
	child->pidfd = -1;
}
