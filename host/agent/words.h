/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of strings in the form of execve(): argv and environ. */
#ifndef WORDS_H
#define WORDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct words {
	char **list;	/* ends with NULL; never itself NULL once added to */
	size_t count, room;
	size_t size;	/* of all strings, and a pointer to each */
};

/* False when there is no memory, or a NUL inside. */
bool words_add(struct words *words, const uint8_t *data, size_t len);
/* The same for NAME=VALUE, in place of another of that name. */
bool words_set(struct words *words, const uint8_t *data, size_t len);
void words_free(struct words *words);

#endif /* WORDS_H */
