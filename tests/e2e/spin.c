// SPDX-License-Identifier: Apache-2.0
/*
 * spin CORE: for each number of milliseconds that it reads from stdin, one a
 * line, it keeps the core to itself, as a normal world may, and then prints a
 * line. What the secure world was doing there waits.
 */
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

static double now_ms(void)
{
	struct timespec now = { 0 };

	clock_gettime(CLOCK_MONOTONIC, &now);

	return now.tv_sec * 1e3 + now.tv_nsec / 1e6;
}

int main(int argc, char **argv)
{
	const struct sched_param param = { .sched_priority = 50 };
	cpu_set_t set;
	int ms = 0;

	if (argc != 2)
		return 2;
	CPU_ZERO(&set);
	CPU_SET(atoi(argv[1]), &set);
	if (sched_setaffinity(0, sizeof(set), &set) ||
	    sched_setscheduler(0, SCHED_FIFO, &param)) {
		perror("spin");
		return 1;
	}
	while (scanf("%d", &ms) == 1) {
		const double end = now_ms() + ms;

		while (now_ms() < end)
			;
		puts("done");
		fflush(stdout);
	}

	return 0;
}
