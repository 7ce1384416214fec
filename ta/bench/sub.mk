# Vectors only where the code asks for them, as in ../core/sub.mk
cflags-y += -fno-tree-slp-vectorize

srcs-y += entry.c
srcs-y += gemm.c
srcs-y += measure.c
srcs-y += ../inference/secure_memory.c

# The engine, without the rest of core
engine_srcs := $(shell sed -n 's,^srcs-y += \(nn/.*\),../core/\1,p' \
	../core/sub.mk) ../core/memory.c ../core/status.c
srcs-y += $(engine_srcs)
$(foreach src,$(engine_srcs),$(eval cflags-$(src)-y += -ffp-contract=off))

third_party_srcs := $(addprefix $(MUSL)/,$(musl_srcs))
srcs-y += $(third_party_srcs)
$(foreach src,$(third_party_srcs),$(eval cflags-$(src)-y += -w))
