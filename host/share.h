// SPDX-License-Identifier: Apache-2.0
/*
 * Files of the shared folder, and of no other: a path is the folder's own
 * name, a slash, and one name that is not hidden. Symbolic links are not
 * followed. Functions return -1 and set errno as open() does.
 */
#ifndef CML_SHARE_H
#define CML_SHARE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct share {
	const char *path;
	int fd;
};

int share_open(struct share *share, const char *path);
void share_close(struct share *share);

/* A regular file to read; EINVAL when @path does not lead into the share. */
int share_open_file(const struct share *share, const char *path);
/* All at once under its name: a reader never sees a part of it. */
int share_write_file(const struct share *share, const char *path,
		     const uint8_t *data, size_t len);

#endif /* CML_SHARE_H */
