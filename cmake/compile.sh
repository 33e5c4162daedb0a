#!/bin/sh
# compile.sh CCACHE COMPILER...: the compiler through ccache, which leaves sources with precompiled headers alone
# unless told so. A precompiled header must not read the one that it replaces: builds could not share it.
# SPDX-License-Identifier: Apache-2.0
export CCACHE_SLOPPINESS=pch_defines,time_macros
case "$*" in
*"-x c++-header"*)
  previous=
  for word; do
    if [ "$previous" = -o ]; then rm -f "$word"; fi
    previous=$word
  done
  ;;
esac
exec "$@"
