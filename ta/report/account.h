// SPDX-License-Identifier: Apache-2.0
/*
 * An allocator that counts as the TA's does (ta/inference/secure_memory.c), and
 * has no more than it is given.
 */
#ifndef REPORT_ACCOUNT_H
#define REPORT_ACCOUNT_H

#include <stdbool.h>

#include "memory.h"

#define ACCOUNT_PAGE	4096

struct account {
	struct cml_allocator allocator;
	size_t limit;
	size_t used, peak;	/* bytes, pages counted whole */
};

void account_init(struct account *account, size_t limit);
/* Whole pages for @size bytes */
size_t account_pages(size_t size);
/* Counts a block that sessions share, in pages. False: it does not fit. */
bool account_share(struct account *account, size_t size);
void account_unshare(struct account *account, size_t size);

#endif /* REPORT_ACCOUNT_H */
