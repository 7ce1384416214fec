// SPDX-License-Identifier: Apache-2.0
/* What libjpeg-turbo's own build would write: its public configuration. */
#ifndef CML_JCONFIG_H
#define CML_JCONFIG_H

/* The API of libjpeg 6b: the smallest. */
#define JPEG_LIB_VERSION		62
#define LIBJPEG_TURBO_VERSION		3.1.3
#define LIBJPEG_TURBO_VERSION_NUMBER	3001003
#define BITS_IN_JSAMPLE			8

/* No arithmetic coding, no SIMD, no memory source; no environment to read. */
#undef C_ARITH_CODING_SUPPORTED
#undef D_ARITH_CODING_SUPPORTED
#undef MEM_SRCDST_SUPPORTED
#undef WITH_SIMD
#define NO_GETENV
#define NO_PUTENV

#endif /* CML_JCONFIG_H */
