// SPDX-License-Identifier: Apache-2.0
#include "describe.h"
#include "result_cbor.h"

#define DESCRIPTION_VERSION	1

enum cml_status cml_describe_encode(const struct cml_graph *graph,
				    struct cml_bytes source,
				    const uint8_t digest[CML_SHA256_SIZE],
				    uint8_t *out, size_t *len)
{
	const size_t count = cml_graph_input_count(graph);
	struct cml_result_writer writer = { .error = CborNoError };
	CborEncoder root = { 0 };
	CborEncoder list = { 0 };
	CborEncoder map = { 0 };

	cbor_encoder_init(&root, out, *len, 0);
	cml_result_note(&writer, cbor_encoder_create_map(&root, &map, 4));
	cml_result_put_uint(&writer, &map, "v", DESCRIPTION_VERSION);
	cml_result_put_bytes(&writer, &map, "source", source.ptr, source.len);
	cml_result_put_bytes(&writer, &map, "digest", digest, CML_SHA256_SIZE);
	cml_result_put_key(&writer, &map, "inputs");
	cml_result_note(&writer, cbor_encoder_create_array(&map, &list, count));
	for (size_t i = 0; i < count; i++) {
		struct cml_tensor_info info = cml_graph_input(graph, i);
		CborEncoder input = { 0 };

		cml_result_note(&writer,
				cbor_encoder_create_map(&list, &input,
						CML_RESULT_INFO_ENTRIES));
		cml_result_put_info(&writer, &input, &info);
		cml_result_note(&writer,
				cbor_encoder_close_container(&list, &input));
	}
	cml_result_note(&writer, cbor_encoder_close_container(&map, &list));
	cml_result_note(&writer, cbor_encoder_close_container(&root, &map));
	if (writer.error == CborErrorOutOfMemory)
		return CML_MODEL_LIMIT;
	if (writer.error)
		return CML_INTERNAL;
	*len = cbor_encoder_get_buffer_size(&root, out);

	return CML_OK;
}
