// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cml_ta.h"
#include "csr.h"
#include "evidence.h"
#include "key_message.h"
#include "session.h"

_Static_assert(TA_CML_STORED_KEYS_MAX_COUNT == CML_VAULT_KEYS_MAX_COUNT,
	       "two sizes for one thing");
_Static_assert(TA_CML_CHALLENGE_SIZE == CML_CHALLENGE_SIZE &&
	       TA_CML_KEY_MESSAGE_MAX_SIZE == CML_CHALLENGE_SIZE +
	       CML_KEY_MESSAGE_MAX_SIZE && TA_CML_CSR_MAX_SIZE >= CML_CSR_MAX_SIZE,
	       "two sizes for one thing");

static bool is_own_key(uint32_t which)
{
	return which == CML_IDENTITY_WRAPPING || which == CML_IDENTITY_SIGNING;
}

/* @message: the challenge that it answers, and COSE_Encrypt; a copy of ours. */
static enum cml_status open_message(struct cml_session *session, uint32_t slot,
				    struct cml_bytes message,
				    uint8_t key[CML_AES256_KEY_SIZE])
{
	struct cml_bytes challenge = cml_bytes(message.ptr, CML_CHALLENGE_SIZE);
	const struct cml_own_key *own = NULL;
	struct cml_cose_recipient to = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (message.len < CML_CHALLENGE_SIZE)
		return CML_COSE_MALFORMED;
	/* It is in the message's associated data as well. */
	if (!cml_crypto_equal(challenge.ptr, session->challenge,
			      CML_CHALLENGE_SIZE))
		return CML_KEY_REPLAYED;
	status = cml_identity_get(&session->identity, CML_IDENTITY_WRAPPING,
				  &own);
	if (status)
		return status;
	to.key = own->key;
	memcpy(to.kid, own->kid, sizeof(to.kid));

	return cml_key_message_open(&to, slot, challenge,
				    cml_bytes(message.ptr + CML_CHALLENGE_SIZE,
					      message.len - CML_CHALLENGE_SIZE),
				    key);
}

static enum cml_status store(void *ctx, struct cml_vault *vault, bool *changed)
{
	const struct cml_session_key *key = ctx;

	return cml_vault_store_key(vault, key->id, key->key, changed);
}

static enum cml_status provision(struct cml_session *session, uint32_t slot,
				 struct cml_bytes message)
{
	struct cml_session_key key = { .present = true };
	enum cml_status status = CML_INTERNAL;

	status = open_message(session, slot, message, key.key);
	if (!status)
		status = cml_key_id(key.key, key.id);
	/* Answered once; and whoever has the answer knows no other. */
	if (!status)
		status = cml_crypto_random(session->challenge,
					   CML_CHALLENGE_SIZE);
	if (!status && slot == CML_KEY_SLOT_DATA) {
		cml_session_drop_request(session);
		cml_session_drop_result(session);
		session->data_key = key;
	}
	if (!status && slot == CML_KEY_SLOT_MODEL) {
		cml_session_drop_loading(session);
		session->model_key = key;
	}
	if (!status && slot == CML_KEY_SLOT_STORED)
		status = cml_vault_update(session, store, &key);
	cml_wipe(&key, sizeof(key));

	return status;
}

TEE_Result cml_cmd_provision_key(struct cml_session *session,
				 TEE_Param *params)
{
	uint8_t message[TA_CML_KEY_MESSAGE_MAX_SIZE] = { 0 };
	const uint32_t slot = params[0].value.a;
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	struct cml_bytes bytes = { 0 };

	if (slot != CML_KEY_SLOT_DATA && slot != CML_KEY_SLOT_MODEL &&
	    slot != CML_KEY_SLOT_STORED)
		return TEE_ERROR_BAD_PARAMETERS;
	res = cml_param_bytes(&params[1], sizeof(message), &bytes);
	if (res == TEE_ERROR_EXCESS_DATA)
		return cml_tee_result(CML_COSE_LIMIT);
	if (res)
		return res;
	/* The answer has to fit before there is one. */
	if (!params[2].memref.buffer ||
	    params[2].memref.size < CML_CHALLENGE_SIZE) {
		params[2].memref.size = CML_CHALLENGE_SIZE;
		return TEE_ERROR_SHORT_BUFFER;
	}
	if (bytes.len)
		memcpy(message, bytes.ptr, bytes.len);
	status = provision(session, slot, cml_bytes(message, bytes.len));
	if (status)
		return cml_tee_result(status);

	return cml_param_put(&params[2], cml_bytes(session->challenge,
						   CML_CHALLENGE_SIZE));
}

TEE_Result cml_cmd_own_key(struct cml_session *session, TEE_Param *params)
{
	uint8_t encoded[CML_COSE_KEY_SIZE] = { 0 };
	const struct cml_own_key *own = NULL;
	enum cml_status status = CML_INTERNAL;

	if (!is_own_key(params[0].value.a))
		return TEE_ERROR_BAD_PARAMETERS;
	status = cml_identity_get(&session->identity, params[0].value.a, &own);
	if (status)
		return cml_tee_result(status);
	cml_cose_key_encode(own->point, encoded);

	return cml_param_put(&params[1], cml_bytes(encoded, sizeof(encoded)));
}

TEE_Result cml_cmd_own_key_csr(struct cml_session *session, TEE_Param *params)
{
	const enum cml_identity_key which = params[0].value.a;
	uint8_t csr[CML_CSR_MAX_SIZE] = { 0 };
	const struct cml_own_key *own = NULL;
	enum cml_status status = CML_INTERNAL;
	const char *label = NULL;
	size_t len = sizeof(csr);

	/* A request is signed with the key that it is for. */
	if (which != CML_IDENTITY_SIGNING)
		return TEE_ERROR_BAD_PARAMETERS;
	label = cml_identity_label(which);
	status = cml_identity_get(&session->identity, which, &own);
	if (!status)
		status = cml_csr(own->key, cml_bytes(label, strlen(label)),
				 session->device_id, csr, &len);
	if (status)
		return cml_tee_result(status);

	return cml_param_put(&params[1], cml_bytes(csr, len));
}

TEE_Result cml_cmd_own_key_rotate(struct cml_session *session,
				  TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;
	uint64_t generation = 0;

	if (!is_own_key(params[0].value.a))
		return TEE_ERROR_BAD_PARAMETERS;
	status = cml_identity_rotate(&session->identity,
				     cml_board_open(&session->memory,
						    &session->board),
				     params[0].value.a, &generation);
	params[1].value.a = generation;
	params[1].value.b = generation >> 32;

	return cml_tee_result(status);
}
