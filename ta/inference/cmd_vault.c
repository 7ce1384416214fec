// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cbor.h"

#include "cml_ta.h"
#include "session.h"

_Static_assert(TA_CML_MODEL_NAME_MAX_SIZE == CML_MODEL_NAME_MAX_LEN,
	       "two sizes for one thing");

static enum cml_status store(void *ctx, struct cml_vault *vault, bool *changed)
{
	return cml_vault_store(vault, ctx, changed);
}

/* The model that is loaded; its key has to be the session's. */
static enum cml_status make_entry(const struct cml_session *session,
				  struct cml_vault_entry *entry)
{
	const struct cml_session_key *key = &session->model_key;
	const struct cml_model_head *head = NULL;
	struct cml_header header = { 0 };
	enum cml_status status = CML_OK;

	if (!cml_model_is_ready(&session->model))
		return CML_MODEL_MISSING;
	if (!key->present)
		return CML_KEY_MISSING;
	status = cml_model_header(&session->model, &header);
	if (status)
		return status;
	if (!cml_crypto_equal(header.key_id, key->id, sizeof(key->id)))
		return CML_STREAM_WRONG_KEY;

	head = cml_model_head(&session->model);
	cml_vault_id_of(&header, &entry->floor.id);
	entry->floor.version = header.version;
	memcpy(entry->floor.digest, head->digest, sizeof(head->digest));
	entry->size = head->data_size;
	memcpy(entry->source, head->source, sizeof(head->source));
	memcpy(entry->key, key->key, sizeof(key->key));

	return CML_OK;
}

TEE_Result cml_cmd_model_store(struct cml_session *session, TEE_Param *params)
{
	struct cml_vault_entry entry = { 0 };
	enum cml_status status = CML_INTERNAL;

	(void)params;
	status = make_entry(session, &entry);
	if (!status)
		status = cml_vault_update(session, store, &entry);
	cml_wipe(&entry, sizeof(entry));

	return cml_tee_result(status);
}

static CborError put_bytes(CborEncoder *map, const char *key,
			   const void *bytes, size_t len)
{
	return cbor_encode_text_stringz(map, key) |
	       cbor_encode_byte_string(map, bytes, len);
}

static CborError put_uint(CborEncoder *map, const char *key, uint64_t value)
{
	return cbor_encode_text_stringz(map, key) |
	       cbor_encode_uint(map, value);
}

static CborError put_entry(CborEncoder *array,
			   const struct cml_vault_entry *entry)
{
	const struct cml_vault_floor *floor = &entry->floor;
	CborError error = CborNoError;
	CborEncoder map = { 0 };

	error = cbor_encoder_create_map(array, &map, 7);
	error |= cbor_encode_text_stringz(&map, "name");
	error |= cbor_encode_text_string(&map, floor->id.name,
					 strnlen(floor->id.name,
						 sizeof(floor->id.name)));
	error |= put_uint(&map, "version", floor->version);
	error |= put_bytes(&map, "digest", floor->digest,
			   sizeof(floor->digest));
	error |= put_uint(&map, "size", entry->size);
	error |= cbor_encode_text_stringz(&map, "active");
	error |= cbor_encode_boolean(&map, entry->active);
	error |= put_bytes(&map, "key_id", floor->id.key_id,
			   sizeof(floor->id.key_id));
	/* Of the stream's header: its length, the salt, the nonce's prefix */
	error |= put_bytes(&map, "file", entry->source + CML_HEADER_SIZE + 1,
			   CML_STREAM_SALT_SIZE);
	error |= cbor_encoder_close_container(array, &map);

	return error;
}

struct list {
	const struct cml_sealing *sealing;
	uint8_t *bytes;
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
	for (size_t i = 0; i < CML_VAULT_MODELS_MAX_COUNT; i++)
		count += vault->models[i].floor.version != 0;
	cbor_encoder_init(&encoder, list->bytes, TA_CML_MODEL_LIST_MAX_SIZE,
			  0);
	error = cbor_encoder_create_map(&encoder, &map, 2);
	error |= put_bytes(&map, "vault", list->sealing->id,
			   sizeof(list->sealing->id));
	error |= cbor_encode_text_stringz(&map, "models");
	error |= cbor_encoder_create_array(&map, &array, count);
	for (size_t i = 0; i < CML_VAULT_MODELS_MAX_COUNT; i++)
		if (vault->models[i].floor.version)
			error |= put_entry(&array, &vault->models[i]);
	error |= cbor_encoder_close_container(&map, &array);
	error |= cbor_encoder_close_container(&encoder, &map);
	if (error)
		return CML_INTERNAL;
	list->len = cbor_encoder_get_buffer_size(&encoder, list->bytes);

	return CML_OK;
}

TEE_Result cml_cmd_model_list(struct cml_session *session, TEE_Param *params)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	struct list list = { .sealing = &session->sealing };
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;

	list.bytes = allocator->alloc(allocator->ctx,
				      TA_CML_MODEL_LIST_MAX_SIZE);
	if (!list.bytes)
		return cml_tee_result(CML_NO_MEMORY);
	status = cml_vault_update(session, put_list, &list);
	res = status ? cml_tee_result(status) :
	      cml_param_put(&params[0], cml_bytes(list.bytes, list.len));
	allocator->release(allocator->ctx, list.bytes,
			   TA_CML_MODEL_LIST_MAX_SIZE);

	return res;
}

/* The session's model key, and the name that the client says. */
static TEE_Result named(const struct cml_session *session,
			const TEE_Param *param, struct cml_vault_id *id)
{
	struct cml_bytes bytes = { 0 };
	TEE_Result res = cml_param_bytes(param, sizeof(id->name), &bytes);

	if (res)
		return res;
	if (!session->model_key.present)
		return cml_tee_result(CML_KEY_MISSING);
	memcpy(id->key_id, session->model_key.id, sizeof(id->key_id));
	memcpy(id->name, bytes.ptr, bytes.len);

	return TEE_SUCCESS;
}

static enum cml_status remove_model(void *ctx, struct cml_vault *vault,
				    bool *changed)
{
	*changed = true;

	return cml_vault_remove(vault, ctx);
}

TEE_Result cml_cmd_model_remove(struct cml_session *session, TEE_Param *params)
{
	struct cml_vault_id id = { 0 };
	TEE_Result res = named(session, &params[0], &id);

	if (res)
		return res;

	return cml_tee_result(cml_vault_update(session, remove_model, &id));
}

static enum cml_status activate(void *ctx, struct cml_vault *vault,
				bool *changed)
{
	return cml_vault_activate(vault, ctx, changed);
}

TEE_Result cml_cmd_model_activate(struct cml_session *session,
				  TEE_Param *params)
{
	struct cml_vault_id id = { 0 };
	TEE_Result res = named(session, &params[0], &id);

	if (res)
		return res;

	return cml_tee_result(cml_vault_update(session, activate, &id));
}
