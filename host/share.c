// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "share.h"

int share_open(struct share *share, const char *path)
{
	share->path = path;
	share->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return share->fd < 0 ? -1 : 0;
}

void share_close(struct share *share)
{
	if (share->fd >= 0)
		close(share->fd);
	share->fd = -1;
}

/* What follows the folder in @path, or NULL. */
static const char *name_in(const struct share *share, const char *path)
{
	const size_t len = strlen(share->path);
	const char *name = NULL;

	if (strncmp(path, share->path, len) || path[len] != '/') {
		errno = EINVAL;
		return NULL;
	}
	name = path + len + 1;
	if (!*name || *name == '.' || strchr(name, '/')) {
		errno = EINVAL;
		return NULL;
	}

	return name;
}

int share_open_file(const struct share *share, const char *path)
{
	const char *name = name_in(share, path);
	struct stat status = { 0 };
	int fd = -1;

	if (!name)
		return -1;
	/* Without O_NONBLOCK a FIFO would wait for its other end. */
	fd = openat(share->fd, name,
		    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -1;
	if (fstat(fd, &status) || !S_ISREG(status.st_mode)) {
		close(fd);
		errno = EINVAL;
		return -1;
	}

	return fd;
}

static int write_all(int fd, const uint8_t *data, size_t len)
{
	ssize_t written = 0;

	for (size_t done = 0; done < len; done += written) {
		written = write(fd, data + done, len - done);
		if (written < 0 && errno == EINTR)
			written = 0;
		if (written < 0)
			return -1;
	}

	return 0;
}

int share_write_file(const struct share *share, const char *path,
		     const uint8_t *data, size_t len)
{
	const char *name = name_in(share, path);
	char part[NAME_MAX + 1] = "";
	int failed = 0;
	int fd = -1;

	if (!name)
		return -1;
	if (snprintf(part, sizeof(part), ".%s.part", name) >=
	    (int)sizeof(part)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	fd = openat(share->fd, part,
		    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		    0600);
	if (fd < 0)
		return -1;
	failed = write_all(fd, data, len);
	failed |= close(fd);
	if (!failed)
		failed = renameat(share->fd, part, share->fd, name);
	if (failed) {
		const int cause = errno;

		unlinkat(share->fd, part, 0);
		errno = cause;
		return -1;
	}

	return 0;
}
