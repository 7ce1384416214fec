// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"

#define PAGE_SIZE	4096

static size_t footprint(size_t size)
{
	if (size < PAGE_SIZE)
		return size;

	return (size + PAGE_SIZE - 1) & ~(size_t)(PAGE_SIZE - 1);
}

bool account_take(struct account *account, size_t size)
{
	/* Rounding up does not overflow then. */
	if (size > account->limit ||
	    footprint(size) > account->limit - account->used)
		return false;
	account->used += footprint(size);
	if (account->used > account->peak)
		account->peak = account->used;

	return true;
}

bool account_try(struct account *account, size_t size)
{
	if (!account_take(account, size))
		return false;
	account->used -= footprint(size);

	return true;
}

static void *account_alloc(void *ctx, size_t size)
{
	size_t rounded = (size + CML_MEMORY_ALIGN - 1) &
			 ~(size_t)(CML_MEMORY_ALIGN - 1);
	void *block = NULL;

	if (!size || !account_take(ctx, size))
		return NULL;
	block = aligned_alloc(CML_MEMORY_ALIGN, rounded);
	/* The host's own memory: not what is being asked about. */
	if (!block)
		abort();
	memset(block, 0, size);

	return block;
}

static void account_release(void *ctx, void *ptr, size_t size)
{
	struct account *account = ctx;

	if (!ptr)
		return;
	account->used -= footprint(size);
	free(ptr);
}

void account_init(struct account *account, size_t limit)
{
	*account = (struct account){
		.allocator = {
			.alloc = account_alloc,
			.release = account_release,
			.ctx = account,
		},
		.limit = limit < SIZE_MAX / 2 ? limit : SIZE_MAX / 2,
	};
}
