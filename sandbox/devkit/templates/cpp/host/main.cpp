// SPDX-License-Identifier: 0BSD
/* A client of the TA @name@: has it digest each argument, and count the bytes. */

#include <array>
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <stdexcept>
#include <string>

#include <tee_client_api.h>

#include <@name@_ta.h>

namespace {

using Digest = std::array<uint8_t, 32>;

void check(TEEC_Result res, uint32_t origin, const std::string &what)
{
	if (res == TEEC_SUCCESS)
		return;
	char text[48] = "";
	std::snprintf(text, sizeof(text), ": 0x%08x, origin %u", res, origin);
	throw std::runtime_error(what + text);
}

class Context {
public:
	Context()
	{
		check(TEEC_InitializeContext(nullptr, &ctx_), TEEC_ORIGIN_API,
		      "TEEC_InitializeContext");
	}
	~Context() { TEEC_FinalizeContext(&ctx_); }
	Context(const Context &) = delete;
	Context &operator=(const Context &) = delete;

	TEEC_Context *get() { return &ctx_; }

private:
	TEEC_Context ctx_{};
};

class Session {
public:
	explicit Session(Context &ctx)
	{
		const TEEC_UUID uuid = TA_@NAME@_UUID;
		uint32_t origin = 0;
		TEEC_Result res = TEEC_OpenSession(ctx.get(), &sess_, &uuid,
						   TEEC_LOGIN_PUBLIC, nullptr,
						   nullptr, &origin);
		check(res, origin, "TEEC_OpenSession");
	}
	~Session() { TEEC_CloseSession(&sess_); }
	Session(const Session &) = delete;
	Session &operator=(const Session &) = delete;

	uint32_t add(uint32_t number)
	{
		TEEC_Operation op{};

		op.paramTypes = TEEC_PARAM_TYPES(TEEC_VALUE_INPUT,
						 TEEC_VALUE_OUTPUT, TEEC_NONE,
						 TEEC_NONE);
		op.params[0].value.a = number;
		invoke(TA_@NAME@_CMD_ADD, op, "CMD_ADD");
		return op.params[1].value.a;
	}

	Digest digest(std::string text)
	{
		TEEC_Operation op{};
		Digest out{};

		op.paramTypes = TEEC_PARAM_TYPES(TEEC_MEMREF_TEMP_INPUT,
						 TEEC_MEMREF_TEMP_OUTPUT,
						 TEEC_NONE, TEEC_NONE);
		op.params[0].tmpref.buffer = text.data();
		op.params[0].tmpref.size = text.size();
		op.params[1].tmpref.buffer = out.data();
		op.params[1].tmpref.size = out.size();
		invoke(TA_@NAME@_CMD_DIGEST, op, "CMD_DIGEST");
		return out;
	}

private:
	void invoke(uint32_t cmd, TEEC_Operation &op, const char *what)
	{
		uint32_t origin = 0;
		TEEC_Result res = TEEC_InvokeCommand(&sess_, cmd, &op, &origin);

		check(res, origin, what);
	}

	TEEC_Session sess_{};
};

void show(Session &sess, const std::string &text)
{
	auto digest = sess.digest(text);
	uint32_t total = sess.add(text.size());

	for (uint8_t byte : digest)
		std::printf("%02x", byte);
	std::printf("  %s (%u bytes so far)\n", text.c_str(), total);
}

} // namespace

int main(int argc, char *argv[])
try {
	Context ctx;
	Session sess(ctx);

	if (argc < 2)
		show(sess, "hello");
	for (int i = 1; i < argc; i++)
		show(sess, argv[i]);

	return EXIT_SUCCESS;
} catch (const std::exception &error) {
	std::cerr << "@name@_ca: " << error.what() << "\n";
	return EXIT_FAILURE;
}
