// SPDX-License-Identifier: Apache-2.0
/* The CDDL of this map is in docs/wire-formats.md, "Result". */
#include <string.h>

#include "cbor.h"

#include "result.h"

#define RESULT_VERSION	1

/*
 * tinycbor's errors: the encoder goes on counting after the first, so that
 * they can be gathered and looked at once.
 */
struct result_writer {
	CborError error;
};

static void note(struct result_writer *writer, CborError error)
{
	if (!writer->error)
		writer->error = error;
}

static void put_key(struct result_writer *writer, CborEncoder *map,
		    const char *key)
{
	note(writer, cbor_encode_text_stringz(map, key));
}

static void put_uint(struct result_writer *writer, CborEncoder *map,
		     const char *key, uint64_t value)
{
	put_key(writer, map, key);
	note(writer, cbor_encode_uint(map, value));
}

static void put_bytes(struct result_writer *writer, CborEncoder *map,
		      const char *key, const uint8_t *bytes, size_t len)
{
	put_key(writer, map, key);
	note(writer, cbor_encode_byte_string(map, bytes, len));
}

static void put_timings(struct result_writer *writer, CborEncoder *map,
			const struct cml_timings *timings)
{
	CborEncoder inner = { 0 };

	put_key(writer, map, "timings");
	note(writer, cbor_encoder_create_map(map, &inner, 3));
	put_uint(writer, &inner, "jpeg_us", timings->jpeg_us);
	put_uint(writer, &inner, "network_us", timings->network_us);
	put_uint(writer, &inner, "boxes_us", timings->boxes_us);
	note(writer, cbor_encoder_close_container(map, &inner));
}

static void put_detection(struct result_writer *writer, CborEncoder *list,
			  const struct cml_detection *detection)
{
	const char *label = cml_ssd_label(detection->label);
	CborEncoder inner = { 0 };
	CborEncoder box = { 0 };

	note(writer, cbor_encoder_create_array(list, &inner, 4));
	note(writer, label ? cbor_encode_text_stringz(&inner, label) :
	     CborErrorInternalError);
	note(writer, cbor_encode_uint(&inner, detection->label));
	note(writer, cbor_encode_float(&inner, detection->score));
	note(writer, cbor_encoder_create_array(&inner, &box, 4));
	for (size_t i = 0; i < 4; i++)
		note(writer, cbor_encode_float(&box, detection->box[i]));
	note(writer, cbor_encoder_close_container(&inner, &box));
	note(writer, cbor_encoder_close_container(list, &inner));
}

static void put_detections(struct result_writer *writer, CborEncoder *map,
			   const struct cml_result *result)
{
	CborEncoder list = { 0 };

	put_key(writer, map, "detections");
	note(writer, cbor_encoder_create_array(map, &list,
					       result->detection_count));
	for (size_t i = 0; i < result->detection_count; i++)
		put_detection(writer, &list, &result->detections[i]);
	note(writer, cbor_encoder_close_container(map, &list));
}

enum cml_status cml_result_encode(const struct cml_result *result,
				  uint8_t *out, size_t *len)
{
	struct result_writer writer = { .error = CborNoError };
	CborEncoder root = { 0 };
	CborEncoder map = { 0 };

	if (result->detection_count > CML_SSD_MAX_DETECTIONS)
		return CML_INTERNAL;

	cbor_encoder_init(&root, out, *len, 0);
	note(&writer, cbor_encoder_create_map(&root, &map, 8));
	put_uint(&writer, &map, "v", RESULT_VERSION);
	put_bytes(&writer, &map, "request", result->request_id,
		  sizeof(result->request_id));
	put_bytes(&writer, &map, "model", result->model_digest,
		  sizeof(result->model_digest));
	put_bytes(&writer, &map, "output", result->output_digest,
		  sizeof(result->output_digest));
	put_uint(&writer, &map, "width", result->width);
	put_uint(&writer, &map, "height", result->height);
	put_timings(&writer, &map, &result->timings);
	put_detections(&writer, &map, result);
	note(&writer, cbor_encoder_close_container(&root, &map));
	if (writer.error)
		return CML_INTERNAL;
	*len = cbor_encoder_get_buffer_size(&root, out);

	return CML_OK;
}
