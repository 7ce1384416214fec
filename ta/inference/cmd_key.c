// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "session.h"

TEE_Result cml_cmd_provision_key(struct cml_session *session,
				 TEE_Param *params)
{
	const uint32_t slot = params[0].value.a;
	uint8_t wrapped[CML_WRAPPED_KEY_SIZE] = { 0 };
	struct cml_session_key key = { .present = true };
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	struct cml_bytes bytes = { 0 };

	if (slot != CML_KEY_SLOT_DATA && slot != CML_KEY_SLOT_MODEL)
		return TEE_ERROR_BAD_PARAMETERS;
	res = cml_param_bytes(&params[1], sizeof(wrapped), &bytes);
	if (res == TEE_ERROR_EXCESS_DATA)
		return cml_tee_result(CML_KEY_MALFORMED);
	if (res)
		return res;
	if (bytes.len != sizeof(wrapped))
		return cml_tee_result(CML_KEY_MALFORMED);
	memcpy(wrapped, bytes.ptr, sizeof(wrapped));

	status = cml_session_identity(session);
	if (!status)
		status = cml_key_unwrap(&session->identity, slot,
					cml_bytes(wrapped, sizeof(wrapped)),
					key.key);
	if (!status)
		status = cml_key_id(key.key, key.id);
	if (!status && slot == CML_KEY_SLOT_DATA) {
		cml_session_drop_request(session);
		cml_session_drop_result(session);
		session->data_key = key;
	}
	if (!status && slot == CML_KEY_SLOT_MODEL) {
		cml_session_drop_loading(session);
		session->model_key = key;
	}
	cml_wipe(&key, sizeof(key));

	return cml_tee_result(status);
}
