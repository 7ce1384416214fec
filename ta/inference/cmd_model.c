// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cml_ta.h"
#include "session.h"

/* The stream's sink: plaintext goes where it stays. */
static enum cml_status take(void *ctx, struct cml_bytes plain)
{
	struct cml_model *model = ctx;

	/* The stream never passes on more than the header announced. */
	if (plain.len > model->size - model->len)
		return CML_INTERNAL;
	memcpy(model->data + model->len, plain.ptr, plain.len);
	model->len += plain.len;

	return CML_OK;
}

static enum cml_status begin(struct cml_session *session,
			     struct cml_bytes bytes)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	struct cml_model *model = &session->loading;
	enum cml_status status = CML_INTERNAL;
	struct cml_header header = { 0 };

	status = cml_sealed_input_header(bytes, CML_KIND_MODEL,
					 &session->model_key, &header);
	if (status)
		return status;

	/* Only one model has room: the new one begins where the old ends. */
	cml_session_drop_model(session);
	model->data = allocator->alloc(allocator->ctx, header.plaintext_len);
	if (!model->data)
		return CML_NO_MEMORY;
	model->size = header.plaintext_len;

	return cml_sealed_input_begin(&session->model_input, session, &header,
				      &session->model_key, take, model);
}

TEE_Result cml_cmd_model_begin(struct cml_session *session, TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;
	struct cml_bytes bytes = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;

	cml_session_drop_loading(session);
	res = cml_param_bytes(&params[0], TA_CML_PUSH_MAX_SIZE, &bytes);
	if (res)
		return res;
	status = begin(session, bytes);
	if (status)
		cml_session_drop_loading(session);

	return cml_tee_result(status);
}

TEE_Result cml_cmd_model_push(struct cml_session *session, TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;
	struct cml_bytes bytes = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;

	if (!session->model_input.stream)
		return cml_tee_result(CML_BAD_STATE);
	res = cml_param_bytes(&params[0], TA_CML_PUSH_MAX_SIZE, &bytes);
	if (!res) {
		status = cml_stream_push(session->model_input.stream, bytes);
		res = cml_tee_result(status);
	}
	if (res)
		cml_session_drop_loading(session);

	return res;
}

static enum cml_status digest(struct cml_model *model)
{
	enum cml_status status = CML_INTERNAL;
	struct cml_sha256 *sha = NULL;

	status = cml_crypto_sha256_new(&sha);
	if (!status)
		status = cml_crypto_sha256_update(sha, cml_bytes(model->data,
								 model->len));
	if (!status)
		status = cml_crypto_sha256_final(sha, model->digest);
	cml_crypto_sha256_free(sha);

	return status;
}

static enum cml_status finish(struct cml_session *session)
{
	struct cml_model *model = &session->loading;
	struct cml_graph_problem problem = { .op_index = -1 };
	enum cml_status status = CML_INTERNAL;

	status = cml_stream_finish(session->model_input.stream);
	if (status)
		return status;
	cml_sealed_input_drop(&session->model_input);

	status = digest(model);
	if (status)
		return status;
	if (!session->measured) {
		session->cpu = cml_measure_cpu(&session->memory.allocator,
					       session->cpu, cml_session_clock,
					       NULL);
		session->measured = true;
	}
	status = cml_detector_new(&session->memory.allocator, model->data,
				  model->len, session->cpu, &model->detector,
				  &problem);
	if (status) {
		IMSG("model refused: %s (operator %" PRId32 "): %s",
		     cml_status_name(status), problem.op_index,
		     problem.reason ? problem.reason : "no reason");
		return status;
	}

	session->model = *model;
	*model = (struct cml_model){ 0 };	/* handed over */

	return CML_OK;
}

TEE_Result cml_cmd_model_finish(struct cml_session *session,
				TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;

	if (!session->model_input.stream)
		return cml_tee_result(CML_BAD_STATE);
	/* Nothing is lost for want of 32 bytes: FINISH can come again. */
	if (!params[0].memref.buffer ||
	    params[0].memref.size < CML_SHA256_SIZE) {
		params[0].memref.size = CML_SHA256_SIZE;
		return TEE_ERROR_SHORT_BUFFER;
	}

	status = finish(session);
	if (status) {
		cml_session_drop_loading(session);
		return cml_tee_result(status);
	}

	return cml_param_put(&params[0], cml_bytes(session->model.digest,
						   CML_SHA256_SIZE));
}
