// SPDX-License-Identifier: Apache-2.0
/*
 * spin CORE MILLISECONDS: keeps a core to itself, as a normal world may. What
 * the secure world was doing there waits.
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
	double end = 0;
	cpu_set_t set;

	if (argc != 3)
		return 2;
	CPU_ZERO(&set);
	CPU_SET(atoi(argv[1]), &set);
	if (sched_setaffinity(0, sizeof(set), &set) ||
	    sched_setscheduler(0, SCHED_FIFO, &param)) {
		perror("spin");
		return 1;
	}
	end = now_ms() + atoi(argv[2]);
	while (now_ms() < end)
		;

	return 0;
}
