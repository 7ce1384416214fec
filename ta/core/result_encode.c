// SPDX-License-Identifier: Apache-2.0
/* The CDDL of this map is in docs/wire-formats.md, "Result". */
#include <string.h>

#include "result_cbor.h"

#define RESULT_VERSION	2

void cml_result_put_uint(struct cml_result_writer *writer, CborEncoder *map,
			 const char *key, uint64_t value)
{
	cml_result_put_key(writer, map, key);
	cml_result_note(writer, cbor_encode_uint(map, value));
}

void cml_result_put_bytes(struct cml_result_writer *writer, CborEncoder *map,
			  const char *key, const uint8_t *bytes, size_t len)
{
	cml_result_put_key(writer, map, key);
	cml_result_note(writer, cbor_encode_byte_string(map, bytes, len));
}

static void put_text(struct cml_result_writer *writer, CborEncoder *map,
		     const char *key, const char *text)
{
	cml_result_put_key(writer, map, key);
	cml_result_note(writer, cbor_encode_text_stringz(map, text));
}

static void put_model(struct cml_result_writer *writer, CborEncoder *map,
		      const struct cml_result *result)
{
	CborEncoder inner = { 0 };

	cml_result_put_key(writer, map, "model");
	cml_result_note(writer, cbor_encoder_create_map(map, &inner, 3));
	put_text(writer, &inner, "name", result->model_name);
	cml_result_put_uint(writer, &inner, "version", result->model_version);
	cml_result_put_bytes(writer, &inner, "digest", result->model_digest,
			     sizeof(result->model_digest));
	cml_result_note(writer, cbor_encoder_close_container(map, &inner));
}

void cml_result_put_identity(struct cml_result_writer *writer,
			     CborEncoder *map,
			     const struct cml_result *result)
{
	cml_result_put_uint(writer, map, "v", RESULT_VERSION);
	cml_result_put_bytes(writer, map, "request", result->request_digest,
			     sizeof(result->request_digest));
	cml_result_put_uint(writer, map, "sequence", result->sequence);
	put_model(writer, map, result);
	cml_result_put_bytes(writer, map, "device", result->device_id,
			     sizeof(result->device_id));
	put_text(writer, map, "ta", result->ta_version);
	cml_result_put_uint(writer, map, "counter", result->counter);
	cml_result_put_bytes(writer, map, "output", result->output_digest,
			     sizeof(result->output_digest));
}

static void put_timings(struct cml_result_writer *writer, CborEncoder *map,
			const struct cml_timings *timings)
{
	CborEncoder inner = { 0 };

	cml_result_put_key(writer, map, "timings");
	cml_result_note(writer, cbor_encoder_create_map(map, &inner, 3));
	cml_result_put_uint(writer, &inner, "jpeg_us", timings->jpeg_us);
	cml_result_put_uint(writer, &inner, "network_us", timings->network_us);
	cml_result_put_uint(writer, &inner, "boxes_us", timings->boxes_us);
	cml_result_note(writer, cbor_encoder_close_container(map, &inner));
}

static void put_detection(struct cml_result_writer *writer, CborEncoder *list,
			  const struct cml_detection *detection)
{
	const char *label = cml_ssd_label(detection->label);
	CborEncoder inner = { 0 };
	CborEncoder box = { 0 };

	cml_result_note(writer, cbor_encoder_create_array(list, &inner, 4));
	cml_result_note(writer, label ? cbor_encode_text_stringz(&inner, label) :
	     CborErrorInternalError);
	cml_result_note(writer, cbor_encode_uint(&inner, detection->label));
	cml_result_note(writer, cbor_encode_float(&inner, detection->score));
	cml_result_note(writer, cbor_encoder_create_array(&inner, &box, 4));
	for (size_t i = 0; i < 4; i++)
		cml_result_note(writer, cbor_encode_float(&box, detection->box[i]));
	cml_result_note(writer, cbor_encoder_close_container(&inner, &box));
	cml_result_note(writer, cbor_encoder_close_container(list, &inner));
}

static void put_detections(struct cml_result_writer *writer, CborEncoder *map,
			   const struct cml_result *result)
{
	CborEncoder list = { 0 };

	cml_result_put_key(writer, map, "detections");
	cml_result_note(writer, cbor_encoder_create_array(map, &list,
					       result->detection_count));
	for (size_t i = 0; i < result->detection_count; i++)
		put_detection(writer, &list, &result->detections[i]);
	cml_result_note(writer, cbor_encoder_close_container(map, &list));
}

enum cml_status cml_result_encode(const struct cml_result *result,
				  uint8_t *out, size_t *len)
{
	struct cml_result_writer writer = { .error = CborNoError };
	CborEncoder root = { 0 };
	CborEncoder map = { 0 };

	if (result->detection_count > CML_SSD_MAX_DETECTIONS)
		return CML_INTERNAL;

	cbor_encoder_init(&root, out, *len, 0);
	cml_result_note(&writer, cbor_encoder_create_map(&root, &map,
				CML_RESULT_IDENTITY_ENTRIES + 4));
	cml_result_put_identity(&writer, &map, result);
	cml_result_put_uint(&writer, &map, "width", result->width);
	cml_result_put_uint(&writer, &map, "height", result->height);
	put_timings(&writer, &map, &result->timings);
	put_detections(&writer, &map, result);
	cml_result_note(&writer, cbor_encoder_close_container(&root, &map));
	if (writer.error)
		return CML_INTERNAL;
	*len = cbor_encoder_get_buffer_size(&root, out);

	return CML_OK;
}
