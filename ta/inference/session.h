// SPDX-License-Identifier: Apache-2.0
/* Everything that a session owns, and what its commands share. */
#ifndef CML_SESSION_H
#define CML_SESSION_H

#include <tee_internal_api.h>

#include "identity.h"
#include "key_message.h"
#include "network.h"
#include "sealed_input.h"
#include "session_key.h"
#ifdef CFG_CML_ENCRYPT_MODEL
#include "sealer.h"
#endif
#include "vault_store.h"

#define CML_CHALLENGE_SIZE	16

struct cml_session {
	struct cml_secure_memory memory;
	struct cml_sealing sealing;
	struct cml_identity identity;
	/* What the next key message has to answer. */
	uint8_t challenge[CML_CHALLENGE_SIZE];
	struct cml_session_key data_key;
	struct cml_session_key model_key;
	uint8_t device_id[CML_DEVICE_ID_SIZE];	/* gpd.tee.deviceID */
	uint32_t cpu;			/* bits of enum cml_cpu */
	bool measured;			/* what the CPU is fast at, too */

	struct cml_model model;		/* in use, if it is ready */
	struct cml_model loading;
	struct cml_sealed_input model_input;
	struct cml_vault_expected expected;	/* of the one that is loading */

	struct cml_sealed_input request_input;
	struct cml_network network;	/* of the request */
	struct cml_inference *inference;	/* of a photo */
	size_t tensors_len;		/* of the inputs that are here */

	struct cml_shared board;
	struct cml_helper helper;	/* for others' photos */

#ifdef CFG_CML_ENCRYPT_MODEL
	struct cml_sealer *sealer;	/* NULL: nothing is in flight */
	TEE_Param *sealed;		/* where it puts what it has sealed */
#endif

	uint8_t *result;		/* sealed; NULL: none waits */
	size_t result_size, result_len;	/* of its memory; of itself */
};

TEE_Result cml_session_open(struct cml_session **session);
void cml_session_close(struct cml_session *session);	/* wipes */

/* For cml_clock */
uint64_t cml_session_clock(void *ctx);

/* What a command drops; each may find nothing. */
void cml_session_drop_request(struct cml_session *session);
void cml_session_drop_result(struct cml_session *session);
void cml_session_drop_loading(struct cml_session *session);
/* And the photo in flight, which uses it. */
void cml_session_drop_model(struct cml_session *session);

/* The one place where a status becomes what the client gets. */
TEE_Result cml_tee_result(enum cml_status status);

/*
 * The bytes of an input memref: not yet copied, so each may be read once.
 * TEE_ERROR_BAD_PARAMETERS when there is no buffer, TEE_ERROR_EXCESS_DATA over
 * @max.
 */
TEE_Result cml_param_bytes(const TEE_Param *param, size_t max,
			   struct cml_bytes *bytes);
/*
 * Copies @bytes out. TEE_ERROR_SHORT_BUFFER, and the size needed, when they do
 * not fit.
 */
TEE_Result cml_param_put(TEE_Param *param, struct cml_bytes bytes);

/* cmd_*.c: @params have the types that cml_ta.h gives. */
TEE_Result cml_cmd_info(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_provision_key(struct cml_session *session,
				 TEE_Param *params);
TEE_Result cml_cmd_own_key(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_own_key_csr(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_own_key_rotate(struct cml_session *session,
				  TEE_Param *params);
TEE_Result cml_cmd_attest(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_model_begin(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_model_push(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_model_finish(struct cml_session *session,
				TEE_Param *params);
TEE_Result cml_cmd_model_use(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_model_store(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_model_list(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_model_remove(struct cml_session *session,
				TEE_Param *params);
TEE_Result cml_cmd_model_activate(struct cml_session *session,
				  TEE_Param *params);
TEE_Result cml_cmd_infer_begin(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_infer_push(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_infer_finish(struct cml_session *session,
				TEE_Param *params);
TEE_Result cml_cmd_result(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_key_list(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_key_remove(struct cml_session *session, TEE_Param *params);
TEE_Result cml_cmd_model_describe(struct cml_session *session,
				  TEE_Param *params);
TEE_Result cml_cmd_encrypt_begin(struct cml_session *session,
				 TEE_Param *params);
TEE_Result cml_cmd_encrypt_push(struct cml_session *session,
				TEE_Param *params);
TEE_Result cml_cmd_encrypt_finish(struct cml_session *session,
				  TEE_Param *params);
TEE_Result cml_cmd_work(struct cml_session *session, TEE_Param *params);

#endif /* CML_SESSION_H */
