// SPDX-License-Identifier: Apache-2.0
#include "cbor.h"

#include "cml_ta.h"
#include "nn/graph.h"
#include "session.h"

static const struct {
	uint32_t bit;
	const char *name;
} cpu_names[] = {
	{ CML_CPU_NEON, "neon" },
	{ CML_CPU_DOTPROD, "dotprod" },
	{ CML_CPU_I8MM, "i8mm" },
	{ CML_CPU_FAST_SCALAR, "fast-scalar" },	/* measured, once a model came */
};

/*
 * tinycbor's encoder goes on after an error, and closing a container that is
 * not complete tells: its errors are gathered, and looked at once.
 */
static void put_text(CborEncoder *map, const char *text, CborError *error)
{
	*error |= cbor_encode_text_stringz(map, text);
}

static void put_uint(CborEncoder *map, const char *key, uint64_t value,
		     CborError *error)
{
	put_text(map, key, error);
	*error |= cbor_encode_uint(map, value);
}

static void put_bytes(CborEncoder *map, const char *key, const void *bytes,
		      size_t len, CborError *error)
{
	put_text(map, key, error);
	*error |= cbor_encode_byte_string(map, bytes, len);
}

static void put_cpu(CborEncoder *map, uint32_t cpu, CborError *error)
{
	const size_t names = sizeof(cpu_names) / sizeof(cpu_names[0]);
	CborEncoder array = { 0 };
	size_t count = 0;

	for (size_t i = 0; i < names; i++)
		if (cpu & cpu_names[i].bit)
			count++;
	put_text(map, "cpu", error);
	*error |= cbor_encoder_create_array(map, &array, count);
	for (size_t i = 0; i < names; i++)
		if (cpu & cpu_names[i].bit)
			put_text(&array, cpu_names[i].name, error);
	*error |= cbor_encoder_close_container(map, &array);
}

static void put_key_id(CborEncoder *map, const char *name,
		       const struct cml_session_key *key, CborError *error)
{
	if (key->present) {
		put_bytes(map, name, key->id, sizeof(key->id), error);
		return;
	}
	put_text(map, name, error);
	*error |= cbor_encode_null(map);
}

static void put_model(CborEncoder *map, const struct cml_model *model,
		      CborError *error)
{
	const struct cml_model_head *head = NULL;
	const struct cml_graph *graph = NULL;
	struct cml_header header = { 0 };
	CborEncoder fields = { 0 };

	put_text(map, "model", error);
	if (!cml_model_is_ready(model)) {
		*error |= cbor_encode_null(map);
		return;
	}
	if (cml_model_header(model, &header))
		*error |= CborErrorInternalError;
	head = cml_model_head(model);
	graph = cml_model_graph(model);
	*error |= cbor_encoder_create_map(map, &fields, 6);
	put_text(&fields, "name", error);
	put_text(&fields, header.name, error);
	put_uint(&fields, "version", header.version, error);
	put_bytes(&fields, "digest", head->digest, sizeof(head->digest), error);
	put_uint(&fields, "size", head->data_size, error);
	put_uint(&fields, "arena", cml_graph_arena_size(graph), error);
	put_uint(&fields, "tables", cml_graph_size(graph), error);
	*error |= cbor_encoder_close_container(map, &fields);
}

static void put_memory(CborEncoder *map, const struct cml_secure_memory *memory,
		       CborError *error)
{
	CborEncoder fields = { 0 };

	put_text(map, "memory", error);
	*error |= cbor_encoder_create_map(map, &fields, 2);
	put_uint(&fields, "used", memory->used, error);
	put_uint(&fields, "peak", memory->peak, error);
	*error |= cbor_encoder_close_container(map, &fields);
}

/*
 * Locals of 1 KiB and some: of the stack that user_ta_header_defines.h
 * gives, this path is not the deepest.
 */
TEE_Result cml_cmd_info(struct cml_session *session, TEE_Param *params)
{
	uint8_t info[TA_CML_INFO_MAX_SIZE] = { 0 };
	CborError error = CborNoError;
	CborEncoder encoder = { 0 };
	CborEncoder map = { 0 };

	cbor_encoder_init(&encoder, info, sizeof(info), 0);
	error = cbor_encoder_create_map(&encoder, &map, 9);
	put_uint(&map, "abi", TA_CML_ABI_VERSION, &error);
	put_text(&map, "version", &error);
	put_text(&map, TA_CML_VERSION, &error);
	put_bytes(&map, "device", session->device_id,
		  sizeof(session->device_id), &error);
	put_cpu(&map, session->cpu, &error);
	put_bytes(&map, "challenge", session->challenge,
		  sizeof(session->challenge), &error);
	put_key_id(&map, "data_key_id", &session->data_key, &error);
	put_key_id(&map, "model_key_id", &session->model_key, &error);
	put_model(&map, &session->model, &error);
	put_memory(&map, &session->memory, &error);
	error |= cbor_encoder_close_container(&encoder, &map);
	if (error)
		return cml_tee_result(CML_INTERNAL);

	return cml_param_put(&params[0], cml_bytes(info,
				cbor_encoder_get_buffer_size(&encoder, info)));
}
