// SPDX-License-Identifier: Apache-2.0
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "region.h"

static size_t align_up(size_t value)
{
	return (value + CML_MEMORY_ALIGN - 1) & ~(size_t)(CML_MEMORY_ALIGN - 1);
}

static void *region_alloc(void *ctx, size_t size)
{
	struct cml_region *region = ctx;
	unsigned char *ptr = NULL;

	/* The size of the region and every block start are aligned. */
	if (size > region->size - region->used) {
		if (!region->fallback)
			return NULL;
		return region->fallback->alloc(region->fallback->ctx, size);
	}
	ptr = region->base + region->used;
	region->used += align_up(size);
	memset(ptr, 0, size);

	return ptr;
}

/* As integers: pointers into different objects do not compare. */
static bool is_inside(const struct cml_region *region, const void *ptr)
{
	return (uintptr_t)ptr >= (uintptr_t)region->base &&
	       (uintptr_t)ptr - (uintptr_t)region->base < region->size;
}

static void region_release(void *ctx, void *ptr, size_t size)
{
	struct cml_region *region = ctx;
	size_t start = 0;

	if (!ptr)
		return;
	if (!is_inside(region, ptr)) {
		region->fallback->release(region->fallback->ctx, ptr, size);
		return;
	}
	cml_wipe(ptr, size);
	start = (unsigned char *)ptr - region->base;
	if (start + align_up(size) == region->used)
		region->used = start;
}

void cml_region_init(struct cml_region *region, void *base, size_t size,
		     const struct cml_allocator *fallback)
{
	const size_t skip = align_up((uintptr_t)base) - (uintptr_t)base;

	*region = (struct cml_region){
		.allocator = {
			.alloc = region_alloc,
			.release = region_release,
			.ctx = region,
		},
		.fallback = fallback,
	};
	if (size < skip)
		return;
	region->base = (unsigned char *)base + skip;
	region->size = (size - skip) & ~(size_t)(CML_MEMORY_ALIGN - 1);
}
