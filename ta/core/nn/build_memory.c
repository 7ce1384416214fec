// SPDX-License-Identifier: Apache-2.0
#include "build.h"

/* Of secure memory, which is mapped in pages. */
#define CHUNK_SIZE	(32 << 10)

static enum cml_status take_chunk(struct cml_build *build, size_t size)
{
	const struct cml_allocator *allocator = build->allocator;
	size_t head = cml_align_up(sizeof(struct cml_chunk), CML_TABLE_ALIGN);
	struct cml_chunk *chunk = NULL;

	size += head;
	if (size < CHUNK_SIZE)
		size = CHUNK_SIZE;
	chunk = allocator->alloc(allocator->ctx, size);
	if (!chunk)
		return cml_build_refuse(build, CML_NO_MEMORY,
					"no memory for the model's tables");
	*chunk = (struct cml_chunk){
		.next = build->chunks, .size = size, .used = head,
	};
	build->chunks = chunk;

	return CML_OK;
}

enum cml_status cml_build_take(struct cml_build *build, size_t size,
			       struct cml_block *block)
{
	size_t taken = cml_align_up(size, CML_TABLE_ALIGN);
	struct cml_chunk *chunk = build->chunks;
	enum cml_status status = CML_INTERNAL;

	if (size > CML_GRAPH_MAX_TABLES - build->tables)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"tables of the model take more than "
					"16 MiB");
	if (!chunk || taken > chunk->size - chunk->used) {
		status = take_chunk(build, taken);
		if (status)
			return status;
		chunk = build->chunks;
	}
	block->ptr = (uint8_t *)chunk + chunk->used;
	block->size = size;
	chunk->used += taken;
	build->tables += taken;

	return CML_OK;
}

static void drop_temporary(struct cml_build *build)
{
	const struct cml_allocator *allocator = build->allocator;

	allocator->release(allocator->ctx, build->temporary.ptr,
			   build->temporary.size);
	build->temporary = (struct cml_block){ 0 };
}

enum cml_status cml_build_temporary(struct cml_build *build, size_t size,
				    void **memory)
{
	const struct cml_allocator *allocator = build->allocator;

	if (size > CML_GRAPH_MAX_TABLES)
		return cml_build_refuse(build, CML_MODEL_LIMIT,
					"operator needs more than 16 MiB to be "
					"prepared in");
	if (size > build->temporary.size) {
		drop_temporary(build);
		build->temporary.ptr = allocator->alloc(allocator->ctx, size);
		if (!build->temporary.ptr)
			return cml_build_refuse(build, CML_NO_MEMORY,
						"no memory to prepare in");
		build->temporary.size = size;
	}
	*memory = build->temporary.ptr;

	return CML_OK;
}

void cml_build_release(struct cml_build *build)
{
	const struct cml_allocator *allocator = build->allocator;

	drop_temporary(build);
	while (build->chunks) {
		struct cml_chunk *chunk = build->chunks;

		build->chunks = chunk->next;
		allocator->release(allocator->ctx, chunk, chunk->size);
	}
	allocator->release(allocator->ctx, build->work.ptr, build->work.size);
}
