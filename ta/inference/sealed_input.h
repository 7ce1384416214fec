// SPDX-License-Identifier: Apache-2.0
/* A sealed file on its way in: its header, checked, and its stream. */
#ifndef CML_SEALED_INPUT_H
#define CML_SEALED_INPUT_H

#include "header.h"
#include "stream.h"

struct cml_session;
struct cml_session_key;

struct cml_sealed_input {
	struct cml_header header;
	struct cml_stream *stream;	/* NULL: nothing is on its way */
};

/*
 * The header of a file of one of @kinds (CML_KINDS()) that was sealed with @key. CML_HEADER_*,
 * CML_KEY_MISSING, CML_STREAM_WRONG_KEY.
 */
enum cml_status cml_sealed_input_header(struct cml_bytes bytes,
					uint32_t kinds,
					const struct cml_session_key *key,
					struct cml_header *header);
/* CML_NO_MEMORY, CML_CRYPTO. */
enum cml_status cml_sealed_input_begin(struct cml_sealed_input *input,
				       struct cml_session *session,
				       const struct cml_header *header,
				       const struct cml_session_key *key,
				       cml_stream_sink sink, void *sink_ctx);
void cml_sealed_input_drop(struct cml_sealed_input *input);

#endif /* CML_SEALED_INPUT_H */
