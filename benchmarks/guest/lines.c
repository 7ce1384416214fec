// SPDX-License-Identifier: Apache-2.0
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "lines.h"

#define ALIGNMENT	64
#define MAX_FILE_SIZE	(64u << 20)

void bench_fail(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vfprintf(stderr, format, arguments);
	va_end(arguments);
	fputc('\n', stderr);
	exit(1);
}

int bench_next(char *line, size_t size, struct bench_words *words)
{
	char *rest = NULL;

	fflush(stdout);
	if (!fgets(line, size, stdin))
		return 0;
	words->count = 0;
	for (char *word = strtok_r(line, " \n", &rest); word;
	     word = strtok_r(NULL, " \n", &rest)) {
		if (words->count == BENCH_MAX_WORDS)
			bench_fail("more than %d words", BENCH_MAX_WORDS);
		words->word[words->count++] = word;
	}
	if (!words->count)
		bench_fail("an empty line");

	return 1;
}

uint64_t bench_number(const char *word, uint64_t max)
{
	char *end = NULL;
	unsigned long long number = 0;

	errno = 0;
	number = strtoull(word, &end, 10);
	if (errno || end == word || *end || number > max)
		bench_fail("%s is not a number up to %llu", word,
			   (unsigned long long)max);

	return number;
}

uint8_t *bench_read(const char *path, size_t *len)
{
	FILE *file = fopen(path, "rb");
	uint8_t *data = NULL;
	long size = 0;
	size_t room = 0;

	if (!file || fseek(file, 0, SEEK_END) || (size = ftell(file)) < 0)
		bench_fail("cannot read %s: %s", path, strerror(errno));
	if (!size || size > (long)MAX_FILE_SIZE)
		bench_fail("%s has %ld bytes", path, size);
	room = ((size_t)size + 2 * ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
	data = aligned_alloc(ALIGNMENT, room);
	rewind(file);
	if (!data || fread(data, 1, size, file) != (size_t)size)
		bench_fail("cannot read %s: %s", path, strerror(errno));
	fclose(file);
	*len = size;

	return data;
}

void bench_write(const char *path, const void *data, size_t len)
{
	FILE *file = fopen(path, "wb");

	if (!file || fwrite(data, 1, len, file) != len || fclose(file))
		bench_fail("cannot write %s: %s", path, strerror(errno));
}

uint64_t bench_now_ns(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);

	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}
