srcs-y += panic_ta.c
# What the compiler can see coming is what this TA is for.
cflags-panic_ta.c-y += -Wno-div-by-zero -Wno-infinite-recursion
