// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include <pta_evidence.h>
#include <tee_internal_api.h>

#include "evidence.h"

#define NONE	TEE_PARAM_TYPE_NONE
#define IN	TEE_PARAM_TYPE_MEMREF_INPUT
#define OUT	TEE_PARAM_TYPE_MEMREF_OUTPUT

static enum cml_status call(uint32_t command, uint32_t types,
			    TEE_Param params[TEE_NUM_PARAMS])
{
	static const TEE_UUID uuid = PTA_EVIDENCE_UUID;
	TEE_TASessionHandle session = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	uint32_t origin = 0;

	res = TEE_OpenTASession(&uuid, TEE_TIMEOUT_INFINITE, 0, NULL, &session,
				&origin);
	if (!res)
		res = TEE_InvokeTACommand(session, TEE_TIMEOUT_INFINITE,
					  command, types, params, &origin);
	TEE_CloseTASession(session);
	if (!res)
		return CML_OK;
	EMSG("evidence, command %" PRIu32 ": %#" PRIx32, command, res);
	if (res == TEE_ERROR_SHORT_BUFFER)
		return CML_INTERNAL;

	return res == TEE_ERROR_OUT_OF_MEMORY ? CML_NO_MEMORY : CML_CRYPTO;
}

enum cml_status cml_evidence_seed(const char *label,
				  uint8_t seed[CML_SEED_SIZE])
{
	TEE_Param params[TEE_NUM_PARAMS] = { 0 };

	params[0].memref.buffer = (void *)label;
	params[0].memref.size = strlen(label);
	params[1].memref.buffer = seed;
	params[1].memref.size = CML_SEED_SIZE;

	return call(PTA_EVIDENCE_DERIVE_KEY,
		    TEE_PARAM_TYPES(IN, OUT, NONE, NONE), params);
}

enum cml_status cml_evidence_measurement(uint8_t digest[CML_SHA256_SIZE])
{
	TEE_Param params[TEE_NUM_PARAMS] = { 0 };

	params[0].memref.buffer = digest;
	params[0].memref.size = CML_SHA256_SIZE;

	return call(PTA_EVIDENCE_MEASUREMENT,
		    TEE_PARAM_TYPES(OUT, NONE, NONE, NONE), params);
}

enum cml_status cml_evidence_token(struct cml_bytes nonce,
				   struct cml_bytes claims, uint8_t *token,
				   size_t *len)
{
	TEE_Param params[TEE_NUM_PARAMS] = { 0 };
	enum cml_status status = CML_INTERNAL;

	params[0].memref.buffer = (void *)nonce.ptr;
	params[0].memref.size = nonce.len;
	params[1].memref.buffer = (void *)claims.ptr;
	params[1].memref.size = claims.len;
	params[2].memref.buffer = token;
	params[2].memref.size = *len;

	status = call(PTA_EVIDENCE_TOKEN, TEE_PARAM_TYPES(IN, IN, OUT, NONE),
		      params);
	if (!status)
		*len = params[2].memref.size;

	return status;
}
