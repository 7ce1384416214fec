// SPDX-License-Identifier: Apache-2.0
/* A thread a connection; all share the table of sessions. */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "commands.h"
#include "requests.h"

#define BACKLOG 16

struct peer {
	struct connection connection;
	int fd;
};

static int bind_to(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = -1;

	if (strlen(path) >= sizeof(address.sun_path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	strcpy(address.sun_path, path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		errno = EADDRINUSE;
		return -1;
	}
	/* Nobody listens: what is there was left behind. */
	unlink(path);
	umask(077);
	if (bind(fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(fd, BACKLOG)) {
		close(fd);
		return -1;
	}

	return fd;
}

static bool send_reply(int fd, struct text *reply)
{
	ssize_t sent = 0;

	/* text.c keeps a byte free for it. */
	reply->data[reply->len++] = '\n';
	for (size_t done = 0; done < reply->len; done += sent) {
		sent = send(fd, reply->data + done, reply->len - done,
			    MSG_NOSIGNAL);
		if (sent < 0 && errno == EINTR)
			sent = 0;
		if (sent < 0)
			return false;
	}

	return true;
}

/* Runs each whole line of @data; returns how much is left, or -1. */
static ssize_t run_lines(struct peer *peer, char *data, size_t len,
			 struct text *reply)
{
	char *begin = data;
	char *end = NULL;

	while ((end = memchr(begin, '\n', data + len - begin))) {
		*end = '\0';
		*reply = (struct text){ 0 };
		request_run(&peer->connection, begin, reply);
		if (!send_reply(peer->fd, reply))
			return -1;
		begin = end + 1;
	}
	len -= begin - data;
	memmove(data, begin, len);

	return len;
}

static void serve_peer(struct peer *peer, struct text *reply)
{
	char data[REQUEST_MAX_SIZE] = "";
	ssize_t left = 0;
	ssize_t got = 0;

	for (;;) {
		got = recv(peer->fd, data + left, sizeof(data) - left, 0);
		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return;
		left = run_lines(peer, data, left + got, reply);
		if (left < 0)
			return;
		if (left == sizeof(data)) {
			fprintf(stderr, "cml-ca: a request is too long\n");
			return;
		}
	}
}

static void *peer_thread(void *arg)
{
	struct text *reply = malloc(sizeof(*reply));
	struct peer *peer = arg;

	if (reply)
		serve_peer(peer, reply);
	if (peer->connection.session)
		sessions_detach(peer->connection.sessions,
				peer->connection.session);
	free(reply);
	close(peer->fd);
	free(peer);

	return NULL;
}

static void start_peer(int fd, struct sessions *sessions,
		       const struct share *share)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	pthread_attr_t attr;
	pthread_t thread;
	int error = ENOMEM;

	if (peer) {
		peer->connection.sessions = sessions;
		peer->connection.share = share;
		peer->fd = fd;
		pthread_attr_init(&attr);
		pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
		error = pthread_create(&thread, &attr, peer_thread, peer);
		pthread_attr_destroy(&attr);
	}
	if (!error)
		return;
	fprintf(stderr, "cml-ca: no thread: %s\n", strerror(error));
	free(peer);
	close(fd);
}

/* SIGINT and SIGTERM as a file that poll() can wait for. */
static int end_signals(void)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);

	return signalfd(-1, &set, SFD_CLOEXEC);
}

static void accept_until_signal(int listener, int signals,
				struct sessions *sessions,
				const struct share *share)
{
	struct pollfd fds[] = {
		{ .fd = listener, .events = POLLIN },
		{ .fd = signals, .events = POLLIN },
	};
	int fd = -1;

	for (;;) {
		if (poll(fds, 2, -1) < 0) {
			if (errno == EINTR)
				continue;
			return;
		}
		if (fds[1].revents)
			return;
		fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
		if (fd >= 0)
			start_peer(fd, sessions, share);
	}
}

int cmd_serve(const struct options *options)
{
	struct sessions *sessions = sessions_new();
	struct share share = { 0 };
	int signals = -1;
	int listener = -1;

	if (!sessions)
		return EXIT_FAILURE;
	if (share_open(&share, options->share)) {
		fprintf(stderr, "cml-ca: %s: %s\n", options->share,
			strerror(errno));
		return EXIT_FAILURE;
	}
	signals = end_signals();
	listener = bind_to(options->socket);
	if (signals < 0 || listener < 0) {
		fprintf(stderr, "cml-ca: %s: %s\n", options->socket,
			strerror(errno));
		return EXIT_FAILURE;
	}
	fprintf(stderr, "cml-ca: serving %s on %s\n", options->share,
		options->socket);
	accept_until_signal(listener, signals, sessions, &share);

	/* Threads may hold sessions: the kernel closes them with this process. */
	unlink(options->socket);

	return EXIT_SUCCESS;
}
