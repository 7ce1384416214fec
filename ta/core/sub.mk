# Every source of the portable core. Read by the TA dev kit, and by
# tests/core_host/Makefile: assignments of srcs-y and cflags only.
# Vectors only where the code asks for them: under emulation, and without a
# vector unit, they are slower.
cflags-y += -fno-tree-slp-vectorize
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
srcs-y += jpeg_status.c
srcs-y += resize.c
srcs-y += nn/arena.c
srcs-y += nn/flatbuffer.c
srcs-y += nn/graph.c
srcs-y += nn/measure.c
srcs-y += nn/node.c
srcs-y += nn/op_table.c
srcs-y += nn/prepare.c
srcs-y += nn/quant.c
srcs-y += nn/tflite.c
srcs-y += nn/ops/add_s8_neon.c
srcs-y += nn/ops/binary.c
srcs-y += nn/ops/broadcast.c
srcs-y += nn/ops/conv.c
srcs-y += nn/ops/conv_panel.c
srcs-y += nn/ops/conv_s8_dotprod.c
srcs-y += nn/ops/conv_s8_i8mm.c
srcs-y += nn/ops/conv_s8_neon.c
srcs-y += nn/ops/conv_s8_scalar.c
srcs-y += nn/ops/depthwise_s8_neon.c
srcs-y += nn/ops/op_add.c
srcs-y += nn/ops/op_conv_2d.c
srcs-y += nn/ops/op_depthwise_conv_2d.c
srcs-y += nn/ops/op_div.c
srcs-y += nn/ops/op_maximum.c
srcs-y += nn/ops/op_mul.c
srcs-y += nn/ops/op_reshape.c
srcs-y += nn/ops/op_squared_difference.c
srcs-y += nn/ops/op_sub.c
srcs-y += nn/ops/window.c
srcs-y += result_encode.c
srcs-y += ssd.c
srcs-y += ssd_labels.c
srcs-y += region.c
srcs-y += inference.c
