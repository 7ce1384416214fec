// SPDX-License-Identifier: Apache-2.0
#include <ecc_ta.h>
#include <mbedtls/ecp.h>
#include <string.h>
#include <tee_internal_api.h>

#define NONE		TEE_PARAM_TYPE_NONE
#define VALUE_IN	TEE_PARAM_TYPE_VALUE_INPUT
#define MEM_IN		TEE_PARAM_TYPE_MEMREF_INPUT
#define MEM_OUT		TEE_PARAM_TYPE_MEMREF_OUTPUT

#define MAX_FIELD	66	/* P-521 */

struct curve {
	uint32_t id;
	size_t bits;
	uint32_t ecdsa;
};

static const struct curve curves[] = {
	{ TEE_ECC_CURVE_NIST_P192, 192, TEE_ALG_ECDSA_SHA1 },
	{ TEE_ECC_CURVE_NIST_P224, 224, TEE_ALG_ECDSA_SHA224 },
	{ TEE_ECC_CURVE_NIST_P256, 256, TEE_ALG_ECDSA_SHA256 },
	{ TEE_ECC_CURVE_NIST_P384, 384, TEE_ALG_ECDSA_SHA384 },
	{ TEE_ECC_CURVE_NIST_P521, 521, TEE_ALG_ECDSA_SHA512 },
};

TEE_Result TA_CreateEntryPoint(void)
{
	return TEE_SUCCESS;
}

void TA_DestroyEntryPoint(void)
{
}

TEE_Result TA_OpenSessionEntryPoint(uint32_t param_types, TEE_Param params[4],
				    void **ctx)
{
	(void)param_types;
	(void)params;
	(void)ctx;

	return TEE_SUCCESS;
}

void TA_CloseSessionEntryPoint(void *ctx)
{
	(void)ctx;
}

static const struct curve *find_curve(uint32_t id)
{
	for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
		if (curves[i].id == id)
			return curves + i;

	return NULL;
}

static size_t field_size(const struct curve *curve)
{
	return (curve->bits + 7) / 8;
}

/* Attributes that are numbers come without their leading zeros. */
static TEE_Result number(TEE_ObjectHandle object, uint32_t attribute,
			 uint8_t *out, size_t size)
{
	uint8_t found[MAX_FIELD] = { 0 };
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t len = sizeof(found);

	res = TEE_GetObjectBufferAttribute(object, attribute, found, &len);
	if (res)
		return res;
	if (len > size)
		return TEE_ERROR_BAD_FORMAT;
	memset(out, 0, size);
	memcpy(out + size - len, found, len);

	return TEE_SUCCESS;
}

static TEE_Result generate(const struct curve *curve, TEE_Param *params)
{
	TEE_ObjectHandle key = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t size = field_size(curve);
	uint8_t *out = params[1].memref.buffer;
	TEE_Attribute id = { 0 };

	if (params[1].memref.size != 3 * size)
		return TEE_ERROR_BAD_PARAMETERS;
	res = TEE_AllocateTransientObject(params[2].value.a, curve->bits, &key);
	if (res)
		return res;
	TEE_InitValueAttribute(&id, TEE_ATTR_ECC_CURVE, curve->id, 0);
	res = TEE_GenerateKey(key, curve->bits, &id, 1);
	if (!res)
		res = number(key, TEE_ATTR_ECC_PRIVATE_VALUE, out, size);
	if (!res)
		res = number(key, TEE_ATTR_ECC_PUBLIC_VALUE_X, out + size,
			     size);
	if (!res)
		res = number(key, TEE_ATTR_ECC_PUBLIC_VALUE_Y, out + 2 * size,
			     size);
	TEE_FreeTransientObject(key);

	return res;
}

/* An operation with a key that is d, x, y, or without d if it is public. */
static TEE_Result with_key(const struct curve *curve, uint32_t type,
			   uint32_t algorithm, uint32_t mode,
			   const TEE_Param *given, bool is_public,
			   TEE_OperationHandle *operation)
{
	TEE_ObjectHandle key = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t size = field_size(curve);
	const uint8_t *at = given->memref.buffer;
	TEE_Attribute attrs[4] = { 0 };
	uint32_t count = 0;

	if (given->memref.size != (is_public ? 2 : 3) * size)
		return TEE_ERROR_BAD_PARAMETERS;
	TEE_InitValueAttribute(attrs + count++, TEE_ATTR_ECC_CURVE, curve->id,
			       0);
	if (!is_public) {
		TEE_InitRefAttribute(attrs + count++,
				     TEE_ATTR_ECC_PRIVATE_VALUE, at, size);
		at += size;
	}
	TEE_InitRefAttribute(attrs + count++, TEE_ATTR_ECC_PUBLIC_VALUE_X, at,
			     size);
	TEE_InitRefAttribute(attrs + count++, TEE_ATTR_ECC_PUBLIC_VALUE_Y,
			     at + size, size);

	res = TEE_AllocateTransientObject(type, curve->bits, &key);
	if (res)
		return res;
	res = TEE_PopulateTransientObject(key, attrs, count);
	if (!res)
		res = TEE_AllocateOperation(operation, algorithm, mode,
					    curve->bits);
	if (!res)
		res = TEE_SetOperationKey(*operation, key);
	TEE_FreeTransientObject(key);

	return res;
}

static TEE_Result sign(const struct curve *curve, TEE_Param *params)
{
	TEE_OperationHandle operation = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = with_key(curve, TEE_TYPE_ECDSA_KEYPAIR, curve->ecdsa,
		       TEE_MODE_SIGN, params + 1, false, &operation);
	if (!res)
		res = TEE_AsymmetricSignDigest(operation, NULL, 0,
					       params[2].memref.buffer,
					       params[2].memref.size,
					       params[3].memref.buffer,
					       &params[3].memref.size);
	TEE_FreeOperation(operation);

	return res;
}

static TEE_Result verify(const struct curve *curve, TEE_Param *params)
{
	TEE_OperationHandle operation = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;

	res = with_key(curve, TEE_TYPE_ECDSA_PUBLIC_KEY, curve->ecdsa,
		       TEE_MODE_VERIFY, params + 1, true, &operation);
	if (!res)
		res = TEE_AsymmetricVerifyDigest(operation, NULL, 0,
						 params[2].memref.buffer,
						 params[2].memref.size,
						 params[3].memref.buffer,
						 params[3].memref.size);
	TEE_FreeOperation(operation);

	return res;
}

static TEE_Result derive(const struct curve *curve, TEE_Param *params)
{
	TEE_OperationHandle operation = TEE_HANDLE_NULL;
	TEE_ObjectHandle secret = TEE_HANDLE_NULL;
	TEE_Result res = TEE_ERROR_GENERIC;
	size_t size = field_size(curve);
	uint8_t *peer = params[2].memref.buffer;
	TEE_Attribute point[2] = { 0 };

	if (params[2].memref.size != 2 * size)
		return TEE_ERROR_BAD_PARAMETERS;
	TEE_InitRefAttribute(point, TEE_ATTR_ECC_PUBLIC_VALUE_X, peer, size);
	TEE_InitRefAttribute(point + 1, TEE_ATTR_ECC_PUBLIC_VALUE_Y,
			     peer + size, size);
	res = with_key(curve, TEE_TYPE_ECDH_KEYPAIR,
		       TEE_ALG_ECDH_DERIVE_SHARED_SECRET, TEE_MODE_DERIVE,
		       params + 1, false, &operation);
	if (!res)
		res = TEE_AllocateTransientObject(TEE_TYPE_GENERIC_SECRET,
						  size * 8, &secret);
	if (!res) {
		/* Panics on what is no point. */
		TEE_DeriveKey(operation, point, 2, secret);
		res = TEE_GetObjectBufferAttribute(secret,
						   TEE_ATTR_SECRET_VALUE,
						   params[3].memref.buffer,
						   &params[3].memref.size);
	}
	TEE_FreeTransientObject(secret);
	TEE_FreeOperation(operation);

	return res;
}

static int from_gp(void *context, unsigned char *out, size_t len)
{
	(void)context;
	TEE_GenerateRandom(out, len);

	return 0;
}

static TEE_Result mbedtls_public(const struct curve *curve, TEE_Param *params)
{
	mbedtls_ecp_group group = { 0 };
	mbedtls_ecp_point point = { 0 };
	size_t size = field_size(curve);
	mbedtls_mpi d = { 0 };
	uint8_t out[1 + 2 * MAX_FIELD] = { 0 };
	size_t len = 0;
	int ret = 0;

	if (curve->id != TEE_ECC_CURVE_NIST_P256)
		return TEE_ERROR_NOT_SUPPORTED;
	if (params[1].memref.size != size || params[2].memref.size != 2 * size)
		return TEE_ERROR_BAD_PARAMETERS;
	mbedtls_ecp_group_init(&group);
	mbedtls_ecp_point_init(&point);
	mbedtls_mpi_init(&d);
	ret = mbedtls_ecp_group_load(&group, MBEDTLS_ECP_DP_SECP256R1);
	if (!ret)
		ret = mbedtls_mpi_read_binary(&d, params[1].memref.buffer,
					      size);
	if (!ret)
		ret = mbedtls_ecp_mul(&group, &point, &d, &group.G, from_gp,
				      NULL);
	if (!ret)
		ret = mbedtls_ecp_point_write_binary(&group, &point,
						     MBEDTLS_ECP_PF_UNCOMPRESSED,
						     &len, out, sizeof(out));
	if (!ret)
		memcpy(params[2].memref.buffer, out + 1, 2 * size);
	mbedtls_mpi_free(&d);
	mbedtls_ecp_point_free(&point);
	mbedtls_ecp_group_free(&group);

	return ret ? TEE_ERROR_GENERIC : TEE_SUCCESS;
}

TEE_Result TA_InvokeCommandEntryPoint(void *ctx, uint32_t command,
				      uint32_t types, TEE_Param params[4])
{
	static const struct {
		TEE_Result (*run)(const struct curve *curve, TEE_Param *params);
		uint32_t types;
	} commands[] = {
		[ECC_TA_GENERATE] = {
			generate,
			TEE_PARAM_TYPES(VALUE_IN, MEM_OUT, VALUE_IN, NONE),
		},
		[ECC_TA_SIGN] = {
			sign,
			TEE_PARAM_TYPES(VALUE_IN, MEM_IN, MEM_IN, MEM_OUT),
		},
		[ECC_TA_VERIFY] = {
			verify,
			TEE_PARAM_TYPES(VALUE_IN, MEM_IN, MEM_IN, MEM_IN),
		},
		[ECC_TA_DERIVE] = {
			derive,
			TEE_PARAM_TYPES(VALUE_IN, MEM_IN, MEM_IN, MEM_OUT),
		},
		[ECC_TA_MBEDTLS_PUBLIC] = {
			mbedtls_public,
			TEE_PARAM_TYPES(VALUE_IN, MEM_IN, MEM_OUT, NONE),
		},
	};
	TEE_Result res = TEE_ERROR_BAD_PARAMETERS;
	const struct curve *curve = NULL;

	(void)ctx;
	if (command >= sizeof(commands) / sizeof(commands[0]))
		return TEE_ERROR_NOT_SUPPORTED;
	if (types != commands[command].types)
		return TEE_ERROR_BAD_PARAMETERS;
	curve = find_curve(params[0].value.a);
	if (!curve)
		return TEE_ERROR_NOT_SUPPORTED;
	for (uint32_t i = 0; i < params[0].value.b; i++) {
		res = commands[command].run(curve, params);
		if (res)
			return res;
	}

	return res;
}
