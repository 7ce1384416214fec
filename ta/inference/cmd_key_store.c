// SPDX-License-Identifier: Apache-2.0
/* Keys that the device keeps; PROVISION_KEY brings them (cmd_key.c). */
#include <string.h>

#include "cbor.h"

#include "cml_ta.h"
#include "session.h"

struct list {
	uint8_t bytes[TA_CML_KEY_LIST_MAX_SIZE];
	size_t len;
};

static enum cml_status put_list(void *ctx, struct cml_vault *vault,
				bool *changed)
{
	CborError error = CborNoError;
	CborEncoder encoder = { 0 };
	CborEncoder array = { 0 };
	struct list *list = ctx;
	CborEncoder map = { 0 };
	size_t count = 0;

	(void)changed;
	for (size_t i = 0; i < CML_VAULT_KEYS_MAX_COUNT; i++)
		count += vault->keys[i].present != 0;
	cbor_encoder_init(&encoder, list->bytes, sizeof(list->bytes), 0);
	error = cbor_encoder_create_map(&encoder, &map, 1);
	error |= cbor_encode_text_stringz(&map, "keys");
	error |= cbor_encoder_create_array(&map, &array, count);
	for (size_t i = 0; i < CML_VAULT_KEYS_MAX_COUNT; i++)
		if (vault->keys[i].present)
			error |= cbor_encode_byte_string(&array,
							 vault->keys[i].id,
							 CML_KEY_ID_SIZE);
	error |= cbor_encoder_close_container(&map, &array);
	error |= cbor_encoder_close_container(&encoder, &map);
	if (error)
		return CML_INTERNAL;
	list->len = cbor_encoder_get_buffer_size(&encoder, list->bytes);

	return CML_OK;
}

/* Locals of half a KiB; the deepest path is another. */
TEE_Result cml_cmd_key_list(struct cml_session *session, TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;
	struct list list = { 0 };

	status = cml_vault_update(session, put_list, &list);
	if (status)
		return cml_tee_result(status);

	return cml_param_put(&params[0], cml_bytes(list.bytes, list.len));
}

static enum cml_status remove_key(void *ctx, struct cml_vault *vault,
				  bool *changed)
{
	*changed = true;

	return cml_vault_remove_key(vault, ctx);
}

TEE_Result cml_cmd_key_remove(struct cml_session *session, TEE_Param *params)
{
	uint8_t id[CML_KEY_ID_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	struct cml_bytes bytes = { 0 };

	res = cml_param_bytes(&params[0], sizeof(id), &bytes);
	if (res)
		return res;
	if (bytes.len != sizeof(id))
		return TEE_ERROR_BAD_PARAMETERS;
	memcpy(id, bytes.ptr, sizeof(id));
	status = cml_vault_update(session, remove_key, id);

	return cml_tee_result(status);
}
