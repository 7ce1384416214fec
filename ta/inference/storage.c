// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include <tee_internal_api.h>

#include "storage.h"

/* While one session has the object, no other can open it. */
#define CONFLICT_TRIES		500
#define CONFLICT_WAIT_MS	10

/* No sharing: who has it open is alone with it. */
static const uint32_t object_flags = TEE_DATA_FLAG_ACCESS_READ |
				     TEE_DATA_FLAG_ACCESS_WRITE;

static enum cml_status storage_status(TEE_Result res)
{
	switch (res) {
	case TEE_SUCCESS:
		return CML_OK;
	case TEE_ERROR_OUT_OF_MEMORY:
		return CML_NO_MEMORY;
	case TEE_ERROR_CORRUPT_OBJECT:
	case TEE_ERROR_SECURITY:
	/* OP-TEE: not what this device left (docs/root-of-trust.md) */
	case TEE_ERROR_STORAGE_NOT_AVAILABLE:
		return CML_STORAGE_DAMAGED;
	default:
		return CML_STORAGE;
	}
}

/* The object, empty if it is new. */
static TEE_Result open_object(const char *name, TEE_ObjectHandle *object)
{
	const size_t len = strlen(name);
	TEE_Result res = TEE_ERROR_GENERIC;

	for (size_t i = 0; i < CONFLICT_TRIES; i++) {
		res = TEE_OpenPersistentObject(TEE_STORAGE_PRIVATE, name, len,
					       object_flags, object);
		if (res == TEE_ERROR_ITEM_NOT_FOUND)
			res = TEE_CreatePersistentObject(TEE_STORAGE_PRIVATE,
							 name, len,
							 object_flags,
							 TEE_HANDLE_NULL, NULL,
							 0, object);
		if (res != TEE_ERROR_ACCESS_CONFLICT)
			return res;
		TEE_Wait(CONFLICT_WAIT_MS);
	}

	return res;
}

/*
 * A record that was never written is empty; any other has its whole size.
 * TEE_ERROR_CORRUPT_OBJECT is OP-TEE's alone: it has closed the object.
 */
static TEE_Result read_record(TEE_ObjectHandle object, void *record,
			      size_t size)
{
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t got = 0;

	memset(record, 0, size);
	res = TEE_ReadObjectData(object, record, size, &got);
	if (!res && got && got != size)
		return TEE_ERROR_SECURITY;

	return res;
}

static TEE_Result write_record(TEE_ObjectHandle object, const void *record,
			       size_t size)
{
	TEE_Result res = TEE_SeekObjectData(object, 0, TEE_DATA_SEEK_SET);

	/* One write is one commit of OP-TEE's: whole, or not at all. */
	return res ? res : TEE_WriteObjectData(object, record, size);
}

enum cml_status cml_storage_update(const char *name, void *record,
				   size_t size, cml_storage_change change,
				   void *ctx)
{
	TEE_ObjectHandle object = TEE_HANDLE_NULL;
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	bool changed = false;

	res = open_object(name, &object);
	if (!res)
		res = read_record(object, record, size);
	status = storage_status(res);
	if (!status)
		status = change(ctx, record, &changed);
	if (!status && changed)
		status = storage_status(res = write_record(object, record,
							   size));
	/* GlobalPlatform: a corrupt object's handle is closed. */
	if (res != TEE_ERROR_CORRUPT_OBJECT)
		TEE_CloseObject(object);
	if (res)
		EMSG("%s: %#" PRIx32, name, res);

	return status;
}
