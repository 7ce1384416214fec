// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cml_ta.h"
#include "session.h"
#include "tensors.h"

static enum cml_status take_photo(void *ctx, struct cml_bytes plain)
{
	struct cml_session *session = ctx;

	return cml_inference_push(session->inference, plain);
}

/* The stream passes on as much as was announced, and that was checked. */
static enum cml_status take_tensors(void *ctx, struct cml_bytes plain)
{
	struct cml_session *session = ctx;

	cml_tensors_put(&session->network.run, session->tensors_len, plain);
	session->tensors_len += plain.len;

	return CML_OK;
}

static enum cml_status begin_photo(struct cml_session *session,
				   const struct cml_header *header)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	struct cml_model *model = &session->model;
	enum cml_status status = CML_OK;

	if (!model->detector)
		status = cml_detector_new(allocator, cml_model_graph(model),
					  &model->detector);
	if (!status)
		status = cml_network_open(&session->memory, model,
					  &session->network);
	if (status)
		return status;

	return cml_inference_new(allocator, model->detector,
				 &session->network.run,
				 header->score_threshold, cml_session_clock,
				 NULL, &session->inference);
}

static enum cml_status begin_tensors(struct cml_session *session,
				     const struct cml_header *header)
{
	const struct cml_graph *graph = cml_model_graph(&session->model);
	enum cml_status status = CML_INTERNAL;
	size_t size = 0;

	if (header->plaintext_len != cml_tensors_input_size(graph))
		return CML_TENSORS_SIZE;
	/* Nothing is computed whose result could not be given. */
	status = cml_tensors_result_size(graph, &size);
	if (status)
		return status;

	return cml_network_open(&session->memory, &session->model,
				&session->network);
}

static enum cml_status begin(struct cml_session *session,
			     struct cml_bytes bytes)
{
	enum cml_status status = CML_INTERNAL;
	struct cml_header header = { 0 };
	bool is_photo = false;

	status = cml_sealed_input_header(bytes, CML_KINDS(CML_KIND_PHOTO) |
					 CML_KINDS(CML_KIND_TENSORS),
					 &session->data_key, &header);
	if (status)
		return status;
	if (!cml_model_is_ready(&session->model))
		return CML_MODEL_MISSING;
	/*
	 * Nobody has authenticated the header yet. If it was changed, the
	 * first segment will not open.
	 */
	if (header.sequence <= session->data_key.sequence)
		return CML_REQUEST_REPLAYED;
	if (memcmp(header.model_digest, cml_model_head(&session->model)->digest,
		   sizeof(header.model_digest)))
		return CML_REQUEST_MODEL;
	is_photo = header.kind == CML_KIND_PHOTO;
	status = is_photo ? begin_photo(session, &header) :
		 begin_tensors(session, &header);
	if (status)
		return status;

	return cml_sealed_input_begin(&session->request_input, session,
				      &header, &session->data_key,
				      is_photo ? take_photo : take_tensors,
				      session);
}

TEE_Result cml_cmd_infer_begin(struct cml_session *session, TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	struct cml_bytes bytes = { 0 };

	cml_session_drop_request(session);
	cml_session_drop_result(session);
	res = cml_param_bytes(&params[0], TA_CML_PUSH_MAX_SIZE, &bytes);
	if (res)
		return res;
	status = begin(session, bytes);
	if (status)
		cml_session_drop_request(session);

	return cml_tee_result(status);
}

TEE_Result cml_cmd_infer_push(struct cml_session *session, TEE_Param *params)
{
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	struct cml_bytes bytes = { 0 };

	if (!session->request_input.stream)
		return cml_tee_result(CML_BAD_STATE);
	res = cml_param_bytes(&params[0], TA_CML_PUSH_MAX_SIZE, &bytes);
	if (!res) {
		status = cml_stream_push(session->request_input.stream, bytes);
		res = cml_tee_result(status);
	}
	if (res)
		cml_session_drop_request(session);

	return res;
}

/* A result that is not sealed yet, and whose it is. */
struct plain {
	uint8_t *bytes;
	size_t size, len;
	const struct cml_own_key *signer;
};

static enum cml_status seal(struct cml_session *session,
			    const struct plain *plain, uint8_t flags,
			    const uint8_t request[CML_SHA256_SIZE])
{
	struct cml_result_seal how = { .data_key = session->data_key.key };
	struct cml_cose_signer signer = { 0 };
	const struct cml_allocator *allocator = &session->memory.allocator;
	size_t size = plain->len + CML_RESULT_SEAL_SIZE;
	enum cml_status status = CML_NO_MEMORY;

	if (flags & CML_REQUEST_CLEAR)
		how.data_key = NULL;
	if (flags & CML_REQUEST_SIGNED) {
		signer.key = plain->signer->key;
		memcpy(signer.kid, plain->signer->kid, sizeof(signer.kid));
		how.signer = &signer;
	}

	session->result = allocator->alloc(allocator->ctx, size);
	if (!session->result)
		return CML_NO_MEMORY;
	session->result_size = size;
	session->result_len = size;
	status = cml_result_seal(&how,
				 cml_bytes(request, CML_SHA256_SIZE),
				 cml_bytes(plain->bytes, plain->len),
				 session->result, &session->result_len);
	if (status)
		cml_session_drop_result(session);

	return status;
}

static enum cml_status run_network(struct cml_session *session,
				   struct cml_result *result)
{
	uint64_t begin = cml_session_clock(NULL);
	enum cml_status status = CML_INTERNAL;

	status = cml_network_run(&session->memory,
				 cml_board_open(&session->memory,
						&session->board),
				 &session->model, &session->network,
				 cml_session_clock);
	result->timings.network_us = cml_session_clock(NULL) - begin;

	return status;
}

/* Late: the key that signs is the one that the device has now. */
static enum cml_status number(struct cml_session *session,
			      struct cml_result *result, struct plain *plain)
{
	return cml_identity_number(&session->identity,
				   cml_board_open(&session->memory,
						  &session->board),
				   &result->counter, &plain->signer);
}

static enum cml_status finish_photo(struct cml_session *session,
				    struct cml_result *result,
				    struct plain *plain)
{
	enum cml_status status = cml_inference_decode(session->inference);
	size_t len = plain->size;

	if (!status)
		status = run_network(session, result);
	if (!status)
		status = cml_inference_detect(session->inference,
					      &session->network.run, result);
	if (!status)
		status = number(session, result, plain);
	if (!status)
		status = cml_result_encode(result, plain->bytes, &len);
	/* Zeros follow: the size does not tell how much was found. */
	plain->len = plain->size;

	return status;
}

static enum cml_status finish_tensors(struct cml_session *session,
				      struct cml_result *result,
				      struct plain *plain)
{
	const struct cml_run *run = &session->network.run;
	enum cml_status status = run_network(session, result);

	if (!status)
		status = cml_tensors_digest(run, result->output_digest);
	plain->len = plain->size;
	if (!status)
		status = number(session, result, plain);
	if (!status)
		status = cml_tensors_encode(run, result, plain->bytes,
					    &plain->len);

	return status;
}

/*
 * The request as a whole: it is authentic, and was never seen before. What the
 * result is of, and who says so.
 */
static enum cml_status identify(struct cml_session *session,
				struct cml_result *result)
{
	const struct cml_header *header = &session->request_input.header;
	struct cml_stream *stream = session->request_input.stream;
	enum cml_status status = cml_stream_finish(stream);
	struct cml_header model = { 0 };

	if (!status)
		status = cml_stream_digest(stream, result->request_digest);
	if (status)
		return status;
	session->data_key.sequence = header->sequence;
	result->sequence = header->sequence;

	status = cml_model_header(&session->model, &model);
	if (status)
		return status;
	memcpy(result->model_name, model.name, sizeof(result->model_name));
	result->model_version = model.version;
	memcpy(result->model_digest, cml_model_head(&session->model)->digest,
	       sizeof(result->model_digest));
	memcpy(result->device_id, session->device_id,
	       sizeof(result->device_id));
	result->ta_version = TA_CML_VERSION;

	return CML_OK;
}

static enum cml_status plain_size(const struct cml_session *session,
				  size_t *size)
{
	if (!session->inference)
		return cml_tensors_result_size(
				cml_model_graph(&session->model), size);
	*size = CML_RESULT_MAX_SIZE - CML_RESULT_SEAL_SIZE;

	return CML_OK;
}

static enum cml_status finish(struct cml_session *session,
			      struct cml_result *result)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	enum cml_status status = CML_INTERNAL;
	struct plain plain = { 0 };
	uint8_t flags = session->request_input.header.flags;

	status = identify(session, result);
	if (!status)
		status = plain_size(session, &plain.size);
	if (status)
		return status;
	plain.bytes = allocator->alloc(allocator->ctx, plain.size);
	if (!plain.bytes)
		return CML_NO_MEMORY;
	status = session->inference ? finish_photo(session, result, &plain) :
		 finish_tensors(session, result, &plain);
	/* Arena and decoder have done their part: room for what is sealed. */
	cml_session_drop_request(session);
	if (!status)
		status = seal(session, &plain, flags, result->request_digest);
	allocator->release(allocator->ctx, plain.bytes, plain.size);

	return status;
}

TEE_Result cml_cmd_infer_finish(struct cml_session *session,
				TEE_Param *params)
{
	const struct cml_allocator *allocator = &session->memory.allocator;
	enum cml_status status = CML_NO_MEMORY;
	struct cml_result *result = NULL;

	if (!session->request_input.stream)
		return cml_tee_result(CML_BAD_STATE);

	result = allocator->alloc(allocator->ctx, sizeof(*result));
	if (result)
		status = finish(session, result);
	allocator->release(allocator->ctx, result, sizeof(*result));
	cml_session_drop_request(session);
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
