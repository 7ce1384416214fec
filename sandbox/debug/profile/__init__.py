# SPDX-License-Identifier: Apache-2.0
"""Where the guest spends its time, in both worlds: samples of all cores, taken from outside.

sampler.py      stops the machine many times a second and notes what each core is doing
linux.py        what a sample needs to know of the guest's kernel: offsets, symbols, processes
elf.py          functions and machine code of one ELF file
resolve.py      from addresses to names: finds where each image is loaded, by its code
stacks.py       named stacks and how often each was seen; shares, top functions
flamegraph.py   the picture
exports.py      folded stacks, speedscope
"""
