// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>

#include "arena.h"
#include "memory.h"

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

/* The largest not yet placed, the earliest of equals, or END. */
static int32_t largest(const struct cml_arena_item *items, size_t count)
{
	int32_t found = END;

	for (size_t i = 0; i < count; i++) {
		if (items[i].next != UNPLACED)
			continue;
		if (found == END || items[i].size > items[found].size ||
		    (items[i].size == items[found].size &&
		     items[i].first < items[found].first))
			found = i;
	}

	return found;
}

size_t cml_arena_plan(struct cml_arena_item *items, size_t count,
		      int32_t lowest)
{
	int32_t head = END;
	int32_t index = lowest;
	size_t end = 0;
	size_t size = 0;

	for (size_t i = 0; i < count; i++) {
		items[i].offset = 0;
		items[i].next = items[i].size ? UNPLACED : END;
	}
	if (lowest == CML_ARENA_NONE || !items[lowest].size)
		index = largest(items, count);

	while (index != END) {
		items[index].offset = best_gap(items, head, &items[index]);
		insert(items, &head, index);
		end = items[index].offset + align_up(items[index].size);
		if (end > size)
			size = end;
		index = largest(items, count);
	}

	return size;
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
