# Every source of the portable core. Read by the TA dev kit, and by
# tests/core_host/Makefile: assignments of srcs-y and cflags only.
srcs-y += memory.c
srcs-y += status.c
srcs-y += header.c
srcs-y += hkdf.c
srcs-y += hpke.c
srcs-y += result_seal.c
srcs-y += stream.c
srcs-y += exif.c
srcs-y += jpeg.c
srcs-y += jpeg_absent.c
srcs-y += jpeg_memory.c
srcs-y += resize.c
