// SPDX-License-Identifier: Apache-2.0
/*
 * late_free PID: traces tee-supplicant, as root of the normal world may, and
 * withholds its first answer to a request to free shared memory: OP-TEE makes
 * one when it is done with a TA's file, good or bad, while it still has all of
 * that session. Prints "tracing" when that may begin and "held" when it has
 * an answer; a line on stdin, or its end, lets it go. Other threads of
 * tee-supplicant serve other sessions meanwhile.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <linux/tee.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#define RPC_SHM_FREE 7 /* OPTEE_RPC_CMD_SHM_FREE of optee_rpc_cmd.h */
#define THREADS_MAX 32

struct thread {
	pid_t tid;
	uint64_t request; /* of the ioctl that it is in */
	uint64_t argument;
	bool frees; /* it serves a request to free memory */
};

static struct thread threads[THREADS_MAX];
static size_t count;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct thread *thread(pid_t tid)
{
	size_t i = 0;

	for (i = 0; i < count; i++)
		if (threads[i].tid == tid)
			return &threads[i];
	if (count == THREADS_MAX) {
		fputs("too many threads\n", stderr);
		exit(1);
	}
	threads[count].tid = tid;

	return &threads[count++];
}

static bool read_tracee(pid_t pid, uint64_t from, void *to, size_t size)
{
	struct iovec local = { .iov_base = to, .iov_len = size };
	struct iovec remote = { .iov_base = (void *)from, .iov_len = size };

	return process_vm_readv(pid, &local, 1, &remote, 1, 0) ==
	       (ssize_t)size;
}

/* True if this thread is about to answer a request to free memory. */
static bool about_to_answer(struct thread *t)
{
	struct __ptrace_syscall_info info = { 0 };
	struct tee_ioctl_buf_data data = { 0 };
	uint32_t function = 0;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) < 0)
		die("PTRACE_GET_SYSCALL_INFO");
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		t->request = 0;
		if (info.entry.nr != SYS_ioctl)
			return false;
		t->request = (uint32_t)info.entry.args[1];
		t->argument = info.entry.args[2];
		return t->request == TEE_IOC_SUPPL_SEND && t->frees;
	}
	if (info.op == PTRACE_SYSCALL_INFO_EXIT &&
	    t->request == TEE_IOC_SUPPL_RECV && !info.exit.is_error)
		t->frees = read_tracee(t->tid, t->argument, &data,
				       sizeof(data)) &&
			   read_tracee(t->tid, data.buf_ptr, &function,
				       sizeof(function)) &&
			   function == RPC_SHM_FREE;

	return false;
}

static void seize(pid_t pid)
{
	const long options = PTRACE_O_TRACECLONE | PTRACE_O_TRACESYSGOOD;
	struct dirent *entry = NULL;
	char path[64] = { 0 };
	DIR *tasks = NULL;
	pid_t tid = 0;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	tasks = opendir(path);
	if (!tasks)
		die(path);
	while ((entry = readdir(tasks))) {
		tid = atoi(entry->d_name);
		if (!tid)
			continue;
		if (ptrace(PTRACE_SEIZE, tid, 0, options) ||
		    ptrace(PTRACE_INTERRUPT, tid, 0, 0))
			die("PTRACE_SEIZE");
	}
	closedir(tasks);
}

/* All threads go on by themselves. */
static void let_go(pid_t stopped)
{
	int status = 0;
	size_t i = 0;

	for (i = 0; i < count; i++) {
		if (threads[i].tid != stopped &&
		    (ptrace(PTRACE_INTERRUPT, threads[i].tid, 0, 0) ||
		     waitpid(threads[i].tid, &status, __WALL) < 0 ||
		     !WIFSTOPPED(status)))
			continue;
		if (ptrace(PTRACE_DETACH, threads[i].tid, 0, 0) &&
		    errno != ESRCH)
			die("PTRACE_DETACH");
	}
}

int main(int argc, char **argv)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	pid_t held = 0;
	int status = 0;
	int signal = 0;
	pid_t tid = 0;

	if (argc != 2)
		return 2;
	seize(atoi(argv[1]));
	puts("tracing");
	fflush(stdout);
	while (!poll(&in, 1, 1)) {
		while ((tid = waitpid(-1, &status, __WALL | WNOHANG)) > 0) {
			if (!WIFSTOPPED(status))
				continue;
			signal = WSTOPSIG(status);
			if (signal == (SIGTRAP | 0x80)) {
				if (!held && about_to_answer(thread(tid))) {
					held = tid;
					puts("held");
					fflush(stdout);
					continue;
				}
				signal = 0;
			} else if (status >> 16) {
				signal = 0;
			}
			if (ptrace(PTRACE_SYSCALL, tid, 0, signal) &&
			    errno != ESRCH)
				die("PTRACE_SYSCALL");
		}
	}
	let_go(held);

	return 0;
}
