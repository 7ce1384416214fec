// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "driver.h"

/* Test process only: the counters are what the tests look at. */
static int64_t fail_countdown = -1;
static size_t live_count;

struct block {
	size_t size;
	void *base;
};

/* How clang says it */
#ifdef __has_feature
#if __has_feature(address_sanitizer) && !defined(__SANITIZE_ADDRESS__)
#define __SANITIZE_ADDRESS__ 1
#endif
#endif

/* After each block, for where there is no ASan to see a write past its end */
#define FENCE_SIZE	64
#define FENCE_BYTE	0xc5

static size_t driver_total(size_t size)
{
	return size + sizeof(struct block) + CML_MEMORY_ALIGN + FENCE_SIZE;
}

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>

/* All of the malloc()ed block but the @size bytes handed out. */
static void driver_poison(uint8_t *base, size_t size, uintptr_t addr)
{
	size_t head = addr - (uintptr_t)base;

	__asan_poison_memory_region(base, head);
	__asan_poison_memory_region((uint8_t *)addr + size,
				    driver_total(size) - head - size);
}

static void driver_unpoison(uintptr_t addr)
{
	struct block *block = (struct block *)addr - 1;

	__asan_unpoison_memory_region(block, sizeof(*block));
	__asan_unpoison_memory_region(block->base, driver_total(block->size));
}
#else
static void driver_poison(uint8_t *base, size_t size, uintptr_t addr)
{
	(void)base;
	(void)size;
	(void)addr;
}

static void driver_unpoison(uintptr_t addr)
{
	(void)addr;
}
#endif

static void *driver_alloc(void *ctx, size_t size)
{
	struct block *block = NULL;
	uint8_t *base = NULL;
	uintptr_t addr = 0;

	(void)ctx;
	if (fail_countdown == 0) {
		fail_countdown = -1;
		return NULL;
	}
	if (fail_countdown > 0)
		fail_countdown--;
	if (size > SIZE_MAX / 2)
		return NULL;

	base = malloc(driver_total(size));
	if (!base)
		return NULL;
	addr = (uintptr_t)base + sizeof(*block) + CML_MEMORY_ALIGN - 1;
	addr &= ~(uintptr_t)(CML_MEMORY_ALIGN - 1);
	block = (struct block *)addr - 1;
	*block = (struct block){ .size = size, .base = base };
	memset((void *)addr, 0, size);
	memset((uint8_t *)addr + size, FENCE_BYTE, FENCE_SIZE);
	driver_poison(base, size, addr);
	live_count++;

	return (void *)addr;
}

static void driver_release(void *ctx, void *ptr, size_t size)
{
	struct block block = { 0 };

	(void)ctx;
	if (!ptr)
		return;
	driver_unpoison((uintptr_t)ptr);
	block = *((struct block *)ptr - 1);
	if (block.size != size) {
		fprintf(stderr, "release of %zu bytes, allocated %zu\n", size,
			block.size);
		abort();
	}
	for (size_t i = 0; i < FENCE_SIZE; i++) {
		if (((uint8_t *)ptr)[size + i] != FENCE_BYTE) {
			fprintf(stderr, "write %zu past the end of %zu bytes\n",
				i, size);
			abort();
		}
	}
	cml_wipe(ptr, size);
	live_count--;
	free(block.base);
}

const struct cml_allocator *driver_allocator(void)
{
	static const struct cml_allocator allocator = {
		.alloc = driver_alloc,
		.release = driver_release,
	};

	return &allocator;
}

void driver_fail_allocation(int64_t n)
{
	fail_countdown = n;
}

size_t driver_allocated(void)
{
	return live_count;
}
