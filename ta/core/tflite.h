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

#define CML_TFLITE_MAX_DIMS	4
#define CML_TFLITE_MAX_DIM	65536
#define CML_TFLITE_MAX_ELEMENTS	(16u << 20)
#define CML_TFLITE_MAX_OPERANDS	4

enum cml_tflite_type {
	CML_TFLITE_FLOAT32 = 0,
	CML_TFLITE_INT32 = 2,
	CML_TFLITE_INT8 = 9,
};

enum cml_tflite_builtin {
	CML_TFLITE_ADD = 0,
	CML_TFLITE_CONV_2D = 3,
	CML_TFLITE_DEPTHWISE_CONV_2D = 4,
};

enum cml_tflite_builtin_options {
	CML_TFLITE_CONV_2D_OPTIONS = 1,
	CML_TFLITE_DEPTHWISE_CONV_2D_OPTIONS = 2,
	CML_TFLITE_ADD_OPTIONS = 11,
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
	uint32_t rank;			/* 0 (scalar) to CML_TFLITE_MAX_DIMS */
	int32_t dims[CML_TFLITE_MAX_DIMS];	/* right aligned, 1 before */
	uint32_t element_count;			/* product of dims */
	struct cml_bytes data;		/* ptr NULL: not a constant */
	/* Quantisation, unchecked but for its place in the file. */
	struct cml_fb_vector scale;		/* float */
	struct cml_fb_vector zero_point;	/* int64 */
	int32_t quantized_dimension;
};

/* Indices are those of tensors, checked; -1: optional and absent. */
struct cml_tflite_operator {
	int32_t builtin_code, version;
	uint32_t input_count, output_count;
	int32_t inputs[CML_TFLITE_MAX_OPERANDS];
	int32_t outputs[CML_TFLITE_MAX_OPERANDS];
	uint32_t options_type;		/* enum cml_tflite_builtin_options */
	struct cml_fb_table options;
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
