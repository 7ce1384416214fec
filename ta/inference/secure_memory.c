// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <string.h>

#include <pta_instance_memory.h>
#include <pta_system.h>
#include <tee_internal_api_extensions.h>

#include "checked.h"
#include "secure_memory.h"

#define PAGE_SIZE	4096
#define NONE		TEE_PARAM_TYPE_NONE
#define VALUE_IN	TEE_PARAM_TYPE_VALUE_INPUT
#define VALUE_OUT	TEE_PARAM_TYPE_VALUE_OUTPUT

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
	const uint32_t types = TEE_PARAM_TYPES(VALUE_IN,
					       TEE_PARAM_TYPE_VALUE_INOUT,
					       VALUE_IN, NONE);
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
	const uint32_t types = TEE_PARAM_TYPES(VALUE_IN, VALUE_IN, NONE, NONE);
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

static void count(struct cml_secure_memory *memory, size_t taken)
{
	memory->used += taken;
	if (memory->used > memory->peak)
		memory->peak = memory->used;
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

	count(memory, taken);

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

static TEE_Result open_pta(const TEE_UUID *uuid, TEE_TASessionHandle *session)
{
	uint32_t origin = 0;

	return TEE_OpenTASession(uuid, TEE_TIMEOUT_INFINITE, 0, NULL, session,
				 &origin);
}

TEE_Result cml_secure_memory_init(struct cml_secure_memory *memory)
{
	static const TEE_UUID system = PTA_SYSTEM_UUID;
	static const TEE_UUID instances = PTA_INSTANCE_MEMORY_UUID;
	TEE_Result res = TEE_ERROR_GENERIC;

	*memory = (struct cml_secure_memory){
		.allocator = {
			.alloc = secure_alloc,
			.release = secure_release,
			.ctx = memory,
		},
	};
	res = open_pta(&system, &memory->system);
	if (res)
		return res;
	res = open_pta(&instances, &memory->instances);
	if (res)
		TEE_CloseTASession(memory->system);

	return res;
}

void cml_secure_memory_close(struct cml_secure_memory *memory)
{
	if (memory->used)
		EMSG("%zu bytes were not released", memory->used);
	TEE_CloseTASession(memory->instances);
	TEE_CloseTASession(memory->system);
	memory->instances = TEE_HANDLE_NULL;
	memory->system = TEE_HANDLE_NULL;
}

static TEE_Result call(struct cml_secure_memory *memory, uint32_t command,
		       uint32_t types, TEE_Param *params)
{
	uint32_t origin = 0;

	return TEE_InvokeTACommand(memory->instances, TEE_TIMEOUT_INFINITE,
				   command, types, params, &origin);
}

static void put_u64(TEE_Param *param, uint64_t value)
{
	param->value.a = value >> 32;
	param->value.b = value;
}

static uint8_t *address(const TEE_Param *param)
{
	return (uint8_t *)(uintptr_t)((uint64_t)param->value.a << 32 |
				      param->value.b);
}

TEE_Result cml_shared_create(struct cml_secure_memory *memory, uint64_t name,
			     size_t size, struct cml_shared *shared)
{
	const uint32_t types = TEE_PARAM_TYPES(VALUE_IN, VALUE_IN, VALUE_OUT,
					       NONE);
	TEE_Param params[TEE_NUM_PARAMS] = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t pages = 0;

	if (CML_ADD_OVERFLOW(size, (size_t)PAGE_SIZE - 1, &pages))
		return TEE_ERROR_OUT_OF_MEMORY;
	pages &= ~((size_t)PAGE_SIZE - 1);
	if (!pages || pages > UINT32_MAX)
		return TEE_ERROR_OUT_OF_MEMORY;
	put_u64(&params[0], name);
	params[1].value.a = pages;
	res = call(memory, PTA_INSTANCE_MEMORY_CREATE, types, params);
	if (res)
		return res;
	*shared = (struct cml_shared){ name, address(&params[2]), pages };
	count(memory, pages);

	return TEE_SUCCESS;
}

TEE_Result cml_shared_create_new(struct cml_secure_memory *memory, size_t size,
				 struct cml_shared *shared)
{
	TEE_Result res = TEE_ERROR_GENERIC;
	uint64_t name = 0;

	do {
		TEE_GenerateRandom(&name, sizeof(name));
		res = cml_shared_create(memory, name, size, shared);
	} while (res == TEE_ERROR_ACCESS_CONFLICT);

	return res;
}

TEE_Result cml_shared_map(struct cml_secure_memory *memory, uint64_t name,
			  struct cml_shared *shared)
{
	const uint32_t types = TEE_PARAM_TYPES(VALUE_IN, VALUE_OUT, VALUE_OUT,
					       NONE);
	TEE_Param params[TEE_NUM_PARAMS] = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;

	put_u64(&params[0], name);
	res = call(memory, PTA_INSTANCE_MEMORY_MAP, types, params);
	if (res)
		return res;
	*shared = (struct cml_shared){ name, address(&params[2]),
				       params[1].value.a };
	count(memory, shared->size);

	return TEE_SUCCESS;
}

void cml_shared_unmap(struct cml_secure_memory *memory,
		      struct cml_shared *shared)
{
	const uint32_t types = TEE_PARAM_TYPES(VALUE_IN, NONE, NONE, NONE);
	TEE_Param params[TEE_NUM_PARAMS] = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;

	if (!shared->ptr)
		return;
	put_u64(&params[0], (uintptr_t)shared->ptr);
	res = call(memory, PTA_INSTANCE_MEMORY_UNMAP, types, params);
	if (res)
		EMSG("cannot unmap shared memory: %#" PRIx32, res);
	memory->used -= shared->size;
	*shared = (struct cml_shared){ 0 };
}
