// SPDX-License-Identifier: Apache-2.0
/*
 * Programs that are spoken to line by line: a command in, a JSON object out.
 * What goes wrong ends the program, with a sentence on standard error.
 */
#ifndef BENCH_LINES_H
#define BENCH_LINES_H

#include <stddef.h>
#include <stdint.h>

#define BENCH_MAX_WORDS	4

struct bench_words {
	size_t count;
	char *word[BENCH_MAX_WORDS];
};

/* Never returns. */
void bench_fail(const char *format, ...)
	__attribute__((format(printf, 1, 2), noreturn));
/* The next command; false at the end of the input. @line keeps the words. */
int bench_next(char *line, size_t size, struct bench_words *words);
uint64_t bench_number(const char *word, uint64_t max);

/* Whole files. What is read is aligned to 64 bytes. */
uint8_t *bench_read(const char *path, size_t *len);
void bench_write(const char *path, const void *data, size_t len);

uint64_t bench_now_ns(void);

#endif /* BENCH_LINES_H */
