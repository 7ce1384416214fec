// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <string.h>

#include <pta_system.h>
#include <tee_internal_api_extensions.h>

#include "checked.h"
#include "secure_memory.h"

#define PAGE_SIZE	4096

static bool is_mapped(size_t size)
{
	return size >= PAGE_SIZE;
}

/* What a block takes; false when there cannot be one of this size. */
static bool footprint(size_t size, size_t *taken)
{
	*taken = size;
	if (!is_mapped(size))
		return size;
	if (CML_ADD_OVERFLOW(size, (size_t)PAGE_SIZE - 1, taken))
		return false;
	*taken &= ~((size_t)PAGE_SIZE - 1);

	/* The system PTA takes 32 bits. */
	return *taken <= UINT32_MAX;
}

static void *map(struct cml_secure_memory *memory, uint32_t size)
{
	const uint32_t types = TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT,
					       TEE_PARAM_TYPE_VALUE_INOUT,
					       TEE_PARAM_TYPE_VALUE_INPUT,
					       TEE_PARAM_TYPE_NONE);
	TEE_Param params[TEE_NUM_PARAMS] = {
		[0].value.a = size,
		[2].value = { .a = PAGE_SIZE, .b = PAGE_SIZE },
	};
	TEE_Result res = TEE_ERROR_GENERIC;
	uint32_t origin = 0;

	res = TEE_InvokeTACommand(memory->system, TEE_TIMEOUT_INFINITE,
				  PTA_SYSTEM_MAP_ZI, types, params, &origin);
	if (res)
		return NULL;

	return (void *)(uintptr_t)((uint64_t)params[1].value.a << 32 |
				   params[1].value.b);
}

static void unmap(struct cml_secure_memory *memory, void *ptr, uint32_t size)
{
	const uint32_t types = TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT,
					       TEE_PARAM_TYPE_VALUE_INPUT,
					       TEE_PARAM_TYPE_NONE,
					       TEE_PARAM_TYPE_NONE);
	const uint64_t address = (uintptr_t)ptr;
	TEE_Param params[TEE_NUM_PARAMS] = {
		[0].value.a = size,
		[1].value = { .a = address >> 32, .b = address },
	};
	TEE_Result res = TEE_ERROR_GENERIC;
	uint32_t origin = 0;

	res = TEE_InvokeTACommand(memory->system, TEE_TIMEOUT_INFINITE,
				  PTA_SYSTEM_UNMAP, types, params, &origin);
	/* It is wiped; what stays mapped ends with the session. */
	if (res)
		EMSG("cannot unmap %" PRIu32 " bytes: %#" PRIx32, size, res);
}

static void *secure_alloc(void *ctx, size_t size)
{
	struct cml_secure_memory *memory = ctx;
	void *block = NULL;
	size_t taken = 0;

	if (!footprint(size, &taken))
		return NULL;
	if (is_mapped(size)) {
		block = map(memory, taken);
	} else {
		block = memalign(CML_MEMORY_ALIGN, size);
		if (block)
			memset(block, 0, size);
	}
	if (!block)
		return NULL;

	memory->used += taken;
	if (memory->used > memory->peak)
		memory->peak = memory->used;

	return block;
}

static void secure_release(void *ctx, void *ptr, size_t size)
{
	struct cml_secure_memory *memory = ctx;
	size_t taken = 0;

	if (!ptr || !footprint(size, &taken))
		return;
	cml_wipe(ptr, size);
	if (is_mapped(size))
		unmap(memory, ptr, taken);
	else
		free(ptr);
	memory->used -= taken;
}

TEE_Result cml_secure_memory_init(struct cml_secure_memory *memory)
{
	static const TEE_UUID system = PTA_SYSTEM_UUID;
	uint32_t origin = 0;

	*memory = (struct cml_secure_memory){
		.allocator = {
			.alloc = secure_alloc,
			.release = secure_release,
			.ctx = memory,
		},
	};

	return TEE_OpenTASession(&system, TEE_TIMEOUT_INFINITE, 0, NULL,
				 &memory->system, &origin);
}

void cml_secure_memory_close(struct cml_secure_memory *memory)
{
	if (memory->used)
		EMSG("%zu bytes were not released", memory->used);
	TEE_CloseTASession(memory->system);
	memory->system = TEE_HANDLE_NULL;
}
