// SPDX-License-Identifier: Apache-2.0
/*
 * Models sealed by the TA itself. Not in the default build: who may call this can
 * make files that open under an owner's key, as if the owner had sealed them.
 */
#include <string.h>

#include "cml_ta.h"
#include "sealer.h"
#include "session.h"

static void drop(struct cml_session *session)
{
	cml_sealer_free(session->sealer);
	session->sealer = NULL;
}

/* There is room: it was looked at before. */
static enum cml_status put(void *ctx, struct cml_bytes sealed)
{
	struct cml_session *session = ctx;
	uint8_t *out = session->sealed->memref.buffer;

	memcpy(out + session->sealed->memref.size, sealed.ptr, sealed.len);
	session->sealed->memref.size += sealed.len;

	return CML_OK;
}

struct choice {
	const uint8_t *id;
	uint8_t key[CML_AES256_KEY_SIZE];
};

static enum cml_status choose(void *ctx, struct cml_vault *vault,
			      bool *changed)
{
	const struct cml_vault_key *kept = NULL;
	struct choice *choice = ctx;

	(void)changed;
	kept = cml_vault_find_key(vault, choice->id);
	if (!kept)
		return CML_KEY_UNKNOWN;
	memcpy(choice->key, kept->key, sizeof(choice->key));

	return CML_OK;
}

static enum cml_status begin(struct cml_session *session,
			     struct cml_bytes bytes,
			     uint8_t head[CML_STREAM_HEADER_SIZE])
{
	enum cml_status status = CML_INTERNAL;
	struct cml_header header = { 0 };
	struct choice choice = { 0 };

	status = cml_header_parse(bytes, CML_KINDS(CML_KIND_MODEL), &header);
	choice.id = header.key_id;
	if (!status)
		status = cml_vault_update(session, choose, &choice);
	if (!status)
		status = cml_sealer_new(&session->memory.allocator, choice.key,
					cml_bytes(header.bytes,
						  sizeof(header.bytes)),
					header.plaintext_len, put, session,
					head, &session->sealer);
	cml_wipe(&choice, sizeof(choice));

	return status;
}

TEE_Result cml_cmd_encrypt_begin(struct cml_session *session,
				 TEE_Param *params)
{
	uint8_t head[CML_STREAM_HEADER_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct cml_bytes bytes = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;

	drop(session);
	res = cml_param_bytes(&params[0], TA_CML_PUSH_MAX_SIZE, &bytes);
	if (res)
		return res;
	status = begin(session, bytes, head);
	if (status)
		return cml_tee_result(status);
	res = cml_param_put(&params[1], cml_bytes(head, sizeof(head)));
	if (res)
		drop(session);

	return res;
}

TEE_Result cml_cmd_encrypt_push(struct cml_session *session, TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;
	const size_t room = params[1].memref.size;
	struct cml_bytes bytes = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;
	uint64_t size = 0;

	if (!session->sealer)
		return cml_tee_result(CML_BAD_STATE);
	res = cml_param_bytes(&params[0], TA_CML_PUSH_MAX_SIZE, &bytes);
	if (res) {
		drop(session);
		return res;
	}
	size = cml_sealer_push_size(session->sealer, bytes.len);
	if (size > room || (size && !params[1].memref.buffer)) {
		params[1].memref.size = size;
		return TEE_ERROR_SHORT_BUFFER;
	}
	params[1].memref.size = 0;
	session->sealed = &params[1];
	status = cml_sealer_push(session->sealer, bytes);
	session->sealed = NULL;
	if (status)
		drop(session);

	return cml_tee_result(status);
}

TEE_Result cml_cmd_encrypt_finish(struct cml_session *session,
				  TEE_Param *params)
{
	enum cml_status status = CML_BAD_STATE;

	(void)params;
	if (session->sealer)
		status = cml_sealer_finish(session->sealer);
	drop(session);

	return cml_tee_result(status);
}
