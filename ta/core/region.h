// SPDX-License-Identifier: Apache-2.0
/*
 * An allocator over memory that is already there and is free for a while:
 * blocks one after another. Releasing the last block makes its room free;
 * releasing another one wipes it and its room stays taken until those after
 * it are gone. Not for long lives. What does not fit comes from a fallback.
 */
#ifndef CML_REGION_H
#define CML_REGION_H

#include "memory.h"

struct cml_region {
	struct cml_allocator allocator;	/* what users take */
	const struct cml_allocator *fallback;
	unsigned char *base;
	size_t size, used;
};

/*
 * @region stays in place: its allocator points to it. @fallback may be NULL.
 */
void cml_region_init(struct cml_region *region, void *base, size_t size,
		     const struct cml_allocator *fallback);

#endif /* CML_REGION_H */
