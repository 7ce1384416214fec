// SPDX-License-Identifier: Apache-2.0
/*
 * core's allocator in a TA. Blocks of a page and more are mapped from OP-TEE's
 * TA RAM at their size, zeroed, with an unmapped page on either side, and
 * given back when they are released: a heap that could hold a model would
 * take its room from all other sessions for as long as the TA lives. Smaller
 * blocks come from the TA's heap. All are wiped on release.
 *
 * And memory that sessions share, each of them an instance of this TA: blocks
 * with names (pta_instance_memory.h).
 */
#ifndef CML_SECURE_MEMORY_H
#define CML_SECURE_MEMORY_H

#include <tee_internal_api.h>

#include "memory.h"

struct cml_secure_memory {
	struct cml_allocator allocator;
	TEE_TASessionHandle system;	/* OP-TEE's system pseudo-TA */
	TEE_TASessionHandle instances;	/* its pseudo-TA for shared memory */
	/* Bytes, pages counted whole; those shared with others, too */
	size_t used, peak;
};

/* A shared block as this session sees it. */
struct cml_shared {
	uint64_t name;
	uint8_t *ptr;		/* NULL: none */
	size_t size;		/* bytes, of whole pages */
};

/* @memory stays where it is: the allocator points to it. */
TEE_Result cml_secure_memory_init(struct cml_secure_memory *memory);
/* All blocks have been released. */
void cml_secure_memory_close(struct cml_secure_memory *memory);

/*
 * A new block of zeros. TEE_ERROR_OUT_OF_MEMORY, TEE_ERROR_ACCESS_CONFLICT:
 * the name is in use.
 */
TEE_Result cml_shared_create(struct cml_secure_memory *memory, uint64_t name,
			     size_t size, struct cml_shared *shared);
/* The same under a name that nobody has. */
TEE_Result cml_shared_create_new(struct cml_secure_memory *memory, size_t size,
				 struct cml_shared *shared);
/* A block that is there. TEE_ERROR_ITEM_NOT_FOUND */
TEE_Result cml_shared_map(struct cml_secure_memory *memory, uint64_t name,
			  struct cml_shared *shared);
/* It is wiped when nobody has it any more. A block without ptr is allowed. */
void cml_shared_unmap(struct cml_secure_memory *memory,
		      struct cml_shared *shared);

#endif /* CML_SECURE_MEMORY_H */
