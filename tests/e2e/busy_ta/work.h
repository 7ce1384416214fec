/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work of known shares, for both worlds: of each round, 7 parts are done in one
 * function and 3 in another. A part is the same instructions in both.
 */
#ifndef WORK_H
#define WORK_H

#include <stdint.h>

/* A few hundred thousand instructions. */
#define WORK_PART 60000

static inline uint32_t work_part(uint32_t x)
{
	for (uint32_t i = 0; i < WORK_PART; i++) {
		x = x * 1664525 + 1013904223;
		/* Else the compiler would know the sum of it all. */
		__asm__ volatile("" : "+r"(x));
	}
	return x;
}

static __attribute__((noinline)) uint32_t work_seventy(uint32_t x)
{
	for (uint32_t i = 0; i < 7; i++)
		x = work_part(x);
	return x;
}

static __attribute__((noinline)) uint32_t work_thirty(uint32_t x)
{
	for (uint32_t i = 0; i < 3; i++)
		x = work_part(x);
	return x;
}

static __attribute__((noinline)) uint32_t work_rounds(uint32_t rounds)
{
	uint32_t x = rounds;

	for (uint32_t i = 0; i < rounds; i++)
		x = work_thirty(work_seventy(x));
	return x;
}

#endif /* WORK_H */
