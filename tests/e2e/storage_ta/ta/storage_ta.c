// SPDX-License-Identifier: Apache-2.0
#include <pta_system.h>
#include <storage_ta.h>
#include <tee_internal_api.h>

#define NONE		TEE_PARAM_TYPE_NONE
#define MEMREF_IN	TEE_PARAM_TYPE_MEMREF_INPUT
#define MEMREF_OUT	TEE_PARAM_TYPE_MEMREF_OUTPUT

#define NAME_MAX	64
#define CONTENT_MAX	16384
#define KEY_SIZE	32

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types, TEE_Param params[4],
				    void **ctx)
{
	(void)param_types;
	(void)params;
	(void)ctx;

	return TEE_SUCCESS;
}

void TA_CloseSessionEntryPoint(void *ctx)
{
	(void)ctx;
}

/* Names must be the TA's own memory for the storage functions. */
static TEE_Result copy_name(char name[NAME_MAX], const TEE_Param *param)
{
	if (param->memref.size > NAME_MAX)
		return TEE_ERROR_BAD_PARAMETERS;
	TEE_MemMove(name, param->memref.buffer, param->memref.size);

	return TEE_SUCCESS;
}

static TEE_Result open_object(const TEE_Param *param, uint32_t flags,
			      TEE_ObjectHandle *object)
{
	char name[NAME_MAX] = { 0 };
	TEE_Result res = copy_name(name, param);

	if (res)
		return res;

	return TEE_OpenPersistentObject(TEE_STORAGE_PRIVATE, name,
					param->memref.size, flags, object);
}

static TEE_Result store(TEE_Param *params)
{
	TEE_ObjectHandle object = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	char name[NAME_MAX] = { 0 };
	size_t size = params[1].memref.size;
	void *content = NULL;

	res = copy_name(name, &params[0]);
	if (res)
		return res;
	if (size > CONTENT_MAX)
		return TEE_ERROR_BAD_PARAMETERS;
	content = TEE_Malloc(size, TEE_MALLOC_FILL_ZERO);
	if (!content)
		return TEE_ERROR_OUT_OF_MEMORY;
	TEE_MemMove(content, params[1].memref.buffer, size);
	res = TEE_CreatePersistentObject(TEE_STORAGE_PRIVATE, name,
					 params[0].memref.size,
					 TEE_DATA_FLAG_OVERWRITE,
					 TEE_HANDLE_NULL, content, size,
					 &object);
	if (!res)
		TEE_CloseObject(object);
	TEE_Free(content);

	return res;
}

static TEE_Result load(TEE_Param *params)
{
	TEE_ObjectHandle object = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = open_object(&params[0], TEE_DATA_FLAG_ACCESS_READ, &object);
	if (res)
		return res;
	res = TEE_ReadObjectData(object, params[1].memref.buffer,
				 params[1].memref.size,
				 &params[1].memref.size);
	TEE_CloseObject(object);

	return res;
}

static TEE_Result remove_object(TEE_Param *params)
{
	TEE_ObjectHandle object = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = open_object(&params[0], TEE_DATA_FLAG_ACCESS_WRITE_META,
			  &object);
	if (res)
		return res;

	return TEE_CloseAndDeletePersistentObject1(object);
}

static TEE_Result derive_key(uint8_t key[KEY_SIZE])
{
	static const TEE_UUID uuid = PTA_SYSTEM_UUID;
	TEE_TASessionHandle session = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	TEE_Param asked[4] = { 0 };
	uint32_t origin = 0;

	res = TEE_OpenTASession(&uuid, TEE_TIMEOUT_INFINITE, 0, NULL,
				&session, &origin);
	if (res)
		return res;
	asked[1].memref.buffer = key;
	asked[1].memref.size = KEY_SIZE;
	res = TEE_InvokeTACommand(session, TEE_TIMEOUT_INFINITE,
				  PTA_SYSTEM_DERIVE_TA_UNIQUE_KEY,
				  TEE_PARAM_TYPES(MEMREF_IN, MEMREF_OUT, NONE,
						  NONE), asked, &origin);
	TEE_CloseTASession(session);

	return res;
}

static TEE_Result device(TEE_Param *params)
{
	TEE_Result res = TEE_ERROR_GENERIC;
	uint8_t key[KEY_SIZE] = { 0 };
	TEE_UUID id = { 0 };

	if (params[0].memref.size < sizeof(id) ||
	    params[1].memref.size < sizeof(key))
		return TEE_ERROR_SHORT_BUFFER;
	res = TEE_GetPropertyAsUUID(TEE_PROPSET_TEE_IMPLEMENTATION,
				    "gpd.tee.deviceID", &id);
	if (!res)
		res = derive_key(key);
	if (res)
		return res;
	TEE_MemMove(params[0].memref.buffer, &id, sizeof(id));
	params[0].memref.size = sizeof(id);
	TEE_MemMove(params[1].memref.buffer, key, sizeof(key));
	params[1].memref.size = sizeof(key);

	return TEE_SUCCESS;
}

TEE_Result TA_InvokeCommandEntryPoint(void *ctx, uint32_t command,
				      uint32_t types, TEE_Param params[4])
{
	(void)ctx;
	switch (command) {
	case STORAGE_TA_STORE:
		if (types != TEE_PARAM_TYPES(MEMREF_IN, MEMREF_IN, NONE, NONE))
			return TEE_ERROR_BAD_PARAMETERS;
		return store(params);
	case STORAGE_TA_LOAD:
		if (types != TEE_PARAM_TYPES(MEMREF_IN, MEMREF_OUT, NONE, NONE))
			return TEE_ERROR_BAD_PARAMETERS;
		return load(params);
	case STORAGE_TA_REMOVE:
		if (types != TEE_PARAM_TYPES(MEMREF_IN, NONE, NONE, NONE))
			return TEE_ERROR_BAD_PARAMETERS;
		return remove_object(params);
	case STORAGE_TA_DEVICE:
		if (types != TEE_PARAM_TYPES(MEMREF_OUT, MEMREF_OUT, NONE,
					     NONE))
			return TEE_ERROR_BAD_PARAMETERS;
		return device(params);
	case STORAGE_TA_RANDOM:
		if (types != TEE_PARAM_TYPES(MEMREF_OUT, NONE, NONE, NONE))
			return TEE_ERROR_BAD_PARAMETERS;
		TEE_GenerateRandom(params[0].memref.buffer,
				   params[0].memref.size);
		return TEE_SUCCESS;
	default:
		return TEE_ERROR_NOT_SUPPORTED;
	}
}
