// SPDX-License-Identifier: Apache-2.0
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "account.h"

static size_t footprint(size_t size)
{
	return size < ACCOUNT_PAGE ? size : account_pages(size);
}

static bool take(struct account *account, size_t taken)
{
	if (taken > account->limit - account->used)
		return false;
	account->used += taken;
	if (account->used > account->peak)
		account->peak = account->used;

	return true;
}

size_t account_pages(size_t size)
{
	return (size + ACCOUNT_PAGE - 1) & ~(size_t)(ACCOUNT_PAGE - 1);
}

bool account_share(struct account *account, size_t size)
{
	/* Rounding up does not overflow then. */
	return size <= account->limit && take(account, account_pages(size));
}

void account_unshare(struct account *account, size_t size)
{
	account->used -= account_pages(size);
}

static void *account_alloc(void *ctx, size_t size)
{
	struct account *account = ctx;
	size_t rounded = (size + CML_MEMORY_ALIGN - 1) &
			 ~(size_t)(CML_MEMORY_ALIGN - 1);
	void *block = NULL;

	if (!size || size > account->limit || !take(account, footprint(size)))
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
