// SPDX-License-Identifier: Apache-2.0
#include <string.h>

#include "cml_ta.h"
#include "session.h"

_Static_assert(TA_CML_MODEL_SOURCE_SIZE == CML_MODEL_SOURCE_SIZE,
	       "two sizes for one thing");

/* The stream's sink: plaintext goes where it stays. */
static enum cml_status take(void *ctx, struct cml_bytes plain)
{
	struct cml_model *model = ctx;

	/* The stream never passes on more than the header announced. */
	if (plain.len > model->size - model->len)
		return CML_INTERNAL;
	memcpy(model->data.ptr + model->len, plain.ptr, plain.len);
	model->len += plain.len;

	return CML_OK;
}

static enum cml_status begin(struct cml_session *session,
			     struct cml_bytes bytes)
{
	struct cml_model *model = &session->loading;
	enum cml_status status = CML_INTERNAL;
	struct cml_session_key key = { 0 };
	struct cml_header header = { 0 };

	status = cml_header_parse(bytes, CML_KINDS(CML_KIND_MODEL), &header);
	if (!status)
		status = cml_vault_choose_key(session, &header, &key,
					      &session->expected);
	if (status)
		return status;

	/* Only one model has room: the new one begins where the old ends. */
	cml_session_drop_model(session);
	status = cml_model_begin(&session->memory, &header, model);
	if (!status)
		status = cml_sealed_input_begin(&session->model_input, session,
						&header, &key, take, model);
	cml_wipe(&key, sizeof(key));

	return status;
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

/* A file that the vault's key opens has to be the one that it is for. */
static bool is_expected(const struct cml_session *session)
{
	const struct cml_vault_expected *expected = &session->expected;
	const struct cml_model *model = &session->loading;

	return !expected->present ||
	       !memcmp(expected->source, model->source, model->source_len);
}

/*
 * The stream's header is kept: it is a part of what names the model. It is
 * copied before it is read, as the stream copies all else.
 */
static enum cml_status push(struct cml_session *session,
			    struct cml_bytes bytes)
{
	struct cml_stream *stream = session->model_input.stream;
	struct cml_model *model = &session->loading;
	uint8_t *head = model->source + model->source_len;
	size_t len = sizeof(model->source) - model->source_len;
	enum cml_status status = CML_OK;

	if (len > bytes.len)
		len = bytes.len;
	memcpy(head, bytes.ptr, len);
	model->source_len += len;
	if (!is_expected(session))
		return CML_MODEL_OTHER_FILE;
	status = cml_stream_push(stream, cml_bytes(head, len));
	if (status)
		return status;

	return cml_stream_push(stream, cml_bytes(bytes.ptr + len,
						 bytes.len - len));
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
		status = push(session, bytes);
		res = cml_tee_result(status);
	}
	if (res)
		cml_session_drop_loading(session);

	return res;
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
	if (!session->measured) {
		session->cpu = cml_measure_cpu(&session->memory.allocator,
					       session->cpu, cml_session_clock,
					       NULL);
		session->measured = true;
	}

	status = cml_model_finish(&session->memory, session->cpu, model,
				  &problem);
	if (!status && session->expected.present &&
	    memcmp(cml_model_head(model)->digest, session->expected.digest,
		   CML_SHA256_SIZE))
		status = CML_MODEL_OTHER_FILE;
	session->expected.present = false;
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

/* Of the model that is in use. */
static TEE_Result put_digest(const struct cml_session *session,
			     TEE_Param *param)
{
	const struct cml_model_head *head = cml_model_head(&session->model);

	return cml_param_put(param, cml_bytes(head->digest,
					      sizeof(head->digest)));
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

	return put_digest(session, &params[0]);
}

static enum cml_status use(struct cml_session *session,
			   const uint8_t source[CML_MODEL_SOURCE_SIZE])
{
	struct cml_vault_expected expected = { 0 };
	enum cml_status status = CML_INTERNAL;
	struct cml_session_key key = { 0 };
	struct cml_header header = { 0 };
	struct cml_model model = { 0 };

	/* Who has the file and the key could load it as well. */
	status = cml_header_parse(cml_bytes(source, CML_HEADER_SIZE),
				  CML_KINDS(CML_KIND_MODEL), &header);
	if (!status)
		status = cml_vault_choose_key(session, &header, &key,
					      &expected);
	if (!status && expected.present &&
	    memcmp(expected.source, source, CML_MODEL_SOURCE_SIZE))
		status = CML_MODEL_OTHER_FILE;
	if (!status)
		status = cml_model_find(&session->memory, source, &model);
	cml_wipe(&key, sizeof(key));
	if (status)
		return status;
	cml_session_drop_loading(session);
	cml_session_drop_model(session);
	session->model = model;

	return CML_OK;
}

TEE_Result cml_cmd_model_use(struct cml_session *session, TEE_Param *params)
{
	uint8_t source[CML_MODEL_SOURCE_SIZE] = { 0 };
	enum cml_status status = CML_INTERNAL;
	TEE_Result res = TEE_ERROR_GENERIC;
	struct cml_bytes bytes = { 0 };

	res = cml_param_bytes(&params[0], sizeof(source), &bytes);
	if (res == TEE_ERROR_EXCESS_DATA ||
	    (!res && bytes.len != sizeof(source)))
		return cml_tee_result(CML_HEADER_MALFORMED);
	if (res)
		return res;
	memcpy(source, bytes.ptr, sizeof(source));
	status = use(session, source);
	if (status)
		return cml_tee_result(status);

	return put_digest(session, &params[1]);
}
