// SPDX-License-Identifier: Apache-2.0
/*
 * The part of the TFLite schema (version 3, file identifier TFL3) that the
 * engine uses, read from a model that is not trusted. Names are the schema's.
 *
 * Errors are CML_MODEL_* with a static sentence in cml_tflite.problem.
 */
#ifndef CML_TFLITE_H
#define CML_TFLITE_H

#include "flatbuffer.h"
#include "status.h"

#define CML_TFLITE_MAX_RANK	6
#define CML_TFLITE_MAX_DIM	(16 << 20)
#define CML_TFLITE_MAX_ELEMENTS	(16u << 20)

enum cml_tflite_type {
	CML_TFLITE_FLOAT32 = 0,
	CML_TFLITE_FLOAT16 = 1,	/* constants only */
	CML_TFLITE_INT32 = 2,
	CML_TFLITE_UINT8 = 3,
	CML_TFLITE_INT64 = 4,
	CML_TFLITE_BOOL = 6,
	CML_TFLITE_INT16 = 7,
	CML_TFLITE_INT8 = 9,
};

/* Bytes of an element; 0: not a type that is known here. */
size_t cml_tflite_type_size(uint32_t type);

/* tflite::BuiltinOperator */
enum cml_tflite_builtin {
	CML_TFLITE_ADD = 0,
	CML_TFLITE_CONV_2D = 3,
	CML_TFLITE_DEPTHWISE_CONV_2D = 4,
	CML_TFLITE_CUSTOM = 32,
};

enum cml_tflite_padding {
	CML_TFLITE_SAME = 0,
	CML_TFLITE_VALID = 1,
};

enum cml_tflite_activation {
	CML_TFLITE_NONE = 0,
	CML_TFLITE_RELU = 1,
	CML_TFLITE_RELU_N1_TO_1 = 2,
	CML_TFLITE_RELU6 = 3,
	CML_TFLITE_TANH = 4,
	CML_TFLITE_SIGN_BIT = 5,
};

struct cml_tflite {
	struct cml_fb fb;
	struct cml_fb_vector operator_codes, buffers;
	struct cml_fb_vector tensors, operators;
	struct cml_fb_vector inputs, outputs;	/* int32 tensor indices */
	const char *problem;			/* static text after an error */
};

struct cml_tflite_tensor {
	uint32_t type;			/* enum cml_tflite_type, or another */
	uint32_t rank;			/* 0 (scalar) to CML_TFLITE_MAX_RANK */
	int32_t dims[CML_TFLITE_MAX_RANK];	/* outermost first */
	uint32_t count;			/* product of dims */
	struct cml_bytes data;		/* ptr NULL: not a constant */
	bool variable;			/* keeps its value between runs */
	/* Quantisation, unchecked but for its place in the file. */
	struct cml_fb_vector scale;		/* float */
	struct cml_fb_vector zero_point;	/* int64 */
	int32_t quantized_dimension;
};

struct cml_tflite_operator {
	int32_t builtin_code, version;
	/* int32 indices of tensors, each checked; -1: optional and absent. */
	struct cml_fb_vector inputs, outputs;
	uint32_t options_type;		/* of the schema's BuiltinOptions */
	struct cml_fb_table options;	/* may be absent */
	/* CUSTOM operators: their name, and options in a form of their own. */
	struct cml_bytes custom_code, custom_options;
};

/* @model keeps pointing into @file. */
enum cml_status cml_tflite_open(struct cml_bytes file,
				struct cml_tflite *model);
/* @index below model->tensors.count */
enum cml_status cml_tflite_tensor(struct cml_tflite *model, uint32_t index,
				  struct cml_tflite_tensor *tensor);
/* @index below model->operators.count */
enum cml_status cml_tflite_operator(struct cml_tflite *model, uint32_t index,
				    struct cml_tflite_operator *op);

#endif /* CML_TFLITE_H */
