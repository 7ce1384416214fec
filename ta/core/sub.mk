# Every source of the portable core. Read by the TA dev kit, and by
# tests/core_host/Makefile: assignments of srcs-y and cflags only.
# Doubles as NumPy computes them: no fused multiply-add.
cflags-y += -ffp-contract=off
srcs-y += memory.c
srcs-y += status.c
srcs-y += header.c
srcs-y += hkdf.c
srcs-y += hpke.c
srcs-y += p256.c
srcs-y += result_seal.c
srcs-y += stream.c
srcs-y += exif.c
srcs-y += jpeg.c
srcs-y += jpeg_absent.c
srcs-y += jpeg_memory.c
srcs-y += resize.c
srcs-y += arena.c
srcs-y += flatbuffer.c
srcs-y += graph.c
srcs-y += quant.c
srcs-y += tflite.c
srcs-y += ops/conv2d.c
srcs-y += ops/conv2d_panel.c
srcs-y += ops/node.c
srcs-y += ops/op_add_s8.c
srcs-y += ops/op_add_s8_neon.c
srcs-y += ops/op_conv2d_s8.c
srcs-y += ops/op_conv2d_s8_dotprod.c
srcs-y += ops/op_conv2d_s8_i8mm.c
srcs-y += ops/op_conv2d_s8_neon.c
srcs-y += ops/op_depthwise_conv2d_s8.c
srcs-y += ops/op_depthwise_conv2d_s8_neon.c
srcs-y += result_encode.c
srcs-y += ssd.c
srcs-y += ssd_labels.c
srcs-y += region.c
srcs-y += inference.c
