// SPDX-License-Identifier: Apache-2.0
#include "cml_ta.h"
#include "session.h"

#define NONE	TEE_PARAM_TYPE_NONE
#define IN	TEE_PARAM_TYPE_MEMREF_INPUT
#define OUT	TEE_PARAM_TYPE_MEMREF_OUTPUT

struct command {
	uint32_t types;
	TEE_Result (*run)(struct cml_session *session, TEE_Param *params);
};

/* Indexed by TA_CML_CMD_* */
static const struct command commands[TA_CML_CMD_ENCRYPT_FINISH + 1] = {
	[TA_CML_CMD_INFO] = {
		TEE_PARAM_TYPES(OUT, NONE, NONE, NONE), cml_cmd_info,
	},
	[TA_CML_CMD_PROVISION_KEY] = {
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT, IN, OUT, NONE),
		cml_cmd_provision_key,
	},
	[TA_CML_CMD_MODEL_BEGIN] = {
		TEE_PARAM_TYPES(IN, NONE, NONE, NONE), cml_cmd_model_begin,
	},
	[TA_CML_CMD_MODEL_PUSH] = {
		TEE_PARAM_TYPES(IN, NONE, NONE, NONE), cml_cmd_model_push,
	},
	[TA_CML_CMD_MODEL_FINISH] = {
		TEE_PARAM_TYPES(OUT, NONE, NONE, NONE), cml_cmd_model_finish,
	},
	[TA_CML_CMD_INFER_BEGIN] = {
		TEE_PARAM_TYPES(IN, NONE, NONE, NONE), cml_cmd_infer_begin,
	},
	[TA_CML_CMD_INFER_PUSH] = {
		TEE_PARAM_TYPES(IN, NONE, NONE, NONE), cml_cmd_infer_push,
	},
	[TA_CML_CMD_INFER_FINISH] = {
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_OUTPUT, NONE, NONE, NONE),
		cml_cmd_infer_finish,
	},
	[TA_CML_CMD_RESULT] = {
		TEE_PARAM_TYPES(OUT, NONE, NONE, NONE), cml_cmd_result,
	},
	[TA_CML_CMD_MODEL_USE] = {
		TEE_PARAM_TYPES(IN, OUT, NONE, NONE), cml_cmd_model_use,
	},
	[TA_CML_CMD_WORK] = {
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT,
				TEE_PARAM_TYPE_VALUE_OUTPUT, NONE, NONE),
		cml_cmd_work,
	},
	[TA_CML_CMD_ATTEST] = {
		TEE_PARAM_TYPES(IN, OUT, NONE, NONE), cml_cmd_attest,
	},
	[TA_CML_CMD_OWN_KEY] = {
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT, OUT, NONE, NONE),
		cml_cmd_own_key,
	},
	[TA_CML_CMD_OWN_KEY_CSR] = {
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT, OUT, NONE, NONE),
		cml_cmd_own_key_csr,
	},
	[TA_CML_CMD_OWN_KEY_ROTATE] = {
		TEE_PARAM_TYPES(TEE_PARAM_TYPE_VALUE_INPUT,
				TEE_PARAM_TYPE_VALUE_OUTPUT, NONE, NONE),
		cml_cmd_own_key_rotate,
	},
	[TA_CML_CMD_MODEL_STORE] = {
		TEE_PARAM_TYPES(NONE, NONE, NONE, NONE), cml_cmd_model_store,
	},
	[TA_CML_CMD_MODEL_LIST] = {
		TEE_PARAM_TYPES(OUT, NONE, NONE, NONE), cml_cmd_model_list,
	},
	[TA_CML_CMD_MODEL_REMOVE] = {
		TEE_PARAM_TYPES(IN, NONE, NONE, NONE), cml_cmd_model_remove,
	},
	[TA_CML_CMD_MODEL_ACTIVATE] = {
		TEE_PARAM_TYPES(IN, NONE, NONE, NONE), cml_cmd_model_activate,
	},
	[TA_CML_CMD_KEY_LIST] = {
		TEE_PARAM_TYPES(OUT, NONE, NONE, NONE), cml_cmd_key_list,
	},
	[TA_CML_CMD_KEY_REMOVE] = {
		TEE_PARAM_TYPES(IN, NONE, NONE, NONE), cml_cmd_key_remove,
	},
	[TA_CML_CMD_MODEL_DESCRIBE] = {
		TEE_PARAM_TYPES(OUT, NONE, NONE, NONE), cml_cmd_model_describe,
	},
#ifdef CFG_CML_ENCRYPT_MODEL
	[TA_CML_CMD_ENCRYPT_BEGIN] = {
		TEE_PARAM_TYPES(IN, OUT, NONE, NONE), cml_cmd_encrypt_begin,
	},
	[TA_CML_CMD_ENCRYPT_PUSH] = {
		TEE_PARAM_TYPES(IN, OUT, NONE, NONE), cml_cmd_encrypt_push,
	},
	[TA_CML_CMD_ENCRYPT_FINISH] = {
		TEE_PARAM_TYPES(NONE, NONE, NONE, NONE),
		cml_cmd_encrypt_finish,
	},
#endif
};

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types,
				    TEE_Param params[TEE_NUM_PARAMS],
				    void **session_ctx)
{
	struct cml_session *session = NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	(void)params;
	if (param_types != TEE_PARAM_TYPES(NONE, NONE, NONE, NONE))
		return TEE_ERROR_BAD_PARAMETERS;

	res = cml_session_open(&session);
	if (!res)
		*session_ctx = session;

	return res;
}

void TA_CloseSessionEntryPoint(void *session_ctx)
{
	cml_session_close(session_ctx);
}

TEE_Result TA_InvokeCommandEntryPoint(void *session_ctx, uint32_t cmd_id,
				      uint32_t param_types,
				      TEE_Param params[TEE_NUM_PARAMS])
{
	if (cmd_id > TA_CML_CMD_ENCRYPT_FINISH)
		return TEE_ERROR_NOT_SUPPORTED;
	/* Only those that most builds leave out have no function. */
	if (!commands[cmd_id].run)
		return cml_tee_result(CML_ENCRYPT_ABSENT);
	if (param_types != commands[cmd_id].types)
		return TEE_ERROR_BAD_PARAMETERS;

	return commands[cmd_id].run(session_ctx, params);
}
