// SPDX-License-Identifier: Apache-2.0
/*
 * core's allocator in a TA. Blocks of a page and more are mapped from OP-TEE's
 * TA RAM at their size, zeroed, with an unmapped page on either side, and
 * given back when they are released: a heap that could hold a model would
 * take its room from all other sessions for as long as the TA lives. Smaller
 * blocks come from the TA's heap. All are wiped on release.
 */
#ifndef CML_SECURE_MEMORY_H
#define CML_SECURE_MEMORY_H

#include <tee_internal_api.h>

#include "memory.h"

struct cml_secure_memory {
	struct cml_allocator allocator;
	TEE_TASessionHandle system;	/* OP-TEE's system pseudo-TA */
	size_t used, peak;		/* bytes, pages counted whole */
};

/* @memory stays where it is: the allocator points to it. */
TEE_Result cml_secure_memory_init(struct cml_secure_memory *memory);
/* All blocks have been released. */
void cml_secure_memory_close(struct cml_secure_memory *memory);

#endif /* CML_SECURE_MEMORY_H */
