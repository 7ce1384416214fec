// SPDX-License-Identifier: Apache-2.0
/*
 * The guest's agent: runs commands, carries files and calls the TEE for the
 * host. A process for each connection, which does one thing and ends: what it
 * held, the kernel takes back.
 */
#define _GNU_SOURCE /* for accept4() */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "handshake.h"
#include "services.h"

#define EXIT_USAGE		2
#define BACKLOG			64
/* More than anybody needs; the next waits until one is over. */
#define MAX_CONNECTIONS		256
/* How long a connection that is over may hold its process. */
#define LINGER_S		5

static const char help[] =
"Usage: sandbox-agent [OPTION]...\n"
"Serves the host of this virtual machine: commands, files, the TEE.\n"
"\n"
"      --token=FILE     what the host must know too, 32 bytes\n"
"                       (/etc/sandbox-agent/token)\n"
"      --address=A      listen there (0.0.0.0)\n"
"      --port=N         at this port (4050); 0: any, which is printed\n"
"      --foreground     stay, instead of going to the background once it\n"
"                       listens\n"
"      --help           print this and exit\n";

struct agent {
	const char *address, *token_path;
	long port;
	bool foreground;
	uint8_t token[TOKEN_SIZE];
	int listener, signals;
	size_t connections;
};

static int report(const char *what)
{
	fprintf(stderr, "sandbox-agent: %s: %s\n", what, strerror(errno));

	return EXIT_FAILURE;
}

static void serve(int fd, struct inbox *inbox)
{
	struct frame first = { 0 };

	inbox->limit = FRAME_MAX_SIZE;
	if (!frame_receive(inbox, fd, &first))
		return;
	switch (first.type) {
	case FRAME_ARG:
	case FRAME_ENV:
	case FRAME_CWD:
	case FRAME_TTY:
		serve_command(fd, inbox, &first);
		return;
	case FRAME_PUT:
		serve_put(fd, inbox, &first);
		return;
	case FRAME_GET:
		serve_get(fd, &first);
		return;
	case FRAME_TEE_INITIALIZE:
		serve_tee(fd, inbox, &first);
		return;
	default:
		frame_send_failed(fd, EPROTO, "unknown service");
	}
}

/*
 * Closing a socket in which unread bytes wait resets the connection, and with
 * it what we said last: so the host, which may still be sending, closes first.
 */
static void linger(int fd)
{
	const struct timeval limit = { .tv_sec = LINGER_S };
	uint8_t dropped[4096] = { 0 };

	fcntl(fd, F_SETFL, 0);
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	shutdown(fd, SHUT_WR);
	while (recv(fd, dropped, sizeof(dropped), 0) > 0)
		continue;
}

_Noreturn static void connection(const struct agent *agent, int fd)
{
	const int on = 1;
	struct inbox inbox = { 0 };
	sigset_t none;

	close(agent->listener);
	close(agent->signals);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (handshake(fd, &inbox, agent->token))
		serve(fd, &inbox);
	linger(fd);
	inbox_free(&inbox);
	exit(EXIT_SUCCESS);
}

static void accept_one(struct agent *agent)
{
	const int fd = accept4(agent->listener, NULL, NULL, SOCK_CLOEXEC);
	const pid_t pid = fd < 0 ? -1 : fork();

	if (!pid)
		connection(agent, fd);
	if (pid > 0)
		agent->connections++;
	if (fd >= 0)
		close(fd);
}

static void reap(struct agent *agent)
{
	struct signalfd_siginfo info = { 0 };

	if (read(agent->signals, &info, sizeof(info)) < 0)
		return;
	while (waitpid(-1, NULL, WNOHANG) > 0)
		agent->connections--;
}

static int accept_for_ever(struct agent *agent)
{
	struct pollfd fds[2] = { { 0 } };

	for (;;) {
		const bool full = agent->connections >= MAX_CONNECTIONS;

		fds[0] = (struct pollfd){ agent->signals, POLLIN, 0 };
		fds[1] = (struct pollfd){
			full ? -1 : agent->listener, POLLIN, 0,
		};
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return report("poll");
		if (fds[0].revents)
			reap(agent);
		if (fds[1].revents)
			accept_one(agent);
	}
}

static bool read_token(struct agent *agent)
{
	const int fd = open(agent->token_path, O_RDONLY | O_CLOEXEC);
	const ssize_t got = fd < 0 ? -1 : read(fd, agent->token, TOKEN_SIZE);

	if (fd >= 0)
		close(fd);
	if (got >= 0 && got != TOKEN_SIZE)
		errno = EINVAL;

	return got == TOKEN_SIZE;
}

static bool listen_there(struct agent *agent)
{
	struct sockaddr_in address = {
		.sin_family = AF_INET, .sin_port = htons(agent->port),
	};
	socklen_t len = sizeof(address);
	const int on = 1;

	if (inet_pton(AF_INET, agent->address, &address.sin_addr) != 1) {
		errno = EINVAL;
		return false;
	}
	agent->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (agent->listener < 0)
		return false;
	setsockopt(agent->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(agent->listener, (struct sockaddr *)&address, len) ||
	    listen(agent->listener, BACKLOG) ||
	    getsockname(agent->listener, (struct sockaddr *)&address, &len))
		return false;
	if (!agent->port) {
		printf("%u\n", ntohs(address.sin_port));
		fflush(stdout);
	}

	return true;
}

static bool watch_children(struct agent *agent)
{
	sigset_t set;

	signal(SIGPIPE, SIG_IGN);
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	sigprocmask(SIG_BLOCK, &set, NULL);
	agent->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);

	return agent->signals >= 0;
}

#ifdef __aarch64__
/*
 * OP-TEE's lines have the time of the CPU's counter, and Linux's that since it
 * found the counter. A line with both tells the host the distance. Linux may
 * take its time late, for whatever comes between: the better of two counts.
 */
static void tell_clocks(void)
{
	const int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	for (int i = 0; fd >= 0 && i < 2; i++) {
		uint64_t count = 0, frequency = 0;

		__asm__ volatile("mrs %0, cntfrq_el0" : "=r"(frequency));
		__asm__ volatile("isb; mrs %0, cntvct_el0" : "=r"(count));
		dprintf(fd, "sandbox-agent: clock %" PRIu64 " %" PRIu64 "\n",
			count, frequency);
	}
	if (fd >= 0)
		close(fd);
}
#else
static void tell_clocks(void)
{
}
#endif

/*
 * What Linux leaves to user space: terminals, for dropbear's sessions too, and
 * names for a process's own files. Each command in a boot script takes 10 ms.
 */
static void provide_devices(void)
{
	static const struct {
		const char *target, *name;
	} links[] = {
		{ "/proc/self/fd", "/dev/fd" },
		{ "fd/0", "/dev/stdin" },
		{ "fd/1", "/dev/stdout" },
		{ "fd/2", "/dev/stderr" },
	};

	mkdir("/dev/pts", 0755);
	if (mount("devpts", "/dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		  "mode=0620,ptmxmode=0666") && errno != EBUSY)
		report("/dev/pts");
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		if (symlink(links[i].target, links[i].name) && errno != EEXIST)
			report(links[i].name);
}

static bool go_to_the_background(void)
{
	const int null = open("/dev/null", O_RDWR | O_CLOEXEC);
	const pid_t pid = null < 0 ? -1 : fork();

	if (pid < 0)
		return false;
	if (pid)
		_exit(EXIT_SUCCESS);
	setsid();
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	if (null > 2)
		close(null);

	return true;
}

static bool number(const char *text, long *value)
{
	char *end = NULL;

	*value = strtol(text, &end, 10);

	return end != text && !*end && *value >= 0 && *value <= UINT16_MAX;
}

enum { OPTION_HELP = 256, OPTION_TOKEN, OPTION_ADDRESS, OPTION_PORT,
       OPTION_FOREGROUND };

static const struct option long_options[] = {
	{ "help", no_argument, NULL, OPTION_HELP },
	{ "token", required_argument, NULL, OPTION_TOKEN },
	{ "address", required_argument, NULL, OPTION_ADDRESS },
	{ "port", required_argument, NULL, OPTION_PORT },
	{ "foreground", no_argument, NULL, OPTION_FOREGROUND },
	{ NULL, 0, NULL, 0 },
};

/* -1 to go on, or an exit status. */
static int parse(struct agent *agent, int argc, char **argv)
{
	int option = 0;

	while ((option = getopt_long(argc, argv, "", long_options, NULL)) >= 0)
		switch (option) {
		case OPTION_HELP:
			fputs(help, stdout);
			return EXIT_SUCCESS;
		case OPTION_TOKEN:
			agent->token_path = optarg;
			break;
		case OPTION_ADDRESS:
			agent->address = optarg;
			break;
		case OPTION_PORT:
			if (!number(optarg, &agent->port)) {
				errno = EINVAL;
				report(optarg);
				return EXIT_USAGE;
			}
			break;
		case OPTION_FOREGROUND:
			agent->foreground = true;
			break;
		default:
			return EXIT_USAGE;
		}
	if (optind == argc)
		return -1;
	fprintf(stderr, "sandbox-agent: too many words: %s\n", argv[optind]);

	return EXIT_USAGE;
}

int main(int argc, char **argv)
{
	struct agent agent = {
		.address = "0.0.0.0",
		.token_path = "/etc/sandbox-agent/token",
		.port = AGENT_PORT,
	};
	const int status = parse(&agent, argc, argv);

	if (status >= 0)
		return status;
	if (!read_token(&agent))
		return report(agent.token_path);
	if (!listen_there(&agent))
		return report("listen");
	if (!agent.foreground) {
		tell_clocks();
		provide_devices();
	}
	if (!agent.foreground && !go_to_the_background())
		return report("background");
	if (!watch_children(&agent))
		return report("signals");
	/* Where commands start, as after a login; a test's agent stays. */
	if (!agent.foreground && chdir("/root"))
		return report("/root");
	umask(022);

	return accept_for_ever(&agent);
}
