// SPDX-License-Identifier: Apache-2.0
/*
 * An allocator that counts as the TA's does (ta/inference/secure_memory.c), and
 * has no more than it is given.
 */
#ifndef REPORT_ACCOUNT_H
#define REPORT_ACCOUNT_H

#include <stdbool.h>

#include "memory.h"

struct account {
	struct cml_allocator allocator;
	size_t limit;
	size_t used, peak;	/* bytes, pages counted whole */
};

void account_init(struct account *account, size_t limit);
/* Counts a block that is elsewhere. False: it does not fit. */
bool account_take(struct account *account, size_t size);
/* The same, for a moment. */
bool account_try(struct account *account, size_t size);

#endif /* REPORT_ACCOUNT_H */
