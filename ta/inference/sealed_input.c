// SPDX-License-Identifier: Apache-2.0
#include "sealed_input.h"
#include "session.h"

enum cml_status cml_sealed_input_header(struct cml_bytes bytes,
					uint32_t kinds,
					const struct cml_session_key *key,
					struct cml_header *header)
{
	enum cml_status status = cml_header_parse(bytes, kinds, header);

	if (status)
		return status;
	if (!key->present)
		return CML_KEY_MISSING;
	if (!cml_crypto_equal(header->key_id, key->id, sizeof(key->id)))
		return CML_STREAM_WRONG_KEY;

	return CML_OK;
}

enum cml_status cml_sealed_input_begin(struct cml_sealed_input *input,
				       struct cml_session *session,
				       const struct cml_header *header,
				       const struct cml_session_key *key,
				       cml_stream_sink sink, void *sink_ctx)
{
	input->header = *header;

	return cml_stream_new(&session->memory.allocator, key->key,
			      cml_bytes(header->bytes, sizeof(header->bytes)),
			      header->plaintext_len, sink, sink_ctx,
			      &input->stream);
}

void cml_sealed_input_drop(struct cml_sealed_input *input)
{
	cml_stream_free(input->stream);
	*input = (struct cml_sealed_input){ 0 };
}
