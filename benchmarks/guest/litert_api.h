// SPDX-License-Identifier: Apache-2.0
/*
 * Of LiteRT's C API (version 2.3), what litert.c calls. Its wheel has the
 * library and no headers.
 */
#ifndef BENCH_LITERT_API_H
#define BENCH_LITERT_API_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LITERT_MAX_RANK		8
#define LITERT_ACCELERATOR_CPU	1
#define LITERT_ALIGNMENT	64
#define LITERT_CPU_OPTIONS	"xnnpack"	/* name of its options */

typedef struct LiteRtEnvironmentT *LiteRtEnvironment;
typedef struct LiteRtModelT *LiteRtModel;
typedef struct LiteRtSubgraphT *LiteRtSubgraph;
typedef struct LiteRtTensorT *LiteRtTensor;
typedef struct LiteRtOptionsT *LiteRtOptions;
typedef struct LiteRtOpaqueOptionsT *LiteRtOpaqueOptions;
typedef struct LiteRtCompiledModelT *LiteRtCompiledModel;
typedef struct LiteRtTensorBufferT *LiteRtTensorBuffer;
typedef struct LiteRtTensorBufferRequirementsT *LiteRtTensorBufferRequirements;
typedef size_t LiteRtParamIndex;
typedef int LiteRtStatus;	/* 0: good */

struct LiteRtLayout {
	unsigned int rank : 7;
	bool has_strides : 1;
	int32_t dimensions[LITERT_MAX_RANK];
	uint32_t strides[LITERT_MAX_RANK];
};

struct LiteRtRankedTensorType {
	int element_type;
	struct LiteRtLayout layout;
};

LiteRtStatus LiteRtCreateEnvironment(int count, const void *options,
				     LiteRtEnvironment *environment);
LiteRtStatus LiteRtCreateModelFromFile(LiteRtEnvironment environment,
				       const char *path, LiteRtModel *model);
LiteRtStatus LiteRtGetModelSubgraph(LiteRtModel model, LiteRtParamIndex index,
				    LiteRtSubgraph *subgraph);
LiteRtStatus LiteRtGetNumSubgraphInputs(LiteRtSubgraph subgraph,
					LiteRtParamIndex *count);
LiteRtStatus LiteRtGetSubgraphInput(LiteRtSubgraph subgraph,
				    LiteRtParamIndex index,
				    LiteRtTensor *tensor);
LiteRtStatus LiteRtGetNumSubgraphOutputs(LiteRtSubgraph subgraph,
					 LiteRtParamIndex *count);
LiteRtStatus LiteRtGetSubgraphOutput(LiteRtSubgraph subgraph,
				     LiteRtParamIndex index,
				     LiteRtTensor *tensor);
LiteRtStatus LiteRtGetRankedTensorType(LiteRtTensor tensor,
				       struct LiteRtRankedTensorType *type);
LiteRtStatus LiteRtCreateOptions(LiteRtOptions *options);
LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptions options,
						  int accelerators);
LiteRtStatus LiteRtCreateOpaqueOptions(const char *identifier, void *payload,
				       void (*destroy)(void *payload),
				       LiteRtOpaqueOptions *options);
LiteRtStatus LiteRtAddOpaqueOptions(LiteRtOptions options,
				    LiteRtOpaqueOptions opaque);
LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnvironment environment,
				       LiteRtModel model, LiteRtOptions options,
				       LiteRtCompiledModel *compiled);
LiteRtStatus
LiteRtCompiledModelIsFullyAccelerated(LiteRtCompiledModel compiled,
				      bool *accelerated);
LiteRtStatus LiteRtGetCompiledModelInputBufferRequirements(
	LiteRtCompiledModel compiled, LiteRtParamIndex signature,
	LiteRtParamIndex index, LiteRtTensorBufferRequirements *requirements);
LiteRtStatus LiteRtGetCompiledModelOutputBufferRequirements(
	LiteRtCompiledModel compiled, LiteRtParamIndex signature,
	LiteRtParamIndex index, LiteRtTensorBufferRequirements *requirements);
LiteRtStatus LiteRtGetTensorBufferRequirementsBufferSize(
	LiteRtTensorBufferRequirements requirements, size_t *size);
LiteRtStatus LiteRtCreateTensorBufferFromHostMemory(
	const struct LiteRtRankedTensorType *type, void *memory, size_t size,
	void (*release)(void *memory), LiteRtTensorBuffer *buffer);
LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModel compiled,
				    LiteRtParamIndex signature, size_t inputs,
				    LiteRtTensorBuffer *input, size_t outputs,
				    LiteRtTensorBuffer *output);

#endif /* BENCH_LITERT_API_H */
