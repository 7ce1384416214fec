// SPDX-License-Identifier: Apache-2.0
/*
 * Panics in every way that is asked for. Each line that does it ends with a
 * comment MARK(name): tests look for it there, so that no line number is
 * written down anywhere.
 */
#include <assert.h>
#include <stdint.h>
#include <string.h>
#include <tee_internal_api.h>
#include <tee_internal_api_extensions.h>
#include <trace.h>

/* A function of its own, whatever the compiler knows about it. */
#define APART __attribute__((noipa))

enum command {
	CMD_NOTHING,
	CMD_PANIC,		/* with the code in the first parameter */
	CMD_API,		/* the API panics: the core knows no such object */
	CMD_API_STATE,		/* the API panics: an operation of another class */
	CMD_API_HANDLE,		/* the API uses a handle that is none */
	CMD_NULL_WRITE,
	CMD_NULL_READ,		/* a field of a structure that is not there */
	CMD_CONST_WRITE,
	CMD_BAD_FREE,
	CMD_DOUBLE_FREE,
	CMD_RECURSION,
	CMD_SMASH,
	CMD_UNDEFINED,
	CMD_DIVIDE,
	CMD_ASSERT,
	CMD_MEMORY,
	CMD_JUMP,
	CMD_CHAIN,
	CMD_UNALIGNED,
};

struct item {
	uint32_t used[4];
	uint32_t wanted;
};

static const uint32_t constant_table[4] = { 1, 2, 3, 4 };

/* Hides a value from the compiler, which would else see what is coming. */
static void *opaque(const void *value)
{
	void *result = (void *)value;

	asm volatile("" : "+r"(result));
	return result;
}

static void APART null_write(void)
{
	*(volatile uint32_t *)opaque(NULL) = 1; /* MARK(null_write) */
}

static uint32_t APART null_read(const struct item *item)
{
	return item->wanted + 1; /* MARK(null_read) */
}

static void APART const_write(void)
{
	*(volatile uint32_t *)opaque(constant_table) = 7; /* MARK(const_write) */
}

static void APART bad_free(void)
{
	uint8_t *memory = TEE_Malloc(64, TEE_MALLOC_FILL_ZERO);

	TEE_Free(opaque(memory + 16)); /* MARK(bad_free) */
	asm volatile("");
}

static void APART double_free(void)
{
	void *memory = opaque(TEE_Malloc(64, TEE_MALLOC_FILL_ZERO));

	TEE_Free(memory);
	TEE_Free(opaque(memory)); /* MARK(double_free) */
	asm volatile("");
}

static uint32_t APART recursion(uint32_t depth)
{
	volatile uint32_t here[16] = { depth }; /* MARK(recursion) */

	return recursion(here[0] + 1) + here[0];
}

static void APART smash(size_t size)
{
	char buffer[16] = { 0 };

	memset(opaque(buffer), 0x5a, size);
	asm volatile("" : : "r"(buffer) : "memory");
} /* MARK(smash) */

static void APART undefined(void)
{
	asm volatile("udf #42"); /* MARK(undefined) */
}

static uint32_t APART divide(uint32_t number)
{
	const uint32_t nothing = 0;

	return number / nothing; /* MARK(divide) */
}

static void APART asserting(uint32_t number)
{
	assert(number == 42); /* MARK(assert) */
	asm volatile("");
}

static TEE_Result APART memory(size_t size)
{
	return opaque(TEE_Malloc(size, 0)) ? TEE_SUCCESS :
					     TEE_ERROR_OUT_OF_MEMORY;
}

static void APART jump(uintptr_t address)
{
	void (*nowhere)(void) = (void (*)(void))opaque((void *)address);

	nowhere(); /* MARK(jump) */
	asm volatile("");
}

static void APART unaligned(void)
{
	uint64_t words[2] = { 0 };
	uint64_t got = 0;

	/* An exclusive load must be aligned. */
	asm volatile("ldxr %0, [%1]" /* MARK(unaligned) */
		     : "=r"(got) : "r"((uintptr_t)words + 1) : "memory");
}

static inline __attribute__((always_inline)) void innermost(uint32_t *target)
{
	*(volatile uint32_t *)target = 1; /* MARK(innermost) */
}

static inline __attribute__((always_inline)) void inlined(uint32_t *target)
{
	innermost(target); /* MARK(inlined) */
}

static void APART link_of_chain(uint32_t *target)
{
	inlined(target); /* MARK(link_of_chain) */
	asm volatile("");
}

static void APART chain(void)
{
	link_of_chain(opaque((void *)0x10)); /* MARK(chain) */
	asm volatile("");
}

static void APART api(void)
{
	TEE_ResetTransientObject(opaque((void *)0x1234)); /* MARK(api) */
	asm volatile("");
}

static void APART api_state(void)
{
	TEE_OperationHandle operation = TEE_HANDLE_NULL;

	if (TEE_AllocateOperation(&operation, TEE_ALG_SHA256, TEE_MODE_DIGEST,
				  0))
		return;
	TEE_CipherInit(operation, NULL, 0); /* MARK(api_state) */
	asm volatile("");
}

static void APART api_handle(void)
{
	TEE_ResetOperation(opaque((void *)0x1234)); /* MARK(api_handle) */
	asm volatile("");
}

static void APART panicking(TEE_Result code)
{
	TEE_Panic(code); /* MARK(panic) */
	asm volatile("");
}

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t types __unused,
				    TEE_Param params[TEE_NUM_PARAMS] __unused,
				    void **session __unused)
{
	return TEE_SUCCESS;
}

void TA_CloseSessionEntryPoint(void *session __unused)
{
}

TEE_Result TA_InvokeCommandEntryPoint(void *session __unused, uint32_t command,
				      uint32_t types __unused,
				      TEE_Param params[TEE_NUM_PARAMS])
{
	switch (command) {
	case CMD_NOTHING:
		return TEE_SUCCESS;
	case CMD_PANIC:
		panicking(params[0].value.a);
		break;
	case CMD_API:
		api();
		break;
	case CMD_API_STATE:
		api_state();
		break;
	case CMD_API_HANDLE:
		api_handle();
		break;
	case CMD_NULL_WRITE:
		null_write();
		break;
	case CMD_NULL_READ:
		params[0].value.a = null_read(opaque(NULL));
		break;
	case CMD_CONST_WRITE:
		const_write();
		break;
	case CMD_BAD_FREE:
		bad_free();
		break;
	case CMD_DOUBLE_FREE:
		double_free();
		break;
	case CMD_RECURSION:
		params[0].value.a = recursion(0);
		break;
	case CMD_SMASH:
		smash(40);
		break;
	case CMD_UNDEFINED:
		undefined();
		break;
	case CMD_DIVIDE:
		params[0].value.a = divide(params[0].value.a);
		break;
	case CMD_ASSERT:
		asserting(params[0].value.a);
		break;
	case CMD_MEMORY:
		return memory(params[0].value.a);
	case CMD_JUMP:
		jump(0xdead0000);
		break;
	case CMD_CHAIN:
		chain();
		break;
	case CMD_UNALIGNED:
		unaligned();
		break;
	default:
		return TEE_ERROR_NOT_SUPPORTED;
	}
	return TEE_SUCCESS;
}
