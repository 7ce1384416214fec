// SPDX-License-Identifier: Apache-2.0
/*
 * Where in one arena each tensor and each kernel's scratch goes, so that no
 * two that live at the same time overlap and the arena is small.
 */
#ifndef CML_ARENA_H
#define CML_ARENA_H

#include <stddef.h>
#include <stdint.h>

struct cml_arena_item {
	size_t size;		/* 0: takes no part */
	int32_t first, last;	/* steps it lives in, both included */
	size_t offset;		/* the answer, CML_MEMORY_ALIGN aligned */
	/* The planner's own */
	int32_t next;
	uint32_t urgency;
	size_t best;
};

#define CML_ARENA_NONE	(-1)

/*
 * Greedy: one item after another, each into the smallest gap that is large
 * enough; the largest first. If that is larger than it has to be, again: what
 * stuck out gets its place earlier, a number of times; then from other orders.
 * The best plan is kept.
 *
 * Item @lowest (or CML_ARENA_NONE) goes to offset 0 before all others. Time
 * grows with the square of @count.
 * Returns the size of the arena. The sum of all sizes must fit in size_t.
 */
size_t cml_arena_plan(struct cml_arena_item *items, size_t count,
		      int32_t lowest);

/* The most bytes that live at one step: no plan can be smaller. */
size_t cml_arena_lower_bound(const struct cml_arena_item *items, size_t count);

#endif /* CML_ARENA_H */
