// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cml_ta.h"
#include "vault.h"

/* A file that is not there as a whole yet; sweeping takes it away. */
#define PART		".part"
#define COPY_SIZE	65536
/* CML_HEADER_SIZE of ta/core/header.h; what precedes the salt (stream.h) */
#define HEADER_SIZE	72
#define SALT_OFFSET	(HEADER_SIZE + 1)

static int make_folder(const char *path)
{
	return mkdir(path, 0700) && errno != EEXIST ? -1 : 0;
}

int vault_open(struct vault *vault, const char *root, const char *id)
{
	if (snprintf(vault->path, sizeof(vault->path), "%s/%s", root, id) >=
	    (int)sizeof(vault->path)) {
		errno = ENAMETOOLONG;
		return -1;
	}
	if (make_folder(root) || make_folder(vault->path))
		return -1;

	return share_open(&vault->folder, vault->path);
}

void vault_close(struct vault *vault)
{
	share_close(&vault->folder);
}

bool vault_name(int fd, char name[VAULT_NAME_LEN + 1])
{
	uint8_t source[TA_CML_MODEL_SOURCE_SIZE] = { 0 };

	if (pread(fd, source, sizeof(source), 0) != sizeof(source))
		return false;
	for (size_t i = 0; i < VAULT_NAME_LEN / 2; i++)
		snprintf(name + 2 * i, 3, "%02x", source[SALT_OFFSET + i]);

	return true;
}

static int copy(int from, int to)
{
	uint8_t bytes[COPY_SIZE];
	ssize_t written = 0;
	off_t offset = 0;
	ssize_t len = 0;

	for (;;) {
		len = pread(from, bytes, sizeof(bytes), offset);
		if (len <= 0)
			return len;
		for (ssize_t done = 0; done < len; done += written) {
			written = write(to, bytes + done, len - done);
			if (written < 0)
				return -1;
		}
		offset += len;
	}
}

int vault_keep(struct vault *vault, int fd, const char *name)
{
	const int folder = vault->folder.fd;
	int failed = 0;
	int part = -1;

	part = openat(folder, PART,
		      O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
		      0600);
	if (part < 0)
		return -1;
	/* The content lasts before the name does, and that before the entry. */
	failed = copy(fd, part) || fsync(part);
	failed |= close(part);
	if (failed || renameat(folder, PART, folder, name) || fsync(folder)) {
		const int cause = errno;

		unlinkat(folder, PART, 0);
		errno = cause;
		return -1;
	}

	return 0;
}

void vault_sweep(struct vault *vault,
		 bool (*is_wanted)(const void *ctx, const char *name),
		 const void *ctx)
{
	const int fd = openat(vault->folder.fd, ".",
			      O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct dirent *entry = NULL;
	DIR *folder = NULL;

	if (fd < 0)
		return;
	folder = fdopendir(fd);
	if (!folder) {
		close(fd);
		return;
	}
	while ((entry = readdir(folder)))
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") &&
		    !is_wanted(ctx, entry->d_name))
			unlinkat(fd, entry->d_name, 0);
	closedir(folder);
}
