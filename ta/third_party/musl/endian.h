// SPDX-License-Identifier: Apache-2.0
#ifndef CML_MUSL_ENDIAN_H
#define CML_MUSL_ENDIAN_H

#define __LITTLE_ENDIAN	__ORDER_LITTLE_ENDIAN__
#define __BIG_ENDIAN	__ORDER_BIG_ENDIAN__
#define __BYTE_ORDER	__BYTE_ORDER__

#endif /* CML_MUSL_ENDIAN_H */
