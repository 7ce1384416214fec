# SPDX-License-Identifier: Apache-2.0
# What is compiled of third-party libraries. Nothing of them is in this tree:
# the caller says where their sources are unpacked (optee-build/inputs.toml
# pins them), and gets lists of files relative to that place.
#
#   LIBJPEG   libjpeg-turbo 3.1: libjpeg_srcs libjpeg_includes libjpeg_cflags
#   CBOR      tinycbor 0.6:      cbor_srcs cbor_includes cbor_cflags
#   MUSL      musl 1.2, TA only: musl_srcs musl_includes musl_cflags
#
# README.md beside this file says why each is here, and what is left out.

third_party := $(patsubst %/,%,$(dir $(lastword $(MAKEFILE_LIST))))

# Decompression of 8-bit baseline, extended sequential and progressive files.
# Whatever else these files refer to is ta/core/jpeg_absent.c; memory comes
# from ta/core/jpeg_memory.c.
libjpeg_srcs := \
	src/jcomapi.c \
	src/jdapimin.c \
	src/jdhuff.c \
	src/jdinput.c \
	src/jdmarker.c \
	src/jdmaster.c \
	src/jdphuff.c \
	src/jmemmgr.c \
	src/wrapper/jdapistd-8.c \
	src/wrapper/jdcoefct-8.c \
	src/wrapper/jdcolor-8.c \
	src/wrapper/jddctmgr-8.c \
	src/wrapper/jdmainct-8.c \
	src/wrapper/jdpostct-8.c \
	src/wrapper/jdsample-8.c \
	src/wrapper/jidctint-8.c \
	src/wrapper/jutils-8.c
libjpeg_includes = -I$(third_party)/libjpeg -I$(LIBJPEG)/src
libjpeg_cflags :=

# The encoder and the parser, without half floats.
cbor_srcs := src/cborencoder.c src/cborparser.c
cbor_includes = -I$(third_party)/tinycbor -I$(CBOR)/src
cbor_cflags := -DCBOR_EXTERNAL_CFG

# OP-TEE's libc has no <math.h>. It, and the other headers that musl's sources
# ask for, are in musl/ here, small ones.
musl_srcs := \
	src/math/exp.c \
	src/math/exp_data.c \
	src/math/log.c \
	src/math/log_data.c \
	src/math/pow.c \
	src/math/pow_data.c \
	src/math/tanh.c \
	src/math/expm1.c \
	src/math/expf.c \
	src/math/exp2f_data.c \
	src/math/logf.c \
	src/math/logf_data.c \
	src/math/powf.c \
	src/math/powf_data.c \
	src/math/tanhf.c \
	src/math/expm1f.c \
	src/math/log1pf.c \
	src/math/erff.c \
	src/math/sinf.c \
	src/math/cosf.c \
	src/math/__sindf.c \
	src/math/__cosdf.c \
	src/math/__rem_pio2f.c \
	src/math/__rem_pio2_large.c \
	src/math/scalbn.c \
	src/math/__math_divzero.c \
	src/math/__math_invalid.c \
	src/math/__math_oflow.c \
	src/math/__math_uflow.c \
	src/math/__math_xflow.c \
	src/math/__math_divzerof.c \
	src/math/__math_invalidf.c \
	src/math/__math_oflowf.c \
	src/math/__math_uflowf.c \
	src/math/__math_xflowf.c \
	src/math/aarch64/ceilf.c \
	src/math/aarch64/floor.c \
	src/math/aarch64/floorf.c \
	src/math/aarch64/rintf.c \
	src/math/aarch64/round.c \
	src/math/aarch64/roundf.c \
	src/math/aarch64/sqrt.c \
	src/math/aarch64/sqrtf.c
musl_includes = -I$(third_party)/musl -I$(MUSL)/src/internal
musl_cflags :=
