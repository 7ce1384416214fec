// SPDX-License-Identifier: Apache-2.0
#include "identity.h"

#define KEY_BITS		256
/* While one instance writes the object, no other can open it. */
#define CONFLICT_TRIES		200
#define CONFLICT_WAIT_MS	10

/* Name of the persistent object; another format gets another name. */
static const char object_id[] = "cml-identity-v1";

static const uint32_t object_flags = TEE_DATA_FLAG_ACCESS_READ |
				     TEE_DATA_FLAG_SHARE_READ;

static TEE_Result open_stored(TEE_ObjectHandle *object)
{
	return TEE_OpenPersistentObject(TEE_STORAGE_PRIVATE, object_id,
					sizeof(object_id) - 1, object_flags,
					object);
}

static TEE_Result alloc_keypair(TEE_ObjectHandle *object)
{
	return TEE_AllocateTransientObject(TEE_TYPE_ECDH_KEYPAIR, KEY_BITS,
					   object);
}

static TEE_Result create_stored(void)
{
	TEE_ObjectHandle stored = TEE_HANDLE_NULL;
	TEE_ObjectHandle made = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	TEE_Attribute curve = { 0 };

	res = alloc_keypair(&made);
	if (res)
		return res;
	TEE_InitValueAttribute(&curve, TEE_ATTR_ECC_CURVE,
			       TEE_ECC_CURVE_NIST_P256, 0);
	res = TEE_GenerateKey(made, KEY_BITS, &curve, 1);
	if (!res)
		res = TEE_RestrictObjectUsage1(made, TEE_USAGE_DERIVE);
	/* Without TEE_DATA_FLAG_OVERWRITE: whoever is first makes the key. */
	if (!res)
		res = TEE_CreatePersistentObject(TEE_STORAGE_PRIVATE,
						 object_id,
						 sizeof(object_id) - 1,
						 object_flags, made, NULL, 0,
						 &stored);
	if (!res)
		TEE_CloseObject(stored);
	TEE_FreeTransientObject(made);

	return res;
}

/* A copy, so that the stored object is open for an instant only. */
static TEE_Result copy_stored(TEE_ObjectHandle stored, TEE_ObjectHandle *copy)
{
	TEE_ObjectHandle made = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = alloc_keypair(&made);
	if (!res)
		res = TEE_CopyObjectAttributes1(made, stored);
	if (res) {
		TEE_FreeTransientObject(made);
		return res;
	}
	*copy = made;

	return TEE_SUCCESS;
}

/* The stored key pair, made if there is none. */
static TEE_Result open_or_create(TEE_ObjectHandle *stored)
{
	TEE_Result res = TEE_ERROR_GENERIC;

	for (size_t i = 0; i < CONFLICT_TRIES; i++) {
		res = open_stored(stored);
		if (res == TEE_ERROR_ITEM_NOT_FOUND)
			res = create_stored();
		else if (res != TEE_ERROR_ACCESS_CONFLICT)
			return res;
		/* Another instance is making it: its key is ours too. */
		if (res == TEE_ERROR_ACCESS_CONFLICT)
			TEE_Wait(CONFLICT_WAIT_MS);
		else if (res)
			return res;
	}

	return res ? res : TEE_ERROR_ACCESS_CONFLICT;
}

enum cml_status cml_identity_load(struct cml_p256_key *key)
{
	TEE_ObjectHandle stored = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = open_or_create(&stored);
	if (!res) {
		res = copy_stored(stored, &key->keypair);
		TEE_CloseObject(stored);
	}
	if (!res)
		return CML_OK;

	EMSG("identity key: %#" PRIx32, res);

	return res == TEE_ERROR_OUT_OF_MEMORY ? CML_NO_MEMORY : CML_CRYPTO;
}

void cml_identity_free(struct cml_p256_key *key)
{
	TEE_FreeTransientObject(key->keypair);
	key->keypair = TEE_HANDLE_NULL;
}
