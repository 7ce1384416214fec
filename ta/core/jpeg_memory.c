// SPDX-License-Identifier: Apache-2.0
/*
 * What libjpeg's memory manager (jmemmgr.c) stands on: the functions that
 * jmemsys.h declares. There is no backing store: a file whose coefficients do
 * not fit into memory is refused.
 */
#include <stdio.h>

#define JPEG_INTERNALS
#include "jpeglib.h"
#include "jmemsys.h"

#include "jpeg_memory.h"

/*
 * What jmemmgr.c takes beside the coefficients after it asked how much there
 * is: headers of blocks, pointers to rows, alignment.
 */
#define MEMORY_OVERHEAD (24 << 10)

void *cml_jpeg_alloc(struct cml_jpeg_memory *memory, size_t size)
{
	void *ptr = NULL;

	if (size > memory->limit - memory->used)
		return NULL;
	ptr = memory->allocator->alloc(memory->allocator->ctx, size);
	if (!ptr)
		return NULL;
	memory->used += size;
	if (memory->used > memory->peak)
		memory->peak = memory->used;

	return ptr;
}

void cml_jpeg_release(struct cml_jpeg_memory *memory, void *ptr, size_t size)
{
	if (!ptr)
		return;
	memory->allocator->release(memory->allocator->ctx, ptr, size);
	memory->used -= size;
}

void *jpeg_get_small(j_common_ptr cinfo, size_t sizeofobject)
{
	return cml_jpeg_alloc(cinfo->client_data, sizeofobject);
}

void jpeg_free_small(j_common_ptr cinfo, void *object, size_t sizeofobject)
{
	cml_jpeg_release(cinfo->client_data, object, sizeofobject);
}

void *jpeg_get_large(j_common_ptr cinfo, size_t sizeofobject)
{
	return cml_jpeg_alloc(cinfo->client_data, sizeofobject);
}

void jpeg_free_large(j_common_ptr cinfo, void *object, size_t sizeofobject)
{
	cml_jpeg_release(cinfo->client_data, object, sizeofobject);
}

size_t jpeg_mem_available(j_common_ptr cinfo, size_t min_bytes_needed,
			  size_t max_bytes_needed, size_t already_allocated)
{
	const struct cml_jpeg_memory *memory = cinfo->client_data;
	size_t left = memory->limit - memory->used;

	(void)min_bytes_needed;
	(void)max_bytes_needed;
	(void)already_allocated;

	return left > MEMORY_OVERHEAD ? left - MEMORY_OVERHEAD : 0;
}

void jpeg_open_backing_store(j_common_ptr cinfo, backing_store_ptr info,
			     long total_bytes_needed)
{
	(void)info;
	(void)total_bytes_needed;
	ERREXIT(cinfo, JERR_NO_BACKING_STORE);
}

long jpeg_mem_init(j_common_ptr cinfo)
{
	(void)cinfo;

	return 0;
}

void jpeg_mem_term(j_common_ptr cinfo)
{
	(void)cinfo;
}
