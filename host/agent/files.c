// SPDX-License-Identifier: Apache-2.0
/* Files to the guest and from it. */
#define _GNU_SOURCE /* for asprintf() */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "services.h"

#define CHUNK	(64 * 1024)

static char *path_of(const uint8_t *data, size_t len)
{
	return memchr(data, '\0', len) ? NULL :
	       strndup((const char *)data, len);
}

static bool write_all(int fd, const uint8_t *data, size_t len)
{
	ssize_t put = 0;

	for (size_t done = 0; done < len; done += put) {
		put = write(fd, data + done, len - done);
		if (put < 0 && errno == EINTR)
			put = 0;
		if (put < 0)
			return false;
	}

	return true;
}

/*
 * Writes what comes until END; after an error reads on, for the host is still
 * sending. False: the host hung up.
 */
static bool receive_file(int fd, struct inbox *inbox, int file, int *error)
{
	struct frame frame = { 0 };

	for (;;) {
		if (!frame_receive(inbox, fd, &frame))
			return false;
		if (frame.type == FRAME_END)
			return true;
		if (frame.type != FRAME_DATA)
			return false;
		if (!*error && !write_all(file, frame.data, frame.len))
			*error = errno;
	}
}

static void put_file(int fd, struct inbox *inbox, const char *path,
		     const char *new, mode_t mode)
{
	int file = open(new, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int error = file < 0 ? errno : 0;
	bool whole = receive_file(fd, inbox, file, &error);

	/* In this order: a program must not be open for writing when run. */
	if (file >= 0 && fchmod(file, mode) && !error)
		error = errno;
	if (file >= 0 && close(file) && !error)
		error = errno;
	if (whole && !error && rename(new, path))
		error = errno;
	if (file >= 0 && (!whole || error))
		unlink(new);
	if (!whole)
		return;
	if (error)
		frame_send_failed(fd, error, "put");
	else
		frame_send(fd, FRAME_DONE, NULL, 0);
}

void serve_put(int fd, struct inbox *inbox, const struct frame *first)
{
	const uint32_t mode = first->len >= 4 ? load_u32(first->data) : 0;
	char *path = NULL;
	char *new = NULL;

	if (first->len >= 4)
		path = path_of(first->data + 4, first->len - 4);
	if (!path || mode & ~07777u) {
		frame_send_failed(fd, EINVAL, "put");
		goto out;
	}
	/* The number of a process that does nothing else: it is unique. */
	if (asprintf(&new, "%s.%ld.new", path, (long)getpid()) < 0) {
		new = NULL;
		frame_send_failed(fd, ENOMEM, "put");
		goto out;
	}
	put_file(fd, inbox, path, new, mode);
out:
	free(new);
	free(path);
}

static int send_file(int fd, int file)
{
	uint8_t *data = malloc(CHUNK);
	ssize_t got = 0;
	int error = 0;

	if (!data)
		return ENOMEM;
	for (;;) {
		got = read(file, data, CHUNK);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			error = errno;
		if (got <= 0 || !frame_send(fd, FRAME_DATA, data, got))
			break;
	}
	free(data);

	return error;
}

void serve_get(int fd, const struct frame *first)
{
	char *path = path_of(first->data, first->len);
	struct stat stat = { 0 };
	int error = 0;
	int file = -1;

	/* Opening a FIFO would wait for who writes to it. */
	if (path)
		file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	else
		errno = EINVAL;
	if (file < 0 || fstat(file, &stat))
		error = errno;
	else if (!S_ISREG(stat.st_mode))
		error = S_ISDIR(stat.st_mode) ? EISDIR : EINVAL;
	else
		error = send_file(fd, file);
	if (error)
		frame_send_failed(fd, error, "get");
	else
		frame_send(fd, FRAME_END, NULL, 0);
	if (file >= 0)
		close(file);
	free(path);
}
