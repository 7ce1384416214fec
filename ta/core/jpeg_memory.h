// SPDX-License-Identifier: Apache-2.0
/*
 * Memory for one JPEG decoder, ours and libjpeg's (jmemsys.h), from one
 * allocator under one limit. cinfo->client_data points to it.
 */
#ifndef CML_JPEG_MEMORY_H
#define CML_JPEG_MEMORY_H

#include "memory.h"

struct cml_jpeg_memory {
	const struct cml_allocator *allocator;
	size_t limit, used, peak;
};

/* As struct cml_allocator; NULL when over the limit, too. */
void *cml_jpeg_alloc(struct cml_jpeg_memory *memory, size_t size);
void cml_jpeg_release(struct cml_jpeg_memory *memory, void *ptr, size_t size);

#endif /* CML_JPEG_MEMORY_H */
