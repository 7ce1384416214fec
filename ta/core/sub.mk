# Every source of the portable core. Read by the TA dev kit, and by
# tests/core_host/Makefile: assignments of srcs-y and cflags only.
srcs-y += memory.c
srcs-y += status.c
