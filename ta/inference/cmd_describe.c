// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cml_ta.h"
#include "describe.h"
#include "session.h"

/* What COSE_Sign1 adds, without a certificate, is less. */
#define SIGN1_SIZE	192

/* A result is bound to a digest: 32 bytes, and no text. */
static const char purpose[] = "cml-model-v1";

static enum cml_status make_signer(struct cml_session *session,
				   struct cml_cose_signer *signer)
{
	const struct cml_own_key *own = NULL;
	enum cml_status status = CML_INTERNAL;

	status = cml_identity_get(&session->identity, CML_IDENTITY_SIGNING,
				  &own);
	if (status)
		return status;
	signer->key = own->key;
	memcpy(signer->kid, own->kid, sizeof(signer->kid));

	return CML_OK;
}

/* @out has room for TA_CML_DESCRIPTION_MAX_SIZE bytes. */
static enum cml_status describe(struct cml_session *session, uint8_t *out,
				size_t *len)
{
	const struct cml_model *model = &session->model;
	const struct cml_model_head *head = NULL;
	size_t plain_len = TA_CML_DESCRIPTION_MAX_SIZE - SIGN1_SIZE;
	struct cml_bytes aad = cml_bytes(purpose, sizeof(purpose) - 1);
	enum cml_status status = CML_INTERNAL;
	struct cml_cose_signer signer = { 0 };

	if (!cml_model_is_ready(model))
		return CML_MODEL_MISSING;
	head = cml_model_head(model);
	status = make_signer(session, &signer);
	/* Where it is not in the way of what precedes it */
	if (!status)
		status = cml_describe_encode(cml_model_graph(model),
					     cml_bytes(head->source,
						       sizeof(head->source)),
					     head->digest, out + SIGN1_SIZE,
					     &plain_len);
	if (status)
		return status;
	memmove(out + cml_cose_sign1_offset(&signer, plain_len),
		out + SIGN1_SIZE, plain_len);
	*len = TA_CML_DESCRIPTION_MAX_SIZE;

	return cml_cose_sign1(&signer, aad,
			      cml_bytes(out + cml_cose_sign1_offset(&signer,
								    plain_len),
					plain_len), out, len);
}

TEE_Result cml_cmd_model_describe(struct cml_session *session,
				  TEE_Param *params)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	uint8_t *out = NULL;
	size_t len = 0;

	out = allocator->alloc(allocator->ctx, TA_CML_DESCRIPTION_MAX_SIZE);
	if (!out)
		return cml_tee_result(CML_NO_MEMORY);
	status = describe(session, out, &len);
	res = status ? cml_tee_result(status) :
	      cml_param_put(&params[0], cml_bytes(out, len));
	allocator->release(allocator->ctx, out, TA_CML_DESCRIPTION_MAX_SIZE);

	return res;
}
