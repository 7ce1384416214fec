// SPDX-License-Identifier: Apache-2.0
/* The CDDL of the result is in docs/wire-formats.md, "Result of tensors". */
#include <string.h>

#include "checked.h"
#include "result_cbor.h"
#include "tensors.h"

/* Of the map but for its tensors, and of a tensor but for its data. */
#define FIXED_SIZE	384
#define TENSOR_SIZE	128

size_t cml_tensors_input_size(const struct cml_graph *graph)
{
	size_t size = 0;

	/* Each lies in an arena that is far from overflowing. */
	for (size_t i = 0; i < cml_graph_input_count(graph); i++)
		size += cml_graph_input(graph, i).size;

	return size;
}

void cml_tensors_put(const struct cml_run *run, size_t offset,
		     struct cml_bytes bytes)
{
	const uint8_t *from = bytes.ptr;
	size_t left = bytes.len;

	for (size_t i = 0; left; i++) {
		size_t size = cml_graph_input(run->graph, i).size;
		size_t len = 0;

		if (offset >= size) {
			offset -= size;
			continue;
		}
		len = size - offset < left ? size - offset : left;
		memcpy(cml_run_input(run, i) + offset, from, len);
		from += len;
		left -= len;
		offset = 0;
	}
}

void cml_tensors_get(const struct cml_run *run, uint8_t *inputs)
{
	for (size_t i = 0; i < cml_graph_input_count(run->graph); i++) {
		size_t size = cml_graph_input(run->graph, i).size;

		memcpy(inputs, cml_run_input(run, i), size);
		inputs += size;
	}
}

enum cml_status cml_tensors_result_size(const struct cml_graph *graph,
					size_t *size)
{
	*size = FIXED_SIZE;
	for (size_t i = 0; i < cml_graph_output_count(graph); i++)
		if (CML_ADD_OVERFLOW(*size, cml_graph_output(graph, i).size +
				     TENSOR_SIZE, size))
			return CML_MODEL_LIMIT;

	return *size <= CML_TENSORS_MAX_LEN ? CML_OK : CML_MODEL_LIMIT;
}

enum cml_status cml_tensors_digest(const struct cml_run *run,
				  uint8_t digest[CML_SHA256_SIZE])
{
	enum cml_status status = CML_INTERNAL;
	struct cml_sha256 *sha = NULL;

	status = cml_crypto_sha256_new(&sha);
	for (size_t i = 0; !status && i < cml_graph_output_count(run->graph);
	     i++)
		status = cml_crypto_sha256_update(sha, cml_bytes(
			cml_run_output(run, i),
			cml_graph_output(run->graph, i).size));
	if (!status)
		status = cml_crypto_sha256_final(sha, digest);
	cml_crypto_sha256_free(sha);

	return status;
}

void cml_result_put_info(struct cml_result_writer *writer, CborEncoder *map,
			 const struct cml_tensor_info *info)
{
	CborEncoder dims = { 0 };

	cml_result_put_uint(writer, map, "type", info->type);
	cml_result_put_key(writer, map, "dims");
	cml_result_note(writer, cbor_encoder_create_array(map, &dims,
							  info->rank));
	for (size_t i = 0; i < info->rank; i++)
		cml_result_note(writer, cbor_encode_uint(&dims, info->dims[i]));
	cml_result_note(writer, cbor_encoder_close_container(map, &dims));
	cml_result_put_key(writer, map, "scale");
	cml_result_note(writer, cbor_encode_float(map, info->scale));
	cml_result_put_key(writer, map, "zero_point");
	cml_result_note(writer, cbor_encode_int(map, info->zero_point));
}

static void put_tensor(struct cml_result_writer *writer, CborEncoder *list,
		       const struct cml_tensor_info *info,
		       const uint8_t *data)
{
	CborEncoder map = { 0 };

	cml_result_note(writer,
			cbor_encoder_create_map(list, &map,
						CML_RESULT_INFO_ENTRIES + 1));
	cml_result_put_info(writer, &map, info);
	cml_result_put_bytes(writer, &map, "data", data, info->size);
	cml_result_note(writer, cbor_encoder_close_container(list, &map));
}

enum cml_status cml_tensors_encode(const struct cml_run *run,
				   const struct cml_result *result,
				   uint8_t *out, size_t *len)
{
	const size_t count = cml_graph_output_count(run->graph);
	struct cml_result_writer writer = { .error = CborNoError };
	CborEncoder root = { 0 };
	CborEncoder map = { 0 };
	CborEncoder list = { 0 };

	cbor_encoder_init(&root, out, *len, 0);
	cml_result_note(&writer, cbor_encoder_create_map(&root, &map,
				CML_RESULT_IDENTITY_ENTRIES + 2));
	cml_result_put_identity(&writer, &map, result);
	cml_result_put_key(&writer, &map, "timings");
	cml_result_note(&writer, cbor_encoder_create_map(&map, &list, 1));
	cml_result_put_uint(&writer, &list, "network_us",
			    result->timings.network_us);
	cml_result_note(&writer, cbor_encoder_close_container(&map, &list));
	cml_result_put_key(&writer, &map, "outputs");
	cml_result_note(&writer, cbor_encoder_create_array(&map, &list, count));
	for (size_t i = 0; i < count; i++) {
		struct cml_tensor_info info = cml_graph_output(run->graph, i);

		put_tensor(&writer, &list, &info, cml_run_output(run, i));
	}
	cml_result_note(&writer, cbor_encoder_close_container(&map, &list));
	cml_result_note(&writer, cbor_encoder_close_container(&root, &map));
	if (writer.error)
		return CML_INTERNAL;
	*len = cbor_encoder_get_buffer_size(&root, out);

	return CML_OK;
}
