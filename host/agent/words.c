// SPDX-License-Identifier: Apache-2.0
#include <stdlib.h>
#include <string.h>

#include "words.h"

static char *copied(const uint8_t *data, size_t len)
{
	char *copy = NULL;

	if (len && memchr(data, '\0', len))
		return NULL;
	copy = malloc(len + 1);
	if (!copy)
		return NULL;
	if (len)
		memcpy(copy, data, len);
	copy[len] = '\0';

	return copy;
}

static bool grow(struct words *words)
{
	const size_t room = words->room ? 2 * words->room : 16;
	char **list = NULL;

	/* One more for the NULL at the end. */
	if (words->count + 1 < words->room)
		return true;
	list = realloc(words->list, room * sizeof(*list));
	if (!list)
		return false;
	words->list = list;
	words->room = room;

	return true;
}

bool words_add(struct words *words, const uint8_t *data, size_t len)
{
	char *copy = NULL;

	if (!grow(words))
		return false;
	copy = copied(data, len);
	if (!copy)
		return false;
	words->list[words->count++] = copy;
	words->list[words->count] = NULL;
	words->size += len + 1 + sizeof(char *);

	return true;
}

bool words_set(struct words *words, const uint8_t *data, size_t len)
{
	const uint8_t *equals = len ? memchr(data, '=', len) : NULL;
	char *copy = NULL;
	size_t name = 0;

	if (!equals || equals == data)
		return false;
	name = equals + 1 - data;
	for (size_t i = 0; i < words->count; i++) {
		if (strncmp(words->list[i], (const char *)data, name))
			continue;
		copy = copied(data, len);
		if (!copy)
			return false;
		words->size += len;
		words->size -= strlen(words->list[i]);
		free(words->list[i]);
		words->list[i] = copy;
		return true;
	}

	return words_add(words, data, len);
}

void words_free(struct words *words)
{
	for (size_t i = 0; i < words->count; i++)
		free(words->list[i]);
	free(words->list);
	*words = (struct words){ 0 };
}
