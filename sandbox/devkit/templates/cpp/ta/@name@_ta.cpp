// SPDX-License-Identifier: 0BSD
/* The TA @name@; its commands are described in include/@name@_ta.h. */

extern "C" {
#include <tee_internal_api.h>
#include <tee_internal_api_extensions.h>
#include <util.h>
}

#include <@name@_ta.h>

namespace {

constexpr size_t digest_size = 32;

/* Thrown within the TA; turned into a TEE_Result before it leaves it. */
struct Error {
	TEE_Result result;
};

void check(TEE_Result res)
{
	if (res != TEE_SUCCESS)
		throw Error{res};
}

void check_types(uint32_t param_types, uint32_t t0, uint32_t t1)
{
	if (param_types != TEE_PARAM_TYPES(t0, t1, TEE_PARAM_TYPE_NONE,
					   TEE_PARAM_TYPE_NONE))
		throw Error{TEE_ERROR_BAD_PARAMETERS};
}

class Digest {
public:
	explicit Digest(uint32_t algorithm)
	{
		check(TEE_AllocateOperation(&op_, algorithm, TEE_MODE_DIGEST,
					    0));
	}
	~Digest() { TEE_FreeOperation(op_); }
	Digest(const Digest &) = delete;
	Digest &operator=(const Digest &) = delete;

	size_t finish(const void *data, size_t len, uint8_t *out, size_t size)
	{
		check(TEE_DigestDoFinal(op_, data, len, out, &size));
		return size;
	}

private:
	TEE_OperationHandle op_ = TEE_HANDLE_NULL;
};

class Session {
public:
	void invoke(uint32_t cmd, uint32_t param_types, TEE_Param *params)
	{
		switch (cmd) {
		case TA_@NAME@_CMD_ADD:
			return add(param_types, params);
		case TA_@NAME@_CMD_DIGEST:
			return digest(param_types, params);
		default:
			throw Error{TEE_ERROR_NOT_SUPPORTED};
		}
	}

private:
	void add(uint32_t param_types, TEE_Param *params)
	{
		uint32_t total = 0;

		check_types(param_types, TEE_PARAM_TYPE_VALUE_INPUT,
			    TEE_PARAM_TYPE_VALUE_OUTPUT);
		if (ADD_OVERFLOW(total_, params[0].value.a, &total))
			throw Error{TEE_ERROR_OVERFLOW};

		total_ = total;
		params[1].value.a = total;
		params[1].value.b = 0;
	}

	static void digest(uint32_t param_types, TEE_Param *params)
	{
		uint8_t result[digest_size] = {};

		check_types(param_types, TEE_PARAM_TYPE_MEMREF_INPUT,
			    TEE_PARAM_TYPE_MEMREF_OUTPUT);
		/* Clients may pass null references, with whatever size. */
		if (!params[0].memref.buffer && params[0].memref.size)
			throw Error{TEE_ERROR_BAD_PARAMETERS};
		if (!params[1].memref.buffer ||
		    params[1].memref.size < digest_size) {
			params[1].memref.size = digest_size;
			throw Error{TEE_ERROR_SHORT_BUFFER};
		}

		Digest sha256(TEE_ALG_SHA256);
		size_t len = sha256.finish(params[0].memref.buffer,
					   params[0].memref.size, result,
					   sizeof(result));

		/* The normal world sees the whole digest or none of it. */
		TEE_MemMove(params[1].memref.buffer, result, len);
		params[1].memref.size = len;
	}

	uint32_t total_ = 0;
};

/* No exception may leave an entry point: OP-TEE would not know it. */
template <typename F> TEE_Result guarded(F f)
{
	try {
		f();
		return TEE_SUCCESS;
	} catch (const Error &error) {
		return error.result;
	} catch (...) {
		/* Of what is used here, only `new` throws something else. */
		return TEE_ERROR_OUT_OF_MEMORY;
	}
}

} // namespace

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types, TEE_Param *,
				    void **session)
{
	return guarded([&] {
		check_types(param_types, TEE_PARAM_TYPE_NONE,
			    TEE_PARAM_TYPE_NONE);
		/* TA_CloseSessionEntryPoint() deletes it. */
		*session = new Session;
	});
}

void TA_CloseSessionEntryPoint(void *session)
{
	delete static_cast<Session *>(session);
}

TEE_Result TA_InvokeCommandEntryPoint(void *session, uint32_t cmd,
				      uint32_t param_types, TEE_Param *params)
{
	return guarded([&] {
		static_cast<Session *>(session)->invoke(cmd, param_types,
							params);
	});
}
