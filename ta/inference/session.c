// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cml_ta.h"
#include "session.h"

static bool cpu_has(const char *property)
{
	bool value = false;

	/* An OP-TEE that does not tell has no such property: not used. */
	if (TEE_GetPropertyAsBool(TEE_PROPSET_TEE_IMPLEMENTATION, property,
				  &value))
		return false;

	return value;
}

static uint32_t cpu_features(void)
{
	uint32_t cpu = CML_CPU_NEON;

	if (cpu_has("org.trustedfirmware.optee.cpu.feat_dotprod_implemented"))
		cpu |= CML_CPU_DOTPROD;
	if (cpu_has("org.trustedfirmware.optee.cpu.feat_i8mm_implemented"))
		cpu |= CML_CPU_I8MM;

	return cpu;
}

/* As a UUID is written: most significant byte first. */
static void get_device_id(uint8_t id[CML_DEVICE_ID_SIZE])
{
	TEE_UUID uuid = { 0 };

	/* The GlobalPlatform specification makes it mandatory. */
	if (TEE_GetPropertyAsUUID(TEE_PROPSET_TEE_IMPLEMENTATION,
				  "gpd.tee.deviceID", &uuid))
		TEE_Panic(TEE_ERROR_NOT_SUPPORTED);
	for (size_t i = 0; i < 4; i++)
		id[i] = uuid.timeLow >> (24 - 8 * i);
	for (size_t i = 0; i < 2; i++) {
		id[4 + i] = uuid.timeMid >> (8 - 8 * i);
		id[6 + i] = uuid.timeHiAndVersion >> (8 - 8 * i);
	}
	memcpy(id + 8, uuid.clockSeqAndNode, sizeof(uuid.clockSeqAndNode));
}

/* OP-TEE tells the time in milliseconds. */
uint64_t cml_session_clock(void *ctx)
{
	TEE_Time now = { 0 };

	(void)ctx;
	TEE_GetSystemTime(&now);

	return (uint64_t)now.seconds * 1000000 + (uint64_t)now.millis * 1000;
}

TEE_Result cml_session_open(struct cml_session **session)
{
	struct cml_session *made = TEE_Malloc(sizeof(*made),
					      TEE_MALLOC_FILL_ZERO);
	TEE_Result res = TEE_ERROR_GENERIC;

	if (!made)
		return TEE_ERROR_OUT_OF_MEMORY;
	res = cml_secure_memory_init(&made->memory);
	if (res) {
		TEE_Free(made);
		return res;
	}
	made->identity.sealing = &made->sealing;
	made->cpu = cpu_features();
	get_device_id(made->device_id);
	TEE_GenerateRandom(made->challenge, sizeof(made->challenge));
	*session = made;

	return TEE_SUCCESS;
}

void cml_session_close(struct cml_session *session)
{
	cml_session_drop_loading(session);
	cml_session_drop_model(session);
	cml_session_drop_result(session);
#ifdef CFG_CML_ENCRYPT_MODEL
	cml_sealer_free(session->sealer);
#endif
	cml_helper_drop(&session->memory, &session->helper);
	cml_shared_unmap(&session->memory, &session->board);
	cml_identity_free(&session->identity);
	cml_secure_memory_close(&session->memory);
	cml_wipe(session, sizeof(*session));
	TEE_Free(session);
}

static void release(struct cml_session *session, void *ptr, size_t size)
{
	const struct cml_allocator *allocator = &session->memory.allocator;

	allocator->release(allocator->ctx, ptr, size);
}

void cml_session_drop_request(struct cml_session *session)
{
	cml_sealed_input_drop(&session->request_input);
	cml_inference_free(session->inference);
	session->inference = NULL;
	cml_network_close(&session->memory, &session->network);
	session->tensors_len = 0;
}

void cml_session_drop_result(struct cml_session *session)
{
	release(session, session->result, session->result_size);
	session->result = NULL;
	session->result_size = 0;
	session->result_len = 0;
}

void cml_session_drop_loading(struct cml_session *session)
{
	cml_sealed_input_drop(&session->model_input);
	session->expected.present = false;
	cml_model_drop(&session->memory, &session->loading);
}

void cml_session_drop_model(struct cml_session *session)
{
	cml_session_drop_request(session);
	cml_model_drop(&session->memory, &session->model);
}

TEE_Result cml_tee_result(enum cml_status status)
{
	return status ? TA_CML_ERROR_BASE + (TEE_Result)status : TEE_SUCCESS;
}

TEE_Result cml_param_bytes(const TEE_Param *param, size_t max,
			   struct cml_bytes *bytes)
{
	if (param->memref.size > max)
		return TEE_ERROR_EXCESS_DATA;
	if (!param->memref.buffer && param->memref.size)
		return TEE_ERROR_BAD_PARAMETERS;
	*bytes = cml_bytes(param->memref.buffer, param->memref.size);

	return TEE_SUCCESS;
}

TEE_Result cml_param_put(TEE_Param *param, struct cml_bytes bytes)
{
	const bool fits = param->memref.buffer &&
			  param->memref.size >= bytes.len;

	param->memref.size = bytes.len;
	if (!fits)
		return TEE_ERROR_SHORT_BUFFER;
	memcpy(param->memref.buffer, bytes.ptr, bytes.len);

	return TEE_SUCCESS;
}
