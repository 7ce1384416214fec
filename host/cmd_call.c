// SPDX-License-Identifier: Apache-2.0
/* Lines from stdin to the service, its answers to stdout. */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "unix_socket.h"

#define COPY_SIZE 4096

static int connect_to(const char *path)
{
	struct sockaddr_un address = { 0 };
	int fd = unix_socket(path, &address);

	if (fd < 0)
		return -1;
	if (connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		return -1;
	}

	return fd;
}

/* What can be read from @from goes to @to; 0 at its end, -1 on failure. */
static ssize_t copy(int from, int to)
{
	char data[COPY_SIZE];
	ssize_t got = 0;
	ssize_t put = 0;

	got = read(from, data, sizeof(data));
	if (got < 0 && errno == EINTR)
		return 1;
	for (ssize_t done = 0; done < got; done += put) {
		put = write(to, data + done, got - done);
		if (put < 0 && errno == EINTR)
			put = 0;
		if (put < 0)
			return -1;
	}

	return got;
}

int cmd_call(const struct options *options)
{
	struct pollfd fds[] = {
		{ .fd = STDIN_FILENO, .events = POLLIN },
		{ .events = POLLIN },
	};
	const int service = connect_to(options->socket);
	ssize_t got = 1;

	if (service < 0) {
		fprintf(stderr, "cml-ca: %s: %s\n", options->socket,
			strerror(errno));
		return EXIT_FAILURE;
	}
	fds[1].fd = service;
	while (got > 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			break;
		if (fds[0].revents) {
			got = copy(STDIN_FILENO, service);
			if (got < 0)
				break;
			if (!got) {
				/* The answers are still to come. */
				shutdown(service, SHUT_WR);
				fds[0].fd = -1;
			}
		}
		got = 1;
		if (fds[1].revents)
			got = copy(service, STDOUT_FILENO);
	}
	close(service);
	/* The service hangs up once we said that there is no more. */
	if (!got && fds[0].fd < 0)
		return EXIT_SUCCESS;
	fprintf(stderr, "cml-ca: the service hung up\n");

	return EXIT_FAILURE;
}
