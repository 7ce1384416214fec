// SPDX-License-Identifier: Apache-2.0
/* The measuring TA's commands: cml_bench_ta.h says what each is given. */
#include <string.h>

#include <tee_internal_api.h>
#include <tee_internal_api_extensions.h>

#include "gemm.h"
#include "measure.h"
#include "secure_memory.h"

#define NONE	TEE_PARAM_TYPE_NONE
#define IN	TEE_PARAM_TYPE_MEMREF_INPUT
#define OUT	TEE_PARAM_TYPE_MEMREF_OUTPUT
#define VALUE_IN	TEE_PARAM_TYPE_VALUE_INPUT
#define VALUE_OUT	TEE_PARAM_TYPE_VALUE_OUTPUT
#define VALUE_INOUT	TEE_PARAM_TYPE_VALUE_INOUT

struct session {
	struct cml_secure_memory memory;
	struct cml_bench bench;
	uint32_t cpu;		/* bits of enum cml_cpu, as OP-TEE tells */
};

static bool cpu_has(const char *property)
{
	bool value = false;

	if (TEE_GetPropertyAsBool(TEE_PROPSET_TEE_IMPLEMENTATION, property,
				  &value))
		return false;

	return value;
}

/* OP-TEE tells the time in milliseconds. */
static uint64_t clock_us(void *ctx)
{
	TEE_Time now = { 0 };

	(void)ctx;
	TEE_GetSystemTime(&now);

	return (uint64_t)now.seconds * 1000000 + (uint64_t)now.millis * 1000;
}

static TEE_Result result_of(enum cml_status status)
{
	switch (status) {
	case CML_OK:
		return TEE_SUCCESS;
	case CML_NO_MEMORY:
		return TEE_ERROR_OUT_OF_MEMORY;
	case CML_BAD_STATE:
		return TEE_ERROR_BAD_STATE;
	default:
		return TEE_ERROR_BAD_FORMAT;
	}
}

/* Room for @size bytes, or how much it takes. */
static TEE_Result need(TEE_Param *param, size_t size)
{
	bool fits = param->memref.buffer && param->memref.size >= size;

	param->memref.size = size;

	return fits ? TEE_SUCCESS : TEE_ERROR_SHORT_BUFFER;
}

static TEE_Result load(struct session *session, TEE_Param *params)
{
	struct cml_graph_problem problem = { .op_index = -1 };
	struct cml_bench *bench = &session->bench;
	enum cml_status status = CML_INTERNAL;
	uint64_t macs = 0;

	if (!params[0].memref.buffer)
		return TEE_ERROR_BAD_PARAMETERS;
	status = cml_bench_load(bench, cml_bytes(params[0].memref.buffer,
						 params[0].memref.size),
				session->cpu, params[1].value.a, &problem);
	if (status) {
		IMSG("model refused: %s (operator %" PRId32 "): %s",
		     cml_status_name(status), problem.op_index,
		     problem.reason ? problem.reason : "no reason");
		return result_of(status);
	}
	macs = cml_graph_macs(bench->graph);
	params[1].value.a = cml_graph_op_count(bench->graph);
	params[1].value.b = bench->cpu;
	params[2].value.a = macs;
	params[2].value.b = macs >> 32;
	params[3].value.a = cml_graph_arena_size(bench->graph);
	params[3].value.b = session->memory.used;

	return TEE_SUCCESS;
}

static TEE_Result layers(struct session *session, TEE_Param *params)
{
	const struct cml_bench *bench = &session->bench;
	TEE_Result res = TEE_ERROR_GENERIC;
	uint8_t *out = params[0].memref.buffer;
	size_t count = 0;

	if (!bench->graph)
		return TEE_ERROR_BAD_STATE;
	count = cml_graph_op_count(bench->graph);
	res = need(&params[0], count * sizeof(struct cml_bench_layer));
	for (size_t i = 0; !res && i < count; i++) {
		struct cml_bench_layer layer = cml_bench_layer(bench, i);

		memcpy(out + i * sizeof(layer), &layer, sizeof(layer));
	}

	return res;
}

static TEE_Result run(struct session *session, TEE_Param *params)
{
	struct cml_bench_time time = { 0 };
	enum cml_status status = CML_INTERNAL;

	if (params[0].value.b > CML_BENCH_MAX_MS)
		return TEE_ERROR_BAD_PARAMETERS;
	status = cml_bench_run(&session->bench, params[0].value.a,
			       (uint64_t)params[0].value.b * 1000, &time);
	params[1].value.a = time.rounds;
	params[1].value.b = time.us < UINT32_MAX ? time.us : UINT32_MAX;
	params[2].value.a = time.all_rounds;

	return result_of(status);
}

static TEE_Result peak(struct session *session, TEE_Param *params)
{
	struct cml_gemm *gemm = NULL;
	struct cml_bench_time time = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;
	uint32_t index = params[0].value.a;
	const char *name = NULL;

	if (index >= cml_gemm_count())
		return TEE_ERROR_ITEM_NOT_FOUND;
	if (params[0].value.b > CML_BENCH_MAX_MS)
		return TEE_ERROR_BAD_PARAMETERS;
	if (!cml_gemm_runs(index, session->cpu))
		return TEE_ERROR_NOT_SUPPORTED;
	name = cml_gemm_name(index);
	res = need(&params[3], strlen(name));
	if (res)
		return res;
	memcpy(params[3].memref.buffer, name, strlen(name));

	gemm = cml_gemm_new(&session->memory.allocator, index);
	if (!gemm)
		return TEE_ERROR_OUT_OF_MEMORY;
	time = cml_bench_repeat(clock_us, NULL,
				(uint64_t)params[0].value.b * 1000,
				cml_gemm_run, gemm);
	params[1].value.a = time.rounds;
	params[1].value.b = time.us < UINT32_MAX ? time.us : UINT32_MAX;
	params[2].value.a = CML_GEMM_MACS;
	params[2].value.b = time.all_rounds;
	if (!cml_gemm_correct(gemm)) {
		EMSG("inner loop %s computes wrong numbers", name);
		res = TEE_ERROR_GENERIC;
	}
	cml_gemm_free(gemm);

	return res;
}

static TEE_Result infer(struct session *session, TEE_Param *params)
{
	const struct cml_bench *bench = &session->bench;
	TEE_Result res = TEE_ERROR_GENERIC;

	if (!bench->graph)
		return TEE_ERROR_BAD_STATE;
	if (!params[0].memref.buffer ||
	    params[0].memref.size != cml_bench_input_size(bench))
		return TEE_ERROR_BAD_PARAMETERS;
	res = need(&params[1], cml_bench_outputs_size(bench));
	if (!res)
		cml_bench_infer(bench, params[0].memref.buffer,
				params[1].memref.buffer);

	return res;
}

struct command {
	uint32_t types;
	TEE_Result (*run)(struct session *session, TEE_Param *params);
};

/* Indexed by TA_CML_BENCH_CMD_* */
static const struct command commands[] = {
	[TA_CML_BENCH_CMD_LOAD] = {
		TEE_PARAM_TYPES(IN, VALUE_INOUT, VALUE_OUT, VALUE_OUT), load,
	},
	[TA_CML_BENCH_CMD_LAYERS] = {
		TEE_PARAM_TYPES(OUT, NONE, NONE, NONE), layers,
	},
	[TA_CML_BENCH_CMD_RUN] = {
		TEE_PARAM_TYPES(VALUE_IN, VALUE_OUT, VALUE_OUT, NONE), run,
	},
	[TA_CML_BENCH_CMD_PEAK] = {
		TEE_PARAM_TYPES(VALUE_IN, VALUE_OUT, VALUE_OUT, OUT), peak,
	},
	[TA_CML_BENCH_CMD_INFER] = {
		TEE_PARAM_TYPES(IN, OUT, NONE, NONE), infer,
	},
};

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types,
				    TEE_Param params[TEE_NUM_PARAMS],
				    void **session_ctx)
{
	struct session *session = NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	(void)params;
	if (param_types != TEE_PARAM_TYPES(NONE, NONE, NONE, NONE))
		return TEE_ERROR_BAD_PARAMETERS;
	session = TEE_Malloc(sizeof(*session), TEE_MALLOC_FILL_ZERO);
	if (!session)
		return TEE_ERROR_OUT_OF_MEMORY;
	res = cml_secure_memory_init(&session->memory);
	if (res) {
		TEE_Free(session);
		return res;
	}
	session->bench.allocator = &session->memory.allocator;
	session->bench.clock = clock_us;
	session->cpu = CML_CPU_NEON;
	if (cpu_has("org.trustedfirmware.optee.cpu.feat_dotprod_implemented"))
		session->cpu |= CML_CPU_DOTPROD;
	if (cpu_has("org.trustedfirmware.optee.cpu.feat_i8mm_implemented"))
		session->cpu |= CML_CPU_I8MM;
	*session_ctx = session;

	return TEE_SUCCESS;
}

void TA_CloseSessionEntryPoint(void *session_ctx)
{
	struct session *session = session_ctx;

	cml_bench_unload(&session->bench);
	cml_secure_memory_close(&session->memory);
	TEE_Free(session);
}

TEE_Result TA_InvokeCommandEntryPoint(void *session_ctx, uint32_t cmd_id,
				      uint32_t param_types,
				      TEE_Param params[TEE_NUM_PARAMS])
{
	if (cmd_id >= sizeof(commands) / sizeof(commands[0]))
		return TEE_ERROR_NOT_SUPPORTED;
	if (param_types != commands[cmd_id].types)
		return TEE_ERROR_BAD_PARAMETERS;

	return commands[cmd_id].run(session_ctx, params);
}
