# SPDX-License-Identifier: 0BSD
global-incdirs-y += include
srcs-y += @name@_ta.cpp
# The dev kit has warnings for C alone.
cxxflags-y += -std=c++17 -Wall -Wextra
