srcs-y += board.c
srcs-y += cmd_attest.c
srcs-y += cmd_describe.c
srcs-$(CFG_CML_ENCRYPT_MODEL) += cmd_encrypt.c
srcs-y += cmd_infer.c
srcs-y += cmd_info.c
srcs-y += cmd_key.c
srcs-y += cmd_key_store.c
srcs-y += cmd_model.c
srcs-y += cmd_vault.c
srcs-y += cmd_work.c
srcs-y += crypto_gp.c
srcs-y += entry.c
srcs-y += evidence.c
srcs-y += identity.c
srcs-y += model.c
srcs-y += network.c
srcs-y += sealed_input.c
srcs-y += sealed_store.c
srcs-y += secure_memory.c
srcs-y += session.c
srcs-y += storage.c
srcs-y += vault_store.c

third_party_srcs := $(addprefix $(LIBJPEG)/,$(libjpeg_srcs)) \
	$(addprefix $(CBOR)/,$(cbor_srcs)) \
	$(addprefix $(MUSL)/,$(musl_srcs))
srcs-y += $(third_party_srcs)
# Not ours to clean up: no warnings.
$(foreach src,$(third_party_srcs),$(eval cflags-$(src)-y += -w))

subdirs-y += ../core
