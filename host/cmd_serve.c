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
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "commands.h"
#include "requests.h"
#include "unix_socket.h"

#define BACKLOG		16
/* How long the end waits for commands that the TEE still works on. */
#define END_WAIT_S	10

struct peer {
	struct connection connection;
	struct service *service;
	int fd;
	struct peer *next;
};

struct service {
	struct workers *workers;
	struct sessions *sessions;
	pthread_mutex_t loading;
	struct share share;
	const char *vault;
	pthread_mutex_t lock;
	pthread_cond_t left;	/* a peer is gone */
	struct peer *peers;
};

static int bind_to(const char *path)
{
	struct sockaddr_un address = { 0 };
	int fd = unix_socket(path, &address);

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

static void add_peer(struct service *service, struct peer *peer)
{
	pthread_mutex_lock(&service->lock);
	peer->next = service->peers;
	service->peers = peer;
	pthread_mutex_unlock(&service->lock);
}

/* Also closes: nobody may shut down a descriptor that was given anew. */
static void remove_peer(struct service *service, struct peer *peer)
{
	struct peer **link = &service->peers;

	pthread_mutex_lock(&service->lock);
	while (*link != peer)
		link = &(*link)->next;
	*link = peer->next;
	close(peer->fd);
	pthread_cond_broadcast(&service->left);
	pthread_mutex_unlock(&service->lock);
	free(peer);
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
	remove_peer(peer->service, peer);

	return NULL;
}

static void start_peer(struct service *service, int fd)
{
	struct peer *peer = calloc(1, sizeof(*peer));
	pthread_attr_t attr;
	pthread_t thread;
	int error = 0;

	if (!peer) {
		close(fd);
		return;
	}
	peer->connection.sessions = service->sessions;
	peer->connection.workers = service->workers;
	peer->connection.loading = &service->loading;
	peer->connection.share = &service->share;
	peer->connection.models = &service->share;
	peer->connection.vault = service->vault;
	peer->service = service;
	peer->fd = fd;
	add_peer(service, peer);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	error = pthread_create(&thread, &attr, peer_thread, peer);
	pthread_attr_destroy(&attr);
	if (error) {
		fprintf(stderr, "cml-ca: no thread: %s\n", strerror(error));
		remove_peer(service, peer);
	}
}

/* Hangs up on all; true when they have let go of their sessions. */
static bool end_peers(struct service *service)
{
	struct timespec deadline = { 0 };
	bool gone = false;
	int error = 0;

	clock_gettime(CLOCK_REALTIME, &deadline);
	deadline.tv_sec += END_WAIT_S;
	pthread_mutex_lock(&service->lock);
	for (struct peer *peer = service->peers; peer; peer = peer->next)
		shutdown(peer->fd, SHUT_RDWR);
	while (service->peers && !error)
		error = pthread_cond_timedwait(&service->left, &service->lock,
					       &deadline);
	gone = !service->peers;
	pthread_mutex_unlock(&service->lock);

	return gone;
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

static void accept_until_signal(struct service *service, int listener,
				int signals)
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
			start_peer(service, fd);
	}
}

static int report(const char *what)
{
	fprintf(stderr, "cml-ca: %s: %s\n", what, strerror(errno));

	return EXIT_FAILURE;
}

static int serve(struct service *service, const char *path, int signals)
{
	const int listener = bind_to(path);

	if (signals < 0 || listener < 0)
		return report(path);
	fprintf(stderr, "cml-ca: serving %s on %s\n", service->share.path,
		path);
	accept_until_signal(service, listener, signals);
	close(listener);
	unlink(path);
	/* What a command still uses, the kernel closes with this process. */
	if (end_peers(service)) {
		workers_free(service->workers);
		sessions_free(service->sessions);
	}

	return EXIT_SUCCESS;
}

int cmd_serve(const struct options *options)
{
	/* Before there is any other thread: none of them takes a signal. */
	const int signals = end_signals();
	struct service service = {
		.vault = options->vault,
		.workers = workers_new(),
		.loading = PTHREAD_MUTEX_INITIALIZER,
		.lock = PTHREAD_MUTEX_INITIALIZER,
		.left = PTHREAD_COND_INITIALIZER,
	};

	if (service.workers)
		service.sessions = sessions_new(service.workers);
	if (!service.sessions)
		return report("sessions");
	if (share_open(&service.share, options->share))
		return report(options->share);

	return serve(&service, options->socket, signals);
}
