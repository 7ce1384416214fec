// SPDX-License-Identifier: Apache-2.0
/*
 * Models bent where it matters: shapes, types, quantisation, indices, options
 * and constants, found by the engine's own reader. Bytes changed at random
 * mostly break the flatbuffer, and then no operator is reached.
 */
#include <string.h>

#include "nn/tflite.h"

#define MAX_FIELDS	4096
#define MAX_TENSORS	64
#define MAX_OPERATORS	32
/* Of a constant: axes, shapes and paddings are small. */
#define MAX_WORDS	16

/* libFuzzer's */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed);

/* Field numbers of the schema's Tensor */
enum { SHAPE = 0, SIGNATURE = 7 };

enum kind { BYTE, WORD, LONG, REAL, DIM, TENSOR, OPTION, CODE, COUNT };

struct field {
	size_t pos;
	enum kind kind;
	uint8_t width;
};

struct fields {
	const uint8_t *file;
	size_t len, count;
	struct field at[MAX_FIELDS];
};

static uint32_t next(uint32_t *seed)
{
	*seed = *seed * 1664525 + 1013904223;

	return *seed >> 8;
}

static void add(struct fields *fields, size_t pos, enum kind kind,
		uint8_t width)
{
	if (fields->count == MAX_FIELDS || !pos || pos > fields->len ||
	    width > fields->len - pos)
		return;
	fields->at[fields->count++] = (struct field){ pos, kind, width };
}

static void add_vector(struct fields *fields, struct cml_fb_vector vector,
		       enum kind kind, uint8_t width)
{
	size_t pos = vector.data - fields->file;

	if (!vector.data)
		return;
	add(fields, pos - 4, COUNT, 4);
	for (uint32_t i = 0; i < vector.count && i < MAX_WORDS; i++)
		add(fields, pos + i * width, kind, width);
}

/* Fields that hold numbers or offsets: which, the schema alone knows. */
static void add_table(struct fields *fields, struct cml_fb_table table,
		      enum kind kind)
{
	const uint8_t *file = fields->file;

	for (uint32_t i = 0; table.pos && i < table.field_count; i++) {
		size_t place = table.vtable + 4 + 2 * i;
		uint32_t offset = file[place] | file[place + 1] << 8;

		if (offset && offset < table.size)
			add(fields, table.pos + offset, kind,
			    (table.pos + offset) % 4 ? 1 : 4);
	}
}

static void add_bytes(struct fields *fields, struct cml_bytes bytes,
		      enum kind kind, uint8_t width)
{
	for (size_t i = 0; i < MAX_WORDS && (i + 1) * width <= bytes.len; i++)
		add(fields, bytes.ptr - fields->file + i * width, kind, width);
}

static void add_tensor(struct fields *fields, struct cml_tflite *model,
		       uint32_t index)
{
	struct cml_tflite_tensor tensor = { 0 };
	struct cml_fb_table table = cml_fb_table_at(&model->fb, model->tensors,
						    index);

	add_table(fields, table, BYTE);
	add_vector(fields, cml_fb_vector(&model->fb, table, SHAPE, 4), DIM, 4);
	add_vector(fields, cml_fb_vector(&model->fb, table, SIGNATURE, 4), WORD,
		   4);
	if (cml_tflite_tensor(model, index, &tensor))
		return;
	add_vector(fields, tensor.scale, REAL, 4);
	add_vector(fields, tensor.zero_point, LONG, 8);
	add_bytes(fields, tensor.data,
		  tensor.type == CML_TFLITE_FLOAT32 ? REAL : WORD, 4);
}

static void add_operator(struct fields *fields, struct cml_tflite *model,
			 uint32_t index)
{
	struct cml_tflite_operator op = { 0 };
	struct cml_fb *fb = &model->fb;
	struct cml_fb_table table = cml_fb_table_at(fb, model->operators,
						    index);
	uint32_t code = cml_fb_u32(fb, table, 0, 0);

	add_table(fields, table, BYTE);
	add_table(fields, cml_fb_table_at(fb, model->operator_codes, code),
		  CODE);
	if (cml_tflite_operator(model, index, &op))
		return;
	add_vector(fields, op.inputs, TENSOR, 4);
	add_vector(fields, op.outputs, TENSOR, 4);
	/* Twice: most of what an operator checks hangs from its options. */
	add_table(fields, op.options, OPTION);
	add_table(fields, op.options, OPTION);
	for (size_t i = 0; i < op.custom_options.len; i++)
		add(fields, op.custom_options.ptr - fields->file + i, BYTE, 1);
}

static void find_fields(const uint8_t *data, size_t size,
			struct fields *fields)
{
	struct cml_tflite model = { 0 };

	fields->file = data;
	fields->len = size;
	if (cml_tflite_open(cml_bytes(data, size), &model))
		return;
	add_vector(fields, model.inputs, TENSOR, 4);
	add_vector(fields, model.outputs, TENSOR, 4);
	for (uint32_t i = 0; i < model.tensors.count && i < MAX_TENSORS; i++) {
		model.fb.problem = NULL;
		add_tensor(fields, &model, i);
	}
	for (uint32_t i = 0; i < model.operators.count && i < MAX_OPERATORS;
	     i++) {
		model.fb.problem = NULL;
		add_operator(fields, &model, i);
	}
}

static uint64_t integer(uint32_t *seed, uint64_t old)
{
	static const int64_t edges[] = {
		0, 1, -1, 2, 127, 128, 255, 256, -128, 1024, 65535, 65536,
		16 << 20, INT32_MAX, INT32_MIN, INT64_MAX, INT64_MIN,
	};

	switch (next(seed) % 4) {
	case 0:
		return edges[next(seed) % (sizeof(edges) / sizeof(edges[0]))];
	case 1:
		return old + 1 + next(seed) % 3;
	case 2:
		return old - 1 - next(seed) % 3;
	default:
		return next(seed) % 10;
	}
}

static uint32_t real(uint32_t *seed, uint32_t old)
{
	static const float edges[] = {
		0, -0.0f, 1, -1, 0.5f, 1e-45f, 1e-38f, 3e38f, -3e38f, 1e-6f,
		1e6f, 1 / 256.0f, 1 / 32768.0f,
	};
	float value = edges[next(seed) % (sizeof(edges) / sizeof(edges[0]))];

	switch (next(seed) % 4) {
	case 0:
		return old ^ 1u << next(seed) % 32;
	case 1:
		return next(seed) % 2 ? 0x7f800000 : 0xffc00000;
	default:
		memcpy(&old, &value, sizeof(old));
		return old;
	}
}

static uint64_t load(const uint8_t *data, const struct field *field)
{
	uint64_t value = 0;

	memcpy(&value, data + field->pos, field->width);

	return value;
}

static void store(uint8_t *data, const struct field *field, uint64_t value)
{
	memcpy(data + field->pos, &value, field->width);
}

/* All dimensions of one size become another, so that shapes still agree. */
static void resize(uint8_t *data, const struct fields *fields, uint64_t old,
		   uint64_t value)
{
	for (size_t i = 0; i < fields->count; i++)
		if (fields->at[i].kind == DIM &&
		    load(data, &fields->at[i]) == old)
			store(data, &fields->at[i], value);
}

static void bend(uint8_t *data, const struct fields *fields, uint32_t *seed)
{
	const struct field *field = &fields->at[next(seed) % fields->count];
	const struct field *other = &fields->at[next(seed) % fields->count];
	uint64_t old = load(data, field);

	if (next(seed) % 8 == 0 && other->kind == field->kind) {
		store(data, field, load(data, other));
		return;
	}
	switch (field->kind) {
	case REAL:
		store(data, field, real(seed, old));
		break;
	case DIM:
		if (next(seed) % 2)
			resize(data, fields, old, integer(seed, old));
		else
			store(data, field, integer(seed, old));
		break;
	case CODE:
		store(data, field, next(seed) % 161);
		break;
	case OPTION:
		store(data, field, next(seed) % 6 ? integer(seed, old) :
						    real(seed, old));
		break;
	case COUNT:
		store(data, field, next(seed) % 2 ? old - 1 : old + 1);
		break;
	case BYTE:
		store(data, field, next(seed) % 12);
		break;
	default:
		store(data, field, integer(seed, old));
		break;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
			       unsigned int seed)
{
	static struct fields fields;
	uint32_t state = seed;
	uint32_t times = 1;

	fields.count = 0;
	if (next(&state) % 8)
		find_fields(data, size, &fields);
	if (!fields.count)
		return LLVMFuzzerMutate(data, size, max_size);
	while (times < 5 && next(&state) % 2)
		times++;
	for (uint32_t i = 0; i < times; i++)
		bend(data, &fields, &state);

	return size;
}
