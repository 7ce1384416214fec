// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>

#include "arena.h"
#include "memory.h"

/* What the first attempt, and others when it fails, go by */
enum order { LARGEST, LONGEST, EARLIEST, ORDERS };
/* From each order. Real networks take one, the worst of ten tried seven. */
#define ATTEMPTS	16
/* Comparisons of two items, after which what was found is good enough */
#define MAX_WORK	(1u << 26)
/* cml_arena_item.next of an item not yet placed, and of the last one */
#define UNPLACED	(-2)
#define END		(-1)

static size_t align_up(size_t size)
{
	return (size + CML_MEMORY_ALIGN - 1) & ~(size_t)(CML_MEMORY_ALIGN - 1);
}

static bool overlap_in_time(const struct cml_arena_item *a,
			    const struct cml_arena_item *b)
{
	return a->first <= b->last && b->first <= a->last;
}

/* The smallest gap that holds @item; placed items are listed by offset. */
static size_t best_gap(const struct cml_arena_item *items, int32_t head,
		       const struct cml_arena_item *item)
{
	size_t need = align_up(item->size);
	size_t best = 0;
	size_t best_size = SIZE_MAX;
	size_t end = 0;		/* of all before that live at the same time */

	for (int32_t i = head; i != END; i = items[i].next) {
		if (!overlap_in_time(&items[i], item))
			continue;
		if (items[i].offset >= end &&
		    items[i].offset - end >= need &&
		    items[i].offset - end < best_size) {
			best = end;
			best_size = items[i].offset - end;
		}
		if (items[i].offset + align_up(items[i].size) > end)
			end = items[i].offset + align_up(items[i].size);
	}

	return best_size == SIZE_MAX ? end : best;
}

static void insert(struct cml_arena_item *items, int32_t *head, int32_t index)
{
	int32_t *link = head;

	while (*link != END && items[*link].offset <= items[index].offset)
		link = &items[*link].next;
	items[index].next = *link;
	*link = index;
}

static bool goes_before(const struct cml_arena_item *a,
			const struct cml_arena_item *b, enum order order)
{
	int32_t a_length = a->last - a->first;
	int32_t b_length = b->last - b->first;

	if (a->urgency != b->urgency)
		return a->urgency > b->urgency;
	if (order == LARGEST && a->size != b->size)
		return a->size > b->size;
	if (order == LONGEST && a_length != b_length)
		return a_length > b_length;

	return a->first < b->first;
}

/* The next one to be placed, the earliest of equals, or END. */
static int32_t next_item(const struct cml_arena_item *items, size_t count,
			 enum order order)
{
	int32_t found = END;

	for (size_t i = 0; i < count; i++)
		if (items[i].next == UNPLACED &&
		    (found == END ||
		     goes_before(&items[i], &items[found], order)))
			found = i;

	return found;
}

static size_t end_of(const struct cml_arena_item *item)
{
	return item->offset + align_up(item->size);
}

static size_t attempt(struct cml_arena_item *items, size_t count,
		      int32_t lowest, enum order order)
{
	int32_t head = END;
	int32_t index = lowest;
	size_t size = 0;

	for (size_t i = 0; i < count; i++) {
		items[i].offset = 0;
		items[i].next = items[i].size ? UNPLACED : END;
	}
	if (lowest == CML_ARENA_NONE || !items[lowest].size)
		index = next_item(items, count, order);

	while (index != END) {
		items[index].offset = best_gap(items, head, &items[index]);
		insert(items, &head, index);
		if (end_of(&items[index]) > size)
			size = end_of(&items[index]);
		index = next_item(items, count, order);
	}

	return size;
}

/* No plan can be smaller: items begin at multiples of the alignment. */
static size_t aligned_bound(const struct cml_arena_item *items, size_t count)
{
	size_t bound = 0;

	for (size_t i = 0; i < count; i++) {
		size_t live = 0;

		for (size_t j = 0; j < count; j++)
			if (items[j].first <= items[i].first &&
			    items[i].first <= items[j].last)
				live += align_up(items[j].size);
		if (items[i].size && live > bound)
			bound = live;
	}

	return bound;
}

/* Remembers the plan if it is the best so far; what sticks out is urgent. */
static size_t judge(struct cml_arena_item *items, size_t count, size_t size,
		    size_t best, size_t bound)
{
	for (size_t i = 0; i < count; i++) {
		if (size < best)
			items[i].best = items[i].offset;
		if (items[i].size && end_of(&items[i]) > bound)
			items[i].urgency++;
	}

	return size < best ? size : best;
}

size_t cml_arena_plan(struct cml_arena_item *items, size_t count,
		      int32_t lowest)
{
	size_t bound = aligned_bound(items, count);
	size_t best = SIZE_MAX;
	uint64_t work = 0;

	for (size_t n = 0; best > bound && n < ORDERS * ATTEMPTS &&
	     work <= MAX_WORK; n++) {
		enum order order = n / ATTEMPTS;
		size_t size = 0;

		for (size_t i = 0; n % ATTEMPTS == 0 && i < count; i++)
			items[i].urgency = 0;
		size = attempt(items, count, lowest, order);
		best = judge(items, count, size, best, bound);
		work += (uint64_t)count * count;
	}
	for (size_t i = 0; i < count; i++)
		items[i].offset = items[i].best;

	return best;
}

size_t cml_arena_lower_bound(const struct cml_arena_item *items, size_t count)
{
	size_t bound = 0;

	/* The live set is largest where some item begins. */
	for (size_t i = 0; i < count; i++) {
		size_t live = 0;

		for (size_t j = 0; j < count; j++)
			if (items[j].size && items[j].first <= items[i].first &&
			    items[i].first <= items[j].last)
				live += items[j].size;
		if (live > bound)
			bound = live;
	}

	return bound;
}
