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
	CML_OP_ADD = 0,
	CML_OP_AVERAGE_POOL_2D = 1,
	CML_OP_CONCATENATION = 2,
	CML_OP_CONV_2D = 3,
	CML_OP_DEPTHWISE_CONV_2D = 4,
	CML_OP_DEPTH_TO_SPACE = 5,
	CML_OP_DEQUANTIZE = 6,
	CML_OP_EMBEDDING_LOOKUP = 7,
	CML_OP_FLOOR = 8,
	CML_OP_FULLY_CONNECTED = 9,
	CML_OP_HASHTABLE_LOOKUP = 10,
	CML_OP_L2_NORMALIZATION = 11,
	CML_OP_L2_POOL_2D = 12,
	CML_OP_LOCAL_RESPONSE_NORMALIZATION = 13,
	CML_OP_LOGISTIC = 14,
	CML_OP_LSH_PROJECTION = 15,
	CML_OP_LSTM = 16,
	CML_OP_MAX_POOL_2D = 17,
	CML_OP_MUL = 18,
	CML_OP_RELU = 19,
	CML_OP_RELU_N1_TO_1 = 20,
	CML_OP_RELU6 = 21,
	CML_OP_RESHAPE = 22,
	CML_OP_RESIZE_BILINEAR = 23,
	CML_OP_RNN = 24,
	CML_OP_SOFTMAX = 25,
	CML_OP_SPACE_TO_DEPTH = 26,
	CML_OP_SVDF = 27,
	CML_OP_TANH = 28,
	CML_OP_CONCAT_EMBEDDINGS = 29,
	CML_OP_SKIP_GRAM = 30,
	CML_OP_CALL = 31,
	CML_OP_CUSTOM = 32,
	CML_OP_EMBEDDING_LOOKUP_SPARSE = 33,
	CML_OP_PAD = 34,
	CML_OP_UNIDIRECTIONAL_SEQUENCE_RNN = 35,
	CML_OP_GATHER = 36,
	CML_OP_BATCH_TO_SPACE_ND = 37,
	CML_OP_SPACE_TO_BATCH_ND = 38,
	CML_OP_TRANSPOSE = 39,
	CML_OP_MEAN = 40,
	CML_OP_SUB = 41,
	CML_OP_DIV = 42,
	CML_OP_SQUEEZE = 43,
	CML_OP_UNIDIRECTIONAL_SEQUENCE_LSTM = 44,
	CML_OP_STRIDED_SLICE = 45,
	CML_OP_BIDIRECTIONAL_SEQUENCE_RNN = 46,
	CML_OP_EXP = 47,
	CML_OP_TOPK_V2 = 48,
	CML_OP_SPLIT = 49,
	CML_OP_LOG_SOFTMAX = 50,
	CML_OP_DELEGATE = 51,
	CML_OP_BIDIRECTIONAL_SEQUENCE_LSTM = 52,
	CML_OP_CAST = 53,
	CML_OP_PRELU = 54,
	CML_OP_MAXIMUM = 55,
	CML_OP_ARG_MAX = 56,
	CML_OP_MINIMUM = 57,
	CML_OP_LESS = 58,
	CML_OP_NEG = 59,
	CML_OP_PADV2 = 60,
	CML_OP_GREATER = 61,
	CML_OP_GREATER_EQUAL = 62,
	CML_OP_LESS_EQUAL = 63,
	CML_OP_SELECT = 64,
	CML_OP_SLICE = 65,
	CML_OP_SIN = 66,
	CML_OP_TRANSPOSE_CONV = 67,
	CML_OP_SPARSE_TO_DENSE = 68,
	CML_OP_TILE = 69,
	CML_OP_EXPAND_DIMS = 70,
	CML_OP_EQUAL = 71,
	CML_OP_NOT_EQUAL = 72,
	CML_OP_LOG = 73,
	CML_OP_SUM = 74,
	CML_OP_SQRT = 75,
	CML_OP_RSQRT = 76,
	CML_OP_SHAPE = 77,
	CML_OP_POW = 78,
	CML_OP_ARG_MIN = 79,
	CML_OP_FAKE_QUANT = 80,
	CML_OP_REDUCE_PROD = 81,
	CML_OP_REDUCE_MAX = 82,
	CML_OP_PACK = 83,
	CML_OP_LOGICAL_OR = 84,
	CML_OP_ONE_HOT = 85,
	CML_OP_LOGICAL_AND = 86,
	CML_OP_LOGICAL_NOT = 87,
	CML_OP_UNPACK = 88,
	CML_OP_REDUCE_MIN = 89,
	CML_OP_FLOOR_DIV = 90,
	CML_OP_REDUCE_ANY = 91,
	CML_OP_SQUARE = 92,
	CML_OP_ZEROS_LIKE = 93,
	CML_OP_FILL = 94,
	CML_OP_FLOOR_MOD = 95,
	CML_OP_RANGE = 96,
	CML_OP_RESIZE_NEAREST_NEIGHBOR = 97,
	CML_OP_LEAKY_RELU = 98,
	CML_OP_SQUARED_DIFFERENCE = 99,
	CML_OP_MIRROR_PAD = 100,
	CML_OP_ABS = 101,
	CML_OP_SPLIT_V = 102,
	CML_OP_UNIQUE = 103,
	CML_OP_CEIL = 104,
	CML_OP_REVERSE_V2 = 105,
	CML_OP_ADD_N = 106,
	CML_OP_GATHER_ND = 107,
	CML_OP_COS = 108,
	CML_OP_WHERE = 109,
	CML_OP_RANK = 110,
	CML_OP_ELU = 111,
	CML_OP_REVERSE_SEQUENCE = 112,
	CML_OP_MATRIX_DIAG = 113,
	CML_OP_QUANTIZE = 114,
	CML_OP_MATRIX_SET_DIAG = 115,
	CML_OP_ROUND = 116,
	CML_OP_HARD_SWISH = 117,
	CML_OP_IF = 118,
	CML_OP_WHILE = 119,
	CML_OP_NON_MAX_SUPPRESSION_V4 = 120,
	CML_OP_NON_MAX_SUPPRESSION_V5 = 121,
	CML_OP_SCATTER_ND = 122,
	CML_OP_SELECT_V2 = 123,
	CML_OP_DENSIFY = 124,
	CML_OP_SEGMENT_SUM = 125,
	CML_OP_BATCH_MATMUL = 126,
	CML_OP_PLACEHOLDER_FOR_GREATER_OP_CODES = 127,
	CML_OP_CUMSUM = 128,
	CML_OP_CALL_ONCE = 129,
	CML_OP_BROADCAST_TO = 130,
	CML_OP_RFFT2D = 131,
	CML_OP_CONV_3D = 132,
	CML_OP_IMAG = 133,
	CML_OP_REAL = 134,
	CML_OP_COMPLEX_ABS = 135,
	CML_OP_HASHTABLE = 136,
	CML_OP_HASHTABLE_FIND = 137,
	CML_OP_HASHTABLE_IMPORT = 138,
	CML_OP_HASHTABLE_SIZE = 139,
	CML_OP_REDUCE_ALL = 140,
	CML_OP_CONV_3D_TRANSPOSE = 141,
	CML_OP_VAR_HANDLE = 142,
	CML_OP_READ_VARIABLE = 143,
	CML_OP_ASSIGN_VARIABLE = 144,
	CML_OP_BROADCAST_ARGS = 145,
	CML_OP_RANDOM_STANDARD_NORMAL = 146,
	CML_OP_BUCKETIZE = 147,
	CML_OP_RANDOM_UNIFORM = 148,
	CML_OP_MULTINOMIAL = 149,
	CML_OP_GELU = 150,
	CML_OP_DYNAMIC_UPDATE_SLICE = 151,
	CML_OP_RELU_0_TO_1 = 152,
	CML_OP_UNSORTED_SEGMENT_PROD = 153,
	CML_OP_UNSORTED_SEGMENT_MAX = 154,
	CML_OP_UNSORTED_SEGMENT_SUM = 155,
	CML_OP_ATAN2 = 156,
	CML_OP_UNSORTED_SEGMENT_MIN = 157,
	CML_OP_SIGN = 158,
	CML_OP_BITCAST = 159,
	CML_OP_BITWISE_XOR = 160,
};

enum cml_tflite_padding {
	CML_TFLITE_SAME = 0,
	CML_TFLITE_VALID = 1,
};

enum cml_tflite_activation {
	CML_ACT_NONE = 0,
	CML_ACT_RELU = 1,
	CML_ACT_RELU_N1_TO_1 = 2,
	CML_ACT_RELU6 = 3,
	CML_ACT_TANH = 4,
	CML_ACT_SIGN_BIT = 5,
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
	/* Likewise: tensors that no file holds, for their quantisation. */
	struct cml_fb_vector intermediates;
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
/* Its shape is a guess: dimensions are open until the model runs. */
bool cml_tflite_is_dynamic(struct cml_tflite *model, uint32_t index);
/* @index below model->operators.count */
enum cml_status cml_tflite_operator(struct cml_tflite *model, uint32_t index,
				    struct cml_tflite_operator *op);

#endif /* CML_TFLITE_H */
