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

# The encoder, without half floats.
cbor_srcs := src/cborencoder.c
cbor_includes = -I$(third_party)/tinycbor -I$(CBOR)/src
cbor_cflags := -DCBOR_EXTERNAL_CFG

# exp(), log() and sqrt(): OP-TEE's libc has no <math.h>. It, and the other
# headers that musl's sources ask for, are in musl/ here, small ones.
musl_srcs := \
	src/math/exp.c \
	src/math/exp_data.c \
	src/math/log.c \
	src/math/log_data.c \
	src/math/__math_divzero.c \
	src/math/__math_invalid.c \
	src/math/__math_oflow.c \
	src/math/__math_uflow.c \
	src/math/__math_xflow.c \
	src/math/aarch64/sqrt.c
musl_includes = -I$(third_party)/musl -I$(MUSL)/src/internal
musl_cflags :=
