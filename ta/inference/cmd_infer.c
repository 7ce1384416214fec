// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cml_ta.h"
#include "session.h"

static enum cml_status take(void *ctx, struct cml_bytes plain)
{
	return cml_inference_push(ctx, plain);
}

static enum cml_status begin(struct cml_session *session,
			     struct cml_bytes bytes)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	struct cml_model *model = &session->model;
	enum cml_status status = CML_INTERNAL;
	struct cml_header header = { 0 };

	status = cml_sealed_input_header(bytes, CML_KIND_PHOTO,
					 &session->data_key, &header);
	if (status)
		return status;
	if (!cml_model_is_ready(model))
		return CML_MODEL_MISSING;
	if (!model->detector)
		status = cml_detector_new(allocator, cml_model_graph(model),
					  &model->detector);
	if (!status)
		status = cml_network_open(&session->memory, model,
					  &session->network);
	if (!status)
		status = cml_inference_new(allocator, model->detector,
					   &session->network.run,
					   header.score_threshold,
					   cml_session_clock, NULL,
					   &session->inference);
	if (status)
		return status;

	return cml_sealed_input_begin(&session->photo_input, session, &header,
				      &session->data_key, take,
				      session->inference);
}

TEE_Result cml_cmd_infer_begin(struct cml_session *session, TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	struct cml_bytes bytes = { 0 };

	cml_session_drop_photo(session);
	cml_session_drop_result(session);
	res = cml_param_bytes(&params[0], TA_CML_PUSH_MAX_SIZE, &bytes);
	if (res)
		return res;
	status = begin(session, bytes);
	if (status)
		cml_session_drop_photo(session);

	return cml_tee_result(status);
}

TEE_Result cml_cmd_infer_push(struct cml_session *session, TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	struct cml_bytes bytes = { 0 };

	if (!session->photo_input.stream)
		return cml_tee_result(CML_BAD_STATE);
	res = cml_param_bytes(&params[0], TA_CML_PUSH_MAX_SIZE, &bytes);
	if (!res) {
		status = cml_stream_push(session->photo_input.stream, bytes);
		res = cml_tee_result(status);
	}
	if (res)
		cml_session_drop_photo(session);

	return res;
}

/* What the result is bound to: the request's header and its stream. */
struct binding {
	uint8_t header[CML_HEADER_SIZE];
	uint8_t digest[CML_SHA256_SIZE];
};

static enum cml_status seal(struct cml_session *session,
			    const struct cml_result *result,
			    const struct binding *binding)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	const size_t padded_len = CML_RESULT_MAX_SIZE - CML_RESULT_SEAL_SIZE;
	size_t plain_len = padded_len;
	enum cml_status status = CML_NO_MEMORY;
	uint8_t *plain = NULL;

	session->result = allocator->alloc(allocator->ctx,
					   CML_RESULT_MAX_SIZE);
	plain = allocator->alloc(allocator->ctx, CML_RESULT_MAX_SIZE);
	if (!session->result || !plain)
		goto out;

	status = cml_result_encode(result, plain, &plain_len);
	if (status)
		goto out;
	/* Zeros follow: the size does not tell how much was found. */
	session->result_len = CML_RESULT_MAX_SIZE;
	status = cml_result_seal(session->data_key.key,
				 cml_bytes(binding, sizeof(*binding)),
				 cml_bytes(plain, padded_len), session->result,
				 &session->result_len);

out:
	allocator->release(allocator->ctx, plain, CML_RESULT_MAX_SIZE);
	if (status)
		cml_session_drop_result(session);

	return status;
}

static enum cml_status run_network(struct cml_session *session,
				   struct cml_result *result)
{
	struct cml_network *network = &session->network;
	enum cml_status status = CML_INTERNAL;
	uint64_t begin = 0;

	status = cml_inference_decode(session->inference);
	if (status)
		return status;
	begin = cml_session_clock(NULL);
	status = cml_network_run(&session->memory,
				 cml_board_open(&session->memory,
						&session->board),
				 &session->model, network, cml_session_clock);
	result->timings.network_us = cml_session_clock(NULL) - begin;
	if (status)
		return status;

	return cml_inference_detect(session->inference, &network->run, result);
}

static enum cml_status finish(struct cml_session *session,
			      struct cml_result *result)
{
	const struct cml_header *header = &session->photo_input.header;
	enum cml_status status = CML_INTERNAL;
	struct binding binding = { 0 };

	status = cml_stream_finish(session->photo_input.stream);
	if (!status)
		status = cml_stream_digest(session->photo_input.stream,
					   binding.digest);
	if (status)
		return status;
	memcpy(binding.header, header->bytes, sizeof(binding.header));
	memcpy(result->request_id, header->request_id,
	       sizeof(result->request_id));
	memcpy(result->model_digest, cml_model_head(&session->model)->digest,
	       sizeof(result->model_digest));

	status = run_network(session, result);
	if (status)
		return status;

	return seal(session, result, &binding);
}

TEE_Result cml_cmd_infer_finish(struct cml_session *session,
				TEE_Param *params)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	enum cml_status status = CML_NO_MEMORY;
	struct cml_result *result = NULL;

	if (!session->photo_input.stream)
		return cml_tee_result(CML_BAD_STATE);

	result = allocator->alloc(allocator->ctx, sizeof(*result));
	if (result)
		status = finish(session, result);
	allocator->release(allocator->ctx, result, sizeof(*result));
	cml_session_drop_photo(session);
	if (!status) {
		params[0].value.a = session->result_len;
		params[0].value.b = 0;
	}

	return cml_tee_result(status);
}

TEE_Result cml_cmd_result(struct cml_session *session, TEE_Param *params)
{
	TEE_Result res = TEE_ERROR_GENERIC;

	if (!session->result)
		return cml_tee_result(CML_RESULT_MISSING);
	res = cml_param_put(&params[0], cml_bytes(session->result,
						  session->result_len));
	if (!res)
		cml_session_drop_result(session);

	return res;
}
